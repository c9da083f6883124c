//! The Postgres store keeps the store contract.

mod support;

use std::sync::Arc;

use meshhook_core::testing::conformance::Subject;
use meshhook_postgres::PgOptions;
use support::Database;

meshhook_core::store_conformance!(|clock| async move {
    let database = Database::new();
    let store = database.store(PgOptions::new().clock(Arc::new(clock))).await;
    Subject::new(store).keeping(database)
});
