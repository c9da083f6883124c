//! Schedules: when they are to be looked at, and up to when they are done with.
//!
//! ```text
//!   publish, resume ──► due at once ──take──► taken for a while ──fire──► due at the next slot
//!                           ▲                      │                          │
//!                           └── nobody fired it ◄──┘◄──────── time passes ────┘
//! ```
//!
//! A store knows nothing of cron expressions. It keeps, for each schedule of a published version, **up to when** its slots
//! are dealt with, and **when** somebody has to look at it again; what slots there are in between, and which of them
//! start runs, is worked out by whoever takes it.
//!
//! **Invariant:** the runs of a slot come to be in the transaction that moves the schedule past it, and only if nothing about
//! the schedule has changed since it was taken. So a slot starts at most one run, whoever dies or comes late, and a
//! schedule that was paused, unpublished or published anew starts nothing by what it was before.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Hold, Listing, Page, StartRun, StoreError};
use crate::id::{Digest, ProjectId, WorkflowSlug};
use crate::time::Timestamp;

/// Keeps the schedules of published workflows. [Publishing](super::WorkflowStore::publish) puts them there.
#[async_trait]
pub trait ScheduleStore: Send + Sync + 'static {
    /// Takes schedules that are due by the store's clock, in any project, those that have been so for longest first, at
    /// most `limit`: for as long as `hold` says nobody else is given them, unless they change. Notes what is [`Seen`] by
    /// that: whoever takes them has been looking since `since`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]. If the outcome is unknown they may be taken; then they are due again after `hold`.
    async fn take_schedules(
        &self,
        limit: usize,
        hold: Duration,
        since: Timestamp,
    ) -> Result<TakenSchedules, StoreError>;

    /// Starts the runs of slots and moves their schedule past them, in one transaction. `false`, and nothing happens,
    /// where the schedule has changed since it was taken: it was fired, paused, resumed, published anew, unpublished, or
    /// made anew, or another definition is live.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; [`StoreError::Internal`] where a start is not what a store may be given here.
    async fn fire_schedule(&self, fire: FireSchedule) -> Result<bool, StoreError>;

    /// Pauses a schedule: when this returns, no run of it is started any more. Pausing a paused one changes nothing.
    /// `false` when the workflow is not published or has no such schedule.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn pause_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError>;

    /// Lets a paused schedule go on from now: the slots that passed are done with. Resuming one that is not paused
    /// changes nothing. `false` when the workflow is not published or has no such schedule.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn resume_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError>;

    /// The schedules of the project's published workflows, by workflow and trigger.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn schedules(
        &self,
        project: &ProjectId,
        page: Page<(WorkflowSlug, String)>,
    ) -> Result<Listing<ScheduleRecord>, StoreError>;
}

/// Which schedule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleKey {
    /// Its project.
    pub project: ProjectId,
    /// Its workflow.
    pub workflow: WorkflowSlug,
    /// Its trigger's id.
    pub trigger: String,
}

/// A schedule of a version that is published.
///
/// Publishing makes it due at once. Where the workflow had a schedule of that trigger before, that one's pause stays, and
/// so does up to when it was done with if its workflow was published and its times are the same: what was missed can
/// still be caught up with. Else it begins with the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSchedule {
    /// The trigger's id within its definition.
    pub trigger: String,
    /// The cron expression.
    pub cron: String,
    /// The name of its time zone.
    pub timezone: String,
}

/// What was taken, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakenSchedules {
    /// The schedules.
    pub schedules: Vec<TakenSchedule>,
    /// The store's time.
    pub now: Timestamp,
}

impl TakenSchedules {
    /// What was taken, and when.
    #[must_use]
    pub fn new(schedules: Vec<TakenSchedule>, now: Timestamp) -> Self {
        Self { schedules, now }
    }
}

/// A schedule that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenSchedule {
    /// Which one.
    pub key: ScheduleKey,
    /// Grows with each change, and begins with the time in microseconds, so that one made anew is not taken for the one
    /// before: firing names it.
    pub turn: u64,
    /// Up to when its slots are dealt with.
    pub done_until: Timestamp,
    /// What was seen of it before.
    pub seen: Seen,
    /// Its workflow's published version.
    pub version: u32,
    /// That version's definition.
    pub digest: Digest,
}

/// From when to when somebody was looking, without a break, as far as it was noted when the schedule was taken: slots of
/// this time are not missed, whatever became of whoever saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Since when.
    pub since: Timestamp,
    /// Up to when, inclusive.
    pub until: Timestamp,
}

impl Seen {
    /// What is seen of a schedule that comes to be.
    #[must_use]
    pub fn nothing(now: Timestamp) -> Self {
        Self { since: now, until: now }
    }

    /// What is noted when somebody takes the schedule who has been looking since `since`. Where nobody looked in between,
    /// what was seen before is left to that one.
    #[must_use]
    pub fn noted(self, since: Timestamp, now: Timestamp) -> Self {
        let since = if self.until >= since { since.min(self.since) } else { since };
        Self { since, until: now.max(self.until) }
    }
}

/// Slots to start runs for.
#[derive(Debug, Clone)]
pub struct FireSchedule {
    /// The schedule.
    pub key: ScheduleKey,
    /// Its turn when it was taken.
    pub turn: u64,
    /// The definition by which its runs start.
    pub digest: Digest,
    /// Up to when its slots are dealt with from now on.
    pub done_until: Timestamp,
    /// When it is to be looked at next; `None` for never.
    pub wake_at: Option<Timestamp>,
    /// The last slot that starts a run here, if one does.
    pub last_at: Option<Timestamp>,
    /// The runs: without keys, and not held by whoever starts them. Whoever tries again does not copy them.
    pub starts: Arc<[StartRun]>,
}

impl FireSchedule {
    /// Checks what no caller may get wrong.
    ///
    /// # Errors
    ///
    /// What is wrong; stores refuse it with [`StoreError::Internal`].
    pub fn check(&self) -> Result<(), &'static str> {
        for start in self.starts.iter() {
            if start.dedupe.is_some() || matches!(start.hold, Hold::Keep { .. }) {
                return Err("a schedule starts no run with a key, and none that is held");
            }
            if start.meta.project != self.key.project {
                return Err("a schedule starts no run in another project");
            }
            start.check()?;
        }
        Ok(())
    }
}

/// A schedule as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleRecord {
    /// Its workflow.
    pub workflow: WorkflowSlug,
    /// What was published.
    pub schedule: PublishedSchedule,
    /// Whether it is paused.
    pub paused: bool,
    /// Up to when its slots are dealt with.
    pub done_until: Timestamp,
    /// The last slot that started a run.
    pub last_at: Option<Timestamp>,
}

impl ScheduleRecord {
    /// A schedule as it is kept, of which nothing has come yet.
    #[must_use]
    pub fn new(workflow: WorkflowSlug, schedule: PublishedSchedule, done_until: Timestamp) -> Self {
        Self { workflow, schedule, paused: false, done_until, last_at: None }
    }
}
