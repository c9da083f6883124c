//! Schedules: when workflows start by themselves.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::engine::ScheduleView;
use meshhook_core::id::WorkflowSlug;
use meshhook_core::store::Page;
use meshhook_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::empty;
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

const ALL: &str = "/api/projects/{project}/schedules";
const PAUSE: &str = "/api/projects/{project}/schedules/{slug}/{trigger}/pause";
const RESUME: &str = "/api/projects/{project}/schedules/{slug}/{trigger}/resume";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, Permission::View, |call| Box::pin(list(call)))
            .about("listSchedules", "Lists the schedules of published workflows, by workflow and trigger")
            .pages::<ScheduleBody>(),
        Route::new(Method::POST, PAUSE, Permission::Edit, |call| Box::pin(pause(call)))
            .about(
                "pauseSchedule",
                "Pauses a schedule: it starts no more runs, also when its workflow is published anew",
            )
            .answers_empty(204, "it is paused")
            .error(409, "not_published"),
        Route::new(Method::POST, RESUME, Permission::Edit, |call| Box::pin(resume(call)))
            .about("resumeSchedule", "Lets a paused schedule go on from now; what it missed is left out")
            .answers_empty(204, "it goes on")
            .error(409, "not_published"),
    ]
}

/// A schedule of a published workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
struct ScheduleBody {
    /// The workflow's slug.
    workflow: String,
    /// The trigger's id.
    trigger: String,
    /// The cron expression.
    cron: String,
    /// The time zone's name.
    timezone: String,
    /// Its next time (RFC 3339); `null` while it is paused.
    next_at: Option<String>,
    /// The last of its times that started a run.
    last_at: Option<String>,
    /// Whether it is paused.
    paused: bool,
    /// Its next times, `next_at` first, at most five; none while it is paused.
    upcoming: Vec<String>,
}

impl From<ScheduleView> for ScheduleBody {
    fn from(schedule: ScheduleView) -> Self {
        let text = |at: Timestamp| at.to_string();
        Self {
            next_at: schedule.next_at().map(text),
            last_at: schedule.last_at.map(text),
            upcoming: schedule.upcoming.iter().map(ToString::to_string).collect(),
            workflow: schedule.workflow.to_string(),
            trigger: schedule.trigger,
            cron: schedule.cron,
            timezone: schedule.timezone,
            paused: schedule.paused,
        }
    }
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let place = |item: String| {
        let (workflow, trigger) = item.split_once(' ')?;
        Some((WorkflowSlug::new(workflow).ok()?, trigger.to_owned()))
    };
    let unreadable = || Problem::invalid("query.cursor", "not a cursor of this list");
    let after = call.after()?.map(|item| place(item).ok_or_else(unreadable)).transpose()?;
    let schedules = call.project().schedules(Page { limit, after }).await?;
    call.page(schedules.map(ScheduleBody::from), |schedule: &ScheduleBody| {
        format!("{} {}", schedule.workflow, schedule.trigger)
    })
}

async fn pause(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().pause_schedule(&workflow(&call)?, call.param("trigger")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn resume(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().resume_schedule(&workflow(&call)?, call.param("trigger")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn workflow(call: &Call) -> Result<WorkflowSlug, Problem> {
    WorkflowSlug::new(call.param("slug")).map_err(|_| Problem::not_found("schedule"))
}
