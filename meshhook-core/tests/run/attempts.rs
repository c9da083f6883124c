//! How attempts are counted, and what a deadline leaves of them.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::definition::ValidDefinition;
use meshhook_core::event::EventData;
use meshhook_core::failure::Failure;
use meshhook_core::run::{Fact, RunState, verify};
use serde_json::json;

use crate::driver::{START, begin, definition, key, kinds, meta};

/// A call with a deadline of ten seconds, whose attempts fail after one and are repeated after four.
fn with_deadline() -> ValidDefinition {
    definition(&json!({ "name": "Deadline", "nodes": [{
        "id": "slow", "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" },
        "retry": { "max_attempts": 5, "initial": "4s", "factor": 1, "jitter": "none" }, "deadline": "10s" }] }))
}

fn deadline_passed() -> Fact {
    Fact::DeadlinePassed { step: key("slow") }
}

#[test]
fn an_attempt_that_a_deadline_cuts_off_counts_and_is_recorded_as_failed() {
    let definition = with_deadline();
    let (mut state, mut events) = begin(&definition, json!(null));
    events
        .extend(state.decide(&definition, deadline_passed(), START.after(Duration::from_secs(10))).unwrap());
    assert_eq!(kinds(&events)[2..], ["slow attempt_failed", "slow step_failed", "run_failed"]);
    let EventData::AttemptFailed { attempt: 1, failure, retry_at: None } = &events[2].data else {
        panic!("{events:?}")
    };
    assert_eq!(failure.code, "timed_out");
    let EventData::StepFailed { attempts: Some(1), failure, .. } = &events[3].data else {
        panic!("{events:?}")
    };
    assert_eq!((&*failure.code, &failure.details), ("timed_out", &None));
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn a_result_that_comes_after_the_deadline_is_an_attempt_that_was_cut_off() {
    let definition = with_deadline();
    let late = START.after(Duration::from_secs(11));
    let (mut by_deadline, _) = begin(&definition, json!(null));
    let (mut by_result, mut events) = begin(&definition, json!(null));
    let result = Fact::AttemptSucceeded {
        step: key("slow"),
        attempt: 1,
        port: "out".into(),
        output: Arc::new(json!("too late")),
    };
    let decided = by_result.decide(&definition, result, late).unwrap();
    assert_eq!(decided, by_deadline.decide(&definition, deadline_passed(), late).unwrap());
    events.extend(decided);
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn an_attempt_that_would_have_begun_during_a_pause_does_not_count_when_the_deadline_comes_first() {
    let definition = with_deadline();
    let at = |seconds| START.after(Duration::from_secs(seconds));
    let (mut state, mut events) = begin(&definition, json!(null));
    let failed = Fact::AttemptFailed {
        step: key("slow"),
        attempt: 1,
        failure: Failure::retryable("http_status", "status 503"),
        retry_not_before: None,
    };
    events.extend(state.decide(&definition, failed, at(1)).unwrap());
    events.extend(state.decide(&definition, Fact::Pause { by: None }, at(2)).unwrap());
    assert_eq!(state.attempts(&key("slow"), at(9)), 1);
    events.extend(state.decide(&definition, Fact::Resume { by: None }, at(11)).unwrap());
    let decided = state.decide(&definition, deadline_passed(), at(11)).unwrap();
    assert!(matches!(&decided[0].data, EventData::StepFailed { attempts: Some(1), failure, .. }
        if failure.details.as_ref().is_some_and(|details| details["last_failure"]["code"] == "http_status")));
    events.extend(decided);
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn attempts_are_counted_from_their_beginning_also_when_the_run_ends_before_them() {
    let definition = definition(&json!({ "name": "Timeout", "timeout": "1m", "nodes": [{
        "id": "slow", "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" } }] }));
    let at = |seconds| START.after(Duration::from_secs(seconds));
    let (mut state, _) = begin(&definition, json!(null));
    assert_eq!(state.attempts(&key("slow"), START), 1);
    let failed = Fact::AttemptFailed {
        step: key("slow"),
        attempt: 1,
        failure: Failure::retryable("http_status", "status 503"),
        retry_not_before: Some(at(30)),
    };
    state.decide(&definition, failed, at(1)).unwrap();
    assert_eq!([at(29), at(30)].map(|now| state.attempts(&key("slow"), now)), [1, 2]);
    state.decide(&definition, Fact::TimedOut, at(60)).unwrap();
    assert_eq!(state.attempts(&key("slow"), at(90)), 2);
}

#[test]
fn runs_of_the_first_semantics_record_no_attempt_that_a_deadline_cut_off() {
    let definition = with_deadline();
    let (_, events) = begin(&definition, json!(null));
    let EventData::RunCreated(mut created) = events[0].data.clone() else { panic!("{events:?}") };
    created.semantics = 1;
    let (mut state, mut events) = RunState::begin(&definition, meta(&definition), created);
    events
        .extend(state.decide(&definition, deadline_passed(), START.after(Duration::from_secs(10))).unwrap());
    assert_eq!(kinds(&events)[2..], ["slow step_failed", "run_failed"]);
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn a_deadline_that_comes_after_the_runs_timeout_finds_the_run_timed_out() {
    let definition = definition(&json!({ "name": "Both", "timeout": "5s", "nodes": [{ "id": "slow",
        "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" }, "deadline": "10s" }] }));
    let (mut state, mut events) = begin(&definition, json!(null));
    let late = START.after(Duration::from_secs(10));
    events.extend(state.decide(&definition, deadline_passed(), late).unwrap());
    assert_eq!(kinds(&events)[2..], ["run_failed"]);
    verify(&definition, meta(&definition), &events).unwrap();
}
