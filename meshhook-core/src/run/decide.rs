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

use serde_json::Value;

use super::context::{Context, described, env, seed};
use super::effect::{Late, idempotency_key};
use super::fact::{Fact, Refusal};
use super::meta::RunMeta;
use super::output::check_output;
use super::state::{RunEnd, RunState, Scope, Stage, Step, Todo, Work, locate};
use crate::definition::ValidDefinition;
use crate::event::{Event, EventData, RunCreated, RunStatus, TimerPurpose};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::{self, Evaluated, NodeKind, port};
use crate::time::Timestamp;

/// The most bytes of outputs that deciding puts into a history; it stops there.
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
            described: described(&meta),
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
        match fact {
            Fact::Retry { by } => self.retry(by)?,
            Fact::Claimed { worker, epoch } => {
                // Also of a run that ended: whoever claims it to retry it writes that down first.
                if epoch <= self.state.epoch {
                    return Err(Refusal::StaleEpoch { epoch });
                }
                self.state.epoch = epoch;
                self.emit(None, EventData::RunClaimed { worker, epoch });
            }
            _ if self.state.end.is_some() => return Err(Refusal::Ended),
            Fact::Pause { by } => {
                if self.state.is_paused() {
                    return Err(Refusal::InvalidState { status: RunStatus::Paused });
                }
                self.state.paused_at = Some(self.now);
                self.emit(None, EventData::RunPaused { by });
            }
            Fact::Resume { by } => {
                let Some(paused_at) = self.state.paused_at.take() else {
                    return Err(Refusal::InvalidState { status: self.state.status(self.now) });
                };
                self.put_retries_off(paused_at);
                self.emit(None, EventData::RunResumed { by });
            }
            Fact::Cancel { by } => {
                self.emit(None, EventData::RunCancelRequested { by });
                self.end(RunEnd::new(RunStatus::Cancelled, self.now));
            }
            Fact::TimedOut => {
                if !self.is_out_of_time() {
                    return Err(Refusal::TimeLeft);
                }
                self.time_out_run();
            }
            Fact::Aborted { failure } => self.fail_run(failure, None),
            Fact::Logged { step, level, message, fields } => {
                self.emit(step.as_ref(), EventData::StepLogged { level, message, fields });
            }
            Fact::AttemptSucceeded { step, attempt, port, output } => {
                self.check_port(&step, &port)?;
                if let Late::No = self.check_attempt(&step, attempt)? {
                    self.attempt_succeeded(&step, port, output);
                }
            }
            Fact::AttemptFailed { step, attempt, failure, retry_not_before } => {
                if let Late::No = self.check_attempt(&step, attempt)? {
                    self.attempt_failed(&step, failure, retry_not_before);
                }
            }
            Fact::DeadlinePassed { step } => {
                match self.policy(&step).map(|policy| self.deadline(&step, policy)) {
                    Some(Some(deadline)) if self.is_effect(&step) && self.now >= deadline => {
                        if self.has_cut_off_attempts() && self.is_out_of_time() {
                            self.time_out_run();
                        } else {
                            self.miss_deadline(&step);
                        }
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
            self.succeed_run(self.scope_output(""));
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
            NodeKind::Repeat(_) => {
                self.start_repeat(key, input.clone());
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
        self.finish(key, Ended { port, output: Some(output), ..Ended::at(Stage::Succeeded) });
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
        let ended = Ended { port, output, failure: Some(failure.clone()), ..Ended::at(Stage::Failed) };
        self.finish(key, ended);
        if caught {
            return;
        }
        match self.state.scope_of(key).owner.clone() {
            None => self.fail_run(failure, Some(key.clone())),
            Some((owner, iteration)) => self.iteration_failed(&owner, iteration, failure),
        }
    }

    pub(super) fn finish(&mut self, key: &StepKey, ended: Ended) {
        self.state.active.remove(key);
        if let Some(output) = &ended.output
            && let Some(scope) = self.state.scopes.get_mut(key.scope())
        {
            scope.outputs.insert(key.node().into(), output.clone());
        }
        let (seq, now) = (self.state.seq, self.now);
        let step = self.state.steps.get_mut(key).expect("a step that ends has an entry");
        step.stage = ended.stage;
        step.port = ended.port;
        step.output = ended.output;
        step.failure = ended.failure;
        step.finished_at = Some(now);
        step.ended_seq = Some(seq);
        self.state.agenda.push_back(Todo::Resolve(key.clone()));
    }

    pub(super) fn emit(&mut self, step: Option<&StepKey>, data: EventData) {
        self.state.seq += 1;
        self.state.at = self.now;
        self.events.push(Event::new(self.state.seq, self.now, step.cloned(), data));
    }
}

/// How a step ended.
pub(super) struct Ended {
    stage: Stage,
    port: Option<Arc<str>>,
    output: Option<Arc<Value>>,
    failure: Option<Failure>,
}

impl Ended {
    pub(super) fn at(stage: Stage) -> Self {
        Self { stage, port: None, output: None, failure: None }
    }
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
