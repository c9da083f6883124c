//! Poolers that hand each transaction to another session, such as PgBouncer in transaction mode.
//!
//! What a session was told before (settings, the project that it sees, prepared statements) is then told to somebody
//! else's. So behind a pooler each call is a transaction that begins by setting, for itself only, what it rests on.
//! Whether there is one is found out when the store connects; should a statement turn out to be prepared elsewhere later,
//! the store goes over to it as well.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, Executor as _, PgConnection, Row as _};

/// Whether an error says that the server's session is not the one in which statements were prepared.
pub(crate) fn is_of_another_session(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|refusal| refusal.code());
    // There is no such statement, or there is one of that name already.
    matches!(code.as_deref(), Some("26000" | "42P05"))
}

/// Whether a pooler hands each transaction to another session: then two of ours meet in one of the server's, or one of
/// ours sees two of the server's. A pooler that is busy may hide it for a moment, so this looks a few times.
///
/// Takes one connection and makes another for a moment; where there may be only one, it cannot tell.
pub(crate) async fn is_pooled(
    connect: &PgConnectOptions,
    mut one: PgConnection,
    patience: Duration,
) -> Result<bool, Error> {
    let Ok(Ok(mut other)) = tokio::time::timeout(patience, connect.connect()).await else {
        tracing::debug!("could not find out whether there is a pooler: no second connection was to be had");
        return Ok(false);
    };
    for _ in 0..LOOKS_FOR_POOLER {
        let first = server_session(&mut one).await?;
        other.execute("BEGIN").await?;
        let others = server_session(&mut other).await?;
        // A pooler with one session lets this wait until the other transaction ends.
        let again = match tokio::time::timeout(patience, server_session(&mut one)).await {
            Ok(again) => again?,
            Err(_) => return Ok(true),
        };
        other.execute("ROLLBACK").await?;
        if others == first || again != first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The server's number of a session, told without preparing anything.
async fn server_session(connection: &mut PgConnection) -> Result<i32, Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?;
    row.try_get(0)
}

/// How often it looks.
const LOOKS_FOR_POOLER: u32 = 3;

/// What is said when a pooler was found that nobody spoke of.
pub(crate) const POOLER_FOUND: &str = "the database is behind a pooler that hands each transaction to another session: \
     working without prepared statements and notifications from here on; set `PgOptions::pooled` to say so yourself";
