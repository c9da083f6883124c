//! Opening a file: its lock, its connections, their settings.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::OpenError;
use crate::migrate::{known_schema, migrate};
use crate::options::SqliteOptions;

/// What a store works with.
pub(crate) struct Opened {
    pub(crate) writer: Connection,
    pub(crate) readers: Vec<Connection>,
    /// Held, by the operating system, for as long as it is open. A process that dies lets go of it.
    pub(crate) lock: Option<File>,
}

pub(crate) fn open(path: &Path, options: &SqliteOptions) -> Result<Opened, OpenError> {
    let lock = lock(path)?;
    let mut writer = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
        .and_then(|connection| settle(&connection, options).map(|()| connection))
        .map_err(|error| refusal(path, error))?;
    known_schema(&writer, path)?;
    let mode: String = writer
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| refusal(path, error))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(OpenError::NoWriteAheadLog { path: path.to_owned() });
    }
    migrate(&mut writer, path)?;
    expire_leases(&writer, options).map_err(|error| refusal(path, error))?;
    let readers = (0..options.readers)
        .map(|_| {
            let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            settle(&connection, options)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        })
        .collect::<rusqlite::Result<_>>()
        .map_err(|error| refusal(path, error))?;
    Ok(Opened { writer, readers, lock: Some(lock) })
}

/// Ends the leases of workers that died with their process, so that their runs are gone on with at once.
fn expire_leases(writer: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let now = options.clock.now().as_micros();
    writer.execute(include_str!("../queries/workers_expire.sql"), rusqlite::named_params! { ":now": now })?;
    Ok(())
}

/// A database in memory: the writer answers reads, too.
pub(crate) fn open_in_memory(options: &SqliteOptions) -> Result<Opened, OpenError> {
    let path = Path::new(":memory:");
    let mut writer = Connection::open_in_memory().map_err(|error| refusal(path, error))?;
    settle(&writer, options).map_err(|error| refusal(path, error))?;
    migrate(&mut writer, path)?;
    Ok(Opened { writer, readers: Vec::new(), lock: None })
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = OsString::from(path.as_os_str());
    name.push(".lock");
    let cannot_open =
        |source: std::io::Error| OpenError::CannotOpen { path: path.to_owned(), source: Box::new(source) };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(PathBuf::from(name))
        .map_err(cannot_open)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(cannot_open(error)),
    }
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn settle(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans are made once, for any values: without this a statement is planned anew when other values are bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Each commit is synced before it is acknowledged; on macOS down to the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    if let Some(bytes) = options.max_bytes {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages.max(1), |_| Ok(()))?;
    }
    Ok(())
}

/// The error of a file that could not be opened or looked into.
pub(crate) fn refusal(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotMeshHook { path },
        Some(ErrorCode::DatabaseBusy) => OpenError::InUse { path },
        _ => OpenError::CannotOpen { path, source: Box::new(error) },
    }
}

/// How long a connection waits for another process that looks into the file, a backup for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More than there are statements.
pub(crate) const STATEMENTS: usize = 128;
/// Per connection.
const CACHE_KIB: i64 = 16 * 1_024;
/// What the write-ahead log is cut back to after it was carried over into the file.
const LOG_BYTES: i64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_syncs_every_commit_to_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(&directory.path().join("meshhook.db"), &SqliteOptions::new()).unwrap();
        let number = |connection: &Connection, name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap()
        };
        let mode: String = opened.writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(number(&opened.writer, "synchronous"), 2);
        assert_eq!(number(&opened.writer, "foreign_keys"), 0);
        assert!(opened.readers.iter().all(|reader| number(reader, "query_only") == 1));
    }
}
