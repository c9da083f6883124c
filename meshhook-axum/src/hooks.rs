//! Webhooks, from the wire to the answer.
//!
//! ```text
//!   path ─► method ─► announced size ─► body, bounded in size and time ─► the engine ─► answer
//!    404      405          413                     413, 408                4xx, 5xx    200, 202
//! ```
//!
//! What the engine refuses is answered with what a sender may know. A wrong signature says only that; a hook that does
//! not exist, one that is not published and a project that does not exist are the same to a sender.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use meshhook_core::engine::{HookRefusal, ItemRun, LiveHook, Received};
use meshhook_core::event::RunStatus;
use meshhook_core::failure::code;
use meshhook_core::id::RunId;
use meshhook_core::json;
use meshhook_core::node::TerminateResponse;
use meshhook_core::run::RunEnd;
use meshhook_core::webhook::{HandshakeAnswer, RawRequest, Verdict};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::body::{BodyBounds, receive_body};
use crate::call::Shared;
use crate::origin;
use crate::problem::Problem;
use crate::table::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::raw(Method::POST, "/hooks/{project}/{*path}", Permission::Open, |shared, request| {
            Box::pin(receive(shared, request))
        })
        .about("receive", "Receives a webhook, by the methods that its trigger takes")
        .answers::<ReceivedBody>(
            200,
            "ignored by the filter; the answer to a handshake; or the run's own answer, where the sender waits for it",
        )
        .answers::<ReceivedBody>(202, "the run is committed, or an earlier one has the same key; or so for each item")
        .answers_empty(204, "the answer to a handshake that wants none")
        .error(400, "invalid_request")
        .error(400, "invalid_json")
        .error(401, "unauthorized")
        .error(404, "not_found")
        .error(405, "method_not_allowed")
        .error(408, "invalid_request")
        .error(409, "conflict")
        .error(413, "payload_too_large")
        .error(415, "unsupported_media_type")
        .error(422, "input_invalid")
        .error(429, "rate_limited")
        .error(500, "internal; or a run that failed while the sender waited")
        .error(503, "unavailable"),
    ]
}

/// What became of a webhook.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Received)]
struct ReceivedBody {
    /// `accepted` or `ignored`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_id: Option<String>,
    /// Whether an earlier delivery started the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate: Option<bool>,
    /// The runs of its items, in their order, where the trigger takes items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    runs: Option<Vec<ItemBody>>,
}

/// The run of an item.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReceivedItem)]
pub(crate) struct ItemBody {
    run_id: String,
    /// Whether the run was there before, or is that of an earlier item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duplicate: Option<bool>,
}

impl From<ItemRun> for ItemBody {
    fn from(item: ItemRun) -> Self {
        Self { run_id: item.run.to_string(), duplicate: item.duplicate.then_some(true) }
    }
}

/// A run that failed while its sender waited.
#[derive(Debug, Serialize)]
struct FailedBody {
    run_id: String,
    error: FailedCode,
}

#[derive(Debug, Serialize)]
struct FailedCode {
    code: String,
}

async fn receive(shared: Arc<Shared>, request: Request) -> Response {
    let response = answer(&shared, request).await.unwrap_or_else(|problem| {
        tracing::debug!(status = problem.status().as_u16(), code = problem.code(), "refused a webhook");
        problem.into_response()
    });
    let status = response.status().as_u16().to_string();
    metrics::counter!("meshhook_hook_requests_total", "status" => status).increment(1);
    response
}

async fn answer(shared: &Shared, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let no_hook = || Problem::not_found("hook");
    // The path as it was sent: a hook has one spelling, and none with escapes.
    let (project, path) =
        parts.uri.path().strip_prefix("/hooks/").and_then(|rest| rest.split_once('/')).ok_or_else(no_hook)?;
    let project = shared
        .project(project)
        .await
        .map_err(|problem| if problem.status() == StatusCode::NOT_FOUND { no_hook() } else { problem })?;
    let method = parts.method.as_str();
    let query = parts.uri.query().unwrap_or("");
    let mut url = format!("{}{}", origin::base_url(&shared.options, &parts), parts.uri.path());
    if parts.uri.query().is_some() {
        url.push('?');
        url.push_str(query);
    }
    let head = RawRequest { method, url: &url, query, headers: &parts.headers, body: &[] };
    let Some(hook) = project.hook(path).await? else {
        project.turn_away(path, &head);
        return Err(no_hook());
    };
    let is_taken = hook.takes(method);
    if !is_taken && !hook.greets(method) {
        let problem = method_not_allowed(&hook);
        hook.turn_away(&head, Verdict::MethodNotAllowed, problem.status().as_u16());
        return Err(problem);
    }
    let bounds = BodyBounds { max_bytes: hook.max_body_bytes(), timeout: shared.options.body_timeout };
    let mut held = shared.bodies.hold(project.id(), path, bounds.most_counted());
    let body = receive_body(body, &parts.headers, bounds, &mut held).await.map_err(|problem| {
        let (verdict, problem) = match problem.status() {
            _ if !is_taken => (Verdict::MethodNotAllowed, method_not_allowed(&hook)),
            StatusCode::PAYLOAD_TOO_LARGE => (Verdict::TooLarge, problem),
            StatusCode::SERVICE_UNAVAILABLE => (Verdict::Overloaded, problem),
            _ => (Verdict::Incomplete, problem),
        };
        hook.turn_away(&head, verdict, problem.status().as_u16());
        problem
    })?;
    let raw = RawRequest { body: &body, ..head };
    let received = hook.receive(&raw).await.map_err(|refusal| match refusal {
        HookRefusal::MethodNotAllowed => method_not_allowed(&hook),
        refusal => refused(refusal),
    })?;
    // What was received is not held in memory while a run is waited for.
    drop((body, held));
    match received {
        Received::Handshake(answer) => Ok(greeted(answer)),
        Received::Waiting(waiting) => respond(waiting.run(), waiting.end().await),
        Received::Accepted { run, duplicate } => {
            let body = ReceivedBody { duplicate: duplicate.then_some(true), ..accepted(run) };
            json_answer(StatusCode::ACCEPTED, &body)
        }
        Received::Items(items) => {
            let runs = Some(items.into_iter().map(ItemBody::from).collect());
            let body = ReceivedBody { status: "accepted", runs, ..ReceivedBody::default() };
            json_answer(StatusCode::ACCEPTED, &body)
        }
        _ => json_answer(StatusCode::OK, &ReceivedBody { status: "ignored", ..ReceivedBody::default() }),
    }
}

fn method_not_allowed(hook: &LiveHook) -> Problem {
    let detail = "this hook does not take that method";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    match HeaderValue::from_str(&hook.methods().join(", ")) {
        Ok(allow) => problem.header(header::ALLOW, allow),
        Err(_) => problem,
    }
}

/// The answer to a handshake: what it says was chosen by whoever asked.
fn greeted(answer: HandshakeAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = match answer.body {
        Some((media, body)) => (status, [(header::CONTENT_TYPE, media)], body).into_response(),
        None => status.into_response(),
    };
    response.headers_mut().extend(answer.headers);
    sandbox(response)
}

/// Keeps a browser from guessing the type of a body that others chose, and from running it as a page of this server.
fn sandbox(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn accepted(run: RunId) -> ReceivedBody {
    ReceivedBody { status: "accepted", run_id: Some(run.to_string()), ..ReceivedBody::default() }
}

fn refused(refusal: HookRefusal) -> Problem {
    match refusal {
        HookRefusal::TooLarge(detail) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
        }
        HookRefusal::Unauthorized(_) => {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "the signature was not accepted")
        }
        HookRefusal::UnsupportedMedia(detail) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        }
        HookRefusal::InvalidJson(detail) => Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail),
        HookRefusal::Malformed(detail) => Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail),
        HookRefusal::KeyReused { run } => {
            let detail = "the delivery's key was used with another body";
            Problem::new(StatusCode::CONFLICT, "conflict", detail).with("run_id", run.to_string())
        }
        HookRefusal::ItemReused { item, run } => {
            let problem = Problem::new(StatusCode::CONFLICT, "conflict", refusal.to_string());
            problem.with("item", item).with("run_id", run.to_string())
        }
        HookRefusal::ItemsDiffer { item, .. } => {
            Problem::new(StatusCode::CONFLICT, "conflict", refusal.to_string()).with("item", item)
        }
        HookRefusal::SchemaViolation { item, .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "input_invalid", refusal.to_string())
                .with_some("item", item)
        }
        HookRefusal::RateLimited { wait } => {
            let detail = "this hook takes no more for now";
            // A sender that comes a moment early would be told again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
                .header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        }
        HookRefusal::Engine(error) => error.into(),
        other => {
            tracing::error!(refusal = %other, "a refusal without an answer");
            Problem::internal()
        }
    }
}

/// Answers with what the run's end says; or, when time was up, that it was accepted.
///
/// The body comes from a workflow, so a browser must neither guess its type nor run it as a page of this server.
fn respond(run: RunId, end: Option<RunEnd>) -> Result<Response, Problem> {
    let response = match end {
        None => json_answer(StatusCode::ACCEPTED, &accepted(run))?,
        Some(end) => match end.response.as_deref().and_then(TerminateResponse::from_value) {
            Some(response) => custom(response),
            None if end.status == RunStatus::Succeeded => {
                json_answer(StatusCode::OK, &end.output.as_deref().unwrap_or(&Value::Null))?
            }
            None => {
                let code = end.failure.map_or(code::CANCELLED.into(), |failure| failure.code.into_owned());
                let body = FailedBody { run_id: run.to_string(), error: FailedCode { code } };
                json_answer(StatusCode::INTERNAL_SERVER_ERROR, &body)?
            }
        },
    };
    Ok(sandbox(response))
}

/// What a `terminate` node said.
fn custom(says: TerminateResponse) -> Response {
    let status = StatusCode::from_u16(says.status).unwrap_or(StatusCode::OK);
    let bodiless =
        matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    let (media, body) = match says.body.filter(|_| !bodiless) {
        None => (None, Body::empty()),
        Some(Value::String(text)) => (Some("text/plain; charset=utf-8"), Body::from(text)),
        Some(value) => (Some("application/json"), Body::from(json::to_canonical_string(&value))),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if let Some(media) = media {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    for (name, value) in &says.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            headers.insert(name, value);
        }
    }
    response
}
