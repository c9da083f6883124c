use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::definition::{DefinitionLimits, Join, Schema, ValidDefinition};
use crate::expr::{Env, View};
use crate::failure::Failure;
use crate::node::{NodeKind, OnItemError, Scope, TerminateStatus};
use crate::policy::Jitter;
use crate::time::Timestamp;

fn valid(document: Value) -> ValidDefinition {
    let checked = checked(&document);
    checked.definition.unwrap_or_else(|| panic!("{:#?}", checked.problems))
}

/// The kind of the only node of a valid document.
fn kind(type_name: &str, config: Value) -> NodeKind {
    valid(with_node(type_name, config)).graph().nodes()[0].kind.clone()
}

/// Evaluates something over a root with this input.
fn over<T>(input: Value, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
    let input = Arc::new(input);
    let vars = json!({"word": "hello", "token": "a\r\nb"});
    let root = View::object([("input", View::from(&*input)), ("vars", View::from(&vars))]);
    let secrets = |name: &str| (name == "key").then(|| "s3cret-value".to_owned());
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let env = Env::new(now, b"run and step").with_secrets(&secrets);
    evaluate(&Scope { root: &root, env: &env, input: &input })
}

fn evaluated(type_name: &str, config: Value, input: Value) -> Result<(String, Value), String> {
    let kind = kind(type_name, config);
    let result = over(input, |scope| match &kind {
        NodeKind::Transform(node) => node.evaluate(scope),
        NodeKind::Branch(node) => node.evaluate(scope),
        NodeKind::Switch(node) => node.evaluate(scope),
        NodeKind::Custom(node) => node.evaluate(scope),
        other => panic!("{other:?}"),
    });
    result
        .map(|left| (left.port.to_string(), (*left.output).clone()))
        .map_err(|failure| failure.code.into_owned())
}

fn out(output: Value) -> Result<(String, Value), String> {
    Ok(("out".to_owned(), output))
}

#[test]
fn transform_takes_an_expression_or_a_template() {
    expect(&with_node("transform", json!({})), &[("missing_field", "nodes[0].config.expression")]);
    expect(
        &with_node("transform", json!({"expression": "input", "template": 1})),
        &[("invalid_config", "nodes[0].config")],
    );
    expect(
        &with_node(
            "transform",
            json!({"expression": "a..b", "input_schema": {"type": 1}, "output_schema": 5}),
        ),
        &[
            ("invalid_expression", "nodes[0].config.expression"),
            ("invalid_schema", "nodes[0].config.input_schema"),
            ("invalid_schema", "nodes[0].config.output_schema"),
        ],
    );
    expect(
        &with_node(
            "transform",
            json!({"template": {"a": ["{{ input", "{{ nosuch() }}", "{{ {{ }} }}"], "b": "fine {{ input }}"}}),
        ),
        &[
            ("invalid_template", "nodes[0].config.template.a[0]"),
            ("invalid_template", "nodes[0].config.template.a[1]"),
            ("invalid_template", "nodes[0].config.template.a[2]"),
        ],
    );
    for expression in ["nosuch(input)", "length()", "$x", "`{`"] {
        let document = with_node("transform", json!({"expression": expression}));
        expect(&document, &[("invalid_expression", "nodes[0].config.expression")]);
    }
}

#[test]
fn transform_makes_values_and_holds_them_against_schemas() {
    assert_eq!(evaluated("transform", json!({"expression": "input.n"}), json!({"n": 5})), out(json!(5)));
    assert_eq!(
        evaluated(
            "transform",
            json!({"template": {"a": "{{ input.n }}", "b": "n={{ input.n }}"}}),
            json!({"n": 5})
        ),
        out(json!({"a": 5, "b": "n=5"}))
    );
    let schema = json!({"type": "integer"});
    let config = json!({"expression": "to_string(input)", "input_schema": schema});
    assert_eq!(evaluated("transform", config.clone(), json!(1)), out(json!("1")));
    assert_eq!(evaluated("transform", config, json!("x")), Err("schema_violation".to_owned()));
    let config = json!({"expression": "input", "output_schema": schema});
    assert_eq!(evaluated("transform", config, json!("x")), Err("schema_violation".to_owned()));
    assert_eq!(
        evaluated("transform", json!({"expression": "abs(input)"}), json!("x")),
        Err("expression_invalid_type".to_owned())
    );
}

#[test]
fn violations_are_listed_without_the_value() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["id"]});
    let NodeKind::Transform(node) = kind("transform", json!({"expression": "input", "input_schema": schema}))
    else {
        panic!()
    };
    let failure = over(json!({"n": "hunter2"}), |scope| node.evaluate(scope)).unwrap_err();
    let details = failure.details.clone().unwrap();
    let paths: Vec<&str> =
        details["violations"].as_array().unwrap().iter().map(|v| v["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/n") && paths.contains(&""), "{details}");
    assert!(!failure.to_value().to_string().contains("hunter2"));
    assert!(!failure.retryable);
}

#[test]
fn branch_leaves_by_the_truth_of_its_condition() {
    for (input, port) in [
        (json!(1), "true"),
        (json!(0), "true"),
        (json!(null), "false"),
        (json!(""), "false"),
        (json!([]), "false"),
    ] {
        assert_eq!(
            evaluated("branch", json!({"condition": "input"}), input.clone()),
            Ok((port.to_owned(), input))
        );
    }
    assert!(evaluated("branch", json!({"condition": "input < abs('x')"}), json!(1)).is_err());
    expect(&with_node("branch", json!({"condition": 1})), &[("invalid_type", "nodes[0].config.condition")]);
}

#[test]
fn switch_leaves_by_the_first_case_that_holds() {
    let cases = json!([{"port": "low", "when": "input < `10`"}, {"port": "mid", "when": "input < `20`"}, {"port": "low", "when": "input == `99`"}]);
    for (input, port) in [(5, "low"), (15, "mid"), (99, "low"), (50, "default")] {
        let left = evaluated("switch", json!({"cases": cases}), json!(input));
        assert_eq!(left, Ok((port.to_owned(), json!(input))));
    }
    let renamed = evaluated("switch", json!({"cases": cases, "default": "else"}), json!(50));
    assert_eq!(renamed, Ok(("else".to_owned(), json!(50))));
    expect(
        &with_node(
            "switch",
            json!({"cases": [{"port": "error", "when": "x"}, {"port": "a b", "when": "("}, {}, 1], "default": ""}),
        ),
        &[
            ("invalid_value", "nodes[0].config.cases[0].port"),
            ("invalid_value", "nodes[0].config.cases[1].port"),
            ("invalid_expression", "nodes[0].config.cases[1].when"),
            ("missing_field", "nodes[0].config.cases[2].port"),
            ("missing_field", "nodes[0].config.cases[2].when"),
            ("invalid_type", "nodes[0].config.cases[3]"),
            ("invalid_value", "nodes[0].config.default"),
        ],
    );
    expect(&with_node("switch", json!({"cases": []})), &[("invalid_value", "nodes[0].config.cases")]);
}

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

fn body() -> Value {
    json!({"nodes": [{"id": "a", "type": "transform", "config": {"expression": "item"}}]})
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

#[test]
fn http_call_is_rendered_for_its_executor() {
    let NodeKind::Effect(effect) = kind(
        "http_call",
        json!({
            "method": "post", "url": "https://x.example/{{ input.path }}?q={{ input.path }}", "query": {"n": 5, "list": ["{{ input.n }}", true]},
            "headers": {"X": "{{ vars.word }}"}, "auth": {"type": "bearer", "token": "{{ secrets.key }}"},
            "body": {"n": "{{ input.n }}"}, "response": {"parse": "json", "max_bytes": 1000}, "follow_redirects": true,
            "idempotency_header": false, "success": ["2xx", 404]
        }),
    ) else {
        panic!()
    };
    assert_eq!(&**effect.type_name(), "http_call");
    assert_eq!(effect.ports().iter().map(|port| &**port).collect::<Vec<_>>(), ["out", "error"]);
    let rendered = over(json!({"path": "a/b c", "n": 1}), |scope| effect.render(scope)).unwrap();
    assert_eq!(
        rendered,
        json!({
            "method": "POST", "url": "https://x.example/a%2Fb%20c?q=a%2Fb%20c", "query": {"n": 5, "list": [1, true]},
            "headers": {"X": "hello"}, "auth": {"type": "bearer", "token": "s3cret-value"},
            "body": {"n": 1}, "response": {"parse": "json", "max_bytes": 1000}, "follow_redirects": true,
            "idempotency_header": false, "success": ["2xx", 404]
        })
    );
}

#[test]
fn a_secret_that_is_not_there_fails_the_rendering() {
    let NodeKind::Effect(effect) = kind(
        "http_call",
        json!({"method": "GET", "url": "https://x.example", "headers": {"x": "{{ secrets.other }}"}}),
    ) else {
        panic!()
    };
    assert_eq!(over(json!(null), |scope| effect.render(scope)).unwrap_err().code, "secret_not_found");
}

#[test]
fn everything_wrong_with_a_call_is_told_at_once() {
    expect(
        &with_node(
            "http_call",
            json!({
                "method": "FETCH", "url": "ftp://x.example", "query": {"a": {"b": 1}, "c": [[1]]},
                "headers": {"Host": "x", "content-length": "1", "Transfer-Encoding": "chunked", "Connection": "close", "Proxy-Authorization": "x",
                    "Expect": "x", "Upgrade": "x", "a b": "x", "X": "a\r\nY: b", "ok": "fine", "OK": "twice", "n": [1]},
                "auth": {"type": "digest", "token": "x"}, "body": 1, "form": {}, "body_text": 5,
                "response": {"parse": "xml", "max_bytes": 1_048_577, "size": 1}, "follow_redirects": 3,
                "idempotency_header": true, "success": ["6xx", 99, true], "timeout": "1s"
            }),
        ),
        &[
            ("unknown_field", "nodes[0].config.timeout"),
            ("invalid_value", "nodes[0].config.method"),
            ("invalid_value", "nodes[0].config.url"),
            ("invalid_type", "nodes[0].config.query.a"),
            ("invalid_type", "nodes[0].config.query.c[0]"),
            ("invalid_value", "nodes[0].config.headers.Host"),
            ("invalid_value", "nodes[0].config.headers[\"content-length\"]"),
            ("invalid_value", "nodes[0].config.headers[\"Transfer-Encoding\"]"),
            ("invalid_value", "nodes[0].config.headers.Connection"),
            ("invalid_value", "nodes[0].config.headers[\"Proxy-Authorization\"]"),
            ("invalid_value", "nodes[0].config.headers.Expect"),
            ("invalid_value", "nodes[0].config.headers.Upgrade"),
            ("invalid_value", "nodes[0].config.headers[\"a b\"]"),
            ("invalid_value", "nodes[0].config.headers.X"),
            ("invalid_value", "nodes[0].config.headers.ok"),
            ("invalid_type", "nodes[0].config.headers.n"),
            ("invalid_value", "nodes[0].config.auth.type"),
            ("invalid_type", "nodes[0].config.body_text"),
            ("invalid_config", "nodes[0].config"),
            ("invalid_value", "nodes[0].config.response.parse"),
            ("limit_exceeded", "nodes[0].config.response.max_bytes"),
            ("unknown_field", "nodes[0].config.response.size"),
            ("invalid_type", "nodes[0].config.follow_redirects"),
            ("invalid_value", "nodes[0].config.idempotency_header"),
            ("invalid_value", "nodes[0].config.success[0]"),
            ("invalid_value", "nodes[0].config.success[1]"),
            ("invalid_type", "nodes[0].config.success[2]"),
        ],
    );
    expect(
        &with_node("http_call", json!({})),
        &[("missing_field", "nodes[0].config.method"), ("missing_field", "nodes[0].config.url")],
    );
    expect(
        &with_node(
            "http_call",
            json!({"method": "GET", "url": "https://x", "auth": {"type": "basic", "username": 1, "token": "x"}}),
        ),
        &[
            ("invalid_type", "nodes[0].config.auth.username"),
            ("missing_field", "nodes[0].config.auth.password"),
            ("unknown_field", "nodes[0].config.auth.token"),
        ],
    );
}

#[test]
fn urls_are_http_wherever_that_can_be_seen() {
    let url = |url: &str| with_node("http_call", json!({"method": "GET", "url": url}));
    for good in [
        "http://x",
        "HTTPS://X.example/a",
        "{{ input }}",
        "https://{{ input }}/a",
        "http{{ input }}://x",
        "{{ vars.base }}/a",
        "https://x:8443/{{ input }}",
        "https://x:{{ input }}",
        "https://[::1]/",
        "https://x?a@b",
    ] {
        expect(&url(good), &[]);
    }
    for bad in [
        "",
        "x",
        "/a",
        "ftp://x",
        "file:///etc/passwd",
        "https://",
        "https:///a",
        "http:x",
        " https://x",
        "javascript:{{ input }}",
        "https://u:p@x/",
        "https://x:99999/",
        "https://x:port/{{ input }}",
        "https://[::1/",
        "https://a b/",
        "https://256.256.256.256",
        "https://x/\n",
        "ftp://{{ input }}",
        "https:///{{ input }}",
    ] {
        expect(&url(bad), &[("invalid_value", "nodes[0].config.url")]);
    }
}

#[test]
fn only_side_effects_have_retries_and_time_limits() {
    let common = json!({"retry": {}, "timeout": "1s", "deadline": "1m"});
    for (type_name, config) in [
        ("transform", json!({"expression": "input"})),
        ("terminate", json!({})),
        ("delay", json!({"for": "1s"})),
        ("wait", json!({"event": "e"})),
        ("call_workflow", json!({"workflow": "w"})),
        ("double", json!({"n": 1})),
    ] {
        let mut document = with_node(type_name, config);
        for (name, value) in common.as_object().unwrap() {
            document["nodes"][0][name] = value.clone();
        }
        expect(
            &document,
            &[
                ("invalid_config", "nodes[0].retry"),
                ("invalid_config", "nodes[0].timeout"),
                ("invalid_config", "nodes[0].deadline"),
            ],
        );
    }
    for (type_name, config) in
        [("http_call", json!({"method": "GET", "url": "https://x"})), ("send_mail", json!({"to": "a@b"}))]
    {
        let mut document = with_node(type_name, config);
        for (name, value) in common.as_object().unwrap() {
            document["nodes"][0][name] = value.clone();
        }
        expect(&document, &[]);
    }
}

#[test]
fn policies_are_filled_up_and_checked() {
    let document = |retry: Value| {
        let config = json!({"method": "GET", "url": "https://x.example"});
        with_graph(
            json!([{"id": "a", "type": "http_call", "join": "any", "config": config, "retry": retry}]),
            json!([]),
        )
    };
    let definition = valid(document(json!({"factor": 1.5, "jitter": "none"})));
    let node = &definition.graph().nodes()[0];
    assert_eq!(node.join, Join::Any);
    let policy = node.policy.as_ref().unwrap();
    assert_eq!(
        (policy.retry.max_attempts, policy.retry.factor_millionths, policy.retry.jitter),
        (3, 1_500_000, Jitter::None)
    );
    assert_eq!((policy.retry.initial, policy.retry.max), (Duration::from_secs(1), Duration::from_secs(60)));
    assert_eq!((policy.timeout, policy.deadline), (Some(Duration::from_secs(30)), None));
    expect(
        &document(
            json!({"max_attempts": 2.5, "initial": "x", "factor": 0.5, "max": 5, "jitter": "some", "tries": 1}),
        ),
        &[
            ("unknown_field", "nodes[0].retry.tries"),
            ("invalid_type", "nodes[0].retry.max_attempts"),
            ("invalid_duration", "nodes[0].retry.initial"),
            ("invalid_value", "nodes[0].retry.factor"),
            ("invalid_type", "nodes[0].retry.max"),
            ("invalid_value", "nodes[0].retry.jitter"),
        ],
    );
    expect(&document(json!({"factor": 10.1})), &[("invalid_value", "nodes[0].retry.factor")]);
    expect(&document(json!({"factor": "2"})), &[("invalid_type", "nodes[0].retry.factor")]);
    let mut zero = document(json!({}));
    zero["nodes"][0]["timeout"] = json!("0s");
    zero["nodes"][0]["deadline"] = json!("366d");
    zero["nodes"][0]["join"] = json!("first");
    expect(
        &zero,
        &[
            ("invalid_value", "nodes[0].timeout"),
            ("limit_exceeded", "nodes[0].deadline"),
            ("invalid_value", "nodes[0].join"),
        ],
    );
}

#[test]
fn custom_configs_are_held_against_their_schema_where_they_are_constant() {
    let mail = |config: Value| with_node("send_mail", config);
    expect(&mail(json!({"to": "a@b", "copies": "{{ input }}", "kind": "{{ input }}", "password": "x"})), &[]);
    expect(&mail(json!({"to": "{{ input }}"})), &[]);
    expect(
        &mail(json!({"copies": 0, "kind": "other", "cc": "x", "password": 5})),
        &[
            ("missing_field", "nodes[0].config.to"),
            ("unknown_field", "nodes[0].config.cc"),
            ("invalid_value", "nodes[0].config.copies"),
            ("invalid_value", "nodes[0].config.kind"),
            ("invalid_type", "nodes[0].config.password"),
        ],
    );
    expect(
        &mail(json!({"to": "{{ input", "copies": 0})),
        &[("invalid_template", "nodes[0].config.to"), ("invalid_value", "nodes[0].config.copies")],
    );
    expect(&mail(json!([])), &[("invalid_type", "nodes[0].config")]);
}

#[test]
fn a_wrong_constant_does_not_hide_behind_templates() {
    let mut types = node_types();
    let schema = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    types.register(NodeTypeInfo::effect("numbers").config_schema(schema)).unwrap();
    let mut config = json!({"zz": "constant"});
    for at in 0..50 {
        config[format!("a{at}")] = json!("{{ input }}");
    }
    let checked = check(&with_node("numbers", config), &CheckContext::new(&types));
    assert_eq!(found(&checked), [("invalid_type".to_owned(), "nodes[0].config.zz".to_owned())]);
}

#[test]
fn custom_pure_nodes_are_evaluated_with_their_rendered_config() {
    assert_eq!(evaluated("double", json!({"n": "{{ input }}"}), json!(21)), out(json!(42)));
    assert_eq!(
        evaluated("double", json!({"n": "{{ input }}"}), json!("x")),
        Err("invalid_config".to_owned())
    );
}

#[test]
fn what_a_pure_custom_node_answers_is_made_fit_for_a_history() {
    let answers = |answer: fn() -> Result<Evaluated, Failure>| {
        let mut types = node_types();
        types.register(NodeTypeInfo::pure("host", move |_: &Value, _: &Arc<Value>| answer())).unwrap();
        let checked = check(&with_node("host", json!({})), &CheckContext::new(&types));
        let definition = checked.definition.unwrap_or_else(|| panic!("{:?}", checked.problems));
        let NodeKind::Custom(custom) = definition.graph().nodes()[0].kind.clone() else { panic!() };
        over(json!(null), |scope| custom.evaluate(scope))
    };
    let out = |output: Value| Evaluated::new("out".into(), Arc::new(output));
    assert_eq!(
        answers(|| Ok(Evaluated::new("out".into(), Arc::new(json!([2.0, -0.0]))))),
        Ok(out(json!([2, 0])))
    );
    let code = |answer| answers(answer).unwrap_err().code;
    assert_eq!(code(|| Ok(Evaluated::new("nowhere".into(), Arc::new(json!(1))))), "invalid_config");
    assert_eq!(code(|| panic!("a bug of the host application")), "executor_panicked");
    assert_eq!(code(|| Err(Failure::permanent("Not A Code", "x"))), "custom_failure");
    let huge = || Err(Failure::permanent("x", "y").with_details(json!("x".repeat(1 << 20))));
    assert!(answers(huge).unwrap_err().details.unwrap().as_str().unwrap().contains("too large"));
}

#[test]
fn rendered_custom_configs_are_held_against_their_schema() {
    let NodeKind::Effect(effect) =
        kind("send_mail", json!({"to": "{{ input }}", "password": "{{ secrets.key }}"}))
    else {
        panic!()
    };
    let render = |input: Value| over(input, |scope| effect.render(scope));
    assert_eq!(render(json!("a@b")).unwrap(), json!({"to": "a@b", "password": "s3cret-value"}));
    let failure = render(json!(5)).unwrap_err();
    assert_eq!(failure.code, "invalid_config");
    assert!(failure.message.contains("/to") && !failure.message.contains("s3cret"), "{failure}");
}

#[test]
fn the_built_in_types_are_described() {
    let types = node_types();
    let described = types.describe(&DefinitionLimits::default());
    let described = described.as_array().unwrap();
    let names: Vec<&str> = described.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "branch",
            "call_workflow",
            "delay",
            "double",
            "for_each",
            "http_call",
            "repeat",
            "send_mail",
            "switch",
            "terminate",
            "transform",
            "wait"
        ]
    );
    for entry in described {
        assert!(
            entry["title"].is_string() && entry["description"].is_string() && entry["effect"].is_boolean(),
            "{entry}"
        );
    }
    let bare = NodeTypes::new();
    assert!(!bare.contains("http_call"));
    let call = with_node("http_call", json!({"method": "GET", "url": "https://x"}));
    let problems = check(&call, &CheckContext::new(&bare));
    assert_eq!(found(&problems), [("unknown_type".to_owned(), "nodes[0].type".to_owned())]);
}

#[test]
fn described_schemas_accept_what_definitions_may_say_and_refuse_what_they_may_not() {
    let types = node_types();
    let described = types.describe(&DefinitionLimits::default());
    let schema = |name: &str| {
        let entry = described.as_array().unwrap().iter().find(|entry| entry["type"] == name).unwrap();
        Schema::compile(&entry["config_schema"]).unwrap()
    };
    let graph = body();
    for (name, config) in [
        ("transform", json!({"expression": "input", "input_schema": true})),
        ("transform", json!({"template": [1, "{{ input }}"]})),
        ("branch", json!({"condition": "input"})),
        ("switch", json!({"cases": [{"port": "a", "when": "b"}], "default": "c"})),
        ("delay", json!({"for": "1s"})),
        ("delay", json!({"until": "{{ input }}"})),
        ("wait", json!({"event": "e", "key": 5, "timeout": "1s"})),
        (
            "for_each",
            json!({"items": "input", "concurrency": 5, "on_item_error": "collect", "max_items": 100_000, "body": graph}),
        ),
        ("repeat", json!({"body": graph, "until": "output", "every": "1s", "max_iterations": 5})),
        ("call_workflow", json!({"workflow": "w", "version": 1, "input": 5, "wait": false})),
        ("terminate", json!({})),
        (
            "terminate",
            json!({"status": "failed", "output": 1, "response": {"status": 404, "headers": {"a": "b"}, "body": [1]}}),
        ),
        ("http_call", json!({"method": "GET", "url": "https://x"})),
        (
            "http_call",
            json!({"method": "POST", "url": "https://x", "query": {"a": [1, "b"]}, "headers": {"a": "b"}, "auth": {"type": "basic", "username": "u", "password": "{{ secrets.p }}"},
            "form": {"a": 1}, "response": {"parse": "auto", "max_bytes": 5}, "follow_redirects": false, "idempotency_header": "X-Key", "success": ["2xx", 404]}),
        ),
    ] {
        expect(&with_node(name, config.clone()), &[]);
        assert_eq!(schema(name).validate(&config), Ok(()), "{name} {config}");
        let mut wrong = config;
        wrong["unheard_of"] = json!(1);
        assert!(!schema(name).is_valid(&wrong), "{name}");
    }
}

#[test]
fn node_types_that_do_not_hold_together_are_not_registered() {
    let mut types = NodeTypes::new();
    for info in [
        NodeTypeInfo::effect("Bad Name"),
        NodeTypeInfo::effect("transform"),
        NodeTypeInfo::effect("http_call"),
        NodeTypeInfo::effect("a").ports(["x", "x"]),
        NodeTypeInfo::effect("a").ports(["x y"]),
        NodeTypeInfo::effect("a").config_schema(json!({"type": "strin"})),
        NodeTypeInfo::effect("a").config_schema(json!({"$ref": "http://x.example"})),
        NodeTypeInfo::pure("a", |_: &Value, input: &Arc<Value>| {
            Ok(Evaluated::new(port::out(), input.clone()))
        })
        .secret_fields(["x"]),
    ] {
        assert!(types.register(info.clone()).is_err(), "{info:?}");
    }
    assert!(types.register(NodeTypeInfo::effect("a")).is_ok());
    assert!(types.register(NodeTypeInfo::effect("a")).is_err());
}
