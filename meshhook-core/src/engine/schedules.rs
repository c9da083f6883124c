//! Schedules as people look at and steer them.

use serde_json::Value;

use super::{EngineError, Project};
use crate::id::WorkflowSlug;
use crate::json::{self, JsonLimits};
use crate::schedule::{Cron, Schedule, Zone};
use crate::store::{Listing, Page, ScheduleKey, ScheduleRecord};
use crate::time::Timestamp;

/// A schedule of a published workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleView {
    /// The workflow.
    pub workflow: WorkflowSlug,
    /// The trigger's id.
    pub trigger: String,
    /// The cron expression.
    pub cron: String,
    /// The name of its time zone.
    pub timezone: String,
    /// The last slot that started a run.
    pub last_at: Option<Timestamp>,
    /// Whether it is paused.
    pub paused: bool,
    /// The next slots, at most [`UPCOMING`](Self::UPCOMING): none while it is paused, and none where this build does not
    /// know its time zone.
    pub upcoming: Vec<Timestamp>,
}

impl ScheduleView {
    /// How many of the next slots are shown.
    pub const UPCOMING: usize = 5;

    /// The next slot.
    #[must_use]
    pub fn next_at(&self) -> Option<Timestamp> {
        self.upcoming.first().copied()
    }

    fn of(record: ScheduleRecord, now: Timestamp) -> Self {
        let ScheduleRecord { workflow, schedule: kept, paused, done_until, last_at } = record;
        // What another build has published is shown all the same.
        let upcoming = match (Cron::parse(&kept.cron), Zone::named(&kept.timezone)) {
            (Ok(cron), Ok(zone)) if !paused => {
                Schedule::new(cron, zone).after(done_until.max(now)).take(Self::UPCOMING).collect()
            }
            _ => Vec::new(),
        };
        let (trigger, cron, timezone) = (kept.trigger, kept.cron, kept.timezone);
        Self { workflow, trigger, cron, timezone, last_at, paused, upcoming }
    }
}

impl Project {
    /// The schedules of published workflows, by workflow and trigger.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn schedules(
        &self,
        page: Page<(WorkflowSlug, String)>,
    ) -> Result<Listing<ScheduleView>, EngineError> {
        let Listing { items, more, .. } = self.inner.store.schedules(&self.id, page).await?;
        let now = self.inner.time.now();
        let views = items.into_iter().map(|record| ScheduleView::of(record, now));
        Ok(Listing::new(views.collect(), more))
    }

    /// Pauses a schedule: when this returns, it starts no more runs, also when its workflow is published anew. Those
    /// that it has started go on. Pausing a paused one changes nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is no such schedule, [`EngineError::ScheduleNotLive`] when it is
    /// in the draft only, or a store error.
    pub async fn pause_schedule(&self, workflow: &WorkflowSlug, trigger: &str) -> Result<(), EngineError> {
        let found = self.inner.store.pause_schedule(&self.schedule_key(workflow, trigger)).await?;
        if found { Ok(()) } else { Err(self.no_schedule(workflow, trigger).await?) }
    }

    /// Lets a paused schedule go on from now: slots that passed meanwhile start no runs, whatever its `catch_up` says.
    /// Resuming one that is not paused changes nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is no such schedule, [`EngineError::ScheduleNotLive`] when it is
    /// in the draft only, or a store error.
    pub async fn resume_schedule(&self, workflow: &WorkflowSlug, trigger: &str) -> Result<(), EngineError> {
        let found = self.inner.store.resume_schedule(&self.schedule_key(workflow, trigger)).await;
        self.inner.look_soon();
        if found? { Ok(()) } else { Err(self.no_schedule(workflow, trigger).await?) }
    }

    /// Why no schedule is live under these names.
    async fn no_schedule(&self, workflow: &WorkflowSlug, trigger: &str) -> Result<EngineError, EngineError> {
        let draft = self.inner.store.workflow(&self.id, workflow).await?.map(|record| record.draft);
        let draft =
            json::parse(draft.unwrap_or_default().as_bytes(), &JsonLimits::default()).unwrap_or_default();
        let triggers = draft.get("triggers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_drafted = triggers.iter().any(|it| it["type"] == "schedule" && it["id"] == trigger);
        Ok(if is_drafted { EngineError::ScheduleNotLive } else { EngineError::NotFound { what: "schedule" } })
    }

    fn schedule_key(&self, workflow: &WorkflowSlug, trigger: &str) -> ScheduleKey {
        ScheduleKey { project: self.id.clone(), workflow: workflow.clone(), trigger: trigger.to_owned() }
    }
}
