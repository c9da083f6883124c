//! What SQLite says, in the terms of the store contract.

use std::path::PathBuf;
use std::sync::Arc;

use meshhook_core::store::StoreError;
use rusqlite::{Error, ErrorCode};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a file could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another store of this one, has the file open.
    #[error("{} is in use by another process; one SQLite file belongs to one process", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file or its directory does not exist, or cannot be read and written.
    #[error("cannot open {} for reading and writing", path.display())]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The file is a database, but not one of MeshHook, or no database at all.
    #[error("{} is not a MeshHook database", path.display())]
    NotMeshHook {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later release.
    #[error("{} has schema {found}, this release knows up to {known}: use a later release", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The schema that it has.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// The file system does not support the write-ahead log, as network file systems do not.
    #[error("{} is on a file system without support for a write-ahead log", path.display())]
    NoWriteAheadLog {
        /// The database file.
        path: PathBuf,
    },
    /// The schema could not be brought up to date; it is as it was.
    #[error("cannot bring {} to schema {version}", path.display())]
    Migration {
        /// The database file.
        path: PathBuf,
        /// The schema that was to be reached.
        version: u32,
        /// Why.
        source: Source,
    },
}

/// The error of a transaction that was rolled back.
pub(crate) fn store_error(error: &Arc<Error>) -> StoreError {
    let source: Source = Box::new(Arc::clone(error));
    match &**error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full(source),
            ErrorCode::CannotOpen
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure => StoreError::Unavailable(source),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::corrupt(error.to_string()),
            _ => StoreError::Internal(source),
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => StoreError::corrupt(error.to_string()),
        _ => StoreError::Internal(source),
    }
}

/// The error of a `COMMIT` that failed. The log may hold the transaction all the same, unless there was no room for it.
pub(crate) fn commit_error(error: &Arc<Error>) -> StoreError {
    match store_error(error) {
        full @ StoreError::Full(_) => full,
        _ => StoreError::OutcomeUnknown(Box::new(Arc::clone(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn failure(code: i32) -> Arc<Error> {
        Arc::new(Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn a_full_disk_is_full_at_every_stage() {
        for map in [store_error, commit_error] {
            assert!(matches!(map(&failure(ffi::SQLITE_FULL)), StoreError::Full(_)));
        }
    }

    #[test]
    fn trouble_with_the_file_may_pass() {
        for code in [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(store_error(&failure(code)), StoreError::Unavailable(_)), "{code}");
            assert!(commit_error(&failure(code)).is_outcome_unknown(), "{code}");
        }
    }

    #[test]
    fn damage_and_misuse_do_not_pass() {
        assert!(matches!(store_error(&failure(ffi::SQLITE_CORRUPT)), StoreError::Corrupt { .. }));
        assert!(matches!(store_error(&failure(ffi::SQLITE_CONSTRAINT)), StoreError::Internal(_)));
    }
}
