//! The ledger: who owns a run, and its history.
//!
//! ```text
//!              claim (due or orphaned)                End
//!   released ─────────────────────────► held ─────────────────► ended
//!      ▲                                 │ ▲ │ Keep (advance)
//!      └───────────── Release ───────────┘ └─┘
//! ```
//!
//! A run that is held belongs to one **worker** through one **claim**. A worker's lease covers all that it holds:
//! it is renewed once per process, not per run. A run is claimable when
//!
//! - it is released and its wake-up time has come by the store's clock, or
//! - it is held by a worker whose lease has ended (it is *orphaned*).
//!
//! # Who may write
//!
//! Claims of a run are counted: the run's start is its first, and each time it is taken is one more, also by the worker
//! that had it before. **Invariant:** an [`AdvanceRun`] succeeds only if the run is held by that worker through that claim,
//! and its history ends at that position. Two writers never both succeed, whatever their clocks say.
//!
//! Nor does one writer succeed twice, though a call that its caller gave up may still reach the store at any time:
//!
//! - A commit with events moves the position, which never comes back. No other copy of it fits, nor does what was
//!   sent before it.
//! - A commit that releases or ends the run without events leaves the position as it was. But nobody holds the run
//!   then, and who holds it next does so through a higher claim, with or without an event in between.
//! - A commit that keeps the run without events says what holds at that position in any case: that messages, each
//!   named by an id of its own, are done with, and where the run stands. To repeat it there changes nothing; anywhere
//!   else it does not fit.
//! - A start fits once, since no two runs have one id.
//! - What gives runs back without a commit ([`Ledger::forget`]) names the claims that it ends.
//!
//! The epoch is for readers of the history: it grows only when the run changes hands, by a claim of another worker than
//! the one that held it last, and tells the new owner to record that. It is no fence, since a worker that takes back what
//! it released itself keeps it.
//!
//! A worker takes a lease (by [`Ledger::renew`] or [`Ledger::claim`]) before it starts runs: what a worker without
//! one holds is orphaned from the start.
//!
//! **Strikes** count the workers that died, one after the other, holding a run that did not advance. An orphan's
//! strikes are counted when it is claimed, before anything is tried, so that a run that kills its worker is seen to:
//! one more than before, or 1 if since the last such claim its history grew by more than one event (the one that
//! records the claim). Claims of released runs, and of what a [retired](Ledger::retire) worker held, leave them as
//! they were.

use std::time::Duration;

use async_trait::async_trait;

use super::{InboxId, RunRecord, StoreError};
use crate::event::{Chunk, RunStatus};
use crate::failure::Failure;
use crate::id::{ProjectId, RunId, WorkerId};
use crate::run::RunMeta;
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

    /// Who has each of some keys now: one answer for each, in order, `None` where it is free or its window is over. Only
    /// scope and key are looked at. A hint: only a [commit](Ledger::commit) takes a key. It tells whether what is refused
    /// for other reasons is a repetition of what was accepted.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn find_keys(
        &self,
        project: &ProjectId,
        wanted: &[&Dedupe],
    ) -> Result<Vec<Option<KeyHolder>>, StoreError>;

    /// One look at everything that a worker wants to know: renews the worker's lease, finds the runs among those that
    /// it holds for which messages wait, takes runs that are due or orphaned, and says when the next one will be.
    ///
    /// Runs are taken, and held by the worker from then on, at most `claim.limit`: by
    /// [turns](crate::store::ClaimCandidate::choose) across projects, in each the oldest first. An orphan is as old as
    /// the end of its worker's lease. What the worker itself holds is never taken again. Taking a run leaves its record
    /// as it stands: the next commit says where the run stands then.
    ///
    /// A run comes with its whole history. The run with which the histories together reach `claim.bytes` is the last one
    /// that is taken; the first is taken whatever its size. So one look reads little more than that, or one history.
    ///
    /// An orphan that would reach two or more strikes is a *suspect*; at most `claim.suspects` of them are taken.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]. If the outcome is unknown, the runs may be held: the worker finds them among those that it
    /// [holds](Ledger::held) and gives them [back](Ledger::forget).
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Makes the worker's lease last for `lease` from now. A lease that already ended, or was retired, is renewed
    /// too: runs that nobody took meanwhile are still held. Each run's claim tells. Answers the store's time.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Timestamp, StoreError>;

    /// The runs that the worker holds, by project and id: for a worker that does not know what a call with an unknown
    /// outcome gave it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn held(&self, worker: &WorkerId) -> Result<Vec<HeldRun>, StoreError>;

    /// Gives runs that the worker holds, but does not know how to go on with, back: they are released, their records as
    /// they stand. They are due when they are to wake up, whatever messages wait; a message that is posted later makes
    /// them due as any. Runs that the worker does not hold through that claim are left alone.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn forget(&self, worker: &WorkerId, runs: &[HeldRun], wake_up: WakeUp) -> Result<(), StoreError>;

    /// Ends the worker's lease: everything it still holds is orphaned at once, without being counted against it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn retire(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Has others look soon: the named worker, for whose runs messages wait, or whichever can take what is due.
    ///
    /// It is a hint, and never part of a transaction: it returns at once, and may come late, more than once or not at all.
    /// Looking now and then alone gives the same result. Stores that no other process shares need not do anything.
    fn hint(&self, worker: Option<&WorkerId>) {
        let _ = worker;
    }

    /// Waits until another process has hinted that this worker should look. Stores that carry no hints wait for ever.
    async fn hinted(&self, worker: &WorkerId) {
        let _ = worker;
        std::future::pending::<()>().await;
    }

    /// Whether hints of other processes are heard here now, or there are none that could give any. Where they are not,
    /// workers look more often while there is work.
    fn hears_hints(&self) -> bool {
        true
    }

    /// Answers the store's time, as soon as it can: for whoever wants to know whether the store can be reached.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn ping(&self) -> Result<Timestamp, StoreError>;
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

impl Commit {
    /// How many bytes of text it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Commit::Start(start) => start.chunk.text.len(),
            Commit::Advance(advance) => advance.chunk.as_ref().map_or(0, |chunk| chunk.text.len()),
        }
    }

    /// Checks what no caller may get wrong: a run's first chunk starts at 1, another one behind the position that its
    /// advance names, and no chunk ends before it starts.
    ///
    /// # Errors
    ///
    /// What is wrong; stores refuse the whole batch with [`StoreError::Internal`].
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Commit::Start(start) => start.check(),
            Commit::Advance(advance) => advance.check(),
        }
    }
}

/// The highest position that every store can keep.
const MAX_SEQ: u64 = i64::MAX as u64;

fn check_end(chunk: &Chunk) -> Result<(), &'static str> {
    if chunk.last_seq < chunk.first_seq || chunk.last_seq > MAX_SEQ {
        return Err("a chunk ends where no history does");
    }
    Ok(())
}

/// A run that comes to be, with its first events.
#[derive(Debug, Clone)]
pub struct StartRun {
    /// The run.
    pub meta: RunMeta,
    /// Refuses the run if another one has the same key.
    pub dedupe: Option<Dedupe>,
    /// The worker that starts it. The run's first epoch is 1, and so is its first claim.
    pub worker: WorkerId,
    /// Its first events.
    pub chunk: Chunk,
    /// Who has it afterwards.
    pub hold: Hold,
}

impl StartRun {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.chunk.first_seq != 1 {
            return Err("a history starts at 1");
        }
        check_end(&self.chunk)
    }
}

/// Events that continue a run's history, or a change of who has it that needs none.
#[derive(Debug, Clone)]
pub struct AdvanceRun {
    /// The run's project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// The worker that holds it.
    pub worker: WorkerId,
    /// The claim through which it is held.
    pub claim: u64,
    /// The last position in the history that the worker knows: the history still ends there.
    pub after: u64,
    /// The events, from the next position on; `None` where nothing is to be recorded: the run is given back or ends as
    /// it stood before it was claimed, or messages needed no event.
    pub chunk: Option<Chunk>,
    /// Who has it afterwards.
    pub hold: Hold,
    /// Inbox items of this run that became part of these events, or needed no event: they are removed.
    pub consumed: Vec<InboxId>,
}

impl AdvanceRun {
    fn check(&self) -> Result<(), &'static str> {
        let Some(chunk) = &self.chunk else { return Ok(()) };
        if self.after.checked_add(1) != Some(chunk.first_seq) {
            return Err("a chunk does not follow the position after which it is to stand");
        }
        check_end(chunk)
    }
}

/// Who has a run after a commit, and where the run stands then.
///
/// The status is that of the run's record, which lists go by. A store writes it only where the record says something
/// else, so that the steps of a run that goes on running do not touch its record. A status that is not an end takes
/// back how the run ended before.
///
/// Messages that are not consumed are not lost: a run that is released while messages wait for it is due at once, and
/// so is a run that ends as `failed` while a [`Message::Retry`](super::Message::Retry) waits. Other messages wait on
/// with a failed run until it is retried; with a run that ends otherwise they are removed.
#[derive(Debug, Clone, PartialEq)]
pub enum Hold {
    /// The worker that commits.
    Keep {
        /// Where it stands: not an end.
        status: RunStatus,
    },
    /// Nobody, until it wakes up or a message is posted for it.
    Release {
        /// When it is due by itself.
        wake_up: WakeUp,
        /// Where it stands meanwhile: not an end.
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

impl Hold {
    /// Where the run stands afterwards.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        match self {
            Hold::Keep { status } | Hold::Release { status, .. } | Hold::End { status, .. } => *status,
        }
    }
}

/// When a released run is due by itself, by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeUp {
    /// At once: as of the commit.
    Now,
    /// When the time comes.
    At(Timestamp),
    /// Never.
    Never,
}

impl WakeUp {
    /// The time, for a commit at `now`; `None` for never.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            WakeUp::Now => Some(now),
            WakeUp::At(at) => Some(at),
            WakeUp::Never => None,
        }
    }
}

/// At most one run for one key, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedupe {
    /// What the key is unique in: a trigger, or a workflow's API.
    pub scope: String,
    /// The key.
    pub key: String,
    /// A hash of what was sent with the key, to tell a repetition from a collision.
    pub fingerprint: [u8; 32],
    /// How long the key is remembered, from the commit, by the store's clock. Afterwards another run may have it.
    pub window: Duration,
}

/// The run that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The run.
    pub run: RunId,
    /// The hash of what was sent with the key when the run was started.
    pub fingerprint: [u8; 32],
}

impl KeyHolder {
    /// What a start with the key is answered.
    #[must_use]
    pub fn refuse(&self, dedupe: &Dedupe) -> CommitOutcome {
        CommitOutcome::Duplicate { run: self.run, same: self.fingerprint == dedupe.fingerprint }
    }
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
    /// An advance was refused: the run is not held by that worker through that claim, or its history ends elsewhere.
    Stale,
    /// A start was refused: a run with that id exists. After an unknown outcome this means that it succeeded.
    Exists,
    /// A start was refused for now: a transaction that is still open has its key, so that nobody can tell yet whether
    /// the key is free. Later the same start may succeed.
    Busy,
}

/// A run that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldRun {
    /// The run's project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// The claim through which it is held.
    pub claim: u64,
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
    /// How many bytes of histories are enough: no further run is taken once they are reached.
    pub bytes: usize,
    /// The most runs with messages to name.
    pub messages: usize,
    /// How long the worker's lease lasts from now.
    pub lease: Duration,
}

/// What a worker's look at the store found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Claimed {
    /// The runs that were taken.
    pub runs: Vec<ClaimedRun>,
    /// Runs that the worker held before, for which messages wait: by project and id, at most `claim.messages`.
    pub messages: Vec<(ProjectId, RunId)>,
    /// The earliest time at which a run that is released now wakes up, in any project. A time in the past means that
    /// something is due that was not taken.
    pub next_wake_up: Option<Timestamp>,
    /// The earliest time at which a schedule is to be looked at, in any project. A time in the past means that one is due:
    /// it can be [taken](super::ScheduleStore::take_schedules).
    pub next_schedule: Option<Timestamp>,
    /// The store's time.
    pub now: Timestamp,
}

impl Claimed {
    /// What a worker's look at the store found.
    #[must_use]
    pub fn new(
        runs: Vec<ClaimedRun>,
        messages: Vec<(ProjectId, RunId)>,
        next_wake_up: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        Self { runs, messages, next_wake_up, next_schedule: None, now }
    }

    /// Says when a schedule is to be looked at next.
    #[must_use]
    pub fn next_schedule(mut self, at: Option<Timestamp>) -> Self {
        self.next_schedule = at;
        self
    }
}

/// A run that was taken.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// Its record, as it stands.
    pub record: RunRecord,
    /// How often it changed hands, the start counted.
    pub epoch: u64,
    /// How often it was claimed, the start and this claim counted: through which claim it is held now.
    pub claim: u64,
    /// How many workers died, one after the other, holding the run without advancing it; see the module.
    pub strikes: u32,
    /// Its whole history.
    pub chunks: Vec<Chunk>,
}

impl ClaimedRun {
    /// What its worker holds.
    #[must_use]
    pub fn held(&self) -> HeldRun {
        let meta = &self.record.meta;
        HeldRun { project: meta.project.clone(), run: meta.run, claim: self.claim }
    }

    /// The last position in its history.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.last_seq)
    }

    /// How many bytes of text its history has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.text.len()).sum()
    }
}
