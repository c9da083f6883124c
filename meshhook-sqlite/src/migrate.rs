//! Forward-only migrations, counted in the file's `user_version`.

use std::path::Path;

use rusqlite::Connection;

use crate::error::OpenError;
use crate::open::refusal;

/// Marks the file as MeshHook's: "mesh".
pub(crate) const APPLICATION_ID: i32 = 0x6d65_7368;

/// All migrations in order; the first brings an empty file to schema 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_ledger.sql"),
    include_str!("../migrations/0002_workflows.sql"),
    include_str!("../migrations/0003_projects.sql"),
    include_str!("../migrations/0004_deliveries.sql"),
    include_str!("../migrations/0005_rates.sql"),
    include_str!("../migrations/0006_schedules.sql"),
];

/// The schema that the file has, 0 if it is empty. Files of later releases and of something else are refused; they
/// are only read.
pub(crate) fn known_schema(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let known = u32::try_from(MIGRATIONS.len()).expect("there are fewer migrations than numbers");
    match schema_of(connection, path)? {
        found if found > known => Err(OpenError::NewerSchema { path: path.to_owned(), found, known }),
        found => Ok(found),
    }
}

/// Brings the schema up to date, each step in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let found = known_schema(connection, path)?;
    for (migration, version) in MIGRATIONS.iter().zip(1..) {
        if version > found {
            step(connection, migration, version).map_err(|source| OpenError::Migration {
                path: path.to_owned(),
                version,
                source: Box::new(source),
            })?;
        }
    }
    Ok(())
}

fn step(connection: &mut Connection, migration: &str, version: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()
}

fn schema_of(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let cannot_open = |error: rusqlite::Error| refusal(path, error);
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(cannot_open)?;
    let version = number("user_version").map_err(cannot_open)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(cannot_open)?;
    match (application, u32::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => Ok(version),
        (0, Ok(0)) if tables == 0 => Ok(0),
        _ => Err(OpenError::NotMeshHook { path: path.to_owned() }),
    }
}
