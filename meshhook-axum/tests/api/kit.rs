//! A router on a scripted engine, and calls that are checked against the document.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::MockConnectInfo;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use meshhook_axum::{AdminKey, Authorizer, OpenLoopback, RouterOptions, openapi_document, router};
use meshhook_core::clock::Clock;
use meshhook_core::engine::{Engine, EngineBuilder};
use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_core::failure::Failure;
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::secret::{MasterKey, StaticKeys};
use meshhook_core::store::memory::{FaultPlan, MemoryStore};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A clock that follows tokio's, which tests can pause.
#[derive(Debug, Clone, Copy)]
struct TokioClock {
    start: tokio::time::Instant,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_323_045_000_000).after(self.start.elapsed())
    }
}

/// Answers attempts from a script, then with `{"ok": attempt number}`.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) script: Mutex<VecDeque<Result<Outcome, AttemptError>>>,
    pub(crate) takes: Mutex<Duration>,
}

#[async_trait::async_trait]
impl Executor for Scripted {
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError> {
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let scripted = self.script.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| Ok(Outcome::out(json!({ "ok": attempt.number }))))
    }
}

pub(crate) struct Server {
    pub(crate) router: Router,
    pub(crate) engine: Engine,
    pub(crate) effects: Arc<Scripted>,
    document: Value,
}

/// An answer, its body read to the end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    pub(crate) fn open() -> Self {
        Self::with(RouterOptions::new(OpenLoopback))
    }

    pub(crate) fn guarded(key: &str) -> Self {
        Self::with(RouterOptions::new(AdminKey::new(key)))
    }

    pub(crate) fn authorized(authorizer: impl Authorizer) -> Self {
        Self::with(RouterOptions::new(authorizer))
    }

    /// A server whose engine was given no master key.
    pub(crate) fn without_keys() -> Self {
        Self::configured(RouterOptions::new(OpenLoopback), |store| store, |builder| builder)
    }

    /// A server whose store a plan disturbs.
    pub(crate) fn disturbed(plan: Arc<dyn FaultPlan>) -> Self {
        let disturb = |store: MemoryStore| store.with_faults(plan);
        Self::configured(RouterOptions::new(OpenLoopback), disturb, |builder| builder)
    }

    pub(crate) fn with(options: RouterOptions) -> Self {
        let keys = Arc::new(StaticKeys::new(MasterKey::from_bytes([7; 32])));
        Self::configured(options, |store| store, |builder| builder.key_provider(keys))
    }

    fn configured(
        options: RouterOptions,
        disturb: impl FnOnce(MemoryStore) -> MemoryStore,
        configure: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Self {
        let clock = Arc::new(TokioClock { start: tokio::time::Instant::now() });
        let effects = Arc::new(Scripted::default());
        let builder = Engine::builder(Arc::new(disturb(MemoryStore::new(clock.clone()))))
            .clock(clock)
            .http_call(effects.clone());
        let engine = configure(builder).start().unwrap();
        let document = serde_json::from_str(&openapi_document()).unwrap();
        let peer = MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        Self { router: router(engine.clone(), options).layer(peer), engine, effects, document }
    }

    /// Sends a request and checks the answer against the document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let reply = self.send_unchecked(request).await;
        self.check(&method, &path, &reply);
        reply
    }

    pub(crate) async fn send_unchecked(&self, request: Request<Body>) -> Reply {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(api("GET", path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(api(method, path).header("content-type", "application/json").body(body).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, body).await
    }

    /// Creates and publishes a workflow.
    pub(crate) async fn publish(&self, slug: &str, definition: Value) {
        let created = self.post("/workflows", json!({ "slug": slug, "definition": definition })).await;
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.json()["problems"], json!([]));
        self.go_live(slug).await;
    }

    /// The same, where secrets that the definition names are not set yet.
    pub(crate) async fn publish_with_warnings(&self, slug: &str, definition: Value) {
        self.post("/workflows", json!({ "slug": slug, "definition": definition })).await;
        self.go_live(slug).await;
    }

    async fn go_live(&self, slug: &str) {
        assert_eq!(self.post(&format!("/workflows/{slug}/publish"), Value::Null).await.status, 201);
    }

    /// Starts a run and waits for at most a minute.
    pub(crate) async fn run(&self, slug: &str, input: Value) -> Value {
        let reply = self.post(&format!("/workflows/{slug}/runs?wait=60s"), json!({ "input": input })).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()
    }

    pub(crate) fn fail_next(&self, times: usize) {
        let failure = || Err(AttemptError::from(Failure::permanent("http_status", "the answer was 400")));
        self.effects.script.lock().unwrap().extend((0..times).map(|_| failure()));
    }

    /// The operations of the document: path template, method, operation.
    pub(crate) fn operations(&self) -> Vec<(String, String, Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let path = path.clone();
            let operations: Vec<_> = item.as_object().unwrap().clone().into_iter().collect();
            operations
                .into_iter()
                .map(move |(method, operation)| (path.clone(), method, operation))
                .collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    fn check(&self, method: &Method, path: &str, reply: &Reply) {
        let problem = reply.status.is_client_error() || reply.status.is_server_error();
        let hook = path.starts_with("/hooks/");
        let method = if hook { "post".to_owned() } else { method.as_str().to_ascii_lowercase() };
        let found = self
            .operations()
            .into_iter()
            .find(|(template, known, _)| *known == method && matches(template, path));
        let Some((_, _, operation)) = found else {
            assert!(problem, "{method} {path} is not in the document: {reply:?}");
            return reply.assert_problem();
        };
        let status = reply.status.as_str();
        let answer = &operation["responses"][status];
        assert!(
            answer.is_object(),
            "{method} {path} answers {status}, which is not in the document: {reply:?}"
        );
        let custom = hook && matches!(reply.status.as_u16(), 200 | 500);
        let Some((media, content)) = answer["content"].as_object().and_then(|content| content.iter().next())
        else {
            assert!(reply.body.is_empty(), "{method} {path} has a body: {reply:?}");
            return;
        };
        if custom {
            return;
        }
        assert!(reply.header("content-type").starts_with(media.as_str()), "{method} {path}: {reply:?}");
        if media.ends_with("json") {
            let mut schema = content["schema"].clone();
            schema["components"] = self.document["components"].clone();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let body = reply.json();
            let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{method} {path}: {errors:?} in {body:#}");
        }
        if problem {
            reply.assert_problem();
        }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        // Deeper than serde_json reads by itself.
        let limits = JsonLimits::default().with_max_depth(200);
        json::parse(&self.body, &limits).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and place, for tables.
    pub(crate) fn problem(&self) -> (u16, String, String) {
        self.assert_problem();
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
        (self.status.as_u16(), text("code"), text("path"))
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert_eq!(body["type"], "about:blank");
        for member in ["title", "code", "detail"] {
            assert!(body[member].is_string(), "{body}");
        }
    }
}

/// A request to a route of the project, or to a whole path.
pub(crate) fn api(method: &str, path: &str) -> http::request::Builder {
    let whole =
        ["/api", "/hooks", "/healthz", "/readyz", "/metrics"].iter().any(|start| path.starts_with(start));
    let path = if whole { path.to_owned() } else { format!("/api/projects/default{path}") };
    Request::builder().method(method).uri(path)
}

/// Whether a path follows a template.
fn matches(template: &str, path: &str) -> bool {
    if template.starts_with("/hooks/") {
        return path.starts_with("/hooks/");
    }
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
}

/// A definition of pure nodes: `{"doubled": 2 × input.n}`.
pub(crate) fn doubling() -> Value {
    json!({ "name": "Double", "nodes": [
        { "id": "double", "type": "transform", "config": { "expression": "{doubled: input.n * `2`}" } }
    ]})
}

/// A definition with one call.
pub(crate) fn calling() -> Value {
    json!({ "name": "Call", "nodes": [
        { "id": "call", "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" }, "retry": { "max_attempts": 1 } }
    ]})
}

/// A definition that waits for an event.
pub(crate) fn waiting() -> Value {
    json!({ "name": "Wait", "nodes": [{ "id": "wait", "type": "wait", "config": { "event": "go" } }] })
}

impl Server {
    pub(crate) async fn post_owned(&self, path: String, body: Value) -> Reply {
        self.post(&path, body).await
    }

    /// Waits, in virtual time, until a run has a status.
    pub(crate) async fn until(&self, run: &str, status: &str) {
        for _ in 0..1_000 {
            if self.get(&format!("/runs/{run}")).await.json()["status"] == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the run did not become {status}: {:?}", self.get(&format!("/runs/{run}")).await.json());
    }
}
