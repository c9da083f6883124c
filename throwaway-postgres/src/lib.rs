//! A Postgres server for tests and benches that goes away with the process that started it.
//!
//! ```text
//!   this process ──pipe──► sh ──► postgres          the pipe ends with this process, however that dies:
//!                                                   sh then stops the server and removes its folder
//! ```
//!
//! The server listens on a Unix socket only and lives in `/dev/shm` where there is one. Postgres refuses to run as
//! root, so started by root it runs as `postgres` or `nobody`. With `MESHHOOK_TEST_DATABASE_URL` in the environment,
//! [`Server::shared`] uses that server instead and starts none; its role must be able to create databases and roles.
//!
//! [`Pooler`] puts a PgBouncer before it, where one is installed.
//!
//! Standard library only: whoever wants to talk to the server brings a driver.

mod pooler;
mod programs;
mod server;

pub use self::pooler::{Pooler, WITHOUT_POOLER_VARIABLE, find_pooler};
pub use self::programs::{Programs, find};
pub use self::server::{Server, Settings};

/// Names a server to use instead of starting one.
pub const URL_VARIABLE: &str = "MESHHOOK_TEST_DATABASE_URL";

/// What went wrong, as a sentence.
pub type Result<T> = std::result::Result<T, String>;
