use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::node::NodeKind;
use crate::secret::SecretName;

const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

fn call(mut config: Value) -> Value {
    config["method"] = json!("POST");
    config["url"] = config.get("url").cloned().unwrap_or_else(|| json!("https://x.example/a"));
    with_node("http_call", config)
}

#[test]
fn secrets_may_stand_in_query_headers_auth_and_body_of_a_call_only() {
    for config in [
        json!({"query": {"key": "{{ secrets.a }}"}}),
        json!({"headers": {"X-Key": "{{ secrets.a }}"}}),
        json!({"auth": {"type": "bearer", "token": "{{ secrets.a }}"}}),
        json!({"body": {"deep": ["{{ sha256(secrets.a) }}"]}}),
        json!({"body_text": "{{ secrets.a }}"}),
        json!({"form": {"key": "{{ secrets.a }}"}}),
    ] {
        expect(&call(config), &[]);
    }
    expect(
        &call(json!({"url": "https://x.example/{{ secrets.a }}"})),
        &[("secret_not_allowed", "nodes[0].config.url")],
    );
}

#[test]
fn secrets_may_stand_nowhere_else() {
    let nodes = json!([
        {"id": "a", "type": "transform", "config": {"expression": "secrets.x"}},
        {"id": "b", "type": "transform", "config": {"template": {"k": ["{{ secrets.x }}"]}}},
        {"id": "c", "type": "branch", "config": {"condition": "secrets.x == 'y'"}},
        {"id": "d", "type": "switch", "config": {"cases": [{"port": "p", "when": "secrets.x"}]}},
        {"id": "e", "type": "delay", "config": {"for": "{{ secrets.x }}"}},
        {"id": "f", "type": "wait", "config": {"event": "e", "key": "{{ secrets.x }}"}},
        {"id": "g", "type": "call_workflow", "config": {"workflow": "w", "input": "{{ secrets.x }}"}},
        {"id": "h", "type": "terminate", "config": {"output": "{{ secrets.x }}",
            "response": {"headers": {"x": "{{ secrets.x }}"}, "body": "{{ secrets.x }}"}}},
        {"id": "i", "type": "send_mail", "config": {"to": "{{ secrets.x }}", "password": "{{ secrets.x }}"}},
        {"id": "j", "type": "for_each", "config": {"items": "secrets.x", "body": {"nodes": [{"id": "a", "type": "terminate"}]}}}
    ]);
    expect(
        &with_graph(nodes, json!([])),
        &[
            ("secret_not_allowed", "nodes[0].config.expression"),
            ("secret_not_allowed", "nodes[1].config.template.k[0]"),
            ("secret_not_allowed", "nodes[2].config.condition"),
            ("secret_not_allowed", "nodes[3].config.cases[0].when"),
            ("secret_not_allowed", "nodes[4].config.for"),
            ("secret_not_allowed", "nodes[5].config.key"),
            ("secret_not_allowed", "nodes[6].config.input"),
            ("secret_not_allowed", "nodes[7].config.output"),
            ("secret_not_allowed", "nodes[7].config.response.headers.x"),
            ("secret_not_allowed", "nodes[7].config.response.body"),
            ("secret_not_allowed", "nodes[8].config.to"),
            ("secret_not_allowed", "nodes[9].config.items"),
        ],
    );
}

#[test]
fn computed_names_of_secrets_are_refused() {
    for text in ["{{ secrets[input] }}", "{{ secrets }}", "{{ secrets.* }}", "{{ $.secrets }}"] {
        expect(&call(json!({"body": {"x": text}})), &[("secret_not_allowed", "nodes[0].config.body.x")]);
    }
}

#[test]
fn a_name_that_the_vault_lacks_is_a_warning() {
    let types = node_types();
    let known = BTreeSet::from([SecretName::new("chat_token").unwrap()]);
    let context = CheckContext::new(&types).known_secrets(&known);
    let checked = check(&example(), &context);
    assert!(checked.is_valid());
    assert_eq!(
        found(&checked),
        [("unknown_secret".to_owned(), "triggers[0].config.verify.secret".to_owned())]
    );
    let checked =
        check(&call(json!({"headers": {"X": "{{ secrets.nope }}{{ secrets.chat_token }}"}})), &context);
    assert_eq!(found(&checked), [("unknown_secret".to_owned(), "nodes[0].config.headers.X".to_owned())]);
}

#[test]
fn an_effect_knows_which_secrets_it_needs() {
    let definition = checked(&call(json!({
        "headers": {"X": "{{ secrets.b }}"}, "body": ["{{ secrets.a }}", "{{ secrets.b }}"]
    })));
    let definition = definition.definition.unwrap();
    let NodeKind::Effect(effect) = &definition.graph().nodes()[0].kind else { panic!() };
    let names: Vec<&str> = effect.secrets().iter().map(SecretName::as_str).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn text_that_looks_like_a_secret_is_a_warning_wherever_it_stands() {
    let document = json!({"name": "x", "description": format!("uses {TOKEN}"), "vars": {"k": [TOKEN]},
        "layout": {"note": TOKEN},
        "nodes": [{"id": "a", "type": "transform", "config": {"template": {"x-y": "-----BEGIN PRIVATE KEY-----\nMII"}}}]});
    expect(
        &document,
        &[
            ("secret_literal", "description"),
            ("secret_literal", "vars.k[0]"),
            ("secret_literal", "nodes[0].config.template[\"x-y\"]"),
        ],
    );
}

#[test]
fn constant_credentials_are_warned_of() {
    for (config, path) in [
        (json!({"headers": {"Authorization": "Bearer abc"}}), Some("headers.Authorization")),
        (json!({"headers": {"COOKIE": "session=1"}}), Some("headers.COOKIE")),
        (json!({"headers": {"Authorization": format!("Bearer {TOKEN}")}}), Some("headers.Authorization")),
        (json!({"auth": {"type": "bearer", "token": "abc"}}), Some("auth.token")),
        (json!({"auth": {"type": "basic", "username": "me", "password": "abc"}}), Some("auth.password")),
        (json!({"auth": {"type": "header", "name": "X-Key", "value": "abc"}}), Some("auth.value")),
        (json!({"auth": {"type": "query", "name": "key", "value": "abc"}}), Some("auth.value")),
        (json!({"headers": {"Authorization": "{{ vars.token }}", "Accept": "text/html"}}), None),
        (json!({"auth": {"type": "basic", "username": "me", "password": "{{ secrets.p }}"}}), None),
    ] {
        let path = path.map(|path| format!("nodes[0].config.{path}"));
        let expected: Vec<(&str, &str)> = path.iter().map(|path| ("secret_literal", path.as_str())).collect();
        expect(&call(config), &expected);
    }
}

#[test]
fn no_message_repeats_a_secret() {
    let document = json!({"name": "x", TOKEN: 1, "nodes": [{"id": "a", "type": "http_call", "config": {
        "method": "POST", "url": "https://x.example", "headers": {"Authorization": TOKEN, "x": format!("{TOKEN}\n")},
        "auth": {"type": "bearer", "token": TOKEN}, "response": {"parse": TOKEN}}}]});
    for problem in checked(&document).problems {
        assert!(!problem.message.contains(TOKEN), "{problem:?}");
    }
}
