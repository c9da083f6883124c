//! The SQLite store keeps the store contract, in a file and in memory.

use std::sync::Arc;

use meshhook_core::testing::conformance::Subject;
use meshhook_sqlite::{SqliteOptions, SqliteStore};

mod file {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new().clock(Arc::new(clock));
        let store = SqliteStore::open(directory.path().join("meshhook.db"), options).await.unwrap();
        Subject::new(store).keeping(directory)
    });
}

mod memory {
    use super::*;

    meshhook_core::store_conformance!(|clock| async move {
        let options = SqliteOptions::new().clock(Arc::new(clock));
        Subject::new(SqliteStore::open_in_memory(options).await.unwrap())
    });
}
