//! Where a run stands.
//!
//! ```text
//!                 ┌────────── retry of a failed run ─────────┐
//!                 ▼                                          │
//!   ready ──► active (effect, timer, wait, loop) ──► ended ──┘   (succeeded, failed, skipped, cancelled)
//!     └─────────────── pure nodes ──────────────────►
//! ```
//!
//! A state is only ever made by deciding: [`RunState::begin`] starts one, [`RunState::decide`](super::decide) moves
//! it on, and loading a run is deciding its recorded facts again ([`replay`](super::replay)). There is no second way
//! to compute it that could disagree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::iteration::{EachLoop, RepeatLoop};
use super::meta::RunMeta;
use crate::definition::{Graph, Node, NodeIndex, ValidDefinition};
use crate::event::{RunCreated, RunStatus};
use crate::failure::Failure;
use crate::id::StepKey;
use crate::time::Timestamp;

/// Everything that decides how a run goes on.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) meta: Arc<RunMeta>,
    pub(super) created: RunCreated,
    /// What expressions see as `run`.
    pub(super) described: Arc<Value>,
    /// Position of the last event.
    pub(super) seq: u64,
    /// Time of the last event.
    pub(super) at: Timestamp,
    /// How often the run has changed hands, from 1.
    pub(super) epoch: u64,
    /// How many bytes the outputs in the history have.
    pub(super) bytes: u64,
    /// From when the run's timeout counts: its creation or its last retry.
    pub(super) timeout_from: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    /// Since when the run is paused, if it is.
    pub(super) paused_at: Option<Timestamp>,
    pub(super) end: Option<RunEnd>,
    pub(super) steps: BTreeMap<StepKey, Step>,
    pub(super) scopes: BTreeMap<Arc<str>, Scope>,
    /// The steps that are active, so that nobody has to look through all of them.
    pub(super) active: BTreeSet<StepKey>,
    /// What is decided next; it stands still while the run is paused.
    pub(super) agenda: VecDeque<Todo>,
    /// External events that no step has taken yet, in order of arrival.
    pub(super) early: VecDeque<EarlyEvent>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunEnd {
    /// `succeeded`, `failed` or `cancelled`.
    pub status: RunStatus,
    /// When.
    pub at: Timestamp,
    /// Its output, if it succeeded.
    pub output: Option<Arc<Value>>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The step that failed it, if one did.
    pub step: Option<StepKey>,
    /// What a waiting webhook answers, if a `terminate` node said so.
    pub response: Option<Arc<Value>>,
    /// Whether a `terminate` node ended it.
    pub terminated: bool,
}

impl RunEnd {
    pub(super) fn new(status: RunStatus, at: Timestamp) -> Self {
        Self { status, at, output: None, failure: None, step: None, response: None, terminated: false }
    }

    /// The failure with the step that failed the run, as answers show it; `None` unless it failed.
    #[must_use]
    pub fn error(&self) -> Option<Value> {
        self.failure.as_ref().map(|failure| shown_failure(failure, self.step.as_ref()))
    }
}

/// A failure with the step that failed the run, as answers show it.
pub(crate) fn shown_failure(failure: &Failure, step: Option<&StepKey>) -> Value {
    let mut shown = failure.to_value();
    if let (Value::Object(members), Some(step)) = (&mut shown, step) {
        members.insert("step".into(), step.as_str().into());
    }
    shown
}

/// Where a step stands, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepStatus {
    /// An attempt is under way, or may start now; or a loop is running.
    Running,
    /// It waits for a time or an event.
    Waiting,
    /// It waits for its next attempt.
    Retrying,
    /// It ended well.
    Succeeded,
    /// It failed for good.
    Failed,
    /// No edge into it was taken.
    Skipped,
    /// It was abandoned.
    Cancelled,
}

impl StepStatus {
    /// The status's name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            StepStatus::Running => "running",
            StepStatus::Waiting => "waiting",
            StepStatus::Retrying => "retrying",
            StepStatus::Succeeded => "succeeded",
            StepStatus::Failed => "failed",
            StepStatus::Skipped => "skipped",
            StepStatus::Cancelled => "cancelled",
        }
    }
}

/// One step of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step {
    pub(super) stage: Stage,
    /// Its input: kept where it was recorded, or needed again.
    pub input: Option<Arc<Value>>,
    /// Its output, or its failure as a value where it left by `error`.
    pub output: Option<Arc<Value>>,
    /// Why it failed, or why its last attempt did.
    pub failure: Option<Failure>,
    /// The port by which it was left.
    pub port: Option<Arc<str>>,
    /// How many attempts failed, plus one if the last one succeeded.
    pub(super) attempts: u32,
    /// How many of them count for the retry policy: those since the run was last retried.
    pub(super) tries: u32,
    /// From when its deadline counts: its start, or the last retry of the run.
    pub(super) deadline_from: Timestamp,
    /// What every attempt carries.
    pub idempotency_key: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    pub(super) work: Work,
    /// Positions of the last event before it started and of the event that ended it: their order is that of the
    /// steps.
    pub(super) started_seq: u64,
    pub(super) ended_seq: Option<u64>,
    /// When the next iteration of a `repeat` starts, while it waits for that.
    pub(super) pause_until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    Active,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

/// What an active step is doing. Kept when it ends, so that a retried run finds it again.
#[derive(Debug, Clone)]
pub(super) enum Work {
    None,
    Effect { retry_at: Option<Timestamp> },
    Timer { at: Timestamp },
    Wait { name: Arc<str>, key: Option<String>, until: Option<Timestamp> },
    Each(EachLoop),
    Repeat(RepeatLoop),
}

/// One graph in execution: the root graph, or one iteration of a body.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// The looping step and the iteration's index; none for the root graph.
    pub(super) owner: Option<(StepKey, u64)>,
    /// What its start nodes get as input.
    pub(super) input: Arc<Value>,
    /// How many of its nodes have not ended.
    pub(super) remaining: usize,
    /// Whether its steps still count: a scope that ended or was abandoned is closed.
    pub(super) open: bool,
    /// What its steps produced, by node id.
    pub(super) outputs: BTreeMap<Arc<str>, Arc<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Todo {
    /// A step is ready.
    Start(StepKey),
    /// A step ended: see to the nodes behind it.
    Resolve(StepKey),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct EarlyEvent {
    pub(super) name: String,
    pub(super) key: Option<String>,
    pub(super) payload: Arc<Value>,
}

impl Step {
    pub(super) fn ready(at: Timestamp, seq: u64) -> Self {
        Self {
            stage: Stage::Ready,
            input: None,
            output: None,
            failure: None,
            port: None,
            attempts: 0,
            tries: 0,
            deadline_from: at,
            idempotency_key: None,
            started_at: at,
            finished_at: None,
            work: Work::None,
            started_seq: seq,
            ended_seq: None,
            pause_until: None,
        }
    }

    /// Gives a step that goes on in a retried run its attempts and its deadline anew.
    pub(super) fn begin_anew(&mut self, now: Timestamp) {
        self.tries = 0;
        self.deadline_from = now;
    }

    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.stage, Stage::Ready | Stage::Active)
    }

    /// Where the step stands at a time; `None` while it has not started.
    fn status(&self, now: Timestamp) -> Option<StepStatus> {
        Some(match (self.stage, &self.work) {
            (Stage::Ready, _) => return None,
            (Stage::Succeeded, _) => StepStatus::Succeeded,
            (Stage::Failed, _) => StepStatus::Failed,
            (Stage::Skipped, _) => StepStatus::Skipped,
            (Stage::Cancelled, _) => StepStatus::Cancelled,
            (Stage::Active, Work::Effect { retry_at: Some(at) }) if *at > now => StepStatus::Retrying,
            (Stage::Active, Work::Timer { .. } | Work::Wait { .. }) => StepStatus::Waiting,
            (Stage::Active, _) if self.pause_until.is_some() => StepStatus::Waiting,
            (Stage::Active, _) => StepStatus::Running,
        })
    }
}

impl RunState {
    /// What does not change about the run.
    #[must_use]
    pub fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// How the run came to be.
    #[must_use]
    pub fn created(&self) -> &RunCreated {
        &self.created
    }

    /// How often the run has changed hands, from 1 for the worker that started it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The position of the last event.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The time of the last event.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// When the first step was decided.
    #[must_use]
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// How the run ended, if it did.
    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// Where the run stands at a time: an attempt whose time has come is under way, or about to be.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> RunStatus {
        if let Some(end) = &self.end {
            return end.status;
        }
        if self.is_paused() {
            return RunStatus::Paused;
        }
        let busy = |key: &StepKey| match self.steps[key].work {
            Work::Effect { retry_at } => retry_at.is_none_or(|at| at <= now),
            _ => false,
        };
        if self.active.is_empty() || self.active.iter().any(busy) {
            RunStatus::Running
        } else {
            RunStatus::Waiting
        }
    }

    /// Whether the run is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// The steps that have started, by key, and where they stand at a time. Steps that were active when the run ended
    /// count as cancelled.
    pub fn steps(&self, now: Timestamp) -> impl Iterator<Item = (&StepKey, &Step, StepStatus)> {
        let now = self.last_active_at(now);
        self.steps.iter().filter_map(move |(key, step)| match step.status(now)? {
            _ if step.stage == Stage::Active && self.end.is_some() => {
                Some((key, step, StepStatus::Cancelled))
            }
            status => Some((key, step, status)),
        })
    }

    /// How many attempts of a step had begun by a time: those that ended, and the one whose time had come.
    #[must_use]
    pub fn attempts(&self, key: &StepKey, now: Timestamp) -> u32 {
        let Some(step) = self.steps.get(key) else { return 0 };
        let by = step.finished_at.unwrap_or_else(|| self.last_active_at(now));
        let is_open = matches!(step.stage, Stage::Active | Stage::Cancelled);
        let has_begun =
            |work: &Work| matches!(work, Work::Effect { retry_at } if retry_at.is_none_or(|at| at <= by));
        step.attempts + u32::from(is_open && has_begun(&step.work))
    }

    /// The last time up to `now` at which attempts could begin: none does when the run has ended or is paused.
    fn last_active_at(&self, now: Timestamp) -> Timestamp {
        let until = self.end.as_ref().map(|end| end.at).or(self.paused_at);
        until.map_or(now, |until| until.min(now))
    }

    /// One step.
    #[must_use]
    pub fn step(&self, key: &StepKey) -> Option<&Step> {
        self.steps.get(key)
    }

    pub(super) fn scope_of(&self, key: &StepKey) -> &Scope {
        self.scopes.get(key.scope()).expect("a step's scope exists as long as the run")
    }

    pub(super) fn is_live(&self, key: &StepKey) -> bool {
        self.scopes.get(key.scope()).is_some_and(|scope| scope.open)
    }
}

/// The graph that a step belongs to and its node there.
pub(super) fn locate<'a>(
    definition: &'a ValidDefinition,
    key: &StepKey,
) -> Option<(&'a Graph, NodeIndex, &'a Node)> {
    let (graph, index) = definition.node(key)?;
    Some((graph, index, graph.node(index)))
}
