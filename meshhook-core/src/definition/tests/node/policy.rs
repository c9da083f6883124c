//! Retries and time limits of side effects.

use super::*;

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
