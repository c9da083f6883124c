//! An engine on the memory store whose effects are scripted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineBuilder, EngineOptions, Project, RunView, StartRequest};
use meshhook_core::event::Event;
use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::secret::{MasterKey, StaticKeys};
use meshhook_core::store::memory::{Fault, FaultPlan, Loss, MemoryStore, Operation};
use meshhook_core::testing::VirtualClock;
use serde_json::{Value, json};

type Script = Mutex<VecDeque<Result<Outcome, AttemptError>>>;

/// Answers attempts from a script, then with `{"ok": attempt number}`; keeps what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    pub(crate) script: Script,
    pub(crate) takes: Mutex<Duration>,
    pub(crate) seen: Mutex<Vec<(String, u32, String, Value)>>,
}

#[async_trait::async_trait]
impl Executor for Scripted {
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError> {
        let seen = (attempt.step.to_string(), attempt.number, attempt.idempotency_key, attempt.config);
        self.seen.lock().unwrap().push(seen);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let scripted = self.script.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| Ok(Outcome::out(json!({ "ok": attempt.number }))))
    }
}

/// Faults that the next operations of a kind meet, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<VecDeque<(Operation, Fault)>>);

impl Plan {
    pub(crate) fn store(self: &Arc<Self>, clock: VirtualClock) -> Arc<MemoryStore> {
        Arc::new(MemoryStore::new(Arc::new(clock)).with_faults(self.clone()))
    }

    pub(crate) fn push(&self, operation: Operation, fault: Fault) {
        self.0.lock().unwrap().push_back((operation, fault));
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Whether every fault was met.
    pub(crate) fn is_used_up(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    pub(crate) fn lose(&self, operation: Operation, loss: Loss) {
        self.push(operation, Fault { loss: Some(loss), ..Fault::default() });
    }

    /// Has the next operation of a kind answered after so long, and applied only then.
    pub(crate) fn delay(&self, operation: Operation, delay: Duration) {
        self.push(operation, Fault { delay_before: Some(delay), ..Fault::default() });
    }
}

impl FaultPlan for Plan {
    fn next(&self, operation: Operation) -> Fault {
        let mut planned = self.0.lock().unwrap();
        let place = planned.iter().position(|(kind, _)| *kind == operation);
        place.and_then(|place| planned.remove(place)).map(|(_, fault)| fault).unwrap_or_default()
    }
}

pub(crate) struct Kit {
    pub(crate) engine: Engine,
    pub(crate) project: Project,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) effects: Arc<Scripted>,
    pub(crate) clock: VirtualClock,
}

impl Kit {
    pub(crate) fn start() -> Self {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)));
        Self::on(store, clock)
    }

    /// On a store that a plan disturbs.
    pub(crate) fn disturbed(plan: &Arc<Plan>) -> Self {
        let clock = VirtualClock::new();
        Self::on(plan.store(clock), clock)
    }

    pub(crate) fn on(store: Arc<MemoryStore>, clock: VirtualClock) -> Self {
        Self::with(store, clock, EngineOptions::default())
    }

    pub(crate) fn with(store: Arc<MemoryStore>, clock: VirtualClock, options: EngineOptions) -> Self {
        Self::built(store, clock, |builder| builder.options(options))
    }

    /// With a master key, so that what was sent is kept.
    pub(crate) fn sealing(store: Arc<MemoryStore>, clock: VirtualClock, options: EngineOptions) -> Self {
        let keys = Arc::new(StaticKeys::new(MasterKey::from_bytes([7; 32])));
        Self::built(store, clock, |builder| builder.options(options).key_provider(keys))
    }

    fn built(
        store: Arc<MemoryStore>,
        clock: VirtualClock,
        configure: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Self {
        let effects = Arc::new(Scripted::default());
        let builder = Engine::builder(store.clone()).clock(Arc::new(clock)).http_call(effects.clone());
        let engine = configure(builder).start().unwrap();
        let project = engine.project(&ProjectId::default_project());
        Self { engine, project, store, effects, clock }
    }

    pub(crate) async fn publish(&self, slug: &str, definition: Value) -> WorkflowSlug {
        let slug = WorkflowSlug::new(slug).unwrap();
        let saved = self.project.create_workflow(&slug, definition).await.unwrap();
        assert_eq!(saved.problems, [], "the definition has problems");
        self.project.publish(&slug).await.unwrap();
        slug
    }

    pub(crate) async fn start_run(&self, slug: &WorkflowSlug, input: Value) -> RunId {
        self.project.start_run(slug, StartRequest::new(input)).await.unwrap().run
    }

    /// Runs to the end, and proves the history.
    pub(crate) async fn finish(&self, run: RunId) -> RunView {
        let status = self.project.wait_for_end(run, Duration::from_secs(86_400 * 400)).await.unwrap();
        let view = self.project.run(run).await.unwrap();
        assert_eq!(view.status, status);
        assert!(status.is_terminal(), "the run did not end: {view:#?}");
        let verdict = self.project.verify(run).await.unwrap();
        assert!(verdict.divergence.is_none(), "{verdict:?}");
        view
    }

    pub(crate) async fn run(&self, slug: &WorkflowSlug, input: Value) -> RunView {
        let run = self.start_run(slug, input).await;
        self.finish(run).await
    }

    pub(crate) async fn events(&self, run: RunId) -> Vec<Event> {
        self.project.events(run, 0, 10_000).await.unwrap().events
    }

    pub(crate) async fn kinds(&self, run: RunId) -> Vec<String> {
        let name = |event: &Event| match &event.step {
            Some(step) => format!("{step} {}", event.data.kind()),
            None => event.data.kind().to_owned(),
        };
        self.events(run).await.iter().map(name).collect()
    }
}
