//! Who waits for news of a run in this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::event::RunStatus;
use crate::id::RunId;
use crate::run::{RunEnd, RunState};
use crate::store::Hold;

/// What is known in this process of a run that somebody waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// The position of the last event that was committed here; 0 before the first.
    pub(super) seq: u64,
    /// Where the run stood then.
    pub(super) status: Option<RunStatus>,
    /// How it had ended then, if it had.
    pub(super) end: Option<RunEnd>,
}

impl News {
    /// What is known when a state is durable.
    pub(super) fn of(state: &RunState, hold: &Hold) -> Self {
        Self { seq: state.seq(), status: Some(hold.status()), end: state.end().cloned() }
    }
}

/// Tells waiting callers how far a run has come.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    runs: Mutex<HashMap<RunId, watch::Sender<News>>>,
}

impl Watchers {
    /// Watches a run: what is committed to it in this process from here on.
    pub(super) fn subscribe(&self, run: RunId) -> watch::Receiver<News> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever comes clears what others left behind, so the map stays as large as its use.
        if runs.len() >= 1_024 {
            runs.retain(|_, sender| !sender.is_closed());
        }
        runs.entry(run).or_insert_with(|| watch::channel(News::default()).0).subscribe()
    }

    /// Says how far a run has come, if somebody waits for it.
    pub(super) fn announce(&self, run: RunId, news: impl FnOnce() -> News) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = runs.get(&run) {
            if sender.is_closed() {
                runs.remove(&run);
            } else {
                sender.send_replace(news());
            }
        }
    }
}
