//! Decisions that take long do not end the lease.
//!
//! They block their thread, while everything else goes on in virtual time on the thread of the test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineOptions, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::exec::{Attempt, AttemptError, Executor, Node, Outcome};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::node::{Evaluated, NodeTypeInfo};
use meshhook_core::store::memory::{MemoryStore, Operation};
use meshhook_core::testing::VirtualClock;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Holds up whoever computes, until it is opened.
#[derive(Debug)]
struct Latch {
    closed: Mutex<bool>,
    changed: Condvar,
    /// One permit for each that came.
    came: Semaphore,
    gave_up: AtomicBool,
}

impl Latch {
    fn new() -> Self {
        let (closed, gave_up) = (Mutex::new(false), AtomicBool::new(false));
        Self { closed, changed: Condvar::new(), came: Semaphore::new(0), gave_up }
    }

    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        assert!(!self.gave_up.load(Ordering::SeqCst), "who computed held up everybody else");
        *self.closed.lock().unwrap() = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.came.add_permits(1);
        let closed = self.closed.lock().unwrap();
        // Not for ever: on the thread of the test, nobody would open the latch.
        let waited = self.changed.wait_timeout_while(closed, Duration::from_secs(20), |closed| *closed);
        if waited.unwrap().1.timed_out() {
            self.gave_up.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until so many more have come.
    async fn came(&self, count: u32) {
        self.came.acquire_many(count).await.unwrap().forget();
    }
}

/// A pure node type of the host's that takes as long as a latch says: one for each test.
macro_rules! long_node {
    ($latch:ident, $node:ident) => {
        static $latch: std::sync::LazyLock<Latch> = std::sync::LazyLock::new(Latch::new);

        struct $node;

        #[async_trait::async_trait]
        impl Node for $node {
            const KIND: &'static str = "long";
            type Config = Value;

            fn info() -> NodeTypeInfo {
                NodeTypeInfo::pure(Self::KIND, |_: &Value, input: &Arc<Value>| {
                    $latch.pass();
                    Ok(Evaluated::new("out".into(), input.clone()))
                })
            }

            async fn execute(&self, _: Value, _: &Attempt) -> Result<Outcome, AttemptError> {
                Ok(Outcome::out(Value::Null))
            }
        }
    };
}

/// Answers at once, or never.
#[derive(Debug)]
struct Answers(bool);

#[async_trait::async_trait]
impl Executor for Answers {
    async fn execute(&self, _: Attempt) -> Result<Outcome, AttemptError> {
        if !self.0 {
            std::future::pending::<()>().await;
        }
        Ok(Outcome::out(json!("done")))
    }
}

fn engine<N: Node>(store: &Arc<MemoryStore>, clock: VirtualClock, node: N, answers: bool) -> Engine {
    let builder = Engine::builder(store.clone()).clock(Arc::new(clock));
    builder.node(node).http_call(Arc::new(Answers(answers))).start().unwrap()
}

async fn publish(engine: &Engine, nodes: [&str; 2]) -> WorkflowSlug {
    let (project, slug) = (engine.project(&ProjectId::default_project()), WorkflowSlug::new("w").unwrap());
    let node = |kind: &str| {
        let http = json!({ "method": "POST", "url": "https://example.com/" });
        json!({ "id": kind, "type": kind, "config": if kind == "http_call" { http } else { json!({}) } })
    };
    let edges = json!([{ "from": nodes[0], "to": nodes[1] }]);
    let definition = json!({ "name": "W", "nodes": nodes.map(node), "edges": edges });
    assert_eq!(project.create_workflow(&slug, definition).await.unwrap().problems, []);
    project.publish(&slug).await.unwrap();
    slug
}

fn start(engine: &Engine, slug: &WorkflowSlug) -> impl Future<Output = RunId> + Send + use<> {
    let (project, slug) = (engine.project(&ProjectId::default_project()), slug.clone());
    async move { project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run }
}

/// Lets pass twice the time in which the lease would have ended if it was not renewed.
async fn outlive_the_lease(store: &MemoryStore) {
    let renewals = || store.transactions().of(Operation::Renew) + store.transactions().of(Operation::Claim);
    let before = renewals();
    for _ in 0..40 {
        tokio::time::advance(EngineOptions::default().lease / 20).await;
        // What fell due is done in a few polls.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert!(renewals() >= before + 4, "{before} renewals before, {} after", renewals());
}

async fn finish(engine: &Engine, run: RunId) -> Vec<&'static str> {
    let project = engine.project(&ProjectId::default_project());
    let status = project.wait_for_end(run, Duration::from_secs(30)).await.unwrap();
    assert_eq!(status, RunStatus::Succeeded);
    let events = project.events(run, 0, 100).await.unwrap().events;
    events.iter().map(|event| event.data.kind()).collect()
}

#[tokio::test(start_paused = true)]
async fn long_decisions_at_intake_do_not_end_the_lease() {
    long_node!(LATCH, Long);
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let engine = engine(&store, clock, Long, true);
    let slug = publish(&engine, ["long", "http_call"]).await;
    LATCH.close();
    let runs: Vec<_> = (0..4).map(|_| tokio::spawn(start(&engine, &slug))).collect();
    LATCH.came(4).await;
    outlive_the_lease(&store).await;
    LATCH.open();
    for run in runs {
        assert!(!finish(&engine, run.await.unwrap()).await.contains(&"run_claimed"));
    }
}

#[tokio::test(start_paused = true)]
async fn long_decisions_after_effects_do_not_end_the_lease() {
    long_node!(LATCH, Long);
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let engine = engine(&store, clock, Long, true);
    let slug = publish(&engine, ["http_call", "long"]).await;
    LATCH.close();
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(start(&engine, &slug).await);
    }
    LATCH.came(4).await;
    outlive_the_lease(&store).await;
    assert_eq!(engine.held_runs(), 4);
    LATCH.open();
    for run in runs {
        assert!(!finish(&engine, run).await.contains(&"run_claimed"));
    }
}

#[tokio::test(start_paused = true)]
async fn long_replays_do_not_end_the_lease() {
    long_node!(LATCH, Long);
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let first = engine(&store, clock, Long, false);
    let slug = publish(&first, ["long", "http_call"]).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(start(&first, &slug).await);
    }
    LATCH.came(4).await;
    first.shutdown(Duration::ZERO).await;
    LATCH.close();
    let next = engine(&store, clock, Long, true);
    LATCH.came(4).await;
    outlive_the_lease(&store).await;
    assert_eq!(next.held_runs(), 4);
    LATCH.open();
    for run in runs {
        let kinds = finish(&next, run).await;
        assert_eq!(kinds.iter().filter(|kind| **kind == "run_claimed").count(), 1);
    }
}
