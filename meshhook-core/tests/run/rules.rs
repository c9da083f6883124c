//! The rules of runs, one by one.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::event::{EventData, RunStatus};
use meshhook_core::failure::Failure;
use meshhook_core::run::{Fact, Refusal, StepStatus, verify};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

use crate::driver::{START, all_succeed, begin, definition, finish, key, kinds, meta, run};

fn node(id: &str, expression: &str) -> Value {
    json!({ "id": id, "type": "transform", "config": { "expression": expression } })
}

fn call(id: &str) -> Value {
    json!({ "id": id, "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" } })
}

fn edge(from: &str, to: &str) -> Value {
    json!({ "from": from, "to": to })
}

fn port(from: &str, port: &str, to: &str) -> Value {
    json!({ "from": from, "port": port, "to": to })
}

fn graph(nodes: &[Value], edges: &[Value]) -> Value {
    json!({ "name": "Test", "nodes": nodes, "edges": edges })
}

fn output(document: &Value, input: Value) -> Value {
    let (state, _) = run(document, input, &all_succeed);
    let end = state.end().expect("the run ended");
    assert_eq!(end.status, RunStatus::Succeeded, "{:?}", end.failure);
    (**end.output.as_ref().unwrap()).clone()
}

#[test]
fn several_sinks_give_an_object_by_id() {
    let document = graph(&[node("a", "`1`"), node("b", "`2`"), node("c", "`3`")], &[edge("a", "b")]);
    assert_eq!(output(&document, json!(null)), json!({ "b": 2, "c": 3 }));
}

#[test]
fn a_node_behind_several_taken_edges_sees_them_by_id() {
    let document = graph(
        &[node("a", "`1`"), node("b", "`2`"), node("sum", "input.a + input.b")],
        &[edge("a", "sum"), edge("b", "sum")],
    );
    assert_eq!(output(&document, json!(null)), json!(3));
}

#[test]
fn dead_paths_resolve_through_joins() {
    let branch = json!({ "id": "if", "type": "branch", "config": { "condition": "input" } });
    let document = graph(
        &[branch, node("yes", "'yes'"), node("no", "'no'"), node("after_no", "input"), node("join", "input")],
        &[
            port("if", "true", "yes"),
            port("if", "false", "no"),
            edge("no", "after_no"),
            edge("yes", "join"),
            edge("after_no", "join"),
        ],
    );
    assert_eq!(output(&document, json!(true)), json!("yes"));
    assert_eq!(output(&document, json!(false)), json!("no"));
}

#[test]
fn join_any_runs_once_with_the_first_output() {
    let mut join = node("join", "input");
    join["join"] = json!("any");
    let document = graph(&[call("slow"), call("fast"), join], &[edge("slow", "join"), edge("fast", "join")]);
    let outcome = |step: &meshhook_core::id::StepKey, _: u32| {
        let takes = if step.as_str() == "slow" { 500 } else { 100 };
        (Duration::from_millis(takes), Ok(json!(step.as_str())))
    };
    let (state, events) = run(&document, json!(null), &outcome);
    assert_eq!(**state.end().unwrap().output.as_ref().unwrap(), json!("fast"));
    assert_eq!(kinds(&events).iter().filter(|kind| *kind == "join step_succeeded").count(), 1);
}

#[test]
fn terminate_ends_the_run_at_once() {
    let end = json!({ "id": "end", "type": "terminate", "config": { "status": "failed", "output": { "why": "{{ input }}" } } });
    let document = graph(&[call("slow"), node("a", "'x'"), end], &[edge("a", "end")]);
    let (state, events) = run(&document, json!(null), &all_succeed);
    let failed = state.end().unwrap();
    assert_eq!(failed.status, RunStatus::Failed);
    let failure = failed.failure.as_ref().unwrap();
    assert_eq!(
        (failure.code.as_ref(), failure.details.as_deref()),
        ("terminated", Some(&json!({ "why": "x" })))
    );
    assert_eq!(events.last().unwrap().data.kind(), "run_failed");
    let slow = state.steps(state.at()).find(|(key, _, _)| key.as_str() == "slow").unwrap();
    assert_eq!(slow.2, StepStatus::Cancelled);
}

#[test]
fn a_failed_item_is_collected_or_fails_the_loop() {
    let each = |mode: &str| {
        json!({ "id": "each", "type": "for_each", "config": {
            "items": "input", "on_item_error": mode, "concurrency": 3, "body": { "nodes": [call("post")] } } })
    };
    let outcome = |step: &meshhook_core::id::StepKey, _: u32| {
        let failed = step.as_str() == "each[1].post";
        let result = if failed { Err(Failure::permanent("http_status", "status 404")) } else { Ok(json!(1)) };
        (Duration::from_millis(if failed { 50 } else { 100 }), result)
    };
    let (state, _) = run(&graph(&[each("collect")], &[]), json!([1, 2, 3]), &outcome);
    let collected = state.end().unwrap().output.clone().unwrap();
    assert_eq!(collected[0], 1);
    assert_eq!(collected[1]["error"]["code"], "http_status");
    let (state, events) = run(&graph(&[each("fail")], &[]), json!([1, 2, 3]), &outcome);
    let failure = state.end().unwrap().failure.clone().unwrap();
    assert_eq!(failure.code, "item_failed");
    assert_eq!(failure.details.unwrap()["index"], 1);
    assert!(!kinds(&events).contains(&"each[0].post step_succeeded".to_owned()));
}

#[test]
fn a_retried_loop_keeps_what_its_items_did() {
    let each = json!({ "id": "each", "type": "for_each", "config": {
        "items": "input", "concurrency": 2, "body": { "nodes": [call("post")] } } });
    let document = graph(&[each], &[]);
    let definition = definition(&document);
    let (mut state, mut events) = begin(&definition, json!([1, 2, 3]));
    let first = |step: &meshhook_core::id::StepKey, attempt: u32| {
        let failed = step.as_str() == "each[1].post" && attempt == 1;
        let result =
            if failed { Err(Failure::permanent("http_status", "status 404")) } else { Ok(json!(attempt)) };
        (Duration::from_millis(if step.as_str() == "each[0].post" { 10 } else { 50 }), result)
    };
    finish(&definition, &mut state, &mut events, &first);
    assert_eq!(state.status(state.at()), RunStatus::Failed);
    let later = state.at().after(Duration::from_secs(60));
    events.extend(state.decide(&definition, Fact::Retry { by: None }, later).unwrap());
    finish(&definition, &mut state, &mut events, &first);
    assert_eq!(state.status(state.at()), RunStatus::Succeeded, "{:#?}", kinds(&events));
    assert_eq!(**state.end().unwrap().output.as_ref().unwrap(), json!([1, 2, 1]));
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn repeat_goes_on_until_its_condition_holds_or_it_is_exhausted() {
    let repeat = |max: u64| {
        json!({ "id": "poll", "type": "repeat", "config": { "until": "output.n >= `3`", "every": "10s",
            "max_iterations": max, "body": { "nodes": [node("next", "{n: (input.n || `0`) + `1`}")] } } })
    };
    let (state, events) = run(&graph(&[repeat(5)], &[]), json!({}), &all_succeed);
    assert_eq!(**state.end().unwrap().output.as_ref().unwrap(), json!({ "n": 3 }));
    assert_eq!(state.at(), START.after(Duration::from_secs(20)));
    assert_eq!(kinds(&events).iter().filter(|kind| *kind == "poll timer_fired").count(), 2);
    let (state, _) = run(&graph(&[repeat(2)], &[]), json!({}), &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "iterations_exhausted");
    let document = graph(&[repeat(2), node("late", "input.n")], &[port("poll", "exhausted", "late")]);
    assert_eq!(output(&document, json!({})), json!(2));
}

#[test]
fn a_wait_that_times_out_leaves_by_its_port_or_fails() {
    let wait = json!({ "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "1h" } });
    let (state, _) = run(&graph(std::slice::from_ref(&wait), &[]), json!(null), &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "timed_out");
    let document = graph(&[wait, node("late", "'late'")], &[port("paid", "timeout", "late")]);
    assert_eq!(output(&document, json!(null)), json!("late"));
}

#[test]
fn inner_steps_see_outer_ones_and_their_own() {
    let inner = node("x", "join('-', [nodes.a.output, item, to_string(index)])");
    let shadow = node("y", "nodes.x.output");
    let each = json!({ "id": "each", "type": "for_each", "config": { "items": "input", "body": {
        "nodes": [inner, shadow], "edges": [edge("x", "y")] } } });
    let mut document =
        graph(&[node("a", "'a'"), node("x", "['p', 'q']"), each], &[edge("a", "x"), edge("x", "each")]);
    document["nodes"][2]["config"]["items"] = json!("nodes.x.output");
    assert_eq!(output(&document, json!(null)), json!(["a-p-0", "a-q-1"]));
}

#[test]
fn a_node_hides_one_of_the_same_name_outside_before_it_has_run() {
    let early = node("early", "[nodes.x.output, nodes.a.output]");
    let late = node("late", "nodes.x.output");
    let each = json!({ "id": "each", "type": "for_each", "config": { "items": "[input]", "body": {
        "nodes": [early, node("x", "'in'"), late], "edges": [edge("early", "x"), edge("x", "late")] } } });
    let nested = json!({ "id": "outer", "type": "for_each", "config": { "items": "['i']", "body": {
        "nodes": [each], "edges": [] } } });
    let document =
        graph(&[node("a", "'a'"), node("x", "'out'"), nested], &[edge("a", "x"), edge("x", "outer")]);
    let (state, _) = run(&document, json!(null), &all_succeed);
    let early = state.step(&key("outer[0].each[0].early")).unwrap();
    assert_eq!(early.output.as_deref(), Some(&json!([null, "a"])));
    assert_eq!(output(&document, json!(null)), json!([["in"]]));
}

#[test]
fn an_output_that_is_too_large_fails_its_step() {
    let document = graph(&[call("big")], &[]);
    let outcome = |_: &meshhook_core::id::StepKey, _: u32| (Duration::ZERO, Ok(json!("x".repeat(1 << 20))));
    let (state, events) = run(&document, json!(null), &outcome);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "output_too_large");
    assert_eq!(kinds(&events)[2..4], ["big attempt_failed", "big step_failed"]);
    let fits =
        |_: &meshhook_core::id::StepKey, _: u32| (Duration::ZERO, Ok(json!("x".repeat((1 << 20) - 2))));
    let (state, _) = run(&document, json!(null), &fits);
    assert_eq!(state.status(state.at()), RunStatus::Succeeded);
}

#[test]
fn a_history_that_is_too_long_fails_its_run() {
    let repeat = json!({ "id": "loop", "type": "repeat", "config": { "until": "`false`", "max_iterations": 100_000,
        "body": { "nodes": [node("n", "`1`")] } } });
    let (state, events) = run(&graph(&[repeat], &[]), json!(null), &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "limit_exceeded");
    assert_eq!(events.len(), 50_001);
}

#[test]
fn long_chains_of_skipped_nodes_cost_no_stack() {
    let mut nodes = vec![
        json!({ "id": "if", "type": "branch", "config": { "condition": "`false`" } }),
        node("n0", "`1`"),
    ];
    let mut edges = vec![port("if", "true", "n0")];
    for place in 1..900 {
        nodes.push(node(&format!("n{place}"), "`1`"));
        edges.push(edge(&format!("n{}", place - 1), &format!("n{place}")));
    }
    let (state, events) = run(&graph(&nodes, &edges), json!(null), &all_succeed);
    assert_eq!(state.status(state.at()), RunStatus::Succeeded);
    assert_eq!(kinds(&events).iter().filter(|kind| kind.ends_with("step_skipped")).count(), 900);
}

#[test]
fn stale_and_illegal_facts_change_nothing() {
    let definition = definition(&graph(&[call("a")], &[]));
    let (mut state, _) = begin(&definition, json!(null));
    let before = format!("{state:?}");
    let later = START.after(Duration::from_secs(1));
    let success = |attempt, port: &str| Fact::AttemptSucceeded {
        step: key("a"),
        attempt,
        port: port.into(),
        output: Arc::new(json!(1)),
    };
    let refused = |fact: Fact, state: &mut meshhook_core::run::RunState| {
        state.decide(&definition, fact, later).unwrap_err()
    };
    assert_eq!(refused(success(2, "out"), &mut state), Refusal::StaleAttempt { step: key("a"), attempt: 2 });
    assert!(matches!(refused(success(1, "nowhere"), &mut state), Refusal::UnknownPort { .. }));
    assert!(matches!(refused(Fact::TimerDue { step: key("a") }, &mut state), Refusal::NotDue { .. }));
    assert!(matches!(refused(Fact::DeadlinePassed { step: key("b") }, &mut state), Refusal::NotDue { .. }));
    assert_eq!(refused(Fact::TimedOut, &mut state), Refusal::TimeLeft);
    assert!(matches!(refused(Fact::Resume { by: None }, &mut state), Refusal::InvalidState { .. }));
    assert!(matches!(refused(Fact::Retry { by: None }, &mut state), Refusal::InvalidState { .. }));
    let claimed = Fact::Claimed { worker: meshhook_core::id::WorkerId::new("w").unwrap(), epoch: 1 };
    assert_eq!(refused(claimed, &mut state), Refusal::StaleEpoch { epoch: 1 });
    assert_eq!(format!("{state:?}"), before);
    state.decide(&definition, Fact::Cancel { by: None }, later).unwrap();
    for fact in [success(1, "out"), Fact::Pause { by: None }, Fact::Cancel { by: None }, Fact::TimedOut] {
        assert_eq!(refused(fact, &mut state), Refusal::Ended);
    }
}

#[test]
fn a_clock_that_steps_back_does_not_turn_time_round() {
    let definition = definition(&graph(&[call("a")], &[]));
    let (mut state, mut events) = begin(&definition, json!(null));
    let fact =
        Fact::AttemptSucceeded { step: key("a"), attempt: 1, port: "out".into(), output: Arc::new(json!(1)) };
    events.extend(state.decide(&definition, fact, Timestamp::from_micros(-5)).unwrap());
    assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at));
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn uuid_and_now_are_the_same_in_every_replay() {
    let document =
        graph(&[node("a", "{id: uuid(), other: uuid(), at: now()}"), node("b", "uuid()")], &[edge("a", "b")]);
    let (first, _) = run(&document, json!(null), &all_succeed);
    let (second, _) = run(&document, json!(null), &all_succeed);
    let output =
        |state: &meshhook_core::run::RunState| state.step(&key("a")).unwrap().output.clone().unwrap();
    assert_eq!(output(&first), output(&second));
    assert_ne!(output(&first)["id"], output(&first)["other"]);
    assert_ne!(output(&first)["id"], *first.step(&key("b")).unwrap().output.clone().unwrap());
}

#[test]
fn retry_after_puts_the_next_attempt_off_but_not_past_an_hour() {
    let definition = definition(&graph(&[call("a")], &[]));
    for (asked, waits) in [(30, 30), (0, 0), (1_000_000, 3_600)] {
        let (mut state, _) = begin(&definition, json!(null));
        let fact = Fact::AttemptFailed {
            step: key("a"),
            attempt: 1,
            failure: Failure::retryable("http_status", "status 503"),
            retry_not_before: Some(START.after(Duration::from_secs(asked))),
        };
        let events = state.decide(&definition, fact, START).unwrap();
        let EventData::AttemptFailed { retry_at: Some(retry_at), .. } = events[0].data else {
            panic!("{events:?}")
        };
        let wait = retry_at.since(START);
        assert!(
            wait >= Duration::from_secs(waits) && wait <= Duration::from_secs(waits.max(1)),
            "{asked}: {wait:?}"
        );
    }
}

#[test]
fn a_retried_run_gives_deadlines_and_attempts_anew() {
    let mut slow = call("slow");
    slow["deadline"] = json!("1m");
    slow["retry"] = json!({ "max_attempts": 2, "initial": "1s", "jitter": "none" });
    let definition = definition(&graph(&[slow, call("broken")], &[]));
    let (mut state, mut events) = begin(&definition, json!(null));
    let broken_once = |step: &meshhook_core::id::StepKey, attempt: u32| match (step.as_str(), attempt) {
        ("broken", 1) => (Duration::from_secs(2), Err(Failure::permanent("http_status", "status 404"))),
        ("slow", 1 | 2) => (Duration::from_secs(1), Err(Failure::retryable("http_status", "status 503"))),
        _ => (Duration::from_secs(1), Ok(json!(attempt))),
    };
    finish(&definition, &mut state, &mut events, &broken_once);
    assert_eq!(state.status(state.at()), RunStatus::Failed);
    let later = state.at().after(Duration::from_secs(3_600));
    events.extend(state.decide(&definition, Fact::Retry { by: None }, later).unwrap());
    // The attempt that was to follow an hour ago follows now, and fails; there is time and a try left for another.
    let outcome = |step: &meshhook_core::id::StepKey, attempt: u32| {
        let (takes, result) = broken_once(step, attempt);
        let waited = if (step.as_str(), attempt) == ("slow", 2) { 3_600 } else { 0 };
        (takes + Duration::from_secs(waited), result)
    };
    finish(&definition, &mut state, &mut events, &outcome);
    assert_eq!(state.status(state.at()), RunStatus::Succeeded, "{:#?}", kinds(&events));
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn a_history_of_too_many_bytes_fails_its_run() {
    let big =
        node("n", "join('', [nodes.text.output, nodes.text.output, nodes.text.output, nodes.text.output])");
    let each = json!({ "id": "each", "type": "for_each", "config": { "items": "range(`1000`)", "body": { "nodes": [big] } } });
    let document = graph(&[node("text", "input"), each], &[edge("text", "each")]);
    let (state, _) = run(&document, json!("x".repeat(200_000)), &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "limit_exceeded");
}

#[test]
fn an_event_that_comes_after_a_waits_timeout_does_not_end_the_wait() {
    let wait = json!({ "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "1h" } });
    let definition = definition(&graph(&[wait], &[]));
    let (mut state, mut events) = begin(&definition, json!(null));
    events.extend(state.decide(&definition, Fact::Pause { by: None }, START).unwrap());
    let late = START.after(Duration::from_secs(7_200));
    let event = Fact::EventReceived { name: "paid".into(), key: None, payload: Arc::new(json!(1)) };
    events.extend(state.decide(&definition, event, late).unwrap());
    events.extend(state.decide(&definition, Fact::Resume { by: None }, late).unwrap());
    finish(&definition, &mut state, &mut events, &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "timed_out");
    verify(&definition, meta(&definition), &events).unwrap();
}

#[test]
fn a_repeat_that_was_exhausted_goes_on_with_further_iterations_when_its_run_is_retried() {
    let inner = json!({ "id": "poll", "type": "repeat", "config": {
        "until": "output.ok >= `9`", "max_iterations": 2, "body": { "nodes": [call("ask")] } } });
    let outer = json!({ "id": "outer", "type": "for_each", "config": { "items": "['x']", "body": { "nodes": [inner] } } });
    let definition = definition(&graph(&[outer], &[]));
    let (mut state, mut events) = begin(&definition, json!(null));
    let outcome = |step: &meshhook_core::id::StepKey, _: u32| {
        let ok = if step.as_str() == "outer[0].poll[3].ask" { 9 } else { 1 };
        (Duration::from_secs(1), Ok(json!({ "ok": ok })))
    };
    finish(&definition, &mut state, &mut events, &outcome);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "item_failed");
    let now = state.at();
    events.extend(state.decide(&definition, Fact::Retry { by: None }, now).unwrap());
    finish(&definition, &mut state, &mut events, &outcome);
    assert_eq!(state.status(state.at()), RunStatus::Succeeded, "{:#?}", kinds(&events));
    let starts =
        kinds(&events).into_iter().filter(|kind| kind.ends_with("ask step_started")).collect::<Vec<_>>();
    let wanted: Vec<String> =
        (0..4).map(|index| format!("outer[0].poll[{index}].ask step_started")).collect();
    assert_eq!(starts, wanted);
    verify(&definition, meta(&definition), &events).unwrap();
}

/// The output of a run that waits for an event with the key that a template gives, after an event; `None` while it waits.
fn waited_for(template: &Value, input: Value, sent: Option<&str>) -> Option<Value> {
    let wait = json!({ "id": "paid", "type": "wait", "config": { "event": "paid", "key": template } });
    let definition = definition(&graph(&[wait], &[]));
    let (mut state, _) = begin(&definition, input);
    let event = |key: Option<&str>, payload: Value| Fact::EventReceived {
        name: "paid".into(),
        key: key.map(str::to_owned),
        payload: Arc::new(payload),
    };
    state.decide(&definition, event(sent, json!("sent")), START).ok()?;
    let end = state.end()?;
    assert_eq!(end.status, RunStatus::Succeeded, "{:?}", end.failure);
    end.output.as_deref().cloned()
}

#[test]
fn a_wait_takes_only_events_with_an_equal_key() {
    let sent = Some(json!("sent"));
    let key = json!("{{ input.order }}");
    for (order, text) in [
        (json!("a"), "a"),
        (json!(42), "42"),
        (json!(true), "true"),
        (json!({ "b": 1, "a": [2] }), r#"{"a":[2],"b":1}"#),
        (json!(""), ""),
    ] {
        assert_eq!(waited_for(&key, json!({ "order": order }), Some(text)), sent, "{text}");
        assert_eq!(waited_for(&key, json!({ "order": order }), Some("other")), None, "{text}");
        assert_eq!(waited_for(&key, json!({ "order": order }), None), None, "{text}");
    }
    assert_eq!(waited_for(&json!("no {{ input.order }}"), json!({}), Some("no ")), sent);
    // The constant null is as good as no key: any event counts.
    assert_eq!(waited_for(&json!(null), json!({}), Some("whatever")), sent);
    assert_eq!(waited_for(&json!(null), json!({}), None), sent);
}

#[test]
fn a_wait_whose_key_renders_to_null_fails() {
    let wait =
        json!({ "id": "paid", "type": "wait", "config": { "event": "paid", "key": "{{ input.oder }}" } });
    let (state, _) = run(&graph(&[wait], &[]), json!({ "order": 1 }), &all_succeed);
    assert_eq!(state.end().unwrap().failure.as_ref().unwrap().code, "invalid_config");
}

#[test]
fn a_step_is_running_again_once_the_time_of_its_retry_has_come() {
    let definition = definition(&graph(&[call("a")], &[]));
    let (mut state, _) = begin(&definition, json!(null));
    let failed = |attempt| Fact::AttemptFailed {
        step: key("a"),
        attempt,
        failure: Failure::retryable("http_status", "status 503"),
        retry_not_before: Some(START.after(Duration::from_secs(60))),
    };
    let stands = |state: &meshhook_core::run::RunState, seconds| {
        let now = START.after(Duration::from_secs(seconds));
        (state.status(now), state.steps(now).next().unwrap().2)
    };
    assert_eq!(stands(&state, 0), (RunStatus::Running, StepStatus::Running));
    state.decide(&definition, failed(1), START).unwrap();
    assert_eq!(stands(&state, 59), (RunStatus::Waiting, StepStatus::Retrying));
    assert_eq!(stands(&state, 60), (RunStatus::Running, StepStatus::Running));
    // A paused run starts nothing: what waited for its next attempt when it was paused waits still.
    state.decide(&definition, Fact::Pause { by: None }, START.after(Duration::from_secs(30))).unwrap();
    assert_eq!(stands(&state, 60), (RunStatus::Paused, StepStatus::Retrying));
    state.decide(&definition, Fact::Resume { by: None }, START.after(Duration::from_secs(90))).unwrap();
    assert_eq!(stands(&state, 90), (RunStatus::Running, StepStatus::Running));
}
