//! A secret that cannot be opened is the trouble of those who need it, and of nobody else.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use meshhook_core::engine::{Engine, EngineError, HookRefusal, Project, Received};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::secret::{MasterKey, SecretName, SecretValue, StaticKeys};
use meshhook_core::store::memory::{MemoryStore, Operation};
use meshhook_core::testing::VirtualClock;
use meshhook_core::webhook::{RawRequest, Refusal, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::Scripted;

struct Vault {
    store: Arc<MemoryStore>,
    effects: Arc<Scripted>,
    engine: Engine,
    project: Project,
    clock: VirtualClock,
}

fn process(store: &Arc<MemoryStore>, clock: VirtualClock, effects: &Arc<Scripted>, key: u8) -> Engine {
    let keys = Arc::new(StaticKeys::new(MasterKey::from_bytes([key; 32])));
    let builder = Engine::builder(store.clone()).clock(Arc::new(clock)).key_provider(keys);
    builder.http_call(effects.clone()).start().unwrap()
}

impl Vault {
    /// A project whose secret `good` can be opened, while `bad` is under a key that the engine does not know.
    async fn with_a_bad_secret() -> Self {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)));
        let effects = Arc::new(Scripted::default());
        let other = process(&store, clock, &effects, 3);
        set(&other.project(&ProjectId::default_project()), "bad").await;
        other.shutdown(Duration::ZERO).await;
        let engine = process(&store, clock, &effects, 1);
        let project = engine.project(&ProjectId::default_project());
        set(&project, "good").await;
        Self { store, effects, engine, project, clock }
    }

    /// Another process on the same store.
    fn other_process(&self, key: u8) -> Engine {
        process(&self.store, self.clock, &self.effects, key)
    }

    async fn publish(&self, definition: Value) -> WorkflowSlug {
        let slug = WorkflowSlug::new("flow").unwrap();
        assert_eq!(self.project.create_workflow(&slug, definition).await.unwrap().problems, []);
        self.project.publish(&slug).await.unwrap();
        slug
    }

    fn called(&self) -> Vec<String> {
        self.effects.seen.lock().unwrap().iter().map(|seen| seen.0.clone()).collect()
    }
}

async fn set(project: &Project, name: &str) {
    let value = SecretValue::new(format!("the-value-of-{name}"));
    project.set_secret(&SecretName::new(name).unwrap(), &value).await.unwrap();
}

fn call(id: &str, secret: &str) -> Value {
    let auth = json!({ "type": "bearer", "token": format!("{{{{ secrets.{secret} }}}}") });
    json!({ "id": id, "type": "http_call",
        "config": { "method": "POST", "url": "https://example.com/", "auth": auth } })
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_needs_it_waits_and_others_go_on() {
    let vault = Vault::with_a_bad_secret().await;
    let nodes = json!([call("with_bad", "bad"), call("with_good", "good")]);
    let slug = vault.publish(json!({ "name": "Both", "nodes": nodes })).await;
    let request = meshhook_core::engine::StartRequest::new(json!(1));
    let run = vault.project.start_run(&slug, request).await.unwrap().run;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(vault.called(), ["with_good"]);
    assert_eq!(vault.engine.held_runs(), 0, "nobody holds a run that only waits");
    let commits = vault.store.transactions().of(Operation::Commit);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let commits = vault.store.transactions().of(Operation::Commit) - commits;
    assert!((10..=30).contains(&commits), "{commits} commits in {:?}", began.elapsed());
    let events = vault.project.events(run, 0, 100).await.unwrap().events;
    assert!(events.iter().all(|event| event.data.kind() != "attempt_failed"), "{events:?}");

    set(&vault.project, "bad").await;
    let end = vault.project.wait_for_end(run, Duration::from_secs(60)).await.unwrap();
    assert_eq!(end, RunStatus::Succeeded);
    assert_eq!(vault.called(), ["with_good", "with_bad"]);
    assert!(vault.project.verify(run).await.unwrap().divergence.is_none());
}

#[tokio::test(start_paused = true)]
async fn another_process_that_can_open_it_takes_the_run_first() {
    let vault = Vault::with_a_bad_secret().await;
    let slug = vault.publish(json!({ "name": "Bad", "nodes": [call("with_bad", "bad")] })).await;
    // The other process knows that key, and no other.
    let able = vault.other_process(3);
    for number in 0..20 {
        let request = meshhook_core::engine::StartRequest::new(json!(number));
        let (began, run) = (Instant::now(), vault.project.start_run(&slug, request).await.unwrap().run);
        let end = vault.project.wait_for_end(run, Duration::from_secs(60)).await.unwrap();
        assert_eq!(end, RunStatus::Succeeded);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    able.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_it_holds_up_no_other_timer() {
    let vault = Vault::with_a_bad_secret().await;
    let slug = vault.publish(json!({ "name": "Bad", "nodes": [call("with_bad", "bad")] })).await;
    for number in 0..50 {
        let request = meshhook_core::engine::StartRequest::new(json!(number));
        vault.project.start_run(&slug, request).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let timer = WorkflowSlug::new("timer").unwrap();
    let nodes = json!([{ "id": "pause", "type": "delay", "config": { "for": "10s" } }]);
    vault.project.create_workflow(&timer, json!({ "name": "Timer", "nodes": nodes })).await.unwrap();
    vault.project.publish(&timer).await.unwrap();
    for number in 0..20 {
        let request = meshhook_core::engine::StartRequest::new(json!(number));
        let (began, run) = (Instant::now(), vault.project.start_run(&timer, request).await.unwrap().run);
        vault.project.wait_for_end(run, Duration::from_secs(60)).await.unwrap();
        let late = began.elapsed() - Duration::from_secs(10);
        assert!(late < Duration::from_millis(400), "{late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_open_nothing_are_noticed_and_one_that_opens_something_is_enough() {
    let vault = Vault::with_a_bad_secret().await;
    for (key, fits) in [(1, true), (3, true), (9, false)] {
        let engine = vault.other_process(key);
        let checked = engine.check_keys().await;
        assert_eq!(checked.is_ok(), fits, "{checked:?}");
        if let Err(error) = checked {
            assert!(matches!(error, EngineError::Vault { .. }), "{error}");
            let id = MasterKey::from_bytes([3; 32]).id();
            assert!(error.to_string().contains(&format!("the key {id} that seals \"bad\"")), "{error}");
        }
        engine.shutdown(Duration::ZERO).await;
    }
    let clock = VirtualClock::new();
    let empty = Engine::builder(Arc::new(MemoryStore::new(Arc::new(clock)))).clock(Arc::new(clock));
    empty.start().unwrap().check_keys().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_it_still_misses_its_deadline() {
    let vault = Vault::with_a_bad_secret().await;
    let mut node = call("with_bad", "bad");
    node["deadline"] = json!("2m");
    let slug = vault.publish(json!({ "name": "Late", "nodes": [node] })).await;
    let request = meshhook_core::engine::StartRequest::new(json!(1));
    let run = vault.project.start_run(&slug, request).await.unwrap().run;
    let end = vault.project.wait_for_end(run, Duration::from_secs(600)).await.unwrap();
    assert_eq!(end, RunStatus::Failed);
    let view = vault.project.run(run).await.unwrap();
    assert_eq!(view.error.unwrap()["code"], "timed_out");
    assert!(vault.called().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_needs_it_is_told_to_come_again() {
    let vault = Vault::with_a_bad_secret().await;
    let hook = |path: &str, secret: Value| {
        let verify = json!({ "scheme": "api_key", "header": "x-key", "secret": secret });
        json!({ "id": path, "type": "webhook", "config": { "path": path, "verify": verify } })
    };
    let triggers = json!([hook("both", json!(["bad", "good"])), hook("good", json!("good"))]);
    let nodes = json!([{ "id": "a", "type": "transform", "config": { "expression": "input" } }]);
    vault.publish(json!({ "name": "Hooked", "triggers": triggers, "nodes": nodes })).await;
    let send = async |path: &str, key: &str| {
        let hook = vault.project.hook(path).await.unwrap().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-key", key.parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        let url = format!("https://example.com/hooks/default/{path}");
        let request = RawRequest { method: "POST", url: &url, query: "", headers: &headers, body: b"{}" };
        hook.receive(&request).await
    };
    let accepted = send("both", "the-value-of-good").await;
    assert!(matches!(accepted, Ok(Received::Accepted { .. })), "{accepted:?}");
    let later = send("both", "the-value-of-bad").await.unwrap_err();
    assert_eq!(later.verdict(), Verdict::Overloaded);
    let HookRefusal::Engine(error) = later else { panic!("{later:?}") };
    assert!(error.is_transient() && matches!(&error, EngineError::SecretUnopened { name } if name == "bad"));
    let refused = send("good", "nonsense").await.unwrap_err();
    assert!(
        matches!(&refused, HookRefusal::Unauthorized(it) if it.refusal == Refusal::Mismatch),
        "{refused:?}"
    );
}
