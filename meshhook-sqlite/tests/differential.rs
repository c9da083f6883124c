//! Random operations have the same answers from the SQLite store as from the memory store.
//!
//! Each seed is one game; `MESHHOOK_TEST_SEED` names another one to play.

use std::sync::Arc;

use meshhook_core::testing::conformance::Subject;
use meshhook_core::testing::differential::compare;
use meshhook_sqlite::{SqliteOptions, SqliteStore};

const STEPS: usize = 500;

#[test]
fn memory_and_sqlite_answer_alike() {
    let seeds = match std::env::var("MESHHOOK_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("MESHHOOK_TEST_SEED is a number")],
        Err(_) => (1..=16).collect::<Vec<u64>>(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for seed in seeds {
        println!("seed {seed}");
        runtime.block_on(compare(seed, STEPS, |clock| async move {
            let directory = tempfile::tempdir().unwrap();
            let options = SqliteOptions::new().clock(Arc::new(clock));
            // Every eighth seed goes through a file, with readers of their own.
            let store = if seed.is_multiple_of(8) {
                SqliteStore::open(directory.path().join("meshhook.db"), options).await.unwrap()
            } else {
                SqliteStore::open_in_memory(options).await.unwrap()
            };
            Subject::new(store).keeping(directory)
        }));
    }
}
