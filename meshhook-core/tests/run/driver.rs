//! Drives a run by what it is owed. What happens, and when, is a function of the state alone, so that a run that is
//! cut off anywhere and loaded again must come to the same end.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::definition::{CheckContext, ValidDefinition, check};
use meshhook_core::event::{Event, RunCreated};
use meshhook_core::failure::Failure;
use meshhook_core::id::{ProjectId, RunId, StepKey, WorkflowSlug};
use meshhook_core::node::NodeTypes;
use meshhook_core::run::{Fact, Owed, RunMeta, RunState, verify};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

pub(crate) const START: Timestamp = Timestamp::EPOCH;

/// How an attempt ends, and after how long.
pub(crate) type Outcome<'a> = &'a dyn Fn(&StepKey, u32) -> (Duration, Result<Value, Failure>);

pub(crate) fn definition(document: &Value) -> ValidDefinition {
    let mut node_types = NodeTypes::new();
    node_types.register_http_call();
    let checked = check(document, &CheckContext::new(&node_types));
    checked.definition.unwrap_or_else(|| panic!("{:#?}\n{document:#}", checked.problems))
}

pub(crate) fn meta(definition: &ValidDefinition) -> Arc<RunMeta> {
    let slug = WorkflowSlug::new("test").unwrap();
    // The keys of the golden histories are made from it.
    let run: RunId = "00000000-0000-7707-8707-070707070707".parse().unwrap();
    Arc::new(
        RunMeta::new(run, ProjectId::default_project(), slug, definition.digest().clone(), START).version(1),
    )
}

pub(crate) fn begin(definition: &ValidDefinition, input: Value) -> (RunState, Vec<Event>) {
    let trigger =
        [("type".to_owned(), "manual".into())].into_iter().collect::<serde_json::Map<_, _>>().into();
    let created = RunCreated::new(definition.digest().clone(), trigger, Arc::new(input));
    RunState::begin(definition, meta(definition), created)
}

pub(crate) fn key(text: &str) -> StepKey {
    text.parse().unwrap()
}

/// After how long and how every attempt succeeds.
pub(crate) fn all_succeed(_: &StepKey, attempt: u32) -> (Duration, Result<Value, Failure>) {
    (Duration::from_millis(100), Ok(json!({ "ok": attempt })))
}

/// What happens next, and when; `None` when the run has ended or only its timeout is left.
pub(crate) fn next_fact(
    definition: &ValidDefinition,
    state: &RunState,
    outcome: Outcome<'_>,
) -> Option<(Timestamp, Fact)> {
    let owed = state.outstanding(definition);
    let facts = owed.into_iter().map(|owed| match owed {
        Owed::Attempt { step, number, at } => {
            let (takes, result) = outcome(&step, number);
            let started = at.unwrap_or(state.step(&step).unwrap().started_at);
            let fact = match result {
                Ok(output) => Fact::AttemptSucceeded {
                    step,
                    attempt: number,
                    port: "out".into(),
                    output: Arc::new(output),
                },
                Err(failure) => {
                    Fact::AttemptFailed { step, attempt: number, failure, retry_not_before: None }
                }
            };
            (started.after(takes), fact)
        }
        Owed::Timer { step, at } => (at, Fact::TimerDue { step }),
        Owed::Deadline { step, at } => (at, Fact::DeadlinePassed { step }),
        Owed::Timeout { at } => (at, Fact::TimedOut),
        other => panic!("unexpected {other:?}"),
    });
    facts.min_by_key(|(at, _)| *at)
}

/// Runs until the end.
pub(crate) fn finish(
    definition: &ValidDefinition,
    state: &mut RunState,
    events: &mut Vec<Event>,
    outcome: Outcome<'_>,
) {
    while let Some((at, fact)) = next_fact(definition, state, outcome) {
        events.extend(state.decide(definition, fact, at).unwrap());
    }
}

/// Runs from the start to the end, and proves the history.
pub(crate) fn run(document: &Value, input: Value, outcome: Outcome<'_>) -> (RunState, Vec<Event>) {
    let definition = definition(document);
    let (mut state, mut events) = begin(&definition, input);
    finish(&definition, &mut state, &mut events, outcome);
    verify(&definition, meta(&definition), &events).unwrap();
    (state, events)
}

/// `step event` for each event.
pub(crate) fn kinds(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| match &event.step {
        Some(step) => format!("{step} {}", event.data.kind()),
        None => event.data.kind().to_owned(),
    };
    events.iter().map(name).collect()
}
