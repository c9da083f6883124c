//! Runs: start, look at, steer, prove.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::engine::{RunView, StartRequest};
use meshhook_core::event::{RunStatus, StepRef};
use meshhook_core::id::WorkflowSlug;
use meshhook_core::node::is_event_name;
use meshhook_core::store::{Page as StorePage, RunFilter};
use meshhook_core::time::{Timestamp, parse_duration};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::{empty, json_answer};
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::query::one_of;
use crate::steps::{MAX_SHOWN, StepBody, step_body};
use crate::table::{Handler, Route};

const START: &str = "/api/projects/{project}/workflows/{slug}/runs";
const ALL: &str = "/api/projects/{project}/runs";
const ONE: &str = "/api/projects/{project}/runs/{run}";

/// The longest wait for a run's end.
const MAX_WAIT: Duration = Duration::from_secs(60);

pub(crate) fn routes() -> Vec<Route> {
    let steer = |path, name, summary, handler: Handler| {
        Route::new(Method::POST, path, Permission::Edit, handler)
            .about(name, summary)
            .answers_empty(202, "it will happen")
            .error(409, "invalid_state")
    };
    vec![
        Route::new(Method::POST, START, Permission::Edit, |call| Box::pin(start(call)))
            .about("startRun", "Starts a run")
            .query("wait", "how long to wait for the run's end, such as `10s`, at most 60s")
            .takes::<StartRun>()
            .optional_body()
            .answers::<StartedBody>(201, "the run; with `wait`, where it stands, also when time is up")
            .answers::<StartedBody>(200, "the run that the same idempotency key started")
            .error(409, "not_published")
            .error(409, "idempotency_key_reused")
            .error(422, "input_invalid")
            .error(422, "invalid_definition"),
        Route::new(Method::GET, ALL, Permission::View, |call| Box::pin(list(call)))
            .about("listRuns", "Lists runs without their steps, newest first")
            .query("workflow", "only this workflow's")
            .query("status", "only with this status")
            .query("from", "created at this time (RFC 3339) or later")
            .query("to", "created before this time")
            .pages::<RunSummary>(),
        Route::new(Method::GET, ONE, Permission::View, |call| Box::pin(show(call)))
            .about("getRun", "Shows a run with its first 1,000 steps")
            .answers::<RunBody>(200, "the run"),
        steer("/api/projects/{project}/runs/{run}/pause", "pauseRun", "Lets nothing new start", |call| {
            Box::pin(pause(call))
        }),
        steer("/api/projects/{project}/runs/{run}/resume", "resumeRun", "Lets a paused run go on", |call| {
            Box::pin(resume(call))
        }),
        steer("/api/projects/{project}/runs/{run}/cancel", "cancelRun", "Ends a run", |call| {
            Box::pin(cancel(call))
        }),
        Route::new(Method::POST, "/api/projects/{project}/runs/{run}/retry", Permission::Edit, |call| {
            Box::pin(retry(call))
        })
        .about("retryRun", "Starts the failed steps of a failed run again")
        .answers::<RunIdBody>(202, "it will happen")
        .error(409, "invalid_state"),
        Route::new(Method::POST, "/api/projects/{project}/runs/{run}/verify", Permission::View, |call| {
            Box::pin(verify(call))
        })
        .about("verifyRun", "Proves that a history is what the rules give, without side effects")
        .answers::<VerdictBody>(200, "whether it is"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/runs/{run}/events/{name}",
            Permission::Edit,
            |call| Box::pin(send_event(call)),
        )
        .about("sendEvent", "Sends an external event to a run")
        .takes::<SendEvent>()
        .answers_empty(202, "it is kept for the run")
        .error(409, "invalid_state"),
    ]
}

/// A run to start.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct StartRun {
    /// The run's input.
    input: Option<Value>,
    /// The version to run; without it the published one, or, for a test, the draft.
    version: Option<u32>,
    /// Within 24 hours and one workflow, one run for one key; at most 255 bytes.
    idempotency_key: Option<String>,
    /// Marks the run as a test; without `version` it runs the draft.
    test: Option<bool>,
}

/// A run that was started or found.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Started)]
struct StartedBody {
    run_id: String,
    /// Whether an earlier request with the same key started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate: Option<bool>,
    /// With `wait`: where the run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// A run's id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunId)]
struct RunIdBody {
    run_id: String,
}

/// A step of another run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepRef)]
struct StepRefBody {
    run_id: String,
    step: String,
}

/// A run without its steps.
#[derive(Debug, Serialize, ToSchema)]
struct RunSummary {
    id: String,
    workflow: String,
    /// `null` for a test run of a draft.
    version: Option<u32>,
    /// `running`, `waiting`, `paused`, `succeeded`, `failed` or `cancelled`.
    status: String,
    test: bool,
    /// What started it.
    trigger: Value,
    input: Value,
    output: Option<Value>,
    /// The failure, and the `step` that failed the run.
    error: Option<Value>,
    /// RFC 3339.
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    resumed_from: Option<StepRefBody>,
    /// The run and step that called it.
    parent: Option<StepRefBody>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
struct RunBody {
    #[serde(flatten)]
    run: RunSummary,
    /// By key, at most 1,000, and fewer where they are large.
    steps: Vec<StepBody>,
    /// Whether there are more steps, which `/steps` pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    steps_truncated: Option<bool>,
}

/// An external event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SendEvent {
    /// Only a wait with an equal key takes it.
    key: Option<String>,
    /// What the wait gives.
    payload: Value,
}

/// Whether a history is what the rules give.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Verdict)]
struct VerdictBody {
    ok: bool,
    /// How many events it has.
    events: u64,
    /// The first place where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    divergence: Option<DivergenceBody>,
}

/// A place where a history is not what the rules give.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Divergence)]
struct DivergenceBody {
    seq: u64,
    expected: Value,
    found: Value,
}

async fn start(call: Call) -> Result<Response, Problem> {
    let slug = call.slug()?;
    let wait = call.query.read_with("wait", "a duration of at most 60s, such as 10s", |text| {
        parse_duration(text).ok().filter(|wait| *wait <= MAX_WAIT)
    })?;
    let mut members = call.members()?;
    let mut request = StartRequest::new(members.take("input").unwrap_or(Value::Null));
    request.version = members.optional("version", "a positive integer", |value| {
        value.as_u64().and_then(|version| u32::try_from(version).ok()).filter(|version| *version > 0)
    })?;
    request.idempotency_key = members.text("idempotency_key")?;
    request.test = members.optional("test", "a boolean", |value| value.as_bool())?.unwrap_or(false);
    members.finish()?;
    request.wait = wait;
    let started = call.project().start_run(&slug, request).await?;
    let mut body = StartedBody { run_id: started.run.to_string(), ..StartedBody::default() };
    match (wait, started.end) {
        (None, _) => {}
        (Some(_), Some(end)) => {
            body.status = Some(end.status.as_str().to_owned());
            body.error = end.error();
            body.output = end.output.map(Arc::unwrap_or_clone);
        }
        (Some(_), None) => match call.project().run(started.run).await {
            Ok(view) => {
                body.status = Some(view.status.as_str().to_owned());
                body.output = view.output.map(Arc::unwrap_or_clone);
                body.error = view.error;
            }
            // The run is committed: whatever goes wrong from here on must not hide its id.
            Err(error) => {
                tracing::warn!(%error, run_id = %started.run, "could not read a run that was just started");
                body.status = Some(RunStatus::Running.as_str().to_owned());
            }
        },
    }
    let status = if started.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    body.duplicate = started.duplicate.then_some(true);
    json_answer(status, &body)
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let query = &call.query;
    let filter = RunFilter {
        workflow: query.read_with("workflow", "a workflow's name", |text| WorkflowSlug::new(text).ok())?,
        status: query.read_with(
            "status",
            &one_of(RunStatus::ALL.iter().map(|it| it.as_str())),
            RunStatus::from_name,
        )?,
        from: query.read::<Timestamp>("from", "an RFC 3339 time")?,
        to: query.read::<Timestamp>("to", "an RFC 3339 time")?,
        page: StorePage { limit, after: call.after_as()? },
    };
    let runs = call.project().runs(filter).await?;
    call.page(runs.map(summary), |run: &RunSummary| run.id.clone())
}

async fn show(call: Call) -> Result<Response, Problem> {
    let mut view = call.project().run(call.run()?).await?;
    let shown = Call::part(std::mem::take(&mut view.steps).into_iter().map(step_body), MAX_SHOWN);
    let truncated = shown.more.then_some(true);
    let body = RunBody { run: summary(view), steps: shown.items, steps_truncated: truncated };
    json_answer(StatusCode::OK, &body)
}

async fn pause(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().pause(call.run()?, call.actor()).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn resume(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().resume(call.run()?, call.actor()).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn cancel(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().cancel(call.run()?, call.actor()).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn retry(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    let run = call.run()?;
    call.project().retry(run, call.actor()).await?;
    json_answer(StatusCode::ACCEPTED, &RunIdBody { run_id: run.to_string() })
}

async fn verify(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    let verdict = call.project().verify(call.run()?).await?;
    let divergence = verdict.divergence.map(|difference| DivergenceBody {
        seq: difference.seq,
        expected: difference.expected,
        found: difference.found,
    });
    json_answer(StatusCode::OK, &VerdictBody { ok: divergence.is_none(), events: verdict.events, divergence })
}

async fn send_event(call: Call) -> Result<Response, Problem> {
    let run = call.run()?;
    let name = call.param("name");
    if !is_event_name(name) {
        return Err(Problem::invalid(
            "path.name",
            "an event's name has 1 to 128 bytes, no control characters",
        ));
    }
    let mut members = call.members()?;
    let key = members.text("key")?;
    let payload = members.required("payload")?;
    members.finish()?;
    call.project().send_event(run, name, key, payload).await?;
    Ok(empty(StatusCode::ACCEPTED))
}

fn summary(view: RunView) -> RunSummary {
    RunSummary {
        id: view.id.to_string(),
        workflow: view.workflow.to_string(),
        version: view.version,
        status: view.status.as_str().to_owned(),
        test: view.test,
        trigger: Arc::unwrap_or_clone(view.trigger),
        input: Arc::unwrap_or_clone(view.input),
        output: view.output.map(Arc::unwrap_or_clone),
        error: view.error,
        created_at: view.created_at.to_string(),
        started_at: view.started_at.map(|at| at.to_string()),
        finished_at: view.finished_at.map(|at| at.to_string()),
        resumed_from: view.resumed_from.as_ref().map(step_ref),
        parent: view.parent.as_ref().map(step_ref),
    }
}

fn step_ref(step: &StepRef) -> StepRefBody {
    StepRefBody { run_id: step.run_id.to_string(), step: step.step.to_string() }
}
