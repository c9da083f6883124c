//! Forward-only migrations, each in a transaction of its own, counted in `meshhook.migrations`.
//!
//! Whoever migrates first has the advisory lock; the others wait for it, for half a minute at most, and find nothing
//! left to do. The lock belongs to the transaction, so it is never left behind, a pooler in between included. Workers of
//! an earlier release go on beside a newer schema unless a migration says from which schema on it can be worked with.

use sqlx::postgres::PgRow;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Executor as _, PgConnection, Row as _,
};

use crate::error::PgError;
use crate::options::PgOptions;
use crate::store::settings;

/// One migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number: 1, 2, 3 …
    pub version: u32,
    /// What it is about.
    pub name: &'static str,
    /// Its statements, to be run in one transaction.
    pub sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $number:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $number, "_", $name, ".sql")),
        }
    };
}

/// All migrations in order, for tools that apply them by themselves. Such a tool makes the schema `meshhook` first, and
/// notes each in `meshhook.migrations (version, name)`, which [`migrate()`] makes otherwise:
/// see [`BOOKS`](Migration::BOOKS).
pub const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001", "ledger"),
    migration!(2, "0002", "workflows"),
    migration!(3, "0003", "wall"),
    migration!(4, "0004", "partitions"),
    migration!(5, "0005", "commit"),
    migration!(6, "0006", "claim"),
    migration!(7, "0007", "inbox"),
    migration!(8, "0008", "views"),
    migration!(9, "0009", "comments"),
];

impl Migration {
    /// Makes the schema and the table in which migrations are noted, where they are missing.
    pub const BOOKS: &'static str = "
        CREATE SCHEMA IF NOT EXISTS meshhook;
        CREATE TABLE IF NOT EXISTS meshhook.migrations (
            version       integer     NOT NULL CONSTRAINT migrations_pk PRIMARY KEY,
            name          text        NOT NULL,
            readable_from integer     NOT NULL DEFAULT 0,
            applied_at    timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE meshhook.migrations IS 'What was done to this schema. Workers that know schema readable_from or later can work with it.';
    ";

    /// Takes the functions of the schema from the public: only roles that they were granted to may call them.
    pub const CLOSE: &'static str = "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA meshhook FROM PUBLIC";
}

/// What a database has.
pub(crate) struct Found {
    pub(crate) version: u32,
    pub(crate) readable_from: u32,
}

/// The newest schema that this release knows.
pub(crate) fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Brings the schema of a database up to date, as the role of the URL, which will own it.
///
/// # Errors
///
/// [`PgError`]; migrations before the one that failed stay.
pub async fn migrate(url: &str) -> Result<(), PgError> {
    let connect = settings(url, &PgOptions::new().application_name("meshhook migrate"))?;
    let mut connection = connect.connect().await.map_err(|error| PgError::Connect(Box::new(error)))?;
    for migration in MIGRATIONS {
        step(&mut connection, migration).await.map_err(|error| match error {
            Step::Known(error) => error,
            Step::Failed(error) => PgError::Migration { version: migration.version, source: Box::new(error) },
        })?;
    }
    // The session ends with the connection; nothing more is asked of it.
    let _ = connection.close().await;
    Ok(())
}

/// The statements that let a role work with the schema: the application's, which owns nothing.
///
/// To be run by the schema's owner after each migration.
#[must_use]
pub fn grant_sql(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let tables = "meshhook.projects, meshhook.live_runs, meshhook.ended_runs, meshhook.history, meshhook.dedupe, \
                  meshhook.inbox, meshhook.workers, meshhook.workflows, meshhook.versions, meshhook.definitions, \
                  meshhook.hooks, meshhook.secrets";
    format!(
        "GRANT USAGE ON SCHEMA meshhook TO {role};\n\
         GRANT SELECT ON meshhook.migrations, meshhook.runs, meshhook.events TO {role};\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role};\n\
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA meshhook TO {role};\n\
         REVOKE EXECUTE ON FUNCTION meshhook.drop_partitions(timestamptz) FROM {role};\n"
    )
}

/// The statements that let a role drop old months ([`PgStore::drop_before`](crate::PgStore::drop_before)), which the
/// application's may not: what has only to add should not be able to remove.
///
/// To be run by the schema's owner, after [`grant_sql`].
#[must_use]
pub fn grant_maintenance_sql(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    format!("GRANT EXECUTE ON FUNCTION meshhook.drop_partitions(timestamptz) TO {role};\n")
}

enum Step {
    Known(PgError),
    Failed(Error),
}

impl From<Error> for Step {
    fn from(error: Error) -> Self {
        Step::Failed(error)
    }
}

async fn step(connection: &mut PgConnection, migration: &Migration) -> Result<(), Step> {
    // What others have applied is read after the lock was waited for.
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    connection.execute("SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning").await?;
    connection.execute("SELECT pg_advisory_xact_lock(1835365224, 1)").await?;
    let done = applied(connection).await.map_err(Step::Known)?;
    if done.version < migration.version {
        let encoding: PgRow = connection.fetch_one("SHOW server_encoding").await?;
        let found: String = encoding.try_get(0)?;
        if found != "UTF8" {
            return Err(Step::Known(PgError::Encoding { found }));
        }
        connection.execute(Migration::BOOKS).await?;
        connection.execute(migration.sql).await?;
        connection.execute(Migration::CLOSE).await?;
        let Migration { version, name, .. } = migration;
        let note = format!("INSERT INTO meshhook.migrations (version, name) VALUES ({version}, '{name}')");
        connection.execute(AssertSqlSafe(note)).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(())
}

/// The schema of a database that a store is to work with.
pub(crate) async fn found(connection: &mut PgConnection) -> Result<Found, PgError> {
    applied(connection).await
}

async fn applied(connection: &mut PgConnection) -> Result<Found, PgError> {
    let failed = |error: Error| PgError::Statement(Box::new(error));
    let exists = connection
        .fetch_one("SELECT to_regclass('meshhook.migrations') IS NOT NULL")
        .await
        .map_err(failed)?;
    if !exists.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(Found { version: 0, readable_from: 0 });
    }
    let row = connection
        .fetch_one(
            "SELECT coalesce(max(version), 0), coalesce(max(readable_from), 0) FROM meshhook.migrations",
        )
        .await
        .map_err(failed)?;
    let number =
        |column: usize| row.try_get::<i32, _>(column).map(|number| u32::try_from(number).unwrap_or(0));
    Ok(Found { version: number(0).map_err(failed)?, readable_from: number(1).map_err(failed)? })
}
