//! What Postgres says, in the terms of the store contract.

use meshhook_core::store::StoreError;
use sqlx::Error;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a database could not be opened or brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The URL or another setting cannot be used.
    #[error("the settings of the database connection are not usable")]
    Settings(#[source] Source),
    /// The server cannot be reached, or refuses the connection.
    #[error("cannot connect to Postgres")]
    Connect(#[source] Source),
    /// The database lacks the schema, or has an older one.
    #[error("the database has schema {found}, this release needs {needed}: run `migrate` first")]
    SchemaMissing {
        /// The schema that it has; 0 is none.
        found: u32,
        /// The schema that this release needs.
        needed: u32,
    },
    /// The schema was changed by a later release in a way that this one does not know.
    #[error("the database has schema {found}, this release knows up to {known}: use a later release")]
    SchemaNewer {
        /// The schema that it has.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// The database does not keep text as UTF-8.
    #[error("the database's encoding is {found}, MeshHook needs UTF8")]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// The schema could not be brought up to date; it is as it was.
    #[error("cannot bring the database to schema {version}")]
    Migration {
        /// The schema that was to be reached.
        version: u32,
        /// Why.
        source: Source,
    },
    /// A statement failed.
    #[error("a statement failed")]
    Statement(#[source] Source),
}

/// What a call does, which decides what a lost reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It only reads.
    Reads,
    /// It changes something.
    Writes,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server refused the statement, as it would again; the session is fine.
    Refused,
    /// Nothing happened; the same call may well succeed at once.
    Again,
    /// Nothing happened; what the session has prepared does not fit the schema any more, a new one may do better.
    Outdated,
    /// Nothing happened, and the session is fine; later the same call may succeed.
    Later,
    /// There is no room.
    Full,
    /// The session is gone, and whether the call happened is not known.
    Lost,
    /// What was read cannot be understood.
    Unreadable,
}

/// Judges an error by its SQLSTATE, or by where it came from.
pub(crate) fn judge(error: &Error) -> Verdict {
    match error {
        Error::Database(refusal) => match refusal.code().as_deref().unwrap_or_default() {
            // Serialization failure, deadlock.
            "40001" | "40P01" => Verdict::Again,
            // A plan that a migration has outdated; a prepared statement that is not there.
            "0A000" | "26000" => Verdict::Outdated,
            // A lock or the whole statement took too long; too many connections; out of memory; read-only server.
            "55P03" | "57014" | "53300" | "53200" | "25006" | "57P03" | "58030" | "53000" => Verdict::Later,
            "53100" => Verdict::Full,
            // The server ends the session: that can overtake the reply to a commit.
            code if code.starts_with("57P") || code.starts_with("08") => Verdict::Lost,
            _ => Verdict::Refused,
        },
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::PoolClosed => {
            Verdict::Lost
        }
        Error::ColumnDecode { .. }
        | Error::Decode(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnNotFound(_)
        | Error::TypeNotFound { .. }
        | Error::RowNotFound => Verdict::Unreadable,
        _ => Verdict::Refused,
    }
}

/// The error of a call that was not made again, or often enough.
pub(crate) fn store_error(error: Error, effect: Effect) -> StoreError {
    match judge(&error) {
        Verdict::Again | Verdict::Later => StoreError::Unavailable(Box::new(error)),
        Verdict::Full => StoreError::Full(Box::new(error)),
        Verdict::Lost if effect == Effect::Writes => StoreError::OutcomeUnknown(Box::new(error)),
        Verdict::Lost => StoreError::Unavailable(Box::new(error)),
        Verdict::Unreadable => StoreError::corrupt(error.to_string()),
        Verdict::Refused | Verdict::Outdated => StoreError::Internal(Box::new(error)),
    }
}

/// A column that does not hold what it should.
pub(crate) fn unreadable(column: &str, what: impl Into<Source>) -> Error {
    Error::ColumnDecode { index: column.to_owned(), source: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_session_leaves_the_outcome_of_a_write_open() {
        let lost = || Error::Io(std::io::Error::other("reset"));
        assert!(store_error(lost(), Effect::Writes).is_outcome_unknown());
        assert!(matches!(store_error(lost(), Effect::Reads), StoreError::Unavailable(_)));
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        let error = unreadable("status", "an unknown status");
        assert!(matches!(store_error(error, Effect::Reads), StoreError::Corrupt { .. }));
    }
}
