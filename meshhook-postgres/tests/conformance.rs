//! The Postgres store keeps the store contract.

mod support;

use std::sync::Arc;

use meshhook_core::testing::conformance::Subject;
use meshhook_postgres::PgOptions;
use support::Database;

mod sessions {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let database = Database::new();
        let store = database.store(PgOptions::new().clock(Arc::new(clock))).await;
        Subject::new(store).keeping(database)
    });
}

/// As behind a pooler: no statement rests on what a session was told before.
mod pooled {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let database = Database::new();
        let options = PgOptions::new().pooled(true).connections(1).clock(Arc::new(clock));
        Subject::new(database.store(options).await).keeping(database)
    });
}
