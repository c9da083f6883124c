//! Panics are bugs, and they stay with the run or the request that met them.
//!
//! Whatever holds a run is told to whom the run belongs next, also by a bug: a task that just vanished would leave the
//! run with a worker that lives, renews its lease and does not know of it, so that nobody would ever claim it. And a
//! caller of the library is answered with an error, not with the panic of a decision.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use super::EngineError;

/// Waits for something; what it touched is not used again after a panic.
pub(super) async fn contained<T>(work: impl Future<Output = T>) -> Result<T, EngineError> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        metrics::counter!("meshhook_panics_total").increment(1);
        EngineError::Panicked
    })
}
