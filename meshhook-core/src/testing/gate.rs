//! Stopping an engine's tasks at any await, as a crash or a frozen process would.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Lets the tasks of one engine through, stops them for good, or holds them for a while.
///
/// Tasks are stopped between two polls: at an await, where a killed process would have stopped too as far as anybody
/// outside can tell. All tasks of the engine stop at the same instant.
#[derive(Debug, Default)]
pub struct Gate {
    polls: AtomicU64,
    /// The poll at which the process is killed; 0 is never.
    crash_at: AtomicU64,
    crashed: CancellationToken,
    frozen: Mutex<Option<Vec<Waker>>>,
}

impl Gate {
    /// A gate that lets everything through.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Kills the process at the `polls`-th poll of its tasks from now.
    pub fn crash_after(&self, polls: u64) {
        self.crash_at.store(self.polls.load(Ordering::SeqCst) + polls.max(1), Ordering::SeqCst);
    }

    /// Kills the process now.
    pub fn crash(&self) {
        self.crashed.cancel();
        self.thaw();
    }

    /// Whether the process was killed.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.crashed.is_cancelled()
    }

    /// Holds all tasks, as SIGSTOP does.
    pub fn freeze(&self) {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Lets held tasks go on, as SIGCONT does.
    pub fn thaw(&self) {
        let wakers = self.frozen.lock().unwrap_or_else(PoisonError::into_inner).take();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    /// How often tasks were polled.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    /// Waits until the process was killed.
    pub async fn crashed(&self) {
        self.crashed.cancelled().await;
    }

    /// Puts a future behind the gate; `None` when it was stopped for good.
    pub(crate) fn guard<F: Future>(self: Arc<Self>, future: F) -> Guarded<F> {
        let crashed = Box::pin(self.crashed.clone().cancelled_owned());
        Guarded { crashed, gate: self, future: Some(Box::pin(future)) }
    }

    /// Whether a task may be polled now.
    fn pass(&self, context: &Context<'_>) -> bool {
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *frozen {
            Some(wakers) => {
                wakers.push(context.waker().clone());
                false
            }
            None => true,
        }
    }
}

/// A future behind a [`Gate`].
pub(crate) struct Guarded<F> {
    gate: Arc<Gate>,
    crashed: Pin<Box<WaitForCancellationFutureOwned>>,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Guarded<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.gate.has_crashed() {
            if !self.gate.pass(context) {
                return Poll::Pending;
            }
            let poll = self.gate.polls.fetch_add(1, Ordering::SeqCst) + 1;
            if self.gate.crash_at.load(Ordering::SeqCst) == poll {
                self.gate.crash();
            }
        }
        if self.crashed.as_mut().poll(context).is_ready() {
            self.future = None;
            return Poll::Ready(None);
        }
        match self.future.as_mut() {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}
