//! Schedules.
//!
//! Whoever changes a schedule has its row, and whoever publishes has its workflow's row before: locks are taken in the order
//! workflow, schedule, run.

use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::store::{
    Commit, CommitOutcome, FireSchedule, Listing, Page, PublishedSchedule, ScheduleKey, ScheduleRecord,
    ScheduleStore, Seen, StoreError, TakenSchedule, TakenSchedules,
};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::error::Effect;
use crate::ledger::commit::start_all_in;
use crate::row::{count, digest, digest_bytes, int, micros, parsed, time};
use crate::session::{Lane, Query, Session, get};
use crate::store::done;
use crate::{PgStore, sql, workflows};

/// Makes a version's schedules those of its workflow, within the transaction that publishes it.
pub(crate) async fn publish(
    session: &mut Session,
    (project, slug): (&str, &str),
    schedules: Vec<PublishedSchedule>,
    was_live: bool,
    now: Option<i64>,
) -> Result<(), Error> {
    let (mut triggers, mut crons, mut zones) = (Vec::new(), Vec::new(), Vec::new());
    for PublishedSchedule { trigger, cron, timezone } in schedules {
        triggers.push(trigger);
        crons.push(cron);
        zones.push(timezone);
    }
    let query = sqlx::query(sql!("schedules_keep")).bind(project).bind(slug).bind(&triggers);
    session.execute(query).await?;
    if !triggers.is_empty() {
        let query = sqlx::query(sql!("schedules_put")).bind(project).bind(slug);
        let query = query.bind(&triggers).bind(crons).bind(zones).bind(now).bind(was_live);
        session.execute(query).await?;
    }
    Ok(())
}

fn taken(rows: &[PgRow]) -> Result<TakenSchedules, Error> {
    let mut schedules = Vec::new();
    let mut now = None;
    for row in rows {
        now = Some(time(row, "now")?);
        if get::<Option<&str>>(row, "project")?.is_none() {
            continue;
        }
        let (project, workflow) = (parsed(row, "project")?, parsed(row, "slug")?);
        let key = ScheduleKey { project, workflow, trigger: get(row, "trigger")? };
        let (turn, done_until) = (count(row, "turn")?, time(row, "done_until")?);
        let seen = Seen { since: time(row, "seen_since")?, until: time(row, "seen_until")? };
        let (version, digest) = (count(row, "version")?, digest(row, "digest")?);
        schedules.push(TakenSchedule { key, turn, done_until, seen, version, digest });
    }
    Ok(TakenSchedules::new(schedules, now.ok_or(Error::RowNotFound)?))
}

fn record(row: &PgRow) -> Result<ScheduleRecord, Error> {
    let schedule = PublishedSchedule {
        trigger: get(row, "trigger")?,
        cron: get(row, "cron")?,
        timezone: get(row, "timezone")?,
    };
    let mut record = ScheduleRecord::new(parsed(row, "slug")?, schedule, time(row, "done_until")?);
    record.paused = get(row, "paused")?;
    record.last_at = get::<Option<i64>>(row, "last_at")?.map(Timestamp::from_micros);
    Ok(record)
}

/// Why nothing was fired.
enum NotFired {
    /// The schedule has changed.
    Changed,
    /// A run has the id of another one.
    Exists,
}

async fn fire(
    session: &mut Session,
    fire: FireSchedule,
    now: Option<i64>,
) -> Result<Result<(), NotFired>, Error> {
    let FireSchedule { key, turn, digest, done_until, wake_at, last_at, starts } = fire;
    let query = of(sqlx::query(sql!("schedule_fire")), &key)
        .bind(int(turn))
        .bind(done_until.as_micros())
        .bind(wake_at.map(Timestamp::as_micros))
        .bind(last_at.map(Timestamp::as_micros))
        .bind(digest_bytes(&digest));
    if session.execute(query).await? == 0 {
        return Ok(Err(NotFired::Changed));
    }
    let starts: Vec<Commit> = starts.iter().cloned().map(Commit::Start).collect();
    let outcomes = start_all_in(session, &starts, now).await?;
    let all = outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed);
    Ok(if all { Ok(()) } else { Err(NotFired::Exists) })
}

/// Binds which schedule.
fn of<'q>(query: Query<'q>, key: &'q ScheduleKey) -> Query<'q> {
    query.bind(key.project.as_str()).bind(key.workflow.as_str()).bind(key.trigger.as_str())
}

/// Whether a schedule is to start runs from now on.
#[derive(Debug, Clone, Copy)]
enum Steer {
    Pause,
    Resume,
}

impl PgStore {
    /// Pauses or resumes a schedule; `false` when it is not that of a published workflow.
    async fn steer(&self, key: &ScheduleKey, steer: Steer) -> Result<bool, StoreError> {
        // No trigger has an id that Postgres could not keep, and it would refuse to look for one.
        if key.trigger.contains('\0') {
            return Ok(false);
        }
        let (project, key, now) = (key.project.clone(), key.clone(), self.now());
        let steered = self.write(&project, move |session| {
            let key = key.clone();
            Box::pin(async move {
                let workflow = workflows::lock(session, key.project.as_str(), key.workflow.as_str()).await?;
                let is_live = workflow.is_some_and(|workflow| workflow.published.is_some());
                if !is_live || session.first(of(sqlx::query(sql!("schedule_lock")), &key)).await?.is_none() {
                    return Ok(Ok::<_, Infallible>(false));
                }
                let query = match steer {
                    Steer::Pause => of(sqlx::query(sql!("schedule_pause")), &key),
                    Steer::Resume => of(sqlx::query(sql!("schedule_resume")), &key).bind(now),
                };
                session.execute(query).await?;
                Ok(Ok(true))
            })
        });
        steered.await.map(done)
    }
}

#[async_trait]
impl ScheduleStore for PgStore {
    async fn take_schedules(
        &self,
        limit: usize,
        hold: Duration,
        since: Timestamp,
    ) -> Result<TakenSchedules, StoreError> {
        let now = self.now();
        let rows = self.engine(Lane::Worker, Effect::Writes, move |session| {
            let query = sqlx::query(sql!("take_schedules"))
                .bind(now)
                .bind(int(limit))
                .bind(micros(hold))
                .bind(since.as_micros());
            Box::pin(async move { session.alone(query).await })
        });
        // Whatever it says, it has happened.
        taken(&rows.await?).map_err(|error| StoreError::OutcomeUnknown(Box::new(error)))
    }

    async fn fire_schedule(&self, call: FireSchedule) -> Result<bool, StoreError> {
        call.check().map_err(StoreError::internal)?;
        let (project, now) = (call.key.project.clone(), self.now());
        let fired = self.write(&project, move |session| {
            let call = call.clone();
            Box::pin(fire(session, call, now))
        });
        match fired.await? {
            Ok(()) => Ok(true),
            Err(NotFired::Changed) => Ok(false),
            Err(NotFired::Exists) => Err(StoreError::internal("a run of a schedule exists")),
        }
    }

    async fn pause_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        self.steer(schedule, Steer::Pause).await
    }

    async fn resume_schedule(&self, schedule: &ScheduleKey) -> Result<bool, StoreError> {
        self.steer(schedule, Steer::Resume).await
    }

    async fn schedules(
        &self,
        project: &ProjectId,
        page: Page<(WorkflowSlug, String)>,
    ) -> Result<Listing<ScheduleRecord>, StoreError> {
        let of = project.to_string();
        let (slug, trigger) =
            page.after.map_or_else(Default::default, |(slug, trigger)| (slug.to_string(), trigger));
        let limit = page.limit;
        self.look(project, move |session| {
            let query = sqlx::query(sql!("schedules"))
                .bind(of.clone())
                .bind(slug.clone())
                .bind(trigger.clone())
                .bind(int(limit).saturating_add(1));
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(record), limit, |record| record.schedule.cron.len())
            })
        })
        .await
    }
}
