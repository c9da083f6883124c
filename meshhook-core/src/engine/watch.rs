//! Who waits for news of a run in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::id::RunId;

/// Tells waiting callers how far a run's history has come.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    runs: Mutex<HashMap<RunId, watch::Sender<u64>>>,
}

impl Watchers {
    /// Watches a run; the value is the position of the last event that was committed in this process.
    pub(super) fn subscribe(&self, run: RunId) -> watch::Receiver<u64> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever comes clears what others left behind, so the map stays as large as its use.
        if runs.len() >= 1_024 {
            runs.retain(|_, sender| !sender.is_closed());
        }
        runs.entry(run).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Says that events up to `seq` are durable.
    pub(super) fn announce(&self, run: RunId, seq: u64) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run) {
            if sender.is_closed() {
                runs.remove(&run);
            } else {
                sender.send_replace(seq);
            }
        }
    }
}
