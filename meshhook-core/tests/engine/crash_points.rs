//! A process that dies at any of its awaits: each in turn, none left out.
//!
//! All that an engine does between two awaits happens or does not, as far as anybody outside can tell. Every operation of
//! the store here takes a moment before it is applied and another until it is answered, so that among the awaits are all
//! instants at which a process can die: before a commit, between a commit and its answer, before an effect, between an
//! effect and the commit of its result. The process under test is killed at the first of them, then at the second, until
//! it comes through; somebody else goes on, started afterwards or there all along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineError, EngineOptions, Project, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::store::RunFilter;
use meshhook_core::store::memory::{Fault, FaultPlan, MemoryStore, Operation};
use meshhook_core::testing::{Gate, VirtualClock};
use serde_json::{Value, json};

use crate::kit::Scripted;

/// Every operation takes a moment before it is applied, and one until it is answered.
struct Slow;

impl FaultPlan for Slow {
    fn next(&self, _: Operation) -> Fault {
        let moment = Some(Duration::from_millis(1));
        Fault { delay_before: moment, delay_after: moment, loss: None }
    }
}

/// Who goes on when the process has died.
#[derive(Debug, Clone, Copy)]
enum Survivor {
    StartedAfterwards,
    ThereAllAlong,
}

/// What one life came to.
struct Life {
    /// How often its tasks were polled until the run had ended.
    polls: u64,
    died: bool,
}

fn definition() -> Value {
    let call = |id: &str| json!({ "id": id, "type": "http_call", "config": { "method": "POST", "url": "https://example.com/" } });
    let pause = json!({ "id": "pause", "type": "delay", "config": { "for": "3s" } });
    let go = json!({ "id": "go", "type": "wait", "config": { "event": "go" } });
    let edge = |from: &str, to: &str| json!({ "from": from, "to": to });
    json!({
        "name": "Crash", "nodes": [call("first"), pause, go, call("last")],
        "edges": [edge("first", "pause"), edge("pause", "go"), edge("go", "last")],
    })
}

struct World {
    clock: VirtualClock,
    store: Arc<MemoryStore>,
    effects: Arc<Scripted>,
    slug: WorkflowSlug,
}

impl World {
    fn engine(&self, gate: &Arc<Gate>, works: bool) -> Engine {
        let mut options = EngineOptions::default();
        options.works = works;
        let builder = Engine::builder(self.store.clone()).clock(Arc::new(self.clock)).gate(gate.clone());
        builder.options(options).http_call(self.effects.clone()).start().unwrap()
    }

    async fn new() -> Self {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)).with_faults(Arc::new(Slow)));
        let effects = Arc::new(Scripted::default());
        *effects.takes.lock().unwrap() = Duration::from_millis(5);
        let world = Self { clock, store, effects, slug: WorkflowSlug::new("crash").unwrap() };
        let engine = world.engine(&Gate::new(), false);
        let project = engine.project(&ProjectId::default_project());
        project.create_workflow(&world.slug, definition()).await.unwrap();
        project.publish(&world.slug).await.unwrap();
        engine.shutdown(Duration::ZERO).await;
        world
    }
}

/// A process that is to die, and who goes on then.
struct Two {
    gate: Arc<Gate>,
    doomed: Engine,
    survivor: tokio::sync::OnceCell<Engine>,
}

impl Two {
    /// Asks the one until it has died, then the other.
    async fn ask<T>(
        &self,
        world: &World,
        call: impl AsyncFn(Project) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let project = |engine: &Engine| engine.project(&ProjectId::default_project());
        if !self.gate.has_crashed() {
            tokio::select! {
                biased;
                () = self.gate.crashed() => {}
                answer = call(project(&self.doomed)) => return answer,
            }
        }
        let survivor = self.survivor.get_or_init(async || world.engine(&Gate::new(), true)).await;
        call(project(survivor)).await
    }
}

/// Kills a process at its `poll`-th poll, and has somebody else go on.
async fn live(poll: u64, survivor: Survivor) -> Life {
    let world = World::new().await;
    let there = match survivor {
        Survivor::ThereAllAlong => Some(world.engine(&Gate::new(), true)),
        Survivor::StartedAfterwards => None,
    };
    let gate = Gate::new();
    gate.crash_after(poll);
    let two = Two {
        gate: gate.clone(),
        doomed: world.engine(&gate, true),
        survivor: tokio::sync::OnceCell::new_with(there),
    };
    let request = StartRequest::new(json!(1)).idempotency_key("once");
    let started = two.ask(&world, async |project| project.start_run(&world.slug, request.clone()).await);
    let run = started.await.unwrap().run;
    let sent = two.ask(&world, async |project| project.send_event(run, "go", None, json!({ "n": 1 })).await);
    match sent.await {
        // The first of two had arrived, and was enough.
        Err(EngineError::InvalidState { .. }) if gate.has_crashed() => {}
        sent => sent.unwrap(),
    }
    let ending = two.ask(&world, async |project| project.wait_for_end(run, Duration::from_secs(300)).await);
    assert_eq!(ending.await.unwrap(), RunStatus::Succeeded, "killed at poll {poll}, {survivor:?}");
    let life = Life { polls: gate.polls(), died: gate.has_crashed() };
    check(&world, run, &format!("killed at poll {poll}, {survivor:?}")).await;
    life
}

/// Holds what is left against what was promised.
async fn check(world: &World, run: RunId, case: &str) {
    let engine = world.engine(&Gate::new(), false);
    let project = engine.project(&ProjectId::default_project());
    let runs = project.runs(RunFilter::default()).await.unwrap().items;
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [run], "{case}");
    assert!(project.verify(run).await.unwrap().divergence.is_none(), "{case}");
    let events = project.events(run, 0, 1_000).await.unwrap().events;
    let mut succeeded: BTreeMap<String, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.data.kind() == "step_succeeded") {
        *succeeded.entry(event.step.as_ref().unwrap().to_string()).or_default() += 1;
    }
    let once = ["first", "go", "last", "pause"].map(|step| (step.to_owned(), 1)).into();
    assert_eq!(succeeded, once, "{case}: {events:?}");
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (step, _, key, _) in &*world.effects.seen.lock().unwrap() {
        keys.entry(step.clone()).or_default().push(key.clone());
    }
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["first", "last"], "{case}");
    for (step, mut keys) in keys {
        // Who died in the middle of an effect, or before its result was kept, made it once more.
        assert!(keys.len() <= 2, "{case}: {step} was made {} times", keys.len());
        keys.dedup();
        assert_eq!(keys.len(), 1, "{case}: {step} had more than one key");
    }
}

async fn each_in_turn(survivor: Survivor) {
    let whole = live(u64::MAX / 2, survivor).await;
    assert!(!whole.died && whole.polls > 20, "{} polls", whole.polls);
    let mut poll = 0;
    loop {
        poll += 1;
        if !live(poll, survivor).await.died {
            break;
        }
    }
    // The run came through because it had ended by then.
    assert!(poll > whole.polls / 2, "{poll} polls of {}", whole.polls);
}

#[tokio::test(start_paused = true)]
async fn a_process_may_die_at_any_await_and_another_is_started() {
    each_in_turn(Survivor::StartedAfterwards).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_may_die_at_any_await_beside_another() {
    each_in_turn(Survivor::ThereAllAlong).await;
}
