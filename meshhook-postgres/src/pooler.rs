//! Poolers that hand each transaction to another session, such as PgBouncer in transaction mode.
//!
//! What a session was told before (settings, the project that it sees, prepared statements) is then told to somebody
//! else's. So behind a pooler each call is a transaction that begins by setting, for itself only, what it rests on.
//! Whether there is one is found out when the store connects. One that was put there later, or hid then, shows itself: what
//! a worker asks and commits is answered with the server's number of the session, and where that is another than it was,
//! or a statement turns out to be prepared elsewhere, the store goes over to it as well.

use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, Error, Executor as _, PgConnection, Row as _};

use crate::options::Connect;
use crate::session::bounded;

/// Whether an error says that the server's session is not the one in which statements were prepared.
pub(crate) fn is_of_another_session(error: &Error) -> bool {
    let Error::Database(refusal) = error else { return false };
    let severity = refusal.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::severity);
    match refusal.code().as_deref() {
        // There is no such statement, or there is one of that name already.
        Some("26000" | "42P05") => true,
        // The one of that name takes other arguments. Poolers end connections with the same code.
        Some("08P01") => severity == Some(PgSeverity::Error),
        _ => false,
    }
}

/// Whether a pooler hands each transaction to another session: then two of ours meet in one of the server's, or one of
/// ours sees two of the server's. A pooler that is busy may hide it for a moment, so this looks a few times.
///
/// Takes one connection and makes another for a moment; where there may be only one, it cannot tell.
pub(crate) async fn is_pooled(
    connect: &Connect,
    mut one: PgConnection,
    patience: Duration,
) -> Result<bool, Error> {
    let Ok(Ok(mut other)) = tokio::time::timeout(patience, connect.connect()).await else {
        tracing::debug!("could not find out whether there is a pooler: no second connection was to be had");
        return Ok(false);
    };
    for _ in 0..LOOKS_FOR_POOLER {
        let first = bounded(patience, server_session(&mut one, "")).await?;
        let others = bounded(patience, server_session(&mut other, "BEGIN")).await?;
        // A pooler with one session lets this wait until the other transaction ends.
        let again = match tokio::time::timeout(patience, server_session(&mut one, "")).await {
            Ok(again) => again?,
            Err(_) => return Ok(true),
        };
        bounded(patience, other.execute("ROLLBACK")).await?;
        if others == first || again != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The server's number of the session that answers, told without preparing anything, after some statements.
pub(crate) async fn server_session(connection: &mut PgConnection, after: &str) -> Result<i32, Error> {
    let statements = format!("{after}; SELECT pg_catalog.pg_backend_pid()");
    let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(connection).await?;
    rows.last().ok_or(Error::RowNotFound)?.try_get(0)
}

/// How often it looks.
const LOOKS_FOR_POOLER: u32 = 3;

/// What is said when a pooler was found that nobody spoke of.
pub(crate) const POOLER_FOUND: &str = "the database is behind a pooler that hands each transaction to another session: \
     working without prepared statements and notifications from here on; set `PgOptions::pooled` to say so yourself";
