//! The Postgres store keeps the store contract.

mod support;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::testing::conformance::Subject;
use meshhook_postgres::{PgOptions, PgStore};
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

/// With plans that nobody would choose: the functions' own settings ask for the opposite of what they are shipped with.
mod with_other_plans {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let database = Database::new();
        database.sql(support::OTHER_PLANS);
        // A thousand runs cost a million looks by such plans.
        let options =
            PgOptions::new().connections(4).call_timeout(Duration::from_secs(120)).clock(Arc::new(clock));
        let store = database.store(options).await;
        Subject::new(store).keeping(database)
    });
}

/// Behind a pooler that nobody speaks of: PgBouncer in transaction mode, which hands each transaction to another of
/// three sessions. Where one is to be done without, as if there was one.
mod behind_a_pooler {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let database = Database::new();
        let options = PgOptions::new().connections(4).clock(Arc::new(clock));
        let (url, options) = match database.pooled_url() {
            Some(url) => (url, options),
            None => (database.url(), options.pooled(true)),
        };
        Subject::new(PgStore::connect(&url, options).await.expect("connect")).keeping(database)
    });
}
