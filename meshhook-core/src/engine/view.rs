//! Runs as people look at them: folded from their history.

use std::error::Error as _;
use std::sync::Arc;

use serde_json::Value;

use super::EngineError;
use crate::definition::ValidDefinition;
use crate::event::{ChainError, Event, EventData, RunStatus, StepRef, genesis};
use crate::failure::{Failure, code};
use crate::id::{RunId, StepKey, WorkflowSlug};
use crate::run::{Divergence, ReplayError, Replayed, RunEnd, StepStatus, replay, shown_failure};
use crate::store::{RunRecord, StoredRun};
use crate::time::Timestamp;

/// A run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunView {
    /// The run.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowSlug,
    /// The version that it runs; `None` for a test run of a draft.
    pub version: Option<u32>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it is a test run.
    pub test: bool,
    /// What started it.
    pub trigger: Arc<Value>,
    /// Its input.
    pub input: Arc<Value>,
    /// Its output, if it succeeded.
    pub output: Option<Arc<Value>>,
    /// The failure and the step that failed it, if it failed. Of a run whose history cannot be read it is `quarantined`,
    /// whatever its status: it was set aside, and waits for somebody to do something about it.
    pub error: Option<Value>,
    /// What a waiting webhook answers, if a `terminate` node said so.
    pub response: Option<Arc<Value>>,
    /// Whether a `terminate` node ended it; such a run cannot be retried.
    pub terminated: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first step was decided.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The run and step that it was resumed from.
    pub resumed_from: Option<StepRef>,
    /// The run and step that called it.
    pub parent: Option<StepRef>,
    /// Its steps by key; empty in lists.
    pub steps: Vec<StepView>,
}

/// A step of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepView {
    /// Its key.
    pub step: StepKey,
    /// The node's id.
    pub node: String,
    /// The node's type.
    pub kind: String,
    /// Where it stands.
    pub status: StepStatus,
    /// How many attempts have begun.
    pub attempts: u32,
    /// Its input.
    pub input: Option<Arc<Value>>,
    /// Its output.
    pub output: Option<Arc<Value>>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<Failure>,
    /// The port by which it was left.
    pub port: Option<Arc<str>>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Part of a history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, ascending.
    pub events: Vec<Event>,
    /// Whether there are more behind them now.
    pub more: bool,
}

/// Whether a history is what the rules give.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verdict {
    /// How many events it has.
    pub events: u64,
    /// The first place where it is not, if there is one.
    pub divergence: Option<Difference>,
}

/// A place where a history is not what the rules give.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Difference {
    /// The position.
    pub seq: u64,
    /// What should stand there.
    pub expected: Value,
    /// What stands there.
    pub found: Value,
}

/// Makes a view of a whole run as it stands now.
pub(super) fn run_view(
    definition: &ValidDefinition,
    stored: &StoredRun,
    now: Timestamp,
) -> Result<RunView, EngineError> {
    let meta = Arc::new(stored.record.meta.clone());
    let Replayed { state, .. } =
        replay(definition, meta.clone(), &stored.chunks).map_err(EngineError::Unreadable)?;
    let steps = state.steps(now).map(|(key, step, status)| StepView {
        step: key.clone(),
        node: key.node().to_owned(),
        kind: node_type(definition, key).to_owned(),
        status,
        attempts: state.attempts(key, now),
        input: (status != StepStatus::Skipped).then(|| state.input_of(definition, key)),
        output: step.output.clone(),
        error: step.failure.clone(),
        port: step.port.clone(),
        started_at: step.started_at,
        finished_at: step.finished_at,
    });
    let steps = steps.collect();
    let end = state.end();
    Ok(RunView {
        id: meta.run,
        workflow: meta.workflow.clone(),
        version: meta.version,
        status: stored.record.status,
        test: meta.test,
        trigger: Arc::new(state.created().trigger.to_value()),
        input: state.created().input.clone(),
        output: end.and_then(|end| end.output.clone()),
        error: end.and_then(RunEnd::error),
        response: end.and_then(|end| end.response.clone()),
        terminated: end.is_some_and(|end| end.terminated),
        created_at: meta.created_at,
        started_at: state.started_at(),
        finished_at: end.map(|end| end.at),
        resumed_from: state.created().resumed_from.clone(),
        parent: state.created().parent.clone(),
        steps,
    })
}

/// How a stored run ended, if it did.
pub(super) fn run_end(
    definition: &ValidDefinition,
    stored: &StoredRun,
) -> Result<Option<RunEnd>, EngineError> {
    let meta = Arc::new(stored.record.meta.clone());
    let Replayed { state, .. } = replay(definition, meta, &stored.chunks).map_err(EngineError::Unreadable)?;
    Ok(state.end().cloned())
}

/// Makes a view of a run from its first and last chunk, without steps. One that cannot be read keeps no other from being
/// shown.
pub(super) fn summary(stored: StoredRun) -> RunView {
    let record = stored.record.clone();
    readable_summary(stored).unwrap_or_else(|why| set_aside(record, &why))
}

/// What is known of a run that cannot be read: it waits for somebody to do something about it.
pub(super) fn set_aside(record: RunRecord, why: &EngineError) -> RunView {
    let failure = Failure::permanent(code::QUARANTINED, story(why));
    RunView { error: Some(shown_failure(&failure, None)), ..recorded(record) }
}

/// What a run's record says of it.
fn recorded(record: RunRecord) -> RunView {
    RunView {
        id: record.meta.run,
        workflow: record.meta.workflow,
        version: record.meta.version,
        status: record.status,
        test: record.meta.test,
        trigger: Arc::default(),
        input: Arc::default(),
        output: None,
        error: None,
        response: None,
        terminated: false,
        created_at: record.meta.created_at,
        started_at: None,
        finished_at: record.finished_at,
        resumed_from: None,
        parent: None,
        steps: Vec::new(),
    }
}

/// What an error says, with its causes.
fn story(error: &EngineError) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        story.push_str(": ");
        story.push_str(&why.to_string());
        cause = why.source();
    }
    story
}

fn readable_summary(stored: StoredRun) -> Result<RunView, EngineError> {
    let (record, chunks) = (stored.record, stored.chunks);
    let unreadable = |error: ChainError| EngineError::Unreadable(ReplayError::Chain(error));
    let first = chunks.first().ok_or(EngineError::Unreadable(ReplayError::NoStart))?;
    let first = first.decode(genesis(record.meta.run), 0).map_err(unreadable)?;
    let Some(EventData::RunCreated(created)) = first.first().map(|event| event.data.clone()) else {
        return Err(EngineError::Unreadable(ReplayError::NoStart));
    };
    let mut view = RunView {
        trigger: Arc::new(created.trigger.to_value()),
        input: created.input,
        started_at: first.get(1).map(|event| event.at),
        resumed_from: created.resumed_from,
        parent: created.parent,
        ..recorded(record)
    };
    let last = match chunks.last() {
        Some(last) if chunks.len() > 1 => last.events().map_err(|error| unreadable(error.into()))?,
        _ => first,
    };
    match last.last().map(|event| &event.data) {
        Some(EventData::RunSucceeded { output, .. }) => view.output = Some(output.clone()),
        Some(EventData::RunFailed { failure, failed_step, .. }) => {
            view.terminated = failure.code == code::TERMINATED;
            view.error = Some(shown_failure(failure, failed_step.as_ref()));
        }
        _ => {}
    }
    Ok(view)
}

fn node_type<'a>(definition: &'a ValidDefinition, key: &StepKey) -> &'a str {
    definition.node(key).map_or("", |(graph, index)| graph.node(index).kind.type_name())
}

/// Verifies a stored history.
pub(super) fn verdict(definition: &ValidDefinition, stored: &StoredRun) -> Verdict {
    let events = stored.chunks.last().map_or(0, |last| last.last_seq);
    let error = match replay(definition, Arc::new(stored.record.meta.clone()), &stored.chunks) {
        Ok(_) => return Verdict { events, divergence: None },
        Err(error) => error,
    };
    let shown = |event: Option<Box<Event>>| event.map_or(Value::Null, |event| event.to_value());
    let said = |seq: u64, expected: &str, found: String| Difference {
        seq,
        expected: expected.into(),
        found: found.into(),
    };
    let divergence = match error {
        ReplayError::Diverged(Divergence { seq, expected, found }) => {
            Difference { seq, expected: shown(expected), found: shown(found) }
        }
        ReplayError::Chain(ChainError::Altered { seq }) => {
            said(seq, "the text that was committed", "other text".into())
        }
        ReplayError::Chain(ChainError::Gap { expected, found }) => {
            said(expected, "the next event", format!("event {found}"))
        }
        other => said(1, "a history of this run", other.to_string()),
    };
    Verdict { events, divergence: Some(divergence) }
}
