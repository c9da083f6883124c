//! Nodes that wait, iterate, call and end.

use super::*;

#[test]
fn delays_are_checked_at_once_where_they_are_constant() {
    let field = "nodes[0].config.for";
    for text in ["P99999Y", "-1s", "NaN", "tomorrow", "100000000000000000000s", "", "{{ input.n }} x {{"] {
        let code = if text.contains("{{") { "invalid_template" } else { "invalid_duration" };
        expect(&with_node("delay", json!({"for": text})), &[(code, field)]);
    }
    expect(&with_node("delay", json!({"for": 5})), &[("invalid_type", field)]);
    expect(
        &with_node("delay", json!({"until": "tomorrow"})),
        &[("invalid_duration", "nodes[0].config.until")],
    );
    expect(&with_node("delay", json!({})), &[("missing_field", field)]);
    expect(
        &with_node("delay", json!({"for": "1s", "until": "2026-01-01T00:00:00Z"})),
        &[("invalid_config", "nodes[0].config")],
    );
    for config in [
        json!({"for": "0s"}),
        json!({"for": "{{ input.n }}s"}),
        json!({"until": "2026-01-01T00:00:00+01:00"}),
    ] {
        expect(&with_node("delay", config), &[]);
    }
}

#[test]
fn delays_are_over_at_a_time() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let due = |config: Value, input: Value| {
        let NodeKind::Delay(delay) = kind("delay", config) else { panic!() };
        over(input, |scope| delay.due(scope, now)).map_err(|failure| failure.code.into_owned())
    };
    assert_eq!(due(json!({"for": "90s"}), json!(null)), Ok(now.after(Duration::from_secs(90))));
    assert_eq!(due(json!({"for": "{{ input }}m"}), json!(2)), Ok(now.after(Duration::from_secs(120))));
    assert_eq!(
        due(json!({"until": "{{ input }}"}), json!("2026-01-02T03:04:06Z")),
        Ok(now.after(Duration::from_secs(1)))
    );
    assert_eq!(
        due(json!({"until": "2000-01-01T00:00:00Z"}), json!(null)).unwrap(),
        "2000-01-01T00:00:00Z".parse().unwrap()
    );
    for input in [json!("soon"), json!(5), json!(null), json!("-1s")] {
        assert_eq!(due(json!({"for": "{{ input }}"}), input.clone()), Err("invalid_duration".to_owned()));
        assert_eq!(due(json!({"until": "{{ input }}"}), input), Err("invalid_duration".to_owned()));
    }
}

#[test]
fn waits_name_an_event_and_perhaps_a_key() {
    let NodeKind::Wait(wait) =
        kind("wait", json!({"event": "order paid", "key": "{{ input.id }}", "timeout": "1h"}))
    else {
        panic!()
    };
    assert_eq!(&*wait.event, "order paid");
    assert_eq!(wait.timeout, Some(Duration::from_secs(3_600)));
    assert_eq!(over(json!({"id": 7}), |scope| wait.key(scope)).unwrap(), Some("7".to_owned()));
    expect(
        &with_node("wait", json!({"event": "a/b", "timeout": "0s"})),
        &[("invalid_value", "nodes[0].config.event"), ("invalid_value", "nodes[0].config.timeout")],
    );
    expect(
        &with_node("wait", json!({"event": "{{ input }}"})),
        &[("invalid_value", "nodes[0].config.event")],
    );
    expect(&with_node("wait", json!({})), &[("missing_field", "nodes[0].config.event")]);
}

#[test]
fn for_each_gives_its_items_within_bounds() {
    let NodeKind::ForEach(each) = kind("for_each", json!({"items": "input", "max_items": 2, "body": body()}))
    else {
        panic!()
    };
    assert_eq!((each.concurrency, each.on_item_error, each.max_items), (1, OnItemError::Fail, 2));
    let items = |input: Value| {
        over(input, |scope| each.items(scope)).map_err(|failure: Failure| failure.code.into_owned())
    };
    assert_eq!(items(json!([1, 2])), Ok(vec![json!(1), json!(2)]));
    assert_eq!(items(json!([])), Ok(vec![]));
    assert_eq!(items(json!([1, 2, 3])), Err("limit_exceeded".to_owned()));
    assert_eq!(items(json!({"a": 1})), Err("invalid_items".to_owned()));
    assert_eq!(items(json!(null)), Err("invalid_items".to_owned()));
    expect(
        &with_node("for_each", json!({"items": 1, "concurrency": 0, "on_item_error": "ignore", "body": []})),
        &[
            ("invalid_type", "nodes[0].config.items"),
            ("invalid_value", "nodes[0].config.concurrency"),
            ("invalid_value", "nodes[0].config.on_item_error"),
            ("invalid_type", "nodes[0].config.body"),
        ],
    );
    expect(
        &with_node("for_each", json!({})),
        &[("missing_field", "nodes[0].config.items"), ("missing_field", "nodes[0].config.body")],
    );
}

#[test]
fn repeat_needs_an_end() {
    let NodeKind::Repeat(repeat) =
        kind("repeat", json!({"body": body(), "until": "input.done", "every": "5s", "max_iterations": 3}))
    else {
        panic!()
    };
    assert_eq!((repeat.every, repeat.max_iterations), (Some(Duration::from_secs(5)), 3));
    assert!(over(json!({"done": true}), |scope| repeat.is_over(scope)).unwrap());
    assert!(!over(json!({}), |scope| repeat.is_over(scope)).unwrap());
    expect(
        &with_node("repeat", json!({"body": body()})),
        &[("missing_field", "nodes[0].config.until"), ("missing_field", "nodes[0].config.max_iterations")],
    );
    expect(
        &with_node("repeat", json!({"body": body(), "until": "x", "max_iterations": 0, "every": "often"})),
        &[("invalid_value", "nodes[0].config.max_iterations"), ("invalid_duration", "nodes[0].config.every")],
    );
}

#[test]
fn call_workflow_names_a_workflow_and_its_input() {
    let NodeKind::CallWorkflow(call) = kind(
        "call_workflow",
        json!({"workflow": "other", "version": 2, "wait": false, "input": {"a": "{{ input }}"}}),
    ) else {
        panic!()
    };
    assert_eq!((call.workflow.as_str(), call.version, call.wait), ("other", Some(2), false));
    assert_eq!(*over(json!(1), |scope| call.input(scope)).unwrap(), json!({"a": 1}));
    let NodeKind::CallWorkflow(call) = kind("call_workflow", json!({"workflow": "other"})) else { panic!() };
    assert_eq!((call.version, call.wait), (None, true));
    assert_eq!(*over(json!([1]), |scope| call.input(scope)).unwrap(), json!([1]));
    expect(
        &with_node("call_workflow", json!({"workflow": "Not A Slug", "version": 0, "wait": "yes"})),
        &[
            ("invalid_value", "nodes[0].config.workflow"),
            ("invalid_value", "nodes[0].config.version"),
            ("invalid_type", "nodes[0].config.wait"),
        ],
    );
}

#[test]
fn terminate_renders_what_the_run_ends_with() {
    let NodeKind::Terminate(node) = kind(
        "terminate",
        json!({"status": "failed", "output": {"n": "{{ input }}"},
        "response": {"status": "{{ `201` }}", "headers": {"X-B": "{{ vars.word }}", "x-a": "{{ input }}", "x-none": "{{ nothing }}"}, "body": "{{ input }}"}}),
    ) else {
        panic!()
    };
    let ended = over(json!(7), |scope| node.evaluate(scope)).unwrap();
    assert_eq!((ended.status, (*ended.output).clone()), (TerminateStatus::Failed, json!({"n": 7})));
    let response = ended.response.unwrap();
    assert_eq!(
        response.to_value(),
        json!({"status": 201, "headers": {"x-a": "7", "x-b": "hello"}, "body": 7})
    );
    assert_eq!(crate::node::TerminateResponse::from_value(&response.to_value()), Some(response));

    let NodeKind::Terminate(node) = kind("terminate", json!({})) else { panic!() };
    let ended = over(json!(7), |scope| node.evaluate(scope)).unwrap();
    assert_eq!(
        (ended.status, ended.output, ended.response),
        (TerminateStatus::Succeeded, Arc::new(Value::Null), None)
    );

    for response in [json!({"headers": {"x": "{{ vars.token }}"}}), json!({"status": "{{ input }}"})] {
        let NodeKind::Terminate(node) = kind("terminate", json!({"response": response})) else { panic!() };
        assert_eq!(over(json!(99), |scope| node.evaluate(scope)).unwrap_err().code, "invalid_config");
    }
    expect(
        &with_node(
            "terminate",
            json!({"status": "done", "response": {"status": 99, "headers": {"a b": "x", "c": "x\ny", "D": "1", "d": "2", "Content-Length": "1", "e": 1}}}),
        ),
        &[
            ("invalid_value", "nodes[0].config.status"),
            ("invalid_value", "nodes[0].config.response.status"),
            ("invalid_value", "nodes[0].config.response.headers[\"a b\"]"),
            ("invalid_value", "nodes[0].config.response.headers.c"),
            ("invalid_value", "nodes[0].config.response.headers.d"),
            ("invalid_value", "nodes[0].config.response.headers[\"Content-Length\"]"),
            ("invalid_type", "nodes[0].config.response.headers.e"),
        ],
    );
}
