//! Schedules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Operation, State};
use crate::id::{ProjectId, WorkflowSlug};
use crate::store::{
    FireSchedule, Listing, Page, PublishedSchedule, ScheduleKey, ScheduleRecord, ScheduleStore, Seen,
    StartRun, StoreError, TakenSchedule, TakenSchedules,
};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Schedules {
    kept: BTreeMap<ScheduleKey, Kept>,
    due: BTreeSet<(Timestamp, ScheduleKey)>,
}

struct Kept {
    record: ScheduleRecord,
    wake_at: Option<Timestamp>,
    turn: u64,
    seen: Seen,
}

impl Schedules {
    /// When a schedule is to be looked at next.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    fn of<'a>(
        &'a self,
        project: &'a ProjectId,
        workflow: &'a WorkflowSlug,
    ) -> impl Iterator<Item = &'a ScheduleKey> {
        self.kept.keys().filter(move |key| key.project == *project && key.workflow == *workflow)
    }

    /// Makes a version's schedules those of its workflow.
    pub(super) fn publish(
        &mut self,
        (project, workflow): &(ProjectId, WorkflowSlug),
        schedules: Vec<PublishedSchedule>,
        was_live: bool,
        now: Timestamp,
    ) {
        let gone = |key: &&ScheduleKey| schedules.iter().all(|schedule| schedule.trigger != key.trigger);
        for key in self.of(project, workflow).filter(gone).cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
        for schedule in schedules {
            let (project, workflow) = (project.clone(), workflow.clone());
            let key = ScheduleKey { project, workflow, trigger: schedule.trigger.clone() };
            let kept = self.kept.entry(key.clone()).or_insert_with(|| Kept {
                record: ScheduleRecord::new(key.workflow.clone(), schedule.clone(), now),
                wake_at: None,
                turn: now.as_micros().max(0).unsigned_abs(),
                seen: Seen::nothing(now),
            });
            if !was_live || kept.record.schedule != schedule {
                kept.record.done_until = kept.record.done_until.max(now);
            }
            kept.record.schedule = schedule;
            let wake_at = (!kept.record.paused).then_some(now);
            self.change(&key, wake_at);
        }
    }

    /// Lets a workflow's schedules start nothing more.
    pub(super) fn unpublish(&mut self, (project, workflow): &(ProjectId, WorkflowSlug)) {
        for key in self.of(project, workflow).cloned().collect::<Vec<_>>() {
            self.change(&key, None);
        }
    }

    pub(super) fn delete(&mut self, (project, workflow): &(ProjectId, WorkflowSlug)) {
        for key in self.of(project, workflow).cloned().collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &ScheduleKey) {
        self.wake(key, None);
        self.kept.remove(key);
    }

    /// Notes that a schedule has changed, and when it is to be looked at next.
    fn change(&mut self, key: &ScheduleKey, wake_at: Option<Timestamp>) {
        self.wake(key, wake_at);
        if let Some(kept) = self.kept.get_mut(key) {
            kept.turn += 1;
        }
    }

    fn wake(&mut self, key: &ScheduleKey, wake_at: Option<Timestamp>) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut kept.wake_at, wake_at) {
            self.due.remove(&(before, key.clone()));
        }
        if let Some(at) = wake_at {
            self.due.insert((at, key.clone()));
        }
    }
}

impl State {
    fn take_schedules(
        &mut self,
        limit: usize,
        hold: Duration,
        (since, now): (Timestamp, Timestamp),
    ) -> Vec<TakenSchedule> {
        let due = self.schedules.due.iter().take_while(|(at, _)| *at <= now).take(limit);
        let mut taken = Vec::new();
        for (_, key) in due.cloned().collect::<Vec<_>>() {
            self.schedules.wake(&key, Some(now.after(hold)));
            let live = self.workflows.live(&key.project, &key.workflow);
            if let (Some(kept), Some((version, digest))) = (self.schedules.kept.get_mut(&key), live) {
                let (turn, done_until) = (kept.turn, kept.record.done_until);
                let noted = kept.seen.noted(since, now);
                let seen = std::mem::replace(&mut kept.seen, noted);
                taken.push(TakenSchedule { key, turn, done_until, seen, version, digest });
            }
        }
        taken
    }

    fn fire_schedule(&mut self, fire: &FireSchedule, now: Timestamp) -> Result<bool, StoreError> {
        let live = self.workflows.live(&fire.key.project, &fire.key.workflow);
        let Some(kept) =
            self.schedules.kept.get_mut(&fire.key).filter(|kept| {
                kept.turn == fire.turn && live.is_some_and(|(_, digest)| digest == fire.digest)
            })
        else {
            return Ok(false);
        };
        let run = |start: &StartRun| (start.meta.project.clone(), start.meta.run);
        if fire.starts.iter().any(|start| self.ledger.runs.contains_key(&run(start))) {
            return Err(StoreError::internal("a run of a schedule exists"));
        }
        kept.record.done_until = fire.done_until;
        kept.record.last_at = fire.last_at.or(kept.record.last_at);
        self.schedules.change(&fire.key, fire.wake_at);
        for start in fire.starts.iter() {
            self.start(start.clone(), now);
        }
        Ok(true)
    }

    /// The schedule, if its workflow is published.
    fn live_schedule(&mut self, key: &ScheduleKey) -> Option<&mut Kept> {
        self.workflows.live(&key.project, &key.workflow)?;
        self.schedules.kept.get_mut(key)
    }
}

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn take_schedules(
        &self,
        limit: usize,
        hold: Duration,
        since: Timestamp,
    ) -> Result<TakenSchedules, StoreError> {
        self.run(Operation::TakeSchedules, |state, now| {
            Ok(TakenSchedules::new(state.take_schedules(limit, hold, (since, now)), now))
        })
        .await
    }

    async fn fire_schedule(&self, fire: FireSchedule) -> Result<bool, StoreError> {
        fire.check().map_err(StoreError::internal)?;
        self.run_owned(Operation::FireSchedule, move |state, now| state.fire_schedule(&fire, now)).await
    }

    async fn pause_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let Some(kept) = state.live_schedule(schedule) else { return Ok(false) };
            if !std::mem::replace(&mut kept.record.paused, true) {
                state.schedules.change(schedule, None);
            }
            Ok(true)
        })
        .await
    }

    async fn resume_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        self.run(Operation::WorkflowWrite, |state, now| {
            let Some(kept) = state.live_schedule(schedule) else { return Ok(false) };
            if std::mem::replace(&mut kept.record.paused, false) {
                kept.record.done_until = kept.record.done_until.max(now);
                state.schedules.change(schedule, Some(now));
            }
            Ok(true)
        })
        .await
    }

    async fn schedules(
        &self,
        project: &ProjectId,
        page: Page<(WorkflowSlug, String)>,
    ) -> Result<Listing<ScheduleRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let records = state
                .schedules
                .kept
                .iter()
                .filter(|(key, _)| key.project == *project)
                .filter(|(key, _)| state.workflows.live(&key.project, &key.workflow).is_some())
                .filter(|(key, _)| {
                    page.after
                        .as_ref()
                        .is_none_or(|(workflow, trigger)| (&key.workflow, &key.trigger) > (workflow, trigger))
                })
                .map(|(_, kept)| Ok(kept.record.clone()));
            Listing::gather(records, page.limit, |record| record.schedule.cron.len())
        })
        .await
    }
}
