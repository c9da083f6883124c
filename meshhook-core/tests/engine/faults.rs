//! What the engine does when the store or its workers fail, one fault at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::engine::{Engine, EngineError, EngineOptions, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::store::memory::{Fault, FaultPlan, Loss, MemoryStore, Operation};
use meshhook_core::store::{Ledger as _, RunFilter};
use meshhook_core::testing::{Gate, VirtualClock};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::kit::{Kit, Plan, Scripted};

pub(crate) fn effect() -> Value {
    let config = json!({ "method": "POST", "url": "https://example.com/" });
    json!({ "name": "Effect", "nodes": [{ "id": "call", "type": "http_call", "config": config, "timeout": "1h" }] })
}

/// How a run ends that must do so soon.
async fn end_of(kit: &Kit, run: RunId) -> RunStatus {
    let ended = tokio::time::timeout(Duration::from_secs(120), kit.finish(run)).await;
    ended.expect("the run ends").status
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_reply_was_lost_is_found_again() {
    for loss in [Loss::ReplyLost, Loss::RequestLost] {
        let plan = Arc::new(Plan::default());
        let kit = Kit::disturbed(&plan);
        let slug = kit.publish("effect", effect()).await;
        plan.lose(Operation::Commit, loss);
        let run = kit.start_run(&slug, json!(1)).await;
        plan.lose(Operation::Commit, loss);
        assert_eq!(end_of(&kit, run).await, RunStatus::Succeeded);
        assert_eq!(
            kit.kinds(run).await,
            ["run_created", "call step_started", "call step_succeeded", "run_succeeded"],
            "{loss:?}"
        );
        assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_start_could_not_be_told_is_given_back() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let slug = kit.publish("effect", effect()).await;
    plan.lose(Operation::Commit, Loss::ReplyLost);
    for _ in 0..20 {
        plan.lose(Operation::Commit, Loss::Unavailable);
    }
    let refused = kit.project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert_eq!(kit.project.runs(RunFilter::default()).await.unwrap().items.len(), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    // The worker lives and renews its lease, so that nobody else would ever take the run.
    let runs = kit.project.runs(RunFilter::default()).await.unwrap().items;
    assert_eq!(end_of(&kit, runs[0].id).await, RunStatus::Succeeded);
    assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_can_look_up_is_said_to_be_unknown_within_seconds() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let slug = kit.publish("effect", effect()).await;
    plan.lose(Operation::Commit, Loss::ReplyLost);
    for _ in 0..40 {
        plan.lose(Operation::Commit, Loss::Unavailable);
    }
    let began = Instant::now();
    let unknown = kit.project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap_err();
    assert!(matches!(&unknown, EngineError::Store(error) if error.is_outcome_unknown()), "{unknown:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_claimed_while_the_store_has_no_room() {
    const RUNS: usize = 300;
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let nodes = json!([{ "id": "pause", "type": "delay", "config": { "for": "1m" } }]);
    let slug = kit.publish("timer", json!({ "name": "Timer", "nodes": nodes })).await;
    let mut runs = Vec::new();
    for number in 0..RUNS {
        runs.push(kit.start_run(&slug, json!(number)).await);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // They come due over nine seconds, and the store has no room for three minutes.
    for _ in 0..100_000 {
        plan.push(Operation::Commit, Fault { loss: Some(Loss::Full), ..Fault::default() });
    }
    tokio::time::sleep(Duration::from_secs(180)).await;
    let held = kit.engine.held_runs();
    assert!(held > 0 && held < 30, "{held} runs are held that cannot go on");
    kit.engine.check_ready().await.unwrap();
    plan.clear();
    for run in runs {
        assert_eq!(end_of(&kit, run).await, RunStatus::Succeeded);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_before_the_first_lease() {
    let plan = Arc::new(Plan::default());
    let late = || Fault { delay_before: Some(Duration::from_secs(3)), ..Fault::default() };
    plan.push(Operation::Renew, late());
    plan.push(Operation::Claim, late());
    let began = Instant::now();
    let kit = Kit::disturbed(&plan);
    let slug = kit.publish("effect", effect()).await;
    kit.start_run(&slug, json!(1)).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "started after {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_two_workers_died_with_waits_for_one_that_has_lived() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let suspect_after = EngineOptions::default().suspect_after;
    let mut started = None;
    for _ in 0..2 {
        let (gate, effects) = (Gate::new(), Arc::new(Scripted::default()));
        *effects.takes.lock().unwrap() = Duration::from_secs(3_000);
        let builder = Engine::builder(store.clone()).clock(Arc::new(clock)).gate(gate.clone());
        let engine = builder.http_call(effects.clone()).start().unwrap();
        if started.is_none() {
            let project = engine.project(&ProjectId::default_project());
            let slug = WorkflowSlug::new("effect").unwrap();
            project.create_workflow(&slug, effect()).await.unwrap();
            project.publish(&slug).await.unwrap();
            started = Some(project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(effects.seen.lock().unwrap().len(), 1);
        gate.crash();
    }
    // The second worker's lease ends.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (born, kit) = (Instant::now(), Kit::on(store, clock));
    tokio::time::sleep(suspect_after - Duration::from_secs(1)).await;
    assert!(kit.effects.seen.lock().unwrap().is_empty(), "a young worker took a suspect");
    assert_eq!(end_of(&kit, started.unwrap()).await, RunStatus::Succeeded);
    assert!(born.elapsed() < suspect_after + Duration::from_secs(10), "{:?}", born.elapsed());
}

#[tokio::test(start_paused = true)]
async fn many_runs_that_two_workers_died_with_go_on_one_after_the_other_without_a_pause() {
    const RUNS: u64 = 50;
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let suspect_after = EngineOptions::default().suspect_after;
    let mut started = Vec::new();
    for _ in 0..2 {
        let (gate, effects) = (Gate::new(), Arc::new(Scripted::default()));
        *effects.takes.lock().unwrap() = Duration::from_secs(3_000);
        let builder = Engine::builder(store.clone()).clock(Arc::new(clock)).gate(gate.clone());
        let engine = builder.http_call(effects.clone()).start().unwrap();
        if started.is_empty() {
            let project = engine.project(&ProjectId::default_project());
            let slug = WorkflowSlug::new("effect").unwrap();
            project.create_workflow(&slug, effect()).await.unwrap();
            project.publish(&slug).await.unwrap();
            for n in 0..RUNS {
                started.push(project.start_run(&slug, StartRequest::new(json!(n))).await.unwrap().run);
            }
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(effects.seen.lock().unwrap().len() as u64, RUNS);
        gate.crash();
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (born, kit) = (Instant::now(), Kit::on(store, clock));
    for run in started {
        assert_eq!(end_of(&kit, run).await, RunStatus::Succeeded);
    }
    assert!(born.elapsed() < suspect_after + Duration::from_secs(10), "{:?}", born.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_found_also_when_nothing_is_taken_in() {
    let plan = Arc::new(Plan::default());
    let clock = VirtualClock::new();
    let mut options = EngineOptions::default();
    (options.max_queue, options.max_batch) = (1, 1);
    let kit = Kit::with(plan.store(clock), clock, options);
    let slug = kit.publish("effect", effect()).await;
    let start = |key: &str, input: Value| {
        let (project, slug) = (kit.project.clone(), slug.clone());
        let request = StartRequest::new(input).idempotency_key(key);
        async move { project.start_run(&slug, request).await }
    };
    let first = start("first", json!(1)).await.unwrap();
    end_of(&kit, first.run).await;
    // One commit is in flight, another fills the queue.
    plan.push(Operation::Commit, Fault { delay_before: Some(Duration::from_secs(60)), ..Fault::default() });
    let mut waiting = Vec::new();
    for key in ["second", "third"] {
        waiting.push(tokio::spawn(start(key, json!(1))));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let refused = start("fourth", json!(1)).await;
    assert!(matches!(refused, Err(EngineError::Overloaded)), "{refused:?}");
    let again = start("first", json!(1)).await.unwrap();
    assert_eq!((again.run, again.duplicate), (first.run, true));
    let other = start("first", json!(2)).await;
    assert!(matches!(other, Err(EngineError::KeyReused { run }) if run == first.run), "{other:?}");
    for waiting in waiting {
        assert!(!waiting.await.unwrap().unwrap().duplicate);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_advance_was_taken_for_stale_is_given_back() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let mut definition = effect();
    let mut after = definition["nodes"][0].clone();
    after["id"] = json!("after");
    definition["nodes"].as_array_mut().unwrap().push(after);
    definition["edges"] = json!([{ "from": "call", "to": "after" }]);
    let slug = kit.publish("two", definition).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1);
    let run = kit.start_run(&slug, json!(1)).await;
    // The first result is committed, but its reply is lost and no look-up gets through. When the commit is tried again,
    // the history has gone on: by what this worker wrote itself.
    plan.lose(Operation::Commit, Loss::ReplyLost);
    for _ in 0..1_000 {
        plan.lose(Operation::Read, Loss::Unavailable);
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    plan.clear();
    // The worker lives and renews its lease, so that nobody else would ever take the run.
    assert_eq!(end_of(&kit, run).await, RunStatus::Succeeded);
    assert_eq!(kit.effects.seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_project_whose_making_was_not_answered_is_found_to_be_made() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let (acme, beta) = (ProjectId::new("acme").unwrap(), ProjectId::new("beta").unwrap());
    plan.lose(Operation::ProjectWrite, Loss::ReplyLost);
    let made = kit.engine.create_project(&acme, Some("Acme".into())).await.unwrap();
    assert_eq!(made.name.as_deref(), Some("Acme"));
    plan.lose(Operation::ProjectWrite, Loss::RequestLost);
    let error = kit.engine.create_project(&beta, None).await.unwrap_err();
    assert!(matches!(error, EngineError::Store(_)), "{error:?}");
    plan.lose(Operation::ProjectWrite, Loss::ReplyLost);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = kit.engine.create_project(&acme, None).await.unwrap_err();
    assert!(matches!(error, EngineError::ProjectTaken), "{error:?}");
}

/// A clock that panics once when it is asked after an attempt: within the decision about its result.
#[derive(Debug)]
struct Trap {
    clock: VirtualClock,
    is_set: AtomicBool,
}

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        assert!(!self.is_set.swap(false, Ordering::SeqCst), "the trap");
        self.clock.now()
    }
}

struct SetsTrap(Arc<Trap>, AtomicU32);

#[async_trait::async_trait]
impl Executor for SetsTrap {
    async fn execute(&self, _: Attempt) -> Result<Outcome, AttemptError> {
        tokio::time::sleep(Duration::from_millis(1_234)).await;
        self.0.is_set.store(self.1.fetch_add(1, Ordering::SeqCst) == 0, Ordering::SeqCst);
        Ok(Outcome::out(json!(1)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_decision_panics_is_set_aside_and_tried_again() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let trap = Arc::new(Trap { clock, is_set: AtomicBool::new(false) });
    let effects = Arc::new(SetsTrap(trap.clone(), AtomicU32::new(0)));
    let engine = Engine::builder(store.clone()).clock(trap).http_call(effects.clone()).start().unwrap();
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("effect").unwrap();
    project.create_workflow(&slug, effect()).await.unwrap();
    project.publish(&slug).await.unwrap();
    let run = project.start_run(&slug, StartRequest::new(json!(1))).await.unwrap().run;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(effects.1.load(Ordering::SeqCst), 1, "the run is left alone for a while");
    assert_eq!((engine.held_runs(), store.held(engine.worker()).await.unwrap()), (0, vec![]));
    engine.check_ready().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(project.run(run).await.unwrap().status, RunStatus::Succeeded);
    assert_eq!(effects.1.load(Ordering::SeqCst), 2);
}

/// A clock that panics once after the store was read: within the first decision about what was claimed.
#[derive(Debug)]
struct TrapAfterRead {
    clock: VirtualClock,
    arms: AtomicBool,
    is_set: AtomicBool,
}

impl Clock for TrapAfterRead {
    fn now(&self) -> Timestamp {
        assert!(!self.is_set.swap(false, Ordering::SeqCst), "the trap");
        self.clock.now()
    }
}

impl FaultPlan for TrapAfterRead {
    fn next(&self, operation: Operation) -> Fault {
        if operation == Operation::Read && self.arms.swap(false, Ordering::SeqCst) {
            self.is_set.store(true, Ordering::SeqCst);
        }
        Fault::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_loading_panics_is_set_aside_and_tried_again() {
    let clock = VirtualClock::new();
    let trap =
        Arc::new(TrapAfterRead { clock, arms: AtomicBool::new(false), is_set: AtomicBool::new(false) });
    let store = Arc::new(MemoryStore::new(Arc::new(clock)).with_faults(trap.clone()));
    let first = Kit::on(store.clone(), clock);
    let slug = first.publish("effect", effect()).await;
    *first.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
    let run = first.start_run(&slug, json!(1)).await;
    first.engine.shutdown(Duration::ZERO).await;

    trap.arms.store(true, Ordering::SeqCst);
    let effects = Arc::new(Scripted::default());
    let engine =
        Engine::builder(store.clone()).clock(trap.clone()).http_call(effects.clone()).start().unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!trap.arms.load(Ordering::SeqCst) && effects.seen.lock().unwrap().is_empty());
    assert_eq!((engine.held_runs(), store.held(engine.worker()).await.unwrap()), (0, vec![]));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let project = engine.project(&ProjectId::default_project());
    assert_eq!(project.run(run).await.unwrap().status, RunStatus::Succeeded);
    assert_eq!(effects.seen.lock().unwrap().len(), 1);
}
