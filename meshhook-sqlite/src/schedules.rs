//! Schedules.

use std::time::Duration;

use async_trait::async_trait;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::store::{
    CommitOutcome, FireSchedule, Listing, Page, PublishedSchedule, ScheduleKey, ScheduleRecord,
    ScheduleStore, Seen, StoreError, TakenSchedule, TakenSchedules,
};
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::ledger::commit;
use crate::row::{all, count, execute, failed, first, int, listing, parsed, time};
use crate::{SqliteStore, sql};

/// When a schedule is to be looked at next.
pub(crate) fn next(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    first(connection, sql!("schedules_next"), [], |row| time(row, 0))
}

/// Makes a version's schedules those of its workflow.
pub(crate) fn publish(
    connection: &Connection,
    (project, slug): (&str, &str),
    schedules: &[PublishedSchedule],
    was_live: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let triggers =
        all(connection, sql!("schedule_triggers"), params![project, slug], |row| row.get::<_, String>(0))?;
    for trigger in triggers {
        if schedules.iter().all(|schedule| schedule.trigger != trigger) {
            execute(connection, sql!("schedule_delete"), params![project, slug, trigger])?;
        }
    }
    for PublishedSchedule { trigger, cron, timezone } in schedules {
        let params = params![project, slug, trigger, cron, timezone, now.as_micros(), was_live];
        execute(connection, sql!("schedule_put"), params)?;
    }
    Ok(())
}

/// Lets a workflow's schedules start nothing more.
pub(crate) fn unpublish(connection: &Connection, project: &str, slug: &str) -> rusqlite::Result<()> {
    execute(connection, sql!("schedules_unpublish"), params![project, slug]).map(drop)
}

pub(crate) fn delete(connection: &Connection, project: &str, slug: &str) -> rusqlite::Result<()> {
    execute(connection, sql!("schedules_delete"), params![project, slug]).map(drop)
}

fn take(
    connection: &Connection,
    limit: usize,
    hold: Duration,
    (since, now): (Timestamp, Timestamp),
) -> rusqlite::Result<TakenSchedules> {
    let taken = all(connection, sql!("schedules_due"), params![now.as_micros(), int(limit)], |row| {
        let key = ScheduleKey { project: parsed(row, 0)?, workflow: parsed(row, 1)?, trigger: row.get(2)? };
        let (turn, done_until) = (count(row, 3)?, time(row, 4)?);
        let seen = Seen { since: time(row, 5)?, until: time(row, 6)? };
        Ok(TakenSchedule { key, turn, done_until, seen, version: row.get(7)?, digest: parsed(row, 8)? })
    })?;
    for TakenSchedule { key, seen, .. } in &taken {
        let ScheduleKey { project, workflow, trigger } = key;
        let seen = seen.noted(since, now);
        let params = params![
            project.as_str(),
            workflow.as_str(),
            trigger,
            now.after(hold).as_micros(),
            seen.since.as_micros(),
            seen.until.as_micros(),
        ];
        execute(connection, sql!("schedule_wake"), params)?;
    }
    Ok(TakenSchedules::new(taken, now))
}

fn fire(connection: &Connection, fire: &FireSchedule, now: Timestamp) -> rusqlite::Result<bool> {
    let FireSchedule { key, turn, digest, done_until, wake_at, last_at, starts } = fire;
    let params = params![
        key.project.as_str(),
        key.workflow.as_str(),
        key.trigger,
        int(*turn),
        done_until.as_micros(),
        wake_at.map(Timestamp::as_micros),
        last_at.map(Timestamp::as_micros),
        digest.as_str(),
    ];
    if execute(connection, sql!("schedule_fire"), params)? == 0 {
        return Ok(false);
    }
    for start in starts.iter() {
        if commit::start(connection, start, now)? != CommitOutcome::Committed {
            // Nothing of all this is to happen.
            return Err(failed("a run of a schedule exists"));
        }
    }
    Ok(true)
}

/// Pauses or resumes a schedule; `false` when it is not that of a published workflow.
fn steer(
    connection: &Connection,
    key: &ScheduleKey,
    change: impl FnOnce(&str, &str, &str) -> rusqlite::Result<usize>,
) -> rusqlite::Result<bool> {
    let (project, slug, trigger) = (key.project.as_str(), key.workflow.as_str(), key.trigger.as_str());
    if first(connection, sql!("schedule_is_live"), params![project, slug, trigger], |_| Ok(()))?.is_none() {
        return Ok(false);
    }
    change(project, slug, trigger).map(|_| true)
}

fn record(row: &Row<'_>) -> rusqlite::Result<ScheduleRecord> {
    let schedule = PublishedSchedule { trigger: row.get(1)?, cron: row.get(2)?, timezone: row.get(3)? };
    let mut record = ScheduleRecord::new(parsed(row, 0)?, schedule, time(row, 5)?);
    record.paused = row.get(4)?;
    record.last_at = row.get::<_, Option<i64>>(6)?.map(Timestamp::from_micros);
    Ok(record)
}

#[async_trait]
impl ScheduleStore for SqliteStore {
    async fn take_schedules(
        &self,
        limit: usize,
        hold: Duration,
        since: Timestamp,
    ) -> Result<TakenSchedules, StoreError> {
        self.write(move |connection, now| take(connection, limit, hold, (since, now))).await
    }

    async fn fire_schedule(&self, call: FireSchedule) -> Result<bool, StoreError> {
        call.check().map_err(StoreError::internal)?;
        self.write(move |connection, now| fire(connection, &call, now)).await
    }

    async fn pause_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        let key = schedule.clone();
        self.write(move |connection, _| {
            steer(connection, &key, |project, slug, trigger| {
                execute(connection, sql!("schedule_pause"), params![project, slug, trigger])
            })
        })
        .await
    }

    async fn resume_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        let key = schedule.clone();
        self.write(move |connection, now| {
            steer(connection, &key, |project, slug, trigger| {
                let params = params![project, slug, trigger, now.as_micros()];
                execute(connection, sql!("schedule_resume"), params)
            })
        })
        .await
    }

    async fn schedules(
        &self,
        project: &ProjectId,
        page: Page<(WorkflowSlug, String)>,
    ) -> Result<Listing<ScheduleRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let after = page.after.as_ref();
            let (slug, trigger) = after.map_or(("", ""), |(slug, trigger)| (slug.as_str(), trigger.as_str()));
            let params = params![project.as_str(), slug, trigger];
            let bytes = |record: &ScheduleRecord| record.schedule.cron.len();
            listing(connection, sql!("schedules"), params, page.limit, record, bytes)
        })
        .await
    }
}
