//! Tests of whole documents: what is accepted, and which problems are reported where.

#![expect(clippy::needless_pass_by_value, reason = "calls with json!(…) read better without a reference")]

mod document;
mod graph;
mod limit;
mod message;
mod mutation;
mod node;
mod secret;
mod trigger;

use serde_json::{Value, json};

use super::{CheckContext, Checked, check};
use crate::node::{Evaluated, NodeTypeInfo, NodeTypes, port};

/// The built-in types, `http_call`, a custom effect `send_mail` and a custom pure node `double`.
fn node_types() -> NodeTypes {
    let mut types = NodeTypes::new();
    types.register_http_call();
    types.register_call_workflow();
    let mail = NodeTypeInfo::effect("send_mail").secret_fields(["password"]).config_schema(json!({
        "type": "object",
        "properties": {
            "to": {"type": "string", "minLength": 3},
            "copies": {"type": "integer", "minimum": 1},
            "password": {"type": "string"},
            "kind": {"oneOf": [{"const": "plain"}, {"const": "html"}]}
        },
        "required": ["to"],
        "additionalProperties": false
    }));
    types.register(mail).unwrap();
    let double = NodeTypeInfo::pure("double", |config: &Value, _: &std::sync::Arc<Value>| {
        let doubled = config["n"].as_i64().unwrap_or(0) * 2;
        Ok(Evaluated::new(port::out(), std::sync::Arc::new(doubled.into())))
    });
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    types.register(double.config_schema(schema)).unwrap();
    types
}

fn checked(document: &Value) -> Checked {
    check(document, &CheckContext::new(&node_types()))
}

/// Codes and paths, in the order in which they were found.
fn found(checked: &Checked) -> Vec<(String, String)> {
    let pair = |problem: &super::Problem| (problem.code.as_str().to_owned(), problem.path.clone());
    checked.problems.iter().map(pair).collect()
}

/// Checks a document for exactly these problems, in any order.
#[track_caller]
fn expect(document: &Value, problems: &[(&str, &str)]) {
    let checked = checked(document);
    let mut found = found(&checked);
    let mut expected: Vec<(String, String)> =
        problems.iter().map(|(code, path)| ((*code).to_owned(), (*path).to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{document:#}\n{:#?}", checked.problems);
    let only_warnings = problems.iter().all(|(code, _)| ["unknown_secret", "secret_literal"].contains(code));
    assert_eq!(checked.is_valid(), only_warnings);
    for problem in &checked.problems {
        assert!(!problem.message.is_empty() && !problem.message.ends_with('.'), "{problem:?}");
    }
}

/// A document with these nodes and edges.
fn with_graph(nodes: Value, edges: Value) -> Value {
    json!({"name": "x", "nodes": nodes, "edges": edges})
}

/// A document with one node `n` of this type.
fn with_node(kind: &str, config: Value) -> Value {
    with_graph(json!([{"id": "n", "type": kind, "config": config}]), json!([]))
}

/// A document with one webhook, unsigned where the config does not say.
fn with_webhook(mut config: Value) -> Value {
    if let Value::Object(members) = &mut config {
        members.entry("verify").or_insert(json!({"scheme": "none"}));
    }
    json!({"name": "x", "nodes": [{"id": "n", "type": "terminate"}],
        "triggers": [{"id": "hook", "type": "webhook", "config": config}]})
}

/// The example of the reference.
fn example() -> Value {
    json!({
        "name": "Star to chat",
        "description": "optional",
        "input_schema": {"type": "object"},
        "vars": {"room": "#releases"},
        "timeout": "1h",
        "triggers": [
            {"id": "github", "type": "webhook",
             "config": {"path": "gh-star", "verify": {"scheme": "github", "secret": "gh_webhook"},
                        "filter": "headers.\"x-github-event\" == 'star'"}}
        ],
        "nodes": [
            {"id": "shape", "type": "transform", "config": {"expression": "{who: trigger.body.sender.login, n: trigger.body.repository.stargazers_count}"}},
            {"id": "big", "type": "branch", "config": {"condition": "input.n >= `100`"}},
            {"id": "post", "type": "http_call", "config": {"method": "POST", "url": "https://chat.example.com/api/post",
                "headers": {"Authorization": "Bearer {{ secrets.chat_token }}"},
                "body": {"room": "{{ vars.room }}", "text": "{{ nodes.shape.output.who }} starred us ({{ nodes.shape.output.n }})"}},
             "timeout": "10s", "retry": {"max_attempts": 5, "initial": "1s", "factor": 2, "max": "1m", "jitter": "full"}},
            {"id": "done", "type": "terminate", "config": {"output": {"posted": true}}}
        ],
        "edges": [
            {"from": "shape", "to": "big"},
            {"from": "big", "port": "true", "to": "post"},
            {"from": "post", "to": "done"}
        ],
        "layout": {"shape": {"x": 0, "y": 0}}
    })
}
