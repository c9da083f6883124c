//! Testing one workflow: the real engine in memory, in virtual time, with scripted side effects.
//!
//! ```
//! use meshhook_core::event::RunStatus;
//! use meshhook_core::testing::{Reply, WorkflowTest};
//! use serde_json::json;
//!
//! let definition = json!({
//!     "name": "Greet later",
//!     "nodes": [
//!         { "id": "pause", "type": "delay", "config": { "for": "2d" } },
//!         { "id": "post", "type": "http_call",
//!           "config": { "method": "POST", "url": "https://example.com/", "body": "{{ input.name }}" } },
//!     ],
//!     "edges": [{ "from": "pause", "to": "post" }],
//! });
//! let run = WorkflowTest::new(definition)
//!     .reply("post", Reply::retryable("http_status", "status 503"))
//!     .reply("post", Reply::output(json!({ "status": 200, "headers": {}, "body": "hello" })))
//!     .run(json!({ "name": "Ada" }));
//!
//! assert_eq!(run.status, RunStatus::Succeeded);
//! assert_eq!(run.calls_of("post").len(), 2);
//! assert_eq!(run.calls[0].config["body"], "Ada");
//! assert!(run.took.as_secs() >= 2 * 86_400);
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Gate, VirtualClock};
use crate::engine::{
    Engine, EngineBuilder, EngineError, EngineOptions, Project, RunView, StartRequest, StepView,
};
use crate::event::{Event, RunStatus};
use crate::exec::{Attempt, AttemptError, Executor, Outcome};
use crate::failure::{Failure, code};
use crate::id::{ProjectId, RunId, WorkflowSlug};
use crate::secret::{MasterKey, SecretName, SecretValue, StaticKeys};
use crate::store::memory::MemoryStore;

/// Runs a workflow as a service would, without a service.
///
/// Side effects are not performed: each attempt of a node takes the next [`Reply`] that was given for it, and the last
/// one again when there are no more. A node without replies succeeds with `null`, unless the test is
/// [strict](WorkflowTest::strict).
#[must_use = "a test does nothing before `run`"]
pub struct WorkflowTest {
    definition: Value,
    replies: BTreeMap<String, VecDeque<Reply>>,
    secrets: Vec<(SecretName, SecretValue)>,
    events: Vec<(Duration, String, Option<String>, Value)>,
    crashes: Vec<u64>,
    strict: bool,
    configure: Vec<Box<dyn Fn(EngineBuilder) -> EngineBuilder + Send>>,
}

impl std::fmt::Debug for WorkflowTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkflowTest").field("replies", &self.replies).finish_non_exhaustive()
    }
}

/// How one attempt ends, and after how long.
#[derive(Debug, Clone)]
pub struct Reply {
    result: Result<Outcome, AttemptError>,
    takes: Duration,
}

impl Reply {
    /// Succeeds with an output, by the port `out`.
    #[must_use]
    pub fn output(output: Value) -> Self {
        Self { result: Ok(Outcome::out(output)), takes: Duration::ZERO }
    }

    /// Fails; another attempt may succeed.
    #[must_use]
    pub fn retryable(code: &'static str, message: &str) -> Self {
        Self { result: Err(Failure::retryable(code, message).into()), takes: Duration::ZERO }
    }

    /// Fails for good.
    #[must_use]
    pub fn permanent(code: &'static str, message: &str) -> Self {
        Self { result: Err(Failure::permanent(code, message).into()), takes: Duration::ZERO }
    }

    /// Ends only after this long, in virtual time.
    #[must_use]
    pub fn after(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }
}

/// What became of a tested run.
#[derive(Debug)]
#[non_exhaustive]
pub struct TestedRun {
    /// Where it stands: ended, or waiting for something that will not come.
    pub status: RunStatus,
    /// Its output, if it succeeded.
    pub output: Option<Arc<Value>>,
    /// The failure and the step that failed it, if it failed.
    pub error: Option<Value>,
    /// Its steps by key.
    pub steps: Vec<StepView>,
    /// Its history.
    pub events: Vec<Event>,
    /// The attempts that were started, in order.
    pub calls: Vec<Call>,
    /// How long it took, in virtual time.
    pub took: Duration,
    nodes: BTreeSet<String>,
}

/// One attempt that was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Call {
    /// The step.
    pub step: String,
    /// The node.
    pub node: String,
    /// The attempt's number.
    pub attempt: u32,
    /// What every attempt of the step carries.
    pub idempotency_key: String,
    /// The node's config with its templates rendered, secrets included.
    pub config: Value,
}

impl TestedRun {
    /// The attempts of a node.
    ///
    /// # Panics
    ///
    /// When the definition has no such node.
    #[must_use]
    #[track_caller]
    pub fn calls_of(&self, node: &str) -> Vec<&Call> {
        assert!(self.nodes.contains(node), "there is no node {node:?}; nodes are {:?}", self.nodes);
        self.calls.iter().filter(|call| call.node == node).collect()
    }

    /// A step by its key.
    #[must_use]
    pub fn step(&self, key: &str) -> Option<&StepView> {
        self.steps.iter().find(|step| step.step.as_str() == key)
    }
}

/// How long a test run may take in virtual time before it counts as stuck: 400 days.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

impl WorkflowTest {
    /// Tests a definition.
    pub fn new(definition: Value) -> Self {
        let replies = BTreeMap::new();
        Self {
            definition,
            replies,
            secrets: Vec::new(),
            events: Vec::new(),
            crashes: Vec::new(),
            strict: false,
            configure: Vec::new(),
        }
    }

    /// Gives the next reply for a node, in whatever iteration it runs.
    pub fn reply(mut self, node: &str, reply: Reply) -> Self {
        self.replies.entry(node.to_owned()).or_default().push_back(reply);
        self
    }

    /// Puts a secret into the vault.
    ///
    /// # Panics
    ///
    /// When the name is not one of a secret.
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        let name = SecretName::new(name).expect("the name of a secret");
        self.secrets.push((name, SecretValue::new(value.to_owned())));
        self
    }

    /// Sends an external event this long after the start.
    pub fn event(mut self, after: Duration, name: &str, key: Option<&str>, payload: Value) -> Self {
        self.events.push((after, name.to_owned(), key.map(str::to_owned), payload));
        self
    }

    /// Kills the process at the `polls`-th time that one of its tasks goes on, and starts another one on the same
    /// store. Each call is one more crash, counted from the start before it.
    pub fn crash_after(mut self, polls: u64) -> Self {
        self.crashes.push(polls);
        self
    }

    /// Demands a reply for every node whose side effect is started: [`run`](Self::run) panics where there is none.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Configures the engine: custom node types, options, limits.
    pub fn configure(mut self, configure: impl Fn(EngineBuilder) -> EngineBuilder + Send + 'static) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Runs the workflow with this input until it has ended, or waits for something that will not come.
    ///
    /// The history is verified on the way.
    ///
    /// # Panics
    ///
    /// When the definition has problems, a reply is for a node that it does not have, a node of a
    /// [strict](Self::strict) test lacks one, or the history is not what the rules give.
    #[track_caller]
    pub fn run(self, input: Value) -> TestedRun {
        let nodes = node_ids(&self.definition);
        for node in self.replies.keys() {
            assert!(nodes.contains(node), "a reply is for the node {node:?}; nodes are {nodes:?}");
        }
        // A thread of its own, so that tests may be async or not.
        let thread = std::thread::Builder::new().name("workflow test".into()).spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.expect("a runtime without I/O can always be built").block_on(self.play(input, nodes))
        });
        match thread.expect("a thread can be spawned").join() {
            Ok(Ok(run)) => run,
            // Said here, so that it points at the test and not at this thread.
            Ok(Err(mistake)) => panic!("{mistake}"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Looks for due runs as seldom as the test allows: virtual years would otherwise be spent on polls.
    fn options(&self) -> EngineOptions {
        let mut options = EngineOptions { quarantine_after: u32::MAX, ..EngineOptions::default() };
        if self.crashes.is_empty() {
            options.lease = LONGEST;
            options.poll = LONGEST;
        }
        options
    }

    async fn play(self, input: Value, nodes: BTreeSet<String>) -> Result<TestedRun, String> {
        let clock = VirtualClock::new();
        let store = Arc::new(MemoryStore::new(Arc::new(clock)));
        let effects =
            Arc::new(Scripted { replies: Mutex::new(self.replies.clone()), calls: Mutex::default() });
        let executor: Arc<dyn Executor> = effects.clone();
        let start = |gate: &Arc<Gate>| {
            let keys = StaticKeys::new(MasterKey::from_bytes([7; 32]));
            let builder = Engine::builder(store.clone())
                .clock(Arc::new(clock))
                .key_provider(Arc::new(keys))
                .options(self.options())
                .gate(gate.clone())
                .http_call(effects.clone());
            let configured = self.configure.iter().fold(builder, |builder, configure| configure(builder));
            configured.replace_executors(&executor).start().expect("the engine starts")
        };
        let setup = start(&Gate::new());
        let slug = WorkflowSlug::new("test").expect("a valid slug");
        let project = setup.project(&ProjectId::default_project());
        for (name, value) in &self.secrets {
            project.set_secret(name, value).await.expect("a secret can be set");
        }
        project.create_workflow(&slug, self.definition.clone()).await.expect("the definition is an object");
        match project.publish(&slug).await {
            Ok(_) => {}
            Err(EngineError::InvalidDefinition { problems }) => {
                return Err(format!("the definition has problems: {problems:#?}"));
            }
            Err(error) => panic!("the definition was not published: {error}"),
        }
        let started_at = tokio::time::Instant::now();
        let run = project.start_run(&slug, StartRequest::new(input)).await.expect("the run starts").run;
        let mut project = project;
        let mut engine = setup;
        if !self.crashes.is_empty() {
            engine.shutdown(Duration::ZERO).await;
            for polls in &self.crashes {
                let gate = Gate::new();
                gate.crash_after(*polls);
                let mortal = start(&gate);
                wait(&mortal.project(&ProjectId::default_project()), run, &gate).await;
            }
            engine = start(&Gate::new());
            project = engine.project(&ProjectId::default_project());
        }
        for (after, name, key, payload) in &self.events {
            tokio::time::sleep_until(started_at + *after).await;
            // A run that ended before takes no events, and a test may want just that.
            let _ = project.send_event(run, name, key.clone(), payload.clone()).await;
        }
        project.wait_for_end(run, LONGEST).await.expect("the run is there");
        let view = project.run(run).await.expect("the run is readable");
        let verdict = project.verify(run).await.expect("the run is readable");
        assert!(verdict.divergence.is_none(), "the history is not what the rules give: {verdict:?}");
        let RunView { status, output, error, steps, finished_at, created_at, .. } = view;
        let events = project.events(run, 0, usize::MAX - 1).await.expect("the run is readable").events;
        let took = finished_at.map_or_else(|| started_at.elapsed(), |at| at.since(created_at));
        engine.shutdown(Duration::ZERO).await;
        let calls = effects.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(call) = calls.iter().find(|call| self.strict && !self.replies.contains_key(&call.node)) {
            return Err(format!(
                "no reply is given for the node {:?}, whose side effect was started",
                call.node
            ));
        }
        Ok(TestedRun { status, output, error, steps, events, calls, took, nodes })
    }
}

/// The ids of a definition's nodes, those of bodies included.
fn node_ids(definition: &Value) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    let mut graphs = vec![definition];
    while let Some(graph) = graphs.pop() {
        for node in graph["nodes"].as_array().into_iter().flatten() {
            ids.extend(node["id"].as_str().map(str::to_owned));
            graphs.push(&node["config"]["body"]);
        }
    }
    ids
}

/// Waits until a run has ended or the process was killed.
async fn wait(project: &Project, run: RunId, gate: &Gate) {
    while !gate.has_crashed() {
        let ended = project.wait_for_end(run, Duration::from_secs(1)).await;
        if ended.is_ok_and(RunStatus::is_terminal) {
            return;
        }
    }
}

/// Answers every attempt as it was told.
struct Scripted {
    replies: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    calls: Mutex<Vec<Call>>,
}

#[async_trait]
impl Executor for Scripted {
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError> {
        let node = attempt.step.node().to_owned();
        let reply = {
            let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
            match replies.get_mut(&node) {
                Some(replies) if replies.len() > 1 => replies.pop_front(),
                Some(replies) => replies.front().cloned(),
                None => None,
            }
        };
        let call = Call {
            step: attempt.step.to_string(),
            node,
            attempt: attempt.number,
            idempotency_key: attempt.idempotency_key,
            config: attempt.config,
        };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        let Reply { result, takes } = reply.unwrap_or_else(|| Reply::output(Value::Null));
        tokio::select! {
            biased;
            () = attempt.cancelled.cancelled() => Err(Failure::retryable(code::CANCELLED, "the attempt was abandoned").into()),
            () = tokio::time::sleep(takes) => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one_call() -> Value {
        let config = json!({ "method": "GET", "url": "https://example.com/" });
        json!({ "name": "one", "nodes": [{ "id": "call", "type": "http_call", "config": config }] })
    }

    #[test]
    #[should_panic(expected = "a reply is for the node \"caal\"; nodes are {\"call\"}")]
    fn a_reply_for_no_node_is_a_mistake() {
        WorkflowTest::new(one_call()).reply("caal", Reply::output(json!(1))).run(json!(null));
    }

    #[test]
    #[should_panic(expected = "no reply is given for the node \"call\"")]
    fn a_strict_test_wants_a_reply_for_every_side_effect() {
        WorkflowTest::new(one_call()).strict().run(json!(null));
    }

    #[test]
    fn a_strict_test_is_content_with_one_reply_for_each_node() {
        let run =
            WorkflowTest::new(one_call()).strict().reply("call", Reply::output(json!(1))).run(json!(null));
        assert_eq!(run.status, RunStatus::Succeeded);
    }

    #[test]
    #[should_panic(expected = "there is no node \"xyz\"; nodes are {\"call\"}")]
    fn calls_of_no_node_are_a_mistake() {
        let _ = WorkflowTest::new(one_call()).run(json!(null)).calls_of("xyz");
    }

    #[test]
    fn nodes_of_bodies_are_nodes() {
        let body = json!({ "nodes": [{ "id": "inner" }] });
        let ids = node_ids(&json!({ "nodes": [{ "id": "each", "config": { "body": body } }] }));
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["each", "inner"]);
    }
}
