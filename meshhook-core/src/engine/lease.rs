//! This process's lease: whether it is good, and what its loss means.
//!
//! Who keeps it is [`keep_lease`](super::worker::keep_lease), and every look of the worker renews it, too. A process trusts
//! its own clock only to stop *earlier*: when a lease has passed since the call began that renewed it last, others may have
//! taken its runs, so it drops them.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{EngineError, Inner};

impl Inner {
    /// Waits until the store has answered this process first. What a worker held without a lease, others would take for
    /// orphaned; and who has not learned the store's time does not know when a run is made.
    pub(super) async fn leased(&self) -> Result<(), EngineError> {
        if self.leased.is_cancelled() {
            return Ok(());
        }
        let leased = tokio::time::timeout(self.options.lease, self.leased.cancelled()).await;
        leased.map_err(|_| EngineError::Overloaded)
    }

    /// Notes that the store has renewed this worker's lease, in a call that began at `began`.
    pub(super) fn note_renewal(&self, began: Instant) {
        // A process that stood still for longer than its lease may have lost runs without noticing.
        let lapsed = !self.lease_is_good() && self.leased.is_cancelled();
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        *renewed = began.max(*renewed);
        drop(renewed);
        self.leased.cancel();
        if lapsed {
            self.drop_everything();
        }
        self.lapsed.store(false, Ordering::Release);
    }

    /// Stops believing in what this worker holds. Its runs are loaded again by whoever claims them.
    pub(super) fn drop_everything(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = self.lapsed.swap(true, Ordering::AcqRel);
        if !held.is_empty() && !is_known {
            tracing::error!(runs = held.len(), "the lease is lost: dropping all runs");
        }
        drop(held);
        self.lost.send_modify(|generation| *generation += 1);
        self.reconcile_soon();
    }

    /// When the lease was last renewed, at the latest.
    pub(super) fn renewed_at(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease_is_good(&self) -> bool {
        self.renewed_at().elapsed() < self.options.lease
    }
}
