//! The ledger: who owns a run, and its history.
//!
//! ```text
//!              claim (due or orphaned)                End
//!   released ─────────────────────────► held ─────────────────► ended
//!      ▲                                 │ ▲ │ Keep (advance)
//!      └───────────── Release ───────────┘ └─┘
//! ```
//!
//! A run that is held belongs to one **worker** through one **epoch**. A worker's lease covers all that it holds:
//! it is renewed once per process, not per run. A run is claimable when
//!
//! - it is released and its wake-up time has come, or
//! - it is held by a worker whose lease has ended (it is *orphaned*).
//!
//! A claim by another worker than the last raises the epoch. **Invariant:** an [`AdvanceRun`] succeeds only if the
//! run is held by that worker through that epoch and the chunk continues the history. Two writers never both
//! succeed, whatever their clocks say.

use std::time::Duration;

use async_trait::async_trait;

use super::{InboxId, StoreError};
use crate::event::{Chunk, RunStatus};
use crate::failure::Failure;
use crate::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use crate::time::Timestamp;

/// Owns runs and their histories.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Commits a batch in one transaction, in order, and answers one outcome for each.
    ///
    /// A commit that is refused (see [`CommitOutcome`]) changes nothing and does not disturb the others of the batch.
    ///
    /// # Errors
    ///
    /// An error means that nothing of the batch happened, or, with
    /// [`is_outcome_unknown`](StoreError::is_outcome_unknown), all or nothing of it.
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError>;

    /// Takes runs that are due or orphaned, oldest wake-up first and fairly across projects, at most
    /// `claim.limit`, and makes them held by the worker. Renews the worker's lease too.
    ///
    /// The number of runs found orphaned since they last advanced is counted here, before anything is tried, so that
    /// a run that kills its worker is seen to; a run that would reach its second such count is a *suspect*, and at
    /// most `claim.suspects` of them are taken.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]. If the outcome is unknown, the runs may be held; they become claimable again when the
    /// worker [forgets](Ledger::forget) them or its lease ends.
    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Extends the worker's lease to `lease` from now. A lease that already ended is renewed too, if nobody took the
    /// runs meanwhile they are still held; each run's epoch tells.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<(), StoreError>;

    /// Gives runs that the worker holds, but does not know how to go on with, back at once: they are released, due
    /// now. Runs that it does not hold are left alone.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn forget(&self, worker: &WorkerId, runs: &[(ProjectId, RunId)]) -> Result<(), StoreError>;

    /// Ends the worker's lease: everything it still holds is orphaned at once, without being counted against it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn retire(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// The earliest time at which a released run wakes up, in any project, or `None`. Used to sleep no longer than
    /// needed; a time in the past means that something is due.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn next_wake_up(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// What does not change about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunMeta {
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: ProjectId,
    /// Its workflow's name when it started.
    pub workflow: WorkflowSlug,
    /// The version that it runs; `None` for a test run of a draft.
    pub version: Option<u32>,
    /// The definition that it runs.
    pub digest: Digest,
    /// When it was created, by the clock of the process that did.
    pub created_at: Timestamp,
    /// Whether it is a test run.
    pub test: bool,
}

impl RunMeta {
    /// What does not change about a run of a definition.
    #[must_use]
    pub fn new(
        run: RunId,
        project: ProjectId,
        workflow: WorkflowSlug,
        digest: Digest,
        created_at: Timestamp,
    ) -> Self {
        Self { run, project, workflow, version: None, digest, created_at, test: false }
    }

    /// Names the version that runs.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }
}

/// One thing to commit.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Commit {
    /// A run comes to be.
    Start(StartRun),
    /// A run goes on.
    Advance(AdvanceRun),
}

/// A run that comes to be, with its first events.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// The run.
    pub meta: RunMeta,
    /// Refuses the run if another one has the same key.
    pub dedupe: Option<Dedupe>,
    /// The worker that starts it; the run's first epoch is 1.
    pub worker: WorkerId,
    /// Its first events.
    pub chunk: Chunk,
    /// Who has it afterwards.
    pub hold: Hold,
}

/// Events that continue a run's history.
#[derive(Debug, Clone)]
pub struct AdvanceRun {
    /// The run's project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// The worker that holds it.
    pub worker: WorkerId,
    /// The epoch through which it is held.
    pub epoch: u64,
    /// The events; `None` only to release the run unchanged.
    pub chunk: Option<Chunk>,
    /// Who has it afterwards.
    pub hold: Hold,
    /// Inbox items that became part of these events, or needed no event: they are removed.
    pub consumed: Vec<InboxId>,
}

/// Who has a run after a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// The worker that commits.
    Keep,
    /// Nobody, until the time comes, a message is posted for it, or never, where that is `None`.
    Release {
        /// When it is due by itself.
        wake_at: Option<Timestamp>,
        /// Where it stands meanwhile.
        status: RunStatus,
    },
    /// Nobody: it ended.
    End {
        /// How: `succeeded`, `failed` or `cancelled`.
        status: RunStatus,
        /// When.
        at: Timestamp,
        /// Why, if it failed.
        failure: Option<Failure>,
    },
}

/// At most one run for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedupe {
    /// What the key is unique in: a trigger, or a workflow's API.
    pub scope: String,
    /// The key.
    pub key: String,
    /// A hash of what was sent with the key, to tell a repetition from a collision.
    pub fingerprint: [u8; 32],
    /// How long the key is remembered.
    pub window: Duration,
}

/// How one commit of a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitOutcome {
    /// It is durable.
    Committed,
    /// A start was refused: another run has its key.
    Duplicate {
        /// The run that has the key.
        run: RunId,
        /// Whether the same was sent with it.
        same: bool,
    },
    /// An advance was refused: the run is not held by that worker through that epoch, or its history went on.
    Stale,
    /// A start was refused: a run with that id exists. After an unknown outcome this means that it succeeded.
    Exists,
}

/// A request to take runs.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The worker that takes them.
    pub worker: WorkerId,
    /// The most runs to take.
    pub limit: usize,
    /// The most suspects among them.
    pub suspects: usize,
    /// How long the worker's lease lasts from now.
    pub lease: Duration,
}

/// A run that was taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimedRun {
    /// The run.
    pub meta: RunMeta,
    /// The epoch through which it is held now.
    pub epoch: u64,
    /// Whether another worker held it before.
    pub changed_hands: bool,
    /// How many workers died, one after the other, holding the run without advancing it.
    pub strikes: u32,
    /// Its whole history.
    pub chunks: Vec<Chunk>,
}

impl ClaimedRun {
    /// A run that was taken.
    #[must_use]
    pub fn new(meta: RunMeta, epoch: u64, changed_hands: bool, strikes: u32, chunks: Vec<Chunk>) -> Self {
        Self { meta, epoch, changed_hands, strikes, chunks }
    }
}
