//! Deadlines: nothing in the engine waits for the store without end.
//!
//! A store may hang: a connection that was cut without a word, a database that stands still. Whoever waits for it must
//! get an answer all the same, or a worker whose lease is renewed would never look for what is due again. So every call
//! on which others depend has a time. After it the call counts as one of unknown outcome: it may have happened, or may
//! happen yet, which is what the claims and positions of commits are there for.

use std::time::Duration;

use crate::store::StoreError;

/// Waits for an answer of the store, for at most this long.
pub(super) async fn answer<T, E: From<StoreError>>(
    within: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::OutcomeUnknown(format!("no answer within {within:?}").into()).into()),
    }
}
