//! Deliveries: what was sent to hooks, why it was refused, and trying again.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::engine::{DeliveryView, Received};
use meshhook_core::id::{DeliveryId, WorkflowSlug};
use meshhook_core::store::{DeliveryFilter, Page as StorePage};
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::Verdict;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::call::Call;
use crate::hooks::ItemBody;
use crate::problem::Problem;
use crate::query::one_of;
use crate::table::Route;

const ALL: &str = "/api/projects/{project}/deliveries";
const ONE: &str = "/api/projects/{project}/deliveries/{delivery}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, Permission::View, |call| Box::pin(list(call)))
            .about("listDeliveries", "Lists what was sent to hooks, accepted or not, newest first")
            .query("workflow", "only to this workflow's hooks")
            .query("verdict", "only with this verdict")
            .query("from", "that came at this time (RFC 3339) or later")
            .query("to", "that came before this time")
            .pages::<DeliveryBody>(),
        Route::new(Method::GET, ONE, Permission::View, |call| Box::pin(show(call)))
            .about("getDelivery", "Shows a delivery")
            .answers::<DeliveryBody>(200, "the delivery"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/deliveries/{delivery}/check",
            Permission::Edit,
            |call| Box::pin(check(call)),
        )
        .about(
            "checkDelivery",
            "Says what a delivery would be now, with its hook's config or another `verify`",
        )
        .takes::<CheckDelivery>()
        .optional_body()
        .answers::<CheckedBody>(200, "the verdict; nothing was changed")
        .error(409, "invalid_state")
        .error(422, "invalid_definition"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/deliveries/{delivery}/replay",
            Permission::Edit,
            |call| Box::pin(replay(call)),
        )
        .about("replayDelivery", "Routes a delivery again, whatever its signature")
        .answers::<ReplayedBody>(201, "the run that it started, or those of its items")
        .answers::<ReplayedBody>(200, "the run that has its key; or the filter does not want it")
        .error(409, "invalid_state")
        .error(409, "idempotency_key_reused")
        .error(422, "input_invalid"),
    ]
}

/// A request to a hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryBody {
    id: String,
    /// When it came (RFC 3339).
    at: String,
    /// The workflow that it was sent to; null where no hook listens.
    workflow: Option<String>,
    /// The trigger's id.
    trigger: Option<String>,
    method: String,
    /// The path, below the project's hooks.
    path: String,
    /// What became of it, in one word.
    verdict: String,
    /// What is wrong, in words.
    detail: Option<String>,
    /// The status that its sender was answered with.
    status: u16,
    /// The run that it started, or that has its key; in lists, not where nobody knew whether it started one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<String>,
    /// The runs of its items, at most the first 100, where it has items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    runs: Option<Vec<String>>,
    /// How many runs its items have, where it has items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    runs_total: Option<u64>,
    /// The name of the secret that accepted it.
    key: Option<String>,
    /// Its identity by the scheme, as it says.
    delivery_id: Option<String>,
    /// When it was signed, as it says.
    signed_at: Option<String>,
    /// How many milliseconds that was ahead of the receiver's clock; negative: behind it.
    skew_ms: Option<i64>,
    /// The length of the body in bytes, if it was received.
    bytes: Option<u64>,
    /// The headers, without credentials; empty in lists where they stand in the run.
    #[schema(value_type = Object)]
    headers: Value,
    /// The body, with secrets masked; null where it is not kept, and in lists where it stands in the run.
    body: Value,
    /// What is kept of the request: `whole`, `cut` (the body's first part), `in_run` (it stands in the run), `in_runs`
    /// (its items stand in their runs) or `none`.
    kept: String,
}

/// What to check a delivery with.
#[derive(ToSchema)]
struct CheckDelivery {
    /// As in a trigger's config, with secrets by name; without it, what the hook has now.
    #[expect(dead_code, reason = "only its schema is used")]
    #[schema(value_type = Option<Object>)]
    verify: Option<Value>,
}

/// What a delivery would be now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckedDelivery)]
struct CheckedBody {
    /// In one word; `accepted` is without a look at whether its key is taken, its rate, or the load.
    verdict: String,
    /// What is wrong, in words.
    detail: Option<String>,
    /// The name of the secret that accepts it.
    key: Option<String>,
    /// Its identity by the scheme.
    delivery_id: Option<String>,
    /// When it was signed.
    signed_at: Option<String>,
}

/// What became of a delivery that was routed again.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ReplayedDelivery)]
struct ReplayedBody {
    /// `accepted` or `ignored`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<String>,
    /// Whether the run was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate: Option<bool>,
    /// The runs of its items, in their order, where the trigger takes items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    runs: Option<Vec<ItemBody>>,
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let query = &call.query;
    let filter = DeliveryFilter {
        workflow: query.read_with("workflow", "a workflow's name", |text| WorkflowSlug::new(text).ok())?,
        verdict: query.read_with(
            "verdict",
            &one_of(Verdict::ALL.iter().map(|it| it.as_str())),
            Verdict::from_name,
        )?,
        from: query.read::<Timestamp>("from", "an RFC 3339 time")?,
        to: query.read::<Timestamp>("to", "an RFC 3339 time")?,
        page: StorePage { limit, after: call.after_as()? },
    };
    let deliveries = call.project().deliveries(filter).await?;
    call.page(deliveries.map(body), |delivery: &DeliveryBody| delivery.id.clone())
}

async fn show(call: Call) -> Result<Response, Problem> {
    let delivery = call.project().delivery(id(&call)?).await?;
    json_answer(StatusCode::OK, &body(delivery))
}

async fn check(call: Call) -> Result<Response, Problem> {
    let id = id(&call)?;
    let mut members = call.members()?;
    let verify = members.optional("verify", "an object", |value| value.is_object().then_some(value))?;
    members.finish()?;
    let checked = call.project().check_delivery(id, verify.as_ref()).await?;
    let body = CheckedBody {
        verdict: checked.verdict.to_string(),
        detail: checked.detail,
        key: checked.key,
        delivery_id: checked.delivery_id,
        signed_at: checked.signed_at.map(|at| at.to_string()),
    };
    json_answer(StatusCode::OK, &body)
}

async fn replay(call: Call) -> Result<Response, Problem> {
    let id = id(&call)?;
    call.no_members()?;
    let received = call.project().replay_delivery(id, call.actor().as_deref()).await?;
    match received {
        Received::Accepted { run, duplicate } => {
            let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
            let duplicate = duplicate.then_some(true);
            json_answer(
                status,
                &ReplayedBody { status: "accepted", run_id: Some(run.to_string()), duplicate, runs: None },
            )
        }
        Received::Items(items) => {
            let is_new = items.iter().any(|item| !item.duplicate);
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let runs = Some(items.into_iter().map(ItemBody::from).collect());
            json_answer(status, &ReplayedBody { status: "accepted", runs, ..ReplayedBody::default() })
        }
        _ => json_answer(StatusCode::OK, &ReplayedBody { status: "ignored", ..ReplayedBody::default() }),
    }
}

fn id(call: &Call) -> Result<DeliveryId, Problem> {
    call.param("delivery").parse().map_err(|_| Problem::not_found("delivery"))
}

fn body(view: DeliveryView) -> DeliveryBody {
    DeliveryBody {
        id: view.id.to_string(),
        at: view.at.to_string(),
        workflow: view.workflow.map(|workflow| workflow.to_string()),
        trigger: view.trigger,
        method: view.method,
        path: view.path,
        verdict: view.verdict.to_string(),
        detail: view.detail,
        status: view.status,
        run_id: view.run.map(|run| run.to_string()),
        runs: view.runs_total.map(|_| view.runs.iter().map(ToString::to_string).collect()),
        runs_total: view.runs_total,
        key: view.key,
        delivery_id: view.delivery_id,
        signed_at: view.signed_at.map(|at| at.to_string()),
        skew_ms: view.skew_millis,
        bytes: view.bytes,
        headers: view.headers,
        body: view.body,
        kept: view.kept.as_str().to_owned(),
    }
}
