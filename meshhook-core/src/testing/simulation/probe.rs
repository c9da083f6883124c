//! Probes: what a run answers to every kind of fact where it stands, and that going on from there replays.

use std::sync::Arc;

use serde_json::{Value, json};

use super::coverage::Coverage;
use super::random::Random;
use crate::definition::ValidDefinition;
use crate::event::Event;
use crate::exec::Level;
use crate::failure::Failure;
use crate::id::{RunId, StepKey, WorkerId};
use crate::run::{Fact, Owed, Refusal, RunState, verify};
use crate::time::Timestamp;

/// Gives a state every kind of fact; says what is wrong if one is not taken or refused as it must be.
pub(super) fn probe(
    definition: &ValidDefinition,
    state: &RunState,
    events: &[Event],
    random: &mut Random,
    coverage: &mut Coverage,
) -> Result<(), String> {
    let facts = facts(definition, state);
    // All would take too long in every place; a few everywhere see all of them in the end.
    for _ in 0..4 {
        let (name, fact, now) = random.pick(&facts).clone();
        let before = state.status(now);
        let mut after = state.clone();
        let result = after.decide(definition, fact, now);
        let answer = match &result {
            Ok(_) => "taken",
            Err(refusal) => refusal_name(refusal),
        };
        coverage.count(format!("fact {name} on {}: {answer}", before.as_str()));
        match result {
            Ok(decided) => {
                let mut longer = events.to_vec();
                longer.extend(decided);
                let replayed = verify(definition, Arc::new(state.meta().clone()), &longer)
                    .map_err(|error| format!("after {name} at event {}: {error:?}", state.seq()))?;
                if format!("{replayed:?}") != format!("{after:?}") {
                    return Err(format!("{name} at event {} replays to another state", state.seq()));
                }
            }
            Err(_) if format!("{after:?}") != format!("{state:?}") => {
                return Err(format!("{name} at event {} was refused and changed the state", state.seq()));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// A fact, what it is called, and when it comes.
type Probe = (&'static str, Fact, Timestamp);

fn facts(definition: &ValidDefinition, state: &RunState) -> Vec<Probe> {
    let now = state.at().after(std::time::Duration::from_millis(1));
    let by = || None;
    let nobody: StepKey = "nobody".parse().expect("a valid step key");
    let worker = WorkerId::new("w-probe").expect("a valid worker id");
    let output = || Arc::new(json!({ "probe": true }));
    let failed = |step: &StepKey, attempt, failure: Failure, retry_not_before| Fact::AttemptFailed {
        step: step.clone(),
        attempt,
        failure,
        retry_not_before,
    };
    let succeeded = |step: &StepKey, attempt, port: &str| Fact::AttemptSucceeded {
        step: step.clone(),
        attempt,
        port: port.into(),
        output: output(),
    };
    let mut facts = vec![
        ("claimed", Fact::Claimed { worker: worker.clone(), epoch: state.epoch() + 1 }, now),
        ("claimed again", Fact::Claimed { worker, epoch: state.epoch() }, now),
        ("pause", Fact::Pause { by: by() }, now),
        ("resume", Fact::Resume { by: by() }, now),
        ("cancel", Fact::Cancel { by: by() }, now),
        ("retry", Fact::Retry { by: by() }, now),
        ("timed out early", Fact::TimedOut, now),
        ("timed out", Fact::TimedOut, state.times_out_at(definition)),
        ("aborted", Fact::Aborted { failure: Failure::permanent("limit_exceeded", "probe") }, now),
        (
            "logged",
            Fact::Logged { step: None, level: Level::Info, message: "probe".into(), fields: None },
            now,
        ),
        (
            "event",
            Fact::EventReceived { name: "go".into(), key: Some("k1".into()), payload: Arc::new(Value::Null) },
            now,
        ),
        (
            "child finished",
            Fact::ChildFinished {
                run_id: RunId::from_bytes([1; 16]),
                status: crate::event::RunStatus::Succeeded,
                output: None,
                failure: None,
            },
            now,
        ),
        ("stale attempt", succeeded(&nobody, 1, "out"), now),
        ("timer of nobody", Fact::TimerDue { step: nobody.clone() }, now),
        ("deadline of nobody", Fact::DeadlinePassed { step: nobody }, now),
    ];
    for owed in state.outstanding(definition) {
        match owed {
            Owed::Attempt { step, number, at } => {
                let now = at.unwrap_or(now).max(now);
                let retryable = || Failure::retryable("http_status", "status 503");
                facts.extend([
                    ("attempt succeeded", succeeded(&step, number, "out"), now),
                    ("attempt left by an unknown port", succeeded(&step, number, "nowhere"), now),
                    ("attempt of the past", succeeded(&step, number.wrapping_sub(1), "out"), now),
                    ("attempt failed", failed(&step, number, retryable(), None), now),
                    (
                        "attempt failed for good",
                        failed(&step, number, Failure::permanent("http_status", "status 404"), None),
                        now,
                    ),
                    (
                        "attempt failed, to be retried late",
                        failed(
                            &step,
                            number,
                            retryable(),
                            Some(now.after(std::time::Duration::from_secs(30))),
                        ),
                        now,
                    ),
                    (
                        "attempt succeeded late",
                        succeeded(&step, number, "out"),
                        now.after(std::time::Duration::from_secs(3_600)),
                    ),
                ]);
            }
            Owed::Timer { step, at } => {
                facts.push(("timer", Fact::TimerDue { step: step.clone() }, at));
                facts.push(("timer early", Fact::TimerDue { step }, state.at()));
            }
            Owed::Deadline { step, at } => {
                facts.push(("deadline", Fact::DeadlinePassed { step: step.clone() }, at));
                facts.push(("deadline early", Fact::DeadlinePassed { step }, state.at()));
            }
            Owed::Timeout { .. } => {}
        }
    }
    facts
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Ended => "refused, ended",
        Refusal::InvalidState { .. } => "refused, invalid state",
        Refusal::StaleAttempt { .. } => "refused, stale attempt",
        Refusal::NotDue { .. } => "refused, not due",
        Refusal::TimeLeft => "refused, time left",
        Refusal::UnknownPort { .. } => "refused, unknown port",
        Refusal::UnknownChild { .. } => "refused, unknown child",
        Refusal::StaleEpoch { .. } => "refused, stale epoch",
    }
}
