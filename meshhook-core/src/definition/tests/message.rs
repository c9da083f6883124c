//! What messages say, where a newcomer is likely to meet them.

use super::*;

fn messages(document: &Value) -> Vec<String> {
    checked(document).problems.into_iter().map(|problem| problem.message).collect()
}

#[track_caller]
fn says(document: &Value, part: &str) {
    let messages = messages(document);
    assert!(messages.iter().any(|message| message.contains(part)), "{part:?} is not in {messages:#?}");
}

#[test]
fn an_unknown_type_is_answered_with_those_that_there_are() {
    says(&with_node("forEach", json!({})), "did you mean for_each?");
    says(&with_node("http-call", json!({})), "did you mean http_call?");
    says(&with_node("email", json!({})), "the types are branch, call_workflow, delay, double,");
    let document = with_node("http_call", json!({ "method": "GET", "url": "https://example.com/" }));
    let types = NodeTypes::new();
    let without_executor = check(&document, &CheckContext::new(&types)).problems;
    assert!(without_executor[0].message.contains("give EngineBuilder::http_call an executor"));
}

#[test]
fn what_stands_in_an_expression_by_mistake_is_named() {
    let condition = |text: &str| with_node("branch", json!({ "condition": text }));
    says(&condition("{{ input.n }}"), "this is an expression already: write it without {{ }}");
    says(&condition("status = `200`"), "equality is ==");
    let call = json!({ "method": "GET", "url": "https://example.com/{{ secrets.token }}" });
    says(&with_node("http_call", call), "http_call takes them in headers, auth, query and body");
}

#[test]
fn nodes_within_bodies_are_said_to_be_there() {
    let inner = json!({ "id": "inner", "type": "transform", "config": { "expression": "item" } });
    let each = json!({ "id": "each", "type": "for_each",
        "config": { "items": "input", "body": { "nodes": [inner] } } });
    let after =
        json!({ "id": "after", "type": "transform", "config": { "expression": "nodes.inner.output" } });
    let edges = json!([{ "from": "inner", "to": "after" }, { "from": "each", "to": "after" }]);
    let document = json!({ "name": "Bodies", "nodes": [each, after], "edges": edges });
    says(
        &document,
        "\"inner\" is inside the body of \"each\"; from here only the output of \"each\" can be seen",
    );
    says(&document, "\"inner\" is inside the body of \"each\": no edge leads from one graph to another");
}

#[test]
fn durations_and_choices_are_shown_by_example() {
    says(
        &with_webhook(json!({ "respond": { "wait": 10 } })),
        "expected a duration such as \"10s\", found a number",
    );
    says(&with_webhook(json!({ "respond": "wait" })), "must be \"accepted\" or {\"wait\": \"10s\"}");
    says(
        &with_webhook(json!({ "verify": { "scheme": "hmac-sha256" } })),
        "there are none, hmac, ed25519, ecdsa, jwt, api_key, basic, adyen,",
    );
    says(
        &with_webhook(json!({ "verify": { "scheme": "jwt", "key": "k", "algorithms": ["ES512"] } })),
        "must be one of ES256, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512",
    );
}

#[test]
fn the_type_of_a_wrong_member_of_a_rendered_config_is_told() {
    let violations =
        crate::definition::Schema::compile(&json!({ "properties": { "a": { "type": "string" } } }))
            .unwrap()
            .validate(&json!({ "a": null }))
            .unwrap_err();
    assert_eq!(violations[0].with_found(), "/a: value is not of type \"string\" (it is null)");
    assert_eq!(violations[0].to_string(), "/a: value is not of type \"string\"");
}
