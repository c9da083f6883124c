//! What is said about node types.

use super::*;

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
