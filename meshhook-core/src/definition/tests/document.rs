use serde_json::{Value, json};

use super::*;
use crate::definition::ProblemCode;
use crate::id::StepKey;

#[test]
fn the_example_of_the_reference_is_valid() {
    let checked = checked(&example());
    assert_eq!(found(&checked), []);
    let definition = checked.definition.unwrap();
    assert_eq!(definition.name(), "Star to chat");
    assert_eq!(definition.description(), Some("optional"));
    assert_eq!(definition.vars()["room"], "#releases");
    assert_eq!(definition.timeout().as_secs(), 3_600);
    assert_eq!(definition.triggers().len(), 1);
    let graph = definition.graph();
    let ids: Vec<&str> = graph.order().iter().map(|ix| graph.node(*ix).id.as_str()).collect();
    assert_eq!(ids, ["shape", "big", "post", "done"]);
    assert_eq!(graph.starts().len(), 1);
    let post = graph.node(graph.index_of("post").unwrap());
    let policy = post.policy.as_ref().unwrap();
    assert_eq!(policy.retry.max_attempts, 5);
    assert_eq!(policy.timeout.unwrap().as_secs(), 10);
}

#[test]
fn a_document_that_is_no_object_has_one_problem() {
    for document in [json!(null), json!([]), json!("x"), json!(1)] {
        expect(&document, &[("invalid_type", "")]);
    }
}

#[test]
fn required_members_are_missed_where_they_belong() {
    expect(&json!({}), &[("missing_field", "name"), ("missing_field", "nodes")]);
    expect(&json!({"name": "x", "nodes": []}), &[("invalid_value", "nodes")]);
    expect(
        &json!({"name": "x", "nodes": [{}]}),
        &[("missing_field", "nodes[0].id"), ("missing_field", "nodes[0].type")],
    );
    expect(
        &with_graph(json!([{"id": "a", "type": "terminate"}]), json!([{}])),
        &[("missing_field", "edges[0].from"), ("missing_field", "edges[0].to")],
    );
}

#[test]
fn unknown_members_are_reported_at_their_own_place_with_odd_names_in_brackets() {
    let document = json!({"name": "x", "id": 1, "project_id": "p", "x-y": 1, "": 2, "a\"b": 3, "nodes": [
        {"id": "a", "type": "terminate", "timout": "1s", "config": {"timout": 1}}
    ], "edges": [], "triggers": []});
    expect(
        &document,
        &[
            ("unknown_field", "id"),
            ("unknown_field", "project_id"),
            ("unknown_field", "[\"x-y\"]"),
            ("unknown_field", "[\"\"]"),
            ("unknown_field", "[\"a\\\"b\"]"),
            ("unknown_field", "nodes[0].timout"),
            ("unknown_field", "nodes[0].config.timout"),
        ],
    );
}

#[test]
fn null_is_as_good_as_absent_for_optional_members() {
    let document = json!({"name": "x", "description": null, "input_schema": null, "vars": null, "timeout": null,
        "triggers": null, "edges": null, "layout": null,
        "nodes": [{"id": "a", "type": "http_call", "name": null, "join": null, "retry": null, "timeout": null, "deadline": null,
            "config": {"method": "GET", "url": "https://x.example", "query": null, "headers": null, "auth": null, "body": null,
                "body_text": null, "form": null, "response": null, "follow_redirects": null, "idempotency_header": null, "success": null, "sign": null}}]});
    expect(&document, &[]);
    expect(&json!({"name": null, "nodes": null}), &[("invalid_type", "name"), ("invalid_type", "nodes")]);
}

#[test]
fn types_and_values_at_the_top_are_checked() {
    let document = json!({"name": " ", "description": 1, "input_schema": {"type": "strin"}, "vars": [], "timeout": "0s",
        "triggers": {}, "nodes": [{"id": "a", "type": "terminate"}], "edges": {}});
    expect(
        &document,
        &[
            ("invalid_value", "name"),
            ("invalid_type", "description"),
            ("invalid_schema", "input_schema"),
            ("invalid_type", "vars"),
            ("invalid_value", "timeout"),
            ("invalid_type", "triggers"),
            ("invalid_type", "edges"),
        ],
    );
}

#[test]
fn timeouts_are_durations_of_at_most_a_year() {
    for (timeout, code) in [
        (json!("365d"), None),
        (json!("PT10S"), None),
        (json!("365d1ms"), Some("limit_exceeded")),
        (json!("99999d"), Some("limit_exceeded")),
        (json!("0s"), Some("invalid_value")),
        (json!("soon"), Some("invalid_duration")),
        (json!("P99999Y"), Some("invalid_duration")),
        (json!("-1s"), Some("invalid_duration")),
        (json!(10), Some("invalid_type")),
    ] {
        let document = json!({"name": "x", "timeout": timeout, "nodes": [{"id": "a", "type": "terminate"}]});
        let expected: Vec<(&str, &str)> = code.into_iter().map(|code| (code, "timeout")).collect();
        expect(&document, &expected);
    }
}

#[test]
fn the_digest_leaves_the_layout_out_and_nothing_else() {
    let digest = |document: &Value| checked(document).definition.unwrap().digest().to_string();
    let first = digest(&example());
    let mut moved = example();
    moved["layout"]["shape"]["x"] = json!(100);
    assert_eq!(digest(&moved), first);
    moved.as_object_mut().unwrap().remove("layout");
    assert_eq!(digest(&moved), first);
    assert_eq!(first, crate::json::digest(&moved));
    moved["description"] = json!("other");
    assert_ne!(digest(&moved), first);
}

#[test]
fn numbers_that_are_the_same_value_give_the_same_digest() {
    let mut document = example();
    let first = checked(&document).definition.unwrap();
    document["nodes"][2]["retry"]["max_attempts"] = json!(5.0);
    let second = checked(&document).definition.unwrap();
    assert_eq!(first.digest(), second.digest());
    assert_eq!(first.document(), second.document());
}

#[test]
fn steps_lead_to_their_nodes_through_bodies() {
    let body = json!({"nodes": [{"id": "inner", "type": "transform", "config": {"expression": "item"}}], "edges": []});
    let document = with_node("for_each", json!({"items": "input", "body": body}));
    let definition = checked(&document).definition.unwrap();
    let id = |step: &str| {
        let step: StepKey = step.parse().unwrap();
        definition.node(&step).map(|(graph, index)| graph.node(index).id.to_string())
    };
    assert_eq!(id("n").as_deref(), Some("n"));
    assert_eq!(id("n[7].inner").as_deref(), Some("inner"));
    assert_eq!(id("inner"), None);
    assert_eq!(id("n[0].inner[0].x"), None);
}

#[test]
fn problems_are_answered_as_objects() {
    let checked = checked(&json!({"name": "x", "nodes": []}));
    assert_eq!(
        checked.problems_value(),
        json!([{"code": "invalid_value", "severity": "error", "path": "nodes", "message": "at least one node"}])
    );
    let warnings: Vec<&str> = ProblemCode::ALL
        .iter()
        .filter(|code| code.severity() == crate::definition::Severity::Warning)
        .map(|code| code.as_str())
        .collect();
    assert_eq!(warnings, ["unknown_secret", "secret_literal"]);
}
