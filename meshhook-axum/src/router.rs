//! From the table of routes to a router.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{RawPathParams, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, any, on};
use axum::{RequestPartsExt as _, Router};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use meshhook_core::clock::{Entropy, SystemEntropy};
use meshhook_core::engine::Engine;
use meshhook_core::exec::TraceContext;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use crate::auth::{Grant, Permission};
use crate::body::{BodyBounds, receive_body};
use crate::call::{Call, Caller, Shared};
use crate::cursor::Cursors;
use crate::options::RouterOptions;
use crate::problem::Problem;
use crate::query::Query;
use crate::room::{Held, Room};
use crate::table::{Handling, Route, routes};
use crate::{openapi, origin};

/// The whole HTTP surface of an engine: `/hooks`, `/api`, and the pages for operators.
///
/// It may be nested under any path.
pub fn router(engine: Engine, options: RouterOptions) -> Router {
    build(engine, options, routes())
}

/// Only the pages for operators, for a process that takes nothing in: `/healthz`, `/readyz`, `/metrics`.
pub fn health_router(engine: Engine, options: RouterOptions) -> Router {
    build(engine, options, crate::health::routes())
}

pub(crate) fn build(engine: Engine, options: RouterOptions, routes: Vec<Route>) -> Router {
    let shared = Arc::new(Shared {
        engine,
        cursors: Cursors::new(options.cursor_key),
        bodies: Room::new(options.max_hook_bytes),
        streams: Arc::new(Semaphore::new(options.max_streams.min(Semaphore::MAX_PERMITS))),
        openapi: openapi::document(),
        options,
    });
    let mut paths: BTreeMap<&'static str, MethodRouter> = BTreeMap::new();
    for route in routes {
        let filter = MethodFilter::try_from(route.method.clone()).expect("the table names plain methods");
        let route = Arc::new(route);
        for path in [Some(route.path), route.also.map(|shadow| shadow.path)].into_iter().flatten() {
            let (shared, route) = (shared.clone(), route.clone());
            let methods = paths.remove(path).unwrap_or_default();
            let methods = match route.handling {
                Handling::Raw(handler) => any(move |request: Request| handler(shared.clone(), request)),
                Handling::Call(_) => {
                    let handler = move |request: Request| serve(shared.clone(), route.clone(), request);
                    methods.merge(on(filter, handler))
                }
            };
            paths.insert(path, methods);
        }
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    router
        .fallback(|uri: Uri| async move {
            let slash = uri.path().len() > 1 && uri.path().ends_with('/');
            Problem::not_found(if slash { "page: paths have no trailing slash" } else { "page" })
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this page does not take that method",
            )
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(envelop))
}

/// What a caller gets when a handler panicked: nothing about it.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(message, "a handler panicked");
    Problem::internal().into_response()
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives each request an id and a span, and each answer what all answers have.
async fn envelop(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let trace =
        request.headers().get("traceparent").and_then(|header| TraceContext::parse(header.to_str().ok()?));
    let traceparent = trace.map(tracing::field::display);
    let span = tracing::info_span!("http_request", request_id = id, method = %request.method(), traceparent);
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The id that came with the request, if it is a plain one; else one of our own.
fn request_id(request: &Request) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let sent = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    if let Some(id) = sent.filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(plain)) {
        return id.to_owned();
    }
    let mut random = [0; 8];
    // Without randomness the count alone tells requests of this process apart.
    let _ = SystemEntropy.fill(&mut random);
    format!("{:016x}-{:x}", u64::from_be_bytes(random), COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn serve(shared: Arc<Shared>, route: Arc<Route>, request: Request) -> Response {
    let method = request.method().clone();
    let (path, operation) = (route.path, route.operation);
    let response = answer(shared, &route, request).await.unwrap_or_else(|problem| {
        tracing::debug!(
            operation,
            status = problem.status().as_u16(),
            code = problem.code(),
            "refused a request"
        );
        problem.into_response()
    });
    let status = response.status().as_u16().to_string();
    let labels = [("method", method.to_string()), ("route", path.to_owned()), ("status", status)];
    metrics::counter!("meshhook_http_requests_total", &labels).increment(1);
    response
}

async fn answer(shared: Arc<Shared>, route: &Route, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let mut params: Vec<(String, String)> = match parts.extract::<RawPathParams>().await {
        Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        // Not UTF-8 once decoded, so it is the name of nothing.
        Err(_) => return Err(Problem::not_found("page")),
    };
    // At its own path the parameter is there already, and the first of a name counts.
    params.extend(route.also.map(|shadow| (shadow.parameter.to_owned(), shadow.value.to_owned())));
    let named = params.iter().find(|(name, _)| name == "project").map(|(_, value)| value.clone());
    let mut caller = Caller {
        permission: route.permission,
        project: named,
        method: parts.method.clone(),
        peer: origin::peer(&parts),
        grant: Grant::anonymous(),
    };
    caller.authorize(&shared, &parts.headers).await?;
    let project = match &caller.project {
        Some(name) if route.has_project() => Some(shared.project(name).await?),
        _ => None,
    };
    let query = Query::parse(parts.uri.query(), &route.known_query())?;
    let has_body = !matches!(parts.method, Method::GET | Method::HEAD);
    let options = &shared.options;
    let body = if has_body {
        let bounds = BodyBounds { max_bytes: options.max_body_bytes, timeout: options.body_timeout };
        // Who may call is known, so none of the room that strangers share is needed.
        receive_body(body, &parts.headers, bounds, &mut Held::default()).await?
    } else {
        bytes::Bytes::new()
    };
    let Handling::Call(handler) = route.handling else { return Err(Problem::internal()) };
    let base_url =
        if route.permission == Permission::Open { String::new() } else { origin::base_url(options, &parts) };
    let call = Call {
        caller,
        headers: parts.headers,
        query,
        body,
        base_url,
        route: route.path,
        params,
        project,
        shared: shared.clone(),
    };
    handler(call).await
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use meshhook_core::clock::SystemClock;
    use meshhook_core::store::memory::MemoryStore;
    use tower::ServiceExt as _;

    use super::*;
    use crate::auth::OpenLoopback;

    #[tokio::test]
    async fn a_panic_tells_nothing_and_ends_nothing() {
        let engine = Engine::builder(Arc::new(MemoryStore::new(Arc::new(SystemClock)))).start().unwrap();
        let panics = Route::new(Method::GET, "/panics", Permission::Open, |_| {
            Box::pin(async { panic!("the database's password is hunter2") })
        });
        let router = build(engine, RouterOptions::new(OpenLoopback), vec![panics]);
        for _ in 0..2 {
            let request = Request::builder().uri("/panics").body(axum::body::Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 500);
            assert!(response.headers().contains_key("x-request-id"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(text.contains("\"internal\"") && !text.contains("hunter2"), "{text}");
        }
    }
}
