//! Durable MeshHook store in one SQLite file.
//!
//! One process opens the file, through [`SqliteStore::open`]; a second one is refused. What the store has
//! acknowledged survives the end of the process and of the machine: write-ahead log, `synchronous=FULL`.
//!
//! ```text
//!   callers ──► bounded queue ──► writer thread: everything that waits becomes one transaction, one sync
//!   callers ──► bounded queue ──► reader threads: each call one read transaction, beside the writer
//! ```
//!
//! While a transaction is being synced the next one collects, so that throughput grows with the number of callers and
//! a single caller waits for nobody. Calls that are refused read before they write, so that they leave the others of
//! their transaction alone; should a call fail, the transaction is rolled back and each of its calls runs alone.
//!
//! ```no_run
//! # async fn example() -> Result<(), meshhook_sqlite::OpenError> {
//! use meshhook_sqlite::{SqliteOptions, SqliteStore};
//!
//! let store = SqliteStore::open("meshhook.db", SqliteOptions::new()).await?;
//! # Ok(())
//! # }
//! ```

mod deliveries;
mod error;
mod inbox;
mod ledger;
mod migrate;
mod open;
mod options;
#[cfg(test)]
mod plan_tests;
mod projects;
mod rates;
mod reader;
mod row;
mod schedules;
mod secrets;
mod store;
mod worker;
mod workflows;

pub use self::error::OpenError;
pub use self::options::SqliteOptions;
pub use self::store::SqliteStore;

/// A statement of `queries/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $name, ".sql"))
    };
}
pub(crate) use sql;
