//! Random operations have the same answers from the Postgres store as from the memory store.
//!
//! Each seed is one game; `MESHHOOK_TEST_SEED` names another one to play.

mod support;

use std::sync::Arc;

use meshhook_core::testing::conformance::Subject;
use meshhook_core::testing::differential::compare;
use meshhook_postgres::PgOptions;
use support::Database;

const STEPS: usize = 300;

#[test]
fn memory_and_postgres_answer_alike() {
    let seeds = match std::env::var("MESHHOOK_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("MESHHOOK_TEST_SEED is a number")],
        // 82 once told that a refused start gave its worker a lease.
        Err(_) => (1..=8).chain([82]).collect::<Vec<u64>>(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in seeds {
        println!("seed {seed}");
        runtime.block_on(compare(seed, STEPS, |clock| async move {
            let database = Database::new();
            // Every fourth seed makes do with one connection.
            let connections = if seed.is_multiple_of(4) { 1 } else { 4 };
            let options = PgOptions::new().connections(connections).clock(Arc::new(clock));
            let store = database.store(options).await;
            Subject::new(store).keeping(database)
        }));
    }
}
