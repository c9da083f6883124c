//! Looking into a memory store from outside: no faults, no awaits, no counting.

use super::MemoryStore;
use super::ledger::{Place, Run, RunKey};
use crate::event::Chunk;
use crate::id::{ProjectId, RunId, WorkerId};
use crate::store::RunRecord;
use crate::time::Timestamp;

/// When a chunk was committed, by the store's clock, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitRecord {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub worker: WorkerId,
}

/// A run as the store has it, for checks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Inspected {
    /// Its record.
    pub record: RunRecord,
    /// The worker that holds it.
    pub holder: Option<WorkerId>,
    /// When that worker's lease ends.
    pub lease_until: Option<Timestamp>,
    /// When it wakes up, if it is released with a time.
    pub wake_at: Option<Timestamp>,
    /// The epoch through which it is or was held.
    pub epoch: u64,
    /// How many messages wait for it.
    pub messages: usize,
    /// Its commits, one for each chunk.
    pub commits: Vec<CommitRecord>,
}

impl MemoryStore {
    /// The store's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// All runs by key.
    #[must_use]
    pub fn run_keys(&self) -> Vec<(ProjectId, RunId)> {
        self.inspecting(|state| state.ledger.runs.keys().cloned().collect())
    }

    /// One run, without its history.
    #[must_use]
    pub fn inspect(&self, project: &ProjectId, run: RunId) -> Option<Inspected> {
        let key: RunKey = (project.clone(), run);
        self.inspecting(|state| {
            let run = state.ledger.runs.get(&key)?;
            let (holder, wake_at) = match &run.place {
                Place::Held(worker) => (Some(worker.clone()), None),
                Place::Released(at) => (None, *at),
                Place::Ended => (None, None),
            };
            let lease = holder.as_ref().and_then(|worker| state.ledger.leases.get(worker));
            Some(Inspected {
                record: run.record(),
                lease_until: lease.map(|lease| lease.until),
                holder,
                wake_at,
                epoch: run.epoch,
                messages: state.inbox.count(&key),
                commits: run.commits.clone(),
            })
        })
    }

    /// The chunks of a run from the `skip`-th on.
    #[must_use]
    pub fn inspect_chunks(&self, project: &ProjectId, run: RunId, skip: usize) -> Vec<Chunk> {
        let of_run = |run: &Run| run.chunks.get(skip..).map(<[Chunk]>::to_vec);
        let key: RunKey = (project.clone(), run);
        self.inspecting(|state| state.ledger.runs.get(&key).and_then(of_run)).unwrap_or_default()
    }

    fn inspecting<T>(&self, look: impl FnOnce(&super::State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
