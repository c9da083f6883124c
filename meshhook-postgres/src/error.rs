//! What Postgres says, in the terms of the store contract.

use meshhook_core::store::StoreError;
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

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
    /// The role lacks rights on the schema.
    #[error(
        "the role may not work with the schema `meshhook`: run `migrate` as its owner, then the statements of `grant_sql` for the role"
    )]
    MissingRights(#[source] Source),
    /// The server is too old.
    #[error("{found}")]
    ServerTooOld {
        /// What it is, and what is needed.
        found: String,
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

impl PgError {
    /// The error of a statement that looks at how a database is set up.
    pub(crate) fn of_look(error: Error) -> Self {
        match judge(&error) {
            Verdict::Unfit => Self::MissingRights(Box::new(error)),
            _ => Self::Statement(Box::new(error)),
        }
    }
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
    /// The same, because the schema or the role's rights are not what this release needs.
    Unfit,
    /// Nothing happened; the same call may well succeed at once.
    Again,
    /// Nothing happened; what the session has prepared does not fit the schema any more, a new one may do better.
    Outdated,
    /// Nothing happened, and the session is fine; later the same call may succeed.
    Later,
    /// Nothing happened; this server takes no writes, but a new session may meet the one that does.
    Elsewhere,
    /// There is no room.
    Full,
    /// The session is gone, and whether the call happened is not known.
    Lost,
    /// What was read cannot be understood.
    Unreadable,
}

/// Judges an error by its severity and SQLSTATE, or by where it came from.
pub(crate) fn judge(error: &Error) -> Verdict {
    match error {
        Error::Database(refusal) => {
            let details = refusal.try_downcast_ref::<PgDatabaseError>();
            let ends =
                details.is_some_and(|it| matches!(it.severity(), PgSeverity::Fatal | PgSeverity::Panic));
            if ends {
                Verdict::Lost
            } else {
                judge_state(refusal.code().as_deref().unwrap_or_default(), refusal.table())
            }
        }
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

/// Judges an error after which the session goes on.
fn judge_state(state: &str, table: Option<&str>) -> Verdict {
    match state {
        // Serialization failure, deadlock.
        "40001" | "40P01" => Verdict::Again,
        // Another session has written the same at the same time. The engine's own tables are meant: whether a name
        // that people choose is taken is asked before.
        "23505" if table.is_some_and(|table| ENGINE.iter().any(|engine| table.starts_with(engine))) => {
            Verdict::Again
        }
        // A plan that a migration has outdated; a prepared statement that is not there.
        "0A000" | "26000" => Verdict::Outdated,
        // The disk is full.
        "53100" => Verdict::Full,
        // A server that only reads: a standby, or a primary that was put off.
        "25006" => Verdict::Elsewhere,
        // Rights that are missing; a schema, table, column or function that is.
        "42501" | "3F000" | "42P01" | "42703" | "42883" => Verdict::Unfit,
        // A lock, or the whole statement, took too long: it was rolled back. An error of the disk.
        "55P03" | "57014" | "58030" => Verdict::Later,
        // Out of connections, memory or something else.
        state if state.starts_with("53") => Verdict::Later,
        // The server ends the session, or has lost it: that can overtake the reply to a commit.
        "40003" => Verdict::Lost,
        state if state.starts_with("57P") || state.starts_with("08") => Verdict::Lost,
        _ => Verdict::Refused,
    }
}

/// With what the names begin of the tables, partitions included, that commits and claims write.
const ENGINE: [&str; 5] = ["history", "live_runs", "ended_runs", "dedupe", "workers"];

/// Whether a commit that was made without care is to be made with it: a run or a position was there already, or a lock
/// was not to be had.
pub(crate) fn needs_care(error: &Error) -> bool {
    let Error::Database(refusal) = error else { return false };
    matches!(refusal.code().as_deref(), Some("23505" | "55P03"))
}

/// The error of a call that was not made again, or often enough.
pub(crate) fn store_error(error: Error, effect: Effect) -> StoreError {
    match judge(&error) {
        Verdict::Again | Verdict::Later | Verdict::Elsewhere => StoreError::Unavailable(Box::new(error)),
        Verdict::Full => StoreError::Full(Box::new(error)),
        // What was written may well be written, even if the answer cannot be read.
        Verdict::Lost | Verdict::Unreadable if effect == Effect::Writes => {
            StoreError::OutcomeUnknown(Box::new(error))
        }
        Verdict::Lost => StoreError::Unavailable(Box::new(error)),
        Verdict::Unreadable => StoreError::corrupt(error.to_string()),
        Verdict::Unfit => StoreError::Internal(Box::new(Unfit(error))),
        Verdict::Refused | Verdict::Outdated => StoreError::Internal(Box::new(error)),
    }
}

/// The database is not set up for this role or this release.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database is not set up for this role and release: run `migrate`, then the statements of `grant_sql`"
)]
struct Unfit(#[source] Error);

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
    fn what_cannot_be_read_is_corrupt_and_what_was_written_before_is_open() {
        let error = || unreadable("status", "an unknown status");
        assert!(matches!(store_error(error(), Effect::Reads), StoreError::Corrupt { .. }));
        assert!(store_error(error(), Effect::Writes).is_outcome_unknown());
    }

    #[test]
    fn states_say_what_may_be_done_next() {
        for (state, table, expected) in [
            ("40001", None, Verdict::Again),
            ("40P01", None, Verdict::Again),
            ("23505", Some("history_2026m11"), Verdict::Again),
            ("23505", Some("live_runs"), Verdict::Again),
            ("23505", Some("workflows"), Verdict::Refused),
            ("0A000", None, Verdict::Outdated),
            ("53100", None, Verdict::Full),
            ("53200", None, Verdict::Later),
            ("53300", None, Verdict::Later),
            ("53400", None, Verdict::Later),
            ("55P03", None, Verdict::Later),
            ("57014", None, Verdict::Later),
            ("25006", None, Verdict::Elsewhere),
            ("42501", None, Verdict::Unfit),
            ("42883", None, Verdict::Unfit),
            ("42P01", None, Verdict::Unfit),
            ("57P01", None, Verdict::Lost),
            ("08006", None, Verdict::Lost),
            ("40003", None, Verdict::Lost),
            ("22003", None, Verdict::Refused),
            ("25000", None, Verdict::Refused),
        ] {
            assert_eq!(judge_state(state, table), expected, "{state}");
        }
    }
}
