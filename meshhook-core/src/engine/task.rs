//! The engine's tasks: spawned in one place, joined at shutdown, and in simulations stopped at any await.

use std::future::Future;

use futures_util::FutureExt as _;
#[cfg(feature = "testing")]
use futures_util::future::Either;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Spawns and keeps count of an engine's tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    #[cfg(feature = "testing")]
    gate: Option<std::sync::Arc<crate::testing::Gate>>,
}

impl Tasks {
    /// Tasks that stop where a gate says so.
    #[cfg(feature = "testing")]
    pub(crate) fn gated(gate: std::sync::Arc<crate::testing::Gate>) -> Self {
        Self { tracker: TaskTracker::new(), gate: Some(gate) }
    }

    /// Whether a gate may stop the tasks.
    pub(crate) fn is_gated(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.gate.is_some();
        #[cfg(not(feature = "testing"))]
        false
    }

    /// Spawns a task. It goes on when the handle is dropped.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(self.guard(future))
    }

    /// Puts a future that is spawned elsewhere under the same control; `None` when it was stopped.
    pub(crate) fn guard<F>(&self, future: F) -> impl Future<Output = Option<F::Output>> + Send + use<F>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // An async block would hold the future twice: as what it captured, and as what it awaits.
        #[cfg(feature = "testing")]
        return match self.gate.clone() {
            Some(gate) => Either::Left(gate.guard(future)),
            None => Either::Right(future.map(Some)),
        };
        #[cfg(not(feature = "testing"))]
        future.map(Some)
    }

    /// Waits until every task has ended.
    pub(crate) async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
