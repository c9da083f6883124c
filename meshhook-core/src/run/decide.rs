//! Deciding: what follows from a fact.
//!
//! ```text
//!   fact ──► recorded ──► agenda: resolve edges ─► start ready steps ─► … ──► nothing left to decide
//!                          ▲                                │
//!                          └── pure steps end at once ◄─────┘
//! ```
//!
//! Deciding goes on in memory until all that is left to do is to wait for effects, times or events. Everything decided
//! from one fact carries one time and is committed together. The agenda is a queue, not recursion, so that long chains
//! of pure or skipped nodes cost no stack; it stands still while the run is paused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::context::{Context, env, seed};
use super::fact::{Fact, Refusal};
use super::meta::RunMeta;
use super::state::{RunEnd, RunState, Scope, Stage, Step, Todo, Work, locate};
use crate::definition::{Graph, Join, NodeIndex, ValidDefinition};
use crate::event::{Event, EventData, RunCreated, RunStatus, TimerPurpose};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::json;
use crate::node::{self, Evaluated, NodeKind, TerminateStatus, Termination, port};
use crate::policy::{EffectPolicy, retry_random};
use crate::time::Timestamp;

/// The longest that a `Retry-After` can put the next attempt off.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// The most bytes that a step's output may have as canonical JSON.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// How deep a step's output may nest.
pub const MAX_OUTPUT_DEPTH: usize = 128;
/// The most bytes of outputs and inputs that deciding puts into a history; it stops there.
pub const MAX_HISTORY_BYTES: u64 = 64 << 20;
/// The most events that a history may have; deciding stops there.
pub const MAX_HISTORY_EVENTS: u64 = 50_000;

impl RunState {
    /// Starts a run: the state and the first events.
    #[must_use]
    pub fn begin(
        definition: &ValidDefinition,
        meta: Arc<RunMeta>,
        created: RunCreated,
    ) -> (Self, Vec<Event>) {
        let now = meta.created_at;
        let root = Scope {
            owner: None,
            input: created.input.clone(),
            remaining: definition.graph().nodes().len(),
            open: true,
            outputs: BTreeMap::new(),
        };
        let mut state = Self {
            meta,
            created: created.clone(),
            seq: 0,
            at: now,
            epoch: 1,
            bytes: 0,
            timeout_from: now,
            started_at: None,
            paused_at: None,
            end: None,
            steps: BTreeMap::new(),
            scopes: BTreeMap::from([(Arc::from(""), root)]),
            active: BTreeSet::new(),
            agenda: VecDeque::new(),
            early: VecDeque::new(),
        };
        let mut decider = Decider { definition, state: &mut state, now, events: Vec::new() };
        decider.emit(None, EventData::RunCreated(created));
        for index in definition.graph().starts() {
            let key = StepKey::root(&definition.graph().node(*index).id);
            decider.make_ready(key);
        }
        decider.settle();
        let events = decider.events;
        (state, events)
    }

    /// Takes a fact and decides what follows: the events to append, and the state after them.
    ///
    /// `now` is the time that the events carry; a time before the last event's counts as that one.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the fact is stale or not allowed; the state is as it was.
    pub fn decide(
        &mut self,
        definition: &ValidDefinition,
        fact: Fact,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        let now = now.max(self.at);
        let mut decider = Decider { definition, state: self, now, events: Vec::new() };
        decider.take(fact)?;
        decider.settle();
        Ok(decider.events)
    }

    /// When the run's time is up.
    #[must_use]
    pub fn times_out_at(&self, definition: &ValidDefinition) -> Timestamp {
        self.timeout_from.after(definition.timeout())
    }
}

/// One round of deciding.
pub(super) struct Decider<'a> {
    pub(super) definition: &'a ValidDefinition,
    pub(super) state: &'a mut RunState,
    pub(super) now: Timestamp,
    events: Vec<Event>,
}

impl<'a> Decider<'a> {
    fn take(&mut self, fact: Fact) -> Result<(), Refusal> {
        if let Fact::Retry { by } = fact {
            return self.retry(by);
        }
        if let Fact::Claimed { worker, epoch } = fact {
            // Also of a run that ended: whoever claims it to retry it writes that down first.
            if epoch <= self.state.epoch {
                return Err(Refusal::StaleEpoch { epoch });
            }
            self.state.epoch = epoch;
            self.emit(None, EventData::RunClaimed { worker, epoch });
            return Ok(());
        }
        if self.state.end.is_some() {
            return Err(Refusal::Ended);
        }
        match fact {
            Fact::Claimed { .. } | Fact::Retry { .. } => {}
            Fact::Pause { by } => {
                if self.state.is_paused() {
                    return Err(Refusal::InvalidState { status: RunStatus::Paused });
                }
                self.state.paused_at = Some(self.now);
                self.emit(None, EventData::RunPaused { by });
            }
            Fact::Resume { by } => {
                if !self.state.is_paused() {
                    return Err(Refusal::InvalidState { status: self.state.status(self.now) });
                }
                self.state.paused_at = None;
                self.emit(None, EventData::RunResumed { by });
            }
            Fact::Cancel { by } => {
                self.emit(None, EventData::RunCancelRequested { by });
                self.emit(None, EventData::RunCancelled);
                self.end(RunStatus::Cancelled, |_| {});
            }
            Fact::TimedOut => {
                if self.now < self.state.times_out_at(self.definition) {
                    return Err(Refusal::TimeLeft);
                }
                self.time_out_run();
            }
            Fact::Aborted { failure } => self.fail_run(failure, None),
            Fact::Logged { step, level, message, fields } => {
                self.emit(step.as_ref(), EventData::StepLogged { level, message, fields });
            }
            Fact::AttemptSucceeded { step, attempt, port, output } => {
                self.attempt_succeeded(&step, attempt, port, output)?;
            }
            Fact::AttemptFailed { step, attempt, failure, retry_not_before } => {
                self.attempt_failed(&step, attempt, failure, retry_not_before)?;
            }
            Fact::DeadlinePassed { step } => {
                match self.policy(&step).map(|policy| self.deadline(&step, policy)) {
                    Some(Some(deadline)) if self.is_effect(&step) && self.now >= deadline => {
                        self.miss_deadline(&step);
                    }
                    _ => return Err(Refusal::NotDue { step }),
                }
            }
            Fact::TimerDue { step } => self.timer_due(&step)?,
            Fact::EventReceived { name, key, payload } => self.event_received(name, key, payload),
            Fact::ChildFinished { run_id, .. } => return Err(Refusal::UnknownChild { run_id }),
        }
        Ok(())
    }

    /// Works the agenda off until it is empty, the run is paused, or it ended.
    fn settle(&mut self) {
        while self.state.end.is_none() && !self.state.is_paused() {
            if self.state.seq >= MAX_HISTORY_EVENTS || self.state.bytes > MAX_HISTORY_BYTES {
                let message = format!(
                    "the history has reached {MAX_HISTORY_EVENTS} events or {MAX_HISTORY_BYTES} bytes"
                );
                self.fail_run(Failure::permanent(code::LIMIT_EXCEEDED, message), None);
                break;
            }
            let Some(todo) = self.state.agenda.pop_front() else { break };
            match todo {
                Todo::Start(key) if self.state.is_live(&key) => self.start(&key),
                Todo::Resolve(key) if self.state.is_live(&key) => self.resolve(&key),
                Todo::Start(_) | Todo::Resolve(_) => {}
            }
        }
        if self.state.end.is_none() && !self.state.is_paused() && self.state.active.is_empty() {
            // Only after a retry: the run failed as a whole when all its steps had ended.
            self.succeed_run(self.scope_output(""), None, false);
        }
    }

    pub(super) fn make_ready(&mut self, key: StepKey) {
        self.state.steps.insert(key.clone(), Step::ready(self.now, self.state.seq));
        self.state.agenda.push_back(Todo::Start(key));
    }

    fn start(&mut self, key: &StepKey) {
        let Some((_, _, node)) = locate(self.definition, key) else { return };
        let input = self.state.input_of(self.definition, key);
        self.state.started_at.get_or_insert(self.now);
        let step = self.state.steps.get_mut(key).expect("ready steps have an entry");
        step.started_at = self.now;
        step.deadline_from = self.now;
        if let NodeKind::Effect(_) = &node.kind {
            let idempotency_key = idempotency_key(&self.state.meta, key);
            let step = self.activate(key, Work::Effect { retry_at: None });
            step.input = Some(input.clone());
            step.idempotency_key = Some(idempotency_key.clone());
            self.emit(Some(key), EventData::StepStarted { input, idempotency_key });
            return;
        }
        let result = match &node.kind {
            NodeKind::Delay(delay) => {
                self.in_context(key, &input, |scope, now| delay.due(scope, now)).map(|at| {
                    self.set_timer(key, at, TimerPurpose::Delay);
                })
            }
            NodeKind::Wait(wait) => self.start_wait(key, wait, &input),
            NodeKind::ForEach(each) => self.start_each(key, each, &input),
            NodeKind::Repeat(repeat) => {
                self.start_repeat(key, repeat, input.clone());
                Ok(())
            }
            NodeKind::Terminate(terminate) => self
                .in_context(key, &input, |scope, _| terminate.evaluate(scope))
                .and_then(|ended| self.terminate(key, ended)),
            kind => self
                .in_context(key, &input, |scope, _| evaluate_pure(kind, scope))
                .and_then(|Evaluated { port, output, .. }| self.succeed(key, Some(port), output)),
        };
        if let Err(failure) = result {
            self.fail(key, failure);
        }
    }

    /// Evaluates something that a step's expressions say.
    pub(super) fn in_context<T>(
        &self,
        key: &StepKey,
        input: &Arc<Value>,
        evaluate: impl FnOnce(&node::Scope<'_>, Timestamp) -> T,
    ) -> T {
        let context = Context::new(self.state, self.definition, key, input.clone());
        let seed = seed(self.state, key, "step");
        let scope = node::Scope { root: &context.root(), env: &env(self.now, &seed), input };
        evaluate(&scope, self.now)
    }

    pub(super) fn activate(&mut self, key: &StepKey, work: Work) -> &mut Step {
        self.state.active.insert(key.clone());
        let step = self.state.steps.get_mut(key).expect("a step that is activated has an entry");
        step.stage = Stage::Active;
        step.work = work;
        step
    }

    /// Ends a step well, unless its output is too large.
    pub(super) fn succeed(
        &mut self,
        key: &StepKey,
        port: Option<Arc<str>>,
        output: Arc<Value>,
    ) -> Result<(), Failure> {
        self.state.bytes += check_output(&output)?;
        let attempts = self.count_attempt(key);
        self.emit(
            Some(key),
            EventData::StepSucceeded { port: port.clone(), output: output.clone(), attempts },
        );
        self.finish(key, Stage::Succeeded, port, Some(output), None);
        Ok(())
    }

    fn count_attempt(&mut self, key: &StepKey) -> Option<u32> {
        let step = self.state.steps.get_mut(key)?;
        if !matches!(step.work, Work::Effect { .. }) {
            return None;
        }
        step.attempts += 1;
        Some(step.attempts)
    }

    /// Ends a step that failed for good: by its `error` port, or with its run or iteration.
    pub(super) fn fail(&mut self, key: &StepKey, failure: Failure) {
        let Some((graph, index, _)) = locate(self.definition, key) else { return };
        let step = &self.state.steps[key];
        let attempts = matches!(step.work, Work::Effect { .. }).then_some(step.attempts);
        let port = graph.has_edge(index, &port::error()).then(port::error);
        let event = EventData::StepFailed { failure: failure.clone(), port: port.clone(), attempts };
        self.emit(Some(key), event);
        let output = port.is_some().then(|| Arc::new(failure.to_value()));
        let caught = port.is_some();
        self.finish(key, Stage::Failed, port, output, Some(failure.clone()));
        if caught {
            return;
        }
        match self.state.scope_of(key).owner.clone() {
            None => self.fail_run(failure, Some(key.clone())),
            Some((owner, iteration)) => self.iteration_failed(&owner, iteration, failure),
        }
    }

    fn finish(
        &mut self,
        key: &StepKey,
        stage: Stage,
        port: Option<Arc<str>>,
        output: Option<Arc<Value>>,
        failure: Option<Failure>,
    ) {
        self.state.active.remove(key);
        if let Some(output) = &output
            && let Some(scope) = self.state.scopes.get_mut(key.scope())
        {
            scope.outputs.insert(key.node().into(), output.clone());
        }
        let (seq, now) = (self.state.seq, self.now);
        let step = self.state.steps.get_mut(key).expect("a step that ends has an entry");
        step.stage = stage;
        step.port = port;
        step.output = output;
        step.failure = failure;
        step.finished_at = Some(now);
        step.ended_seq = Some(seq);
        self.state.agenda.push_back(Todo::Resolve(key.clone()));
    }

    /// Sees to the nodes behind a step that ended, and to the end of its graph.
    fn resolve(&mut self, key: &StepKey) {
        let Some((graph, index, _)) = locate(self.definition, key) else { return };
        for edge in graph.outgoing(index) {
            let next = self.state.sibling(key, &graph.node(edge.to).id);
            if !self.state.steps.contains_key(&next) {
                self.consider(&next, edge.to);
            }
        }
        let scope = self.state.scopes.get_mut(key.scope()).expect("a step's scope exists as long as the run");
        scope.remaining -= 1;
        if scope.remaining == 0 {
            let owner = scope.owner.clone();
            let output = self.scope_output(key.scope());
            match owner {
                None => self.succeed_run(output, None, false),
                Some((owner, iteration)) => self.iteration_succeeded(&owner, iteration, output),
            }
        }
    }

    /// Makes a node ready or skips it, once its incoming edges allow it.
    fn consider(&mut self, key: &StepKey, index: NodeIndex) {
        let Some((graph, _, node)) = locate(self.definition, key) else { return };
        let (mut taken, mut open) = (false, false);
        for edge in graph.incoming(index) {
            let from = self.state.sibling(key, &graph.node(edge.from).id);
            match self.state.steps.get(&from) {
                Some(step) if step.has_ended() => taken |= step.port.as_ref() == Some(&edge.port),
                _ => open = true,
            }
        }
        if taken && (!open || node.join == Join::Any) {
            self.make_ready(key.clone());
        } else if !open {
            self.state.steps.insert(key.clone(), Step::ready(self.now, self.state.seq));
            self.emit(Some(key), EventData::StepSkipped);
            self.finish(key, Stage::Skipped, None, None, None);
        }
    }

    /// What a graph produced: its single sink's output, those of all sinks by id, or null.
    fn scope_output(&self, scope: &str) -> Arc<Value> {
        let Some(graph) = self.graph_of(scope) else { return Arc::new(Value::Null) };
        let mut sinks: Vec<(&str, &Arc<Value>)> = Vec::new();
        for index in graph.order() {
            let id = graph.node(*index).id.as_str();
            let Some(step) = self.state.steps.get(format!("{scope}{id}").as_str()) else { continue };
            let taken = graph.outgoing(*index).iter().any(|edge| Some(&edge.port) == step.port.as_ref());
            if let (Stage::Succeeded, false, Some(output)) = (step.stage, taken, &step.output) {
                sinks.push((id, output));
            }
        }
        match sinks.as_slice() {
            [] => Arc::new(Value::Null),
            [(_, only)] => (*only).clone(),
            several => Arc::new(Value::Object(
                several.iter().map(|(id, output)| ((*id).to_owned(), (***output).clone())).collect(),
            )),
        }
    }

    fn terminate(&mut self, key: &StepKey, ended: Termination) -> Result<(), Failure> {
        let output = ended.output;
        let response = ended.response.map(|response| Arc::new(response.to_value()));
        if let Some(response) = &response {
            check_output(response)?;
        }
        self.succeed(key, None, output.clone())?;
        match ended.status {
            TerminateStatus::Succeeded => self.succeed_run(output, response, true),
            TerminateStatus::Failed => {
                let failure = Failure::permanent(code::TERMINATED, "the workflow ended the run as failed");
                let failure = failure.with_details((*output).clone());
                self.emit_run_failed(failure, Some(key.clone()), response, true);
            }
        }
        Ok(())
    }

    fn succeed_run(&mut self, output: Arc<Value>, response: Option<Arc<Value>>, terminated: bool) {
        if let Err(failure) = check_output(&output) {
            return self.fail_run(failure, None);
        }
        self.emit(None, EventData::RunSucceeded { output: output.clone(), response: response.clone() });
        self.end(RunStatus::Succeeded, |end| {
            end.output = Some(output);
            end.response = response;
            end.terminated = terminated;
        });
    }

    pub(super) fn fail_run(&mut self, failure: Failure, step: Option<StepKey>) {
        self.emit_run_failed(failure, step, None, false);
    }

    fn emit_run_failed(
        &mut self,
        failure: Failure,
        step: Option<StepKey>,
        response: Option<Arc<Value>>,
        terminated: bool,
    ) {
        let event = EventData::RunFailed {
            failure: failure.clone(),
            failed_step: step.clone(),
            response: response.clone(),
        };
        self.emit(None, event);
        self.end(RunStatus::Failed, |end| {
            end.failure = Some(failure);
            end.step = step;
            end.response = response;
            end.terminated = terminated;
        });
    }

    fn end(&mut self, status: RunStatus, fill: impl FnOnce(&mut RunEnd)) {
        let mut end = RunEnd {
            status,
            at: self.now,
            output: None,
            failure: None,
            step: None,
            response: None,
            terminated: false,
        };
        fill(&mut end);
        self.state.paused_at = None;
        self.state.end = Some(end);
    }

    fn time_out_run(&mut self) {
        self.fail_run(Failure::permanent(code::TIMED_OUT, "the run did not end within its timeout"), None);
    }

    // ---- effects ----

    fn is_effect(&self, key: &StepKey) -> bool {
        self.state.active.contains(key)
            && self.state.is_live(key)
            && matches!(self.state.steps[key].work, Work::Effect { .. })
    }

    fn policy(&self, key: &StepKey) -> Option<&EffectPolicy> {
        locate(self.definition, key).and_then(|(_, _, node)| node.policy.as_ref())
    }

    fn deadline(&self, key: &StepKey, policy: &EffectPolicy) -> Option<Timestamp> {
        let from = self.state.steps.get(key)?.deadline_from;
        policy.deadline.map(|deadline| from.after(deadline))
    }

    /// Refuses the result of an attempt that is not under way; says whether time was up before it came.
    fn check_attempt(&mut self, key: &StepKey, attempt: u32) -> Result<Late, Refusal> {
        if !self.is_effect(key) || self.state.steps[key].attempts + 1 != attempt {
            return Err(Refusal::StaleAttempt { step: key.clone(), attempt });
        }
        if self.now >= self.state.times_out_at(self.definition) {
            self.time_out_run();
            return Ok(Late::Yes);
        }
        let deadline = self.policy(key).and_then(|policy| self.deadline(key, policy));
        if deadline.is_some_and(|deadline| self.now >= deadline) {
            self.miss_deadline(key);
            return Ok(Late::Yes);
        }
        Ok(Late::No)
    }

    fn attempt_succeeded(
        &mut self,
        key: &StepKey,
        attempt: u32,
        port: Arc<str>,
        output: Arc<Value>,
    ) -> Result<(), Refusal> {
        if let Some((_, _, node)) = locate(self.definition, key)
            && let NodeKind::Effect(effect) = &node.kind
            && !effect.ports().contains(&port)
        {
            return Err(Refusal::UnknownPort { step: key.clone(), port: port.to_string() });
        }
        if let Late::Yes = self.check_attempt(key, attempt)? {
            return Ok(());
        }
        if let Err(failure) = self.succeed(key, Some(port), output) {
            self.record_failed_attempt(key, attempt, &failure, None);
            self.fail(key, failure);
        }
        Ok(())
    }

    fn attempt_failed(
        &mut self,
        key: &StepKey,
        attempt: u32,
        failure: Failure,
        not_before: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        if let Late::Yes = self.check_attempt(key, attempt)? {
            return Ok(());
        }
        let policy = self.policy(key).cloned().unwrap_or_default();
        let tries = self.state.steps[key].tries + 1;
        if !failure.retryable || tries >= policy.retry.max_attempts {
            self.record_failed_attempt(key, attempt, &failure, None);
            self.fail(key, failure);
            return Ok(());
        }
        let random = retry_random(self.state.meta.run.as_bytes(), key, attempt);
        let backoff = self.now.after(policy.retry.delay(tries, random));
        let asked = not_before.map_or(backoff, |at| at.min(self.now.after(MAX_RETRY_AFTER)));
        let retry_at = backoff.max(asked);
        let in_time = self.deadline(key, &policy).is_none_or(|deadline| retry_at <= deadline);
        self.record_failed_attempt(key, attempt, &failure, in_time.then_some(retry_at));
        if !in_time {
            self.miss_deadline(key);
        }
        Ok(())
    }

    fn record_failed_attempt(
        &mut self,
        key: &StepKey,
        attempt: u32,
        failure: &Failure,
        retry_at: Option<Timestamp>,
    ) {
        self.emit(Some(key), EventData::AttemptFailed { attempt, failure: failure.clone(), retry_at });
        let step = self.state.steps.get_mut(key).expect("an effect under way has an entry");
        step.attempts = attempt;
        step.tries += 1;
        step.failure = Some(failure.clone());
        step.work = Work::Effect { retry_at };
    }

    fn miss_deadline(&mut self, key: &StepKey) {
        let mut failure = Failure::permanent(code::TIMED_OUT, "the step did not succeed before its deadline");
        if let Some(last) = &self.state.steps[key].failure {
            failure = failure.with_details(json!({ "last_failure": last.to_value() }));
        }
        self.fail(key, failure);
    }

    // ---- retry of a failed run ----

    fn retry(&mut self, by: Option<String>) -> Result<(), Refusal> {
        match &self.state.end {
            Some(end) if end.status == RunStatus::Failed && !end.terminated => {}
            _ => return Err(Refusal::InvalidState { status: self.state.status(self.now) }),
        }
        self.emit(None, EventData::RunRetried { by });
        self.state.end = None;
        self.state.timeout_from = self.now;
        for key in &self.state.active {
            if let Some(step) = self.state.steps.get_mut(key) {
                step.begin_anew(self.now);
            }
        }
        self.reopen("");
        Ok(())
    }

    /// Starts the failed steps of a scope again, and those within loops that failed with them.
    pub(super) fn reopen(&mut self, scope: &str) {
        let Some(graph) = self.graph_of(scope) else { return };
        for index in graph.order() {
            let node = graph.node(*index);
            let text = format!("{scope}{}", node.id);
            let Some((key, step)) = self.state.steps.get_key_value(text.as_str()) else { continue };
            if step.stage != Stage::Failed || step.port.is_some() {
                continue;
            }
            let key = key.clone();
            // It counted as ended when it failed, unless its run ended before anybody saw to that.
            self.state.agenda.retain(|todo| *todo != Todo::Resolve(key.clone()));
            if self.reopen_loop(&key) {
                continue;
            }
            let step = self.state.steps.get_mut(&key).expect("just found");
            *step = Step { attempts: step.attempts, ..Step::ready(self.now, self.state.seq) };
            self.state.agenda.push_back(Todo::Start(key));
        }
    }

    fn graph_of(&self, scope: &str) -> Option<&'a Graph> {
        match self.state.scopes.get(scope)?.owner.as_ref() {
            None => Some(self.definition.graph()),
            Some((owner, _)) => locate(self.definition, owner)?.2.kind.body(),
        }
    }

    // ---- events ----

    pub(super) fn emit(&mut self, step: Option<&StepKey>, data: EventData) {
        self.state.seq += 1;
        self.state.at = self.now;
        self.events.push(Event::new(self.state.seq, self.now, step.cloned(), data));
    }
}

enum Late {
    Yes,
    No,
}

fn evaluate_pure(kind: &NodeKind, scope: &node::Scope<'_>) -> Result<Evaluated, Failure> {
    match kind {
        NodeKind::Transform(transform) => transform.evaluate(scope),
        NodeKind::Branch(branch) => branch.evaluate(scope),
        NodeKind::Switch(switch) => switch.evaluate(scope),
        NodeKind::Custom(custom) => custom.evaluate(scope),
        _ => Err(Failure::permanent(code::INVALID_CONFIG, "this release cannot run this node type")),
    }
}

/// Refuses an output that a history cannot hold.
fn check_output(output: &Value) -> Result<u64, Failure> {
    if json::depth(output) > MAX_OUTPUT_DEPTH {
        let message = format!("the output nests deeper than {MAX_OUTPUT_DEPTH}");
        return Err(Failure::permanent(code::OUTPUT_TOO_LARGE, message));
    }
    let too_large = || {
        let message = format!("the output is larger than {MAX_OUTPUT_BYTES} bytes");
        Failure::permanent(code::OUTPUT_TOO_LARGE, message)
    };
    json::canonical_len_within(output, MAX_OUTPUT_BYTES).map(|bytes| bytes as u64).ok_or_else(too_large)
}

/// The same for every attempt of a step, different for every other step of any run.
fn idempotency_key(meta: &RunMeta, key: &StepKey) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"meshhook idempotency\0");
    hasher.update(meta.run.as_bytes());
    hasher.update(key.as_str().as_bytes());
    format!("mh_{}", hex::encode(&hasher.finalize()[..16]))
}
