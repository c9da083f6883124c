//! The steps of a run, and its history.

use std::sync::Arc;

use axum::response::Response;
use http::Method;
use meshhook_core::engine::StepView;
use meshhook_core::event::Event;
use meshhook_core::store::Listing;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

/// The most steps that are shown with a run.
pub(crate) const MAX_SHOWN: usize = 1_000;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/projects/{project}/runs/{run}/steps", Permission::View, |call| {
            Box::pin(list_steps(call))
        })
        .about("listSteps", "Lists a run's steps by key")
        .pages::<StepBody>(),
        Route::new(Method::GET, "/api/projects/{project}/runs/{run}/events", Permission::View, |call| {
            Box::pin(list_events(call))
        })
        .about("listEvents", "Lists a run's events, ascending")
        .query("after", "only events behind this position")
        .pages::<EventBody>(),
    ]
}

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub(crate) struct StepBody {
    /// Its key, such as `each[3].post`.
    step: String,
    /// The node's id.
    node: String,
    /// The node's type.
    r#type: String,
    /// `running`, `waiting`, `retrying`, `succeeded`, `failed`, `skipped` or `cancelled`.
    status: String,
    /// How many attempts have begun.
    attempts: u32,
    input: Option<Value>,
    output: Option<Value>,
    /// Why it failed, or why its last attempt did.
    error: Option<Value>,
    /// The port by which it was left.
    port: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
}

/// A recorded fact or decision.
#[derive(Debug, ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "only its schema is used: events are written in the form that histories have")]
struct EventBody {
    /// Its position, from 1.
    seq: u64,
    /// RFC 3339.
    at: String,
    r#type: String,
    #[schema(nullable = false)]
    step: Option<String>,
    #[schema(nullable = false)]
    data: Option<Value>,
}

pub(crate) fn step_body(view: StepView) -> StepBody {
    StepBody {
        step: view.step.to_string(),
        node: view.node,
        r#type: view.kind,
        status: view.status.as_str().to_owned(),
        attempts: view.attempts,
        input: view.input.map(Arc::unwrap_or_clone),
        output: view.output.map(Arc::unwrap_or_clone),
        error: view.error.map(|error| error.to_value()),
        port: view.port.map(|port| port.to_string()),
        started_at: Some(view.started_at.to_string()),
        finished_at: view.finished_at.map(|at| at.to_string()),
    }
}

async fn list_steps(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.after()?;
    let steps = call.project().run(call.run()?).await?.steps;
    // Steps are ordered by key, and none disappears; so a position is as good as the key itself.
    let start = match &after {
        None => 0,
        Some(after) => {
            steps.iter().position(|step| step.step.as_str() == after).map_or(steps.len(), |at| at + 1)
        }
    };
    let part = Call::part(steps.into_iter().skip(start).map(step_body), limit);
    call.page(part, |step: &StepBody| step.step.clone())
}

async fn list_events(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let given = call.query.read_with("after", "a position: an integer from 0", position)?;
    // Who pages behind a position may leave it in the query: the cursor, which is further, goes before it.
    let after = call.after_as::<u64>()?.max(given).unwrap_or(0);
    let page = call.project().events(call.run()?, after, limit).await?;
    let items: Vec<Value> = page.events.iter().map(Event::to_value).collect();
    call.page(Listing::new(items, page.more), |event| event["seq"].to_string())
}

/// A position in a history: digits only.
pub(crate) fn position(text: &str) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    // Nineteen digits fit, but the stores count in i64.
    text.parse().ok().filter(|position| digits && *position <= i64::MAX as u64)
}
