//! How often an engine asks its store, whose time it goes by, and what it says about runs that it holds.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::engine::{Engine, EngineError, EngineOptions, Project, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::store::memory::{Fault, FaultPlan, MemoryStore, Operation};
use meshhook_core::store::{Page, RunFilter};
use meshhook_core::testing::VirtualClock;
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{Kit, Scripted};

/// A clock that is off by so many seconds.
#[derive(Debug, Clone, Copy)]
struct Off(VirtualClock, i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.now().as_micros() + self.1 * 1_000_000)
    }
}

fn calls(store: &MemoryStore) -> u64 {
    let counted = store.transactions();
    counted.writes() + counted.of(Operation::Read)
}

fn delay(time: &str) -> Value {
    json!({ "name": "Delay", "nodes": [{ "id": "wait", "type": "delay", "config": { "for": time } }] })
}

async fn publish(project: &Project, definition: Value) -> WorkflowSlug {
    let slug = WorkflowSlug::new("flow").unwrap();
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
    slug
}

async fn statuses(kit: &Kit, run: RunId) -> (RunStatus, Vec<RunStatus>) {
    let listed = kit.project.runs(RunFilter::default()).await.unwrap().items;
    let view = kit.project.run(run).await.unwrap();
    (view.status, listed.into_iter().map(|run| run.status).collect())
}

#[tokio::test(start_paused = true)]
async fn an_idle_engine_asks_its_store_once_a_second() {
    let kit = Kit::start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = calls(&kit.store);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(calls(&kit.store) - before <= 600, "{:?}", kit.store.transactions());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_by_itself_where_claims_are_rare() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let mut options = EngineOptions::default();
    options.poll = Duration::from_secs(3_600);
    let kit = Kit::with(store, clock, options);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(kit.store.transactions().of(Operation::Renew) >= 300 / 5 - 1);
    kit.engine.check_ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn workers_whose_clocks_are_off_wake_runs_at_the_time_of_the_store() {
    for off in [-3_600, -30, -3, 0, 3, 30, 3_600] {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)));
        let engine = Engine::builder(store.clone()).clock(Arc::new(Off(clock, off))).start().unwrap();
        let project = engine.project(&ProjectId::default_project());
        let slug = publish(&project, delay("60s")).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (began, claims) = (Instant::now(), store.transactions().of(Operation::Claim));
        let run = project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run;
        let status = project.wait_for_end(run, Duration::from_secs(10_000)).await.unwrap();
        assert_eq!(status, RunStatus::Succeeded);
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(60) && took < Duration::from_millis(60_100), "{off} s: {took:?}");
        let claims = store.transactions().of(Operation::Claim) - claims;
        assert!(claims <= 64, "{off} s: {claims} claims");
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_views_agree_on_a_run_that_is_held() {
    let kit = Kit::start();
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
    let definition = json!({
        "name": "Two",
        "nodes": [
            { "id": "short", "type": "delay", "config": { "for": "1s" } },
            { "id": "call", "type": "http_call", "timeout": "1h",
                "config": { "method": "POST", "url": "https://example.com/" } },
        ],
        "edges": [{ "from": "short", "to": "call" }],
    });
    let slug = kit.publish("two", definition).await;
    let run = kit.start_run(&slug, json!(1)).await;
    // Held in memory throughout: the delay is short, and the call is under way.
    for (seconds, expected) in [(0, RunStatus::Waiting), (3, RunStatus::Running)] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(kit.engine.held_runs(), 1);
        assert_eq!(statuses(&kit, run).await, (expected, vec![expected]));
    }
    kit.project.pause(run, None).await.unwrap();
    assert_eq!(statuses(&kit, run).await, (RunStatus::Paused, vec![RunStatus::Paused]));
    assert_eq!(kit.engine.held_runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_under_way_shows_as_running() {
    let kit = Kit::start();
    let slug = kit
        .publish(
            "retry",
            json!({ "name": "Retry", "nodes": [{ "id": "call", "type": "http_call",
                "config": { "method": "POST", "url": "https://example.com/" },
                "retry": { "initial": "1s", "jitter": "none" }, "timeout": "1h" }] }),
        )
        .await;
    let failure = meshhook_core::failure::Failure::retryable("http_connect", "no");
    kit.effects.script.lock().unwrap().push_back(Err(failure.into()));
    let run = kit.start_run(&slug, json!(1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(statuses(&kit, run).await, (RunStatus::Waiting, vec![RunStatus::Waiting]));
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(statuses(&kit, run).await, (RunStatus::Running, vec![RunStatus::Running]));
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_is_full_refuses_and_is_taken_whole() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let mut options = EngineOptions::default();
    options.works = false;
    let intake = Kit::with(store.clone(), clock, options);
    let nodes: Vec<Value> = (0..100)
        .map(|n| json!({ "id": format!("w{n}"), "type": "wait", "config": { "event": "paid" } }))
        .collect();
    let slug = intake.publish("waits", json!({ "name": "Waits", "nodes": nodes })).await;
    let run = intake.start_run(&slug, json!(1)).await;
    let send = async |n: u64| intake.project.send_event(run, "paid", None, json!(n)).await;
    for n in 0..100 {
        send(n).await.unwrap();
    }
    let refused = send(100).await.unwrap_err();
    assert!(matches!(refused, EngineError::InboxFull) && refused.is_transient(), "{refused:?}");
    // More than one part: what waits behind the first is read without another message or poll.
    let worker = Kit::on(store, clock);
    let view = tokio::time::timeout(Duration::from_secs(2), worker.finish(run)).await.unwrap();
    assert_eq!(view.status, RunStatus::Succeeded);
}

/// Keeps every read waiting for an hour.
#[derive(Debug)]
struct Hung;

impl FaultPlan for Hung {
    fn next(&self, operation: Operation) -> Fault {
        let delay_before = (operation == Operation::Read).then_some(Duration::from_secs(3_600));
        Fault { delay_before, ..Fault::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_not_ready_within_two_seconds() {
    let clock = VirtualClock::new();
    let store = MemoryStore::new(Arc::new(clock)).with_faults(Arc::new(Hung));
    let engine = Engine::builder(Arc::new(store)).clock(Arc::new(clock)).start().unwrap();
    let began = Instant::now();
    assert!(engine.check_ready().await.unwrap_err().is_transient());
    assert!(began.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn listing_workflows_asks_the_same_few_questions_however_many_there_are() {
    let kit = Kit::start();
    let call = json!({ "method": "GET", "url": "https://example.com/",
        "headers": { "Authorization": "{{ secrets.token }}" } });
    for n in 0..20 {
        let slug = WorkflowSlug::new(&format!("flow-{n}")).unwrap();
        let hook = json!([{ "id": "hook", "type": "webhook", "config": { "path": format!("p/{n}"),
            "verify": { "scheme": "none" } } }]);
        let nodes = json!([{ "id": "call", "type": "http_call", "config": call }]);
        let draft = json!({ "name": "Flow", "nodes": nodes, "triggers": hook });
        kit.project.create_workflow(&slug, draft).await.unwrap();
        kit.project.publish(&slug).await.unwrap();
    }
    let before = kit.store.transactions().of(Operation::Read);
    let page = || Page { limit: 50, after: None };
    let listed = kit.project.workflows(page()).await.unwrap();
    assert!(kit.store.transactions().of(Operation::Read) - before <= 3);
    assert_eq!((listed.items.len(), listed.more), (20, false));
    for workflow in &listed.items {
        assert!(workflow.triggers[0].path.is_some());
        assert_eq!(workflow.problems.len(), 1, "{:?}", workflow.problems);
    }
    // What a check depends on beside the draft is never older than the list.
    let taken = WorkflowSlug::new("flow-0").unwrap();
    kit.project.unpublish(&taken).await.unwrap();
    let thief = WorkflowSlug::new("thief").unwrap();
    let hook = json!([{ "id": "hook", "type": "webhook", "config": { "path": "p/0",
        "verify": { "scheme": "none" } } }]);
    let nodes = json!([{ "id": "a", "type": "transform", "config": { "expression": "input" } }]);
    let draft = json!({ "name": "Thief", "nodes": nodes, "triggers": hook });
    kit.project.create_workflow(&thief, draft).await.unwrap();
    kit.project.publish(&thief).await.unwrap();
    let listed = kit.project.workflows(page()).await.unwrap();
    let first = listed.items.iter().find(|workflow| workflow.record.slug == taken).unwrap();
    assert_eq!(first.problems.len(), 2, "{:?}", first.problems);
}

#[tokio::test(start_paused = true)]
async fn a_run_released_by_a_process_whose_clock_is_ahead_starts_at_once() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let mut options = EngineOptions::default();
    options.works = false;
    let intake = Engine::builder(store.clone())
        .options(options)
        .clock(Arc::new(Off(clock, 3_600)))
        .http_call(Arc::new(Scripted::default()))
        .start()
        .unwrap();
    let project = intake.project(&ProjectId::default_project());
    let call = json!({ "method": "GET", "url": "https://example.com/" });
    let nodes = json!([{ "id": "call", "type": "http_call", "config": call }]);
    let slug = publish(&project, json!({ "name": "Call", "nodes": nodes })).await;
    let run = project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run;
    let worker = Kit::on(store, clock);
    let view = tokio::time::timeout(Duration::from_secs(2), worker.finish(run)).await.unwrap();
    assert_eq!(view.status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_works_runs_are_made_at_the_time_of_the_store() {
    for off in [-3_600, 3_600] {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)));
        let mut options = EngineOptions::default();
        options.works = false;
        let own = Arc::new(Off(clock, off));
        let builder = Engine::builder(store).clock(own).options(options);
        let project = builder.start().unwrap().project(&ProjectId::default_project());
        let slug = WorkflowSlug::new("waits").unwrap();
        let nodes = json!([{ "id": "w", "type": "wait", "config": { "event": "paid" } }]);
        project.create_workflow(&slug, json!({ "name": "Waits", "nodes": nodes })).await.unwrap();
        project.publish(&slug).await.unwrap();
        let run = project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run;
        let created_at = project.run(run).await.unwrap().created_at;
        assert_eq!(created_at, clock.now(), "{off} s");
    }
}
