//! Durable MeshHook store on Postgres 14 and later, for any number of workers: no extension, no superuser.
//!
//! ```text
//!   commits, claims, posts ──► one statement each: a function of the schema, one round trip, one transaction
//!   what people read       ──► short transactions, each scoped to one project
//! ```
//!
//! # Who may write
//!
//! A worker's commits touch no row of the runs they advance: they read who holds each run, and insert into its history.
//! What keeps that reading true until the commit is visible:
//!
//! - **The worker's lock.** A commit shares an advisory lock named after its worker; whoever takes runs away from a
//!   worker (a claim of orphans, [`forget`](meshhook_core::store::Ledger::forget)) has it alone. So no run changes hands
//!   between the look at its holder and the commit. A claim does not wait for it: a worker that is committing right now
//!   is left for the next look.
//! - **The history's key** `(project, run_id, first_seq)`. Two commits of the same worker for the same position, one of
//!   them left behind by a lost connection, meet there; the later one finds the row, and its whole call is made again.
//!   The same key lets a run start once.
//! - **The run's row.** Releasing, ending, claiming and posting lock it. So whoever posts a message finds the run held
//!   and its owner finds the message at the latest when it releases the run; or finds it released and makes it due.
//!
//! Row locks are taken in the order of their keys, and a batch is sorted before it is sent, so that batches of several
//! processes wait for each other instead of dying of each other. What collides nevertheless (`40001`, `40P01`) did
//! nothing and is made again here, a few times.
//!
//! # When a reply is lost
//!
//! A statement that writes and whose connection breaks has happened or not:
//! [`is_outcome_unknown`](meshhook_core::store::StoreError::is_outcome_unknown). Calls run in tasks of their own, so a
//! caller who goes away breaks no connection; a connection is used again only after a call that ended well or was
//! refused by the server, and never with a transaction left open.
//!
//! # Between processes
//!
//! Messages for runs that another process holds are hinted at with `NOTIFY`, outside of every commit's transaction; what
//! is lost is found at the next look.
//!
//! # Clocks
//!
//! Leases and due times are judged by the database's clock, or by the one that [`PgOptions::clock`] names.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use meshhook_postgres::{PgOptions, PgStore};
//!
//! let url = "postgres://app@localhost/service";
//! meshhook_postgres::migrate(url).await?;
//! let store = PgStore::connect(url, PgOptions::new()).await?;
//! # Ok(())
//! # }
//! ```

mod deliveries;
mod doctor;
mod error;
mod inbox;
mod ledger;
mod migrate;
mod options;
mod pooler;
mod projects;
mod rates;
mod reader;
mod row;
mod schedules;
mod secrets;
mod session;
mod store;
mod task;
mod tidy;
mod wake;
mod workflows;

pub use self::doctor::{Finding, Severity};
pub use self::error::PgError;
pub use self::migrate::{MIGRATIONS, Migration, grant_maintenance_sql, grant_sql, migrate};
pub use self::options::PgOptions;
pub use self::store::PgStore;

/// A statement of `queries/`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $name, ".sql"))
    };
}
pub(crate) use sql;
