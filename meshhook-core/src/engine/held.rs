//! The runs held in memory: which there are, and how their owners are told that somebody wants something of them.
//!
//! ```text
//!   reserve ─► place ─► its owner works ─► dropped: given up
//!                          ▲
//!                          └── poked: there is a message
//! ```
//!
//! A run has one place at most, so that it has one owner at most in this process. What the store counts as held here may be
//! more than that, where the answer of a call was lost: then the two are compared, for a run that still has an owner only
//! when that has gone.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Inner;
use crate::id::RunId;

/// What is known of the owner of a run that is held in memory.
#[derive(Debug)]
pub(super) struct Owner {
    /// Wakes it for messages.
    inbox: Arc<Notify>,
    /// Whether the store may count the run as held here when it has gone.
    contested: bool,
}

/// A run's place in memory; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    inner: Arc<Inner>,
    run: RunId,
    pub(super) inbox: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = held.remove(&self.run);
        let count = held.len();
        // Told under the lock, so that the last word is the last number.
        self.inner.held_count.send_replace(count);
        drop(held);
        if given_up.is_some_and(|run| run.contested) {
            self.inner.reconcile_soon();
        }
        if count + 1 == self.inner.options.max_held_runs {
            self.inner.wake.notify_one();
        }
    }
}

impl Inner {
    /// Makes room for a run in memory; `None` when there is none, or the run is there already.
    pub(super) fn reserve(self: &Arc<Self>, run: RunId) -> Option<Place> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= self.options.max_held_runs || held.contains_key(&run) {
            return None;
        }
        let inbox = Arc::new(Notify::new());
        held.insert(run, Owner { inbox: inbox.clone(), contested: false });
        self.held_count.send_replace(held.len());
        Some(Place { inner: self.clone(), run, inbox })
    }

    /// Tells the owner of a run that there is a message, if it is held here.
    pub(super) fn poke_inbox(&self, run: RunId) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&run).inspect(|held| held.inbox.notify_one()).is_some()
    }

    pub(super) fn poke_inbox_later(self: &Arc<Self>, run: RunId) {
        let inner = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = inner.stopping.abandon.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    inner.poke_inbox(run);
                }
            }
        });
    }

    /// Has the store asked what this worker holds, once the run's place in memory is given up: as long as the old owner
    /// is there, nobody can tell whether the store means that one.
    pub(super) fn reconcile_after(&self, run: RunId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&run) {
            held.contested = true;
        } else {
            drop(held);
            self.reconcile_soon();
        }
    }

    pub(super) fn reconcile_soon(&self) {
        self.reconcile.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Waits until no run is held in memory, and no schedule is being fired.
    pub(super) async fn drained(&self) {
        let mut count = self.held_count.subscribe();
        // The sender lives as long as `self`.
        let _ = count.wait_for(|count| *count == 0).await;
        let _ = self.firing.acquire().await;
    }
}
