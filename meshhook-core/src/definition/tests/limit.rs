use serde_json::{Map, Value, json};

use super::*;
use crate::definition::DefinitionLimits;

/// Runs on a stack of 2 MiB, as tokio's workers have it.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(test).unwrap();
    thread.join().unwrap();
}

fn transforms(count: usize) -> Value {
    (0..count)
        .map(|at| json!({"id": format!("n{at}"), "type": "transform", "config": {"expression": "input"}}))
        .collect()
}

/// `for_each` nodes around a transform.
fn nested(bodies: usize) -> Value {
    let mut nodes = json!([{"id": "n", "type": "transform", "config": {"expression": "input"}}]);
    for _ in 0..bodies {
        nodes =
            json!([{"id": "n", "type": "for_each", "config": {"items": "input", "body": {"nodes": nodes}}}]);
    }
    with_graph(nodes, json!([]))
}

#[test]
fn a_definition_has_at_most_a_thousand_nodes() {
    expect(&with_graph(transforms(1_000), json!([])), &[]);
    expect(&with_graph(transforms(1_001), json!([])), &[("limit_exceeded", "nodes")]);
}

#[test]
fn nodes_of_all_graphs_count_together() {
    let node = |id: &str, count: usize| json!({"id": id, "type": "for_each", "config": {"items": "input", "body": {"nodes": transforms(count)}}});
    expect(
        &with_graph(json!([node("a", 499), node("b", 498), {"id": "x", "type": "terminate"}]), json!([])),
        &[],
    );
    expect(
        &with_graph(json!([node("a", 499), node("b", 499), {"id": "x", "type": "terminate"}]), json!([])),
        &[("limit_exceeded", "nodes[1].config.body.nodes")],
    );
}

#[test]
fn bodies_nest_eight_deep() {
    on_a_small_stack(|| {
        expect(&nested(8), &[]);
        let path = format!("{}nodes[0].config.body", "nodes[0].config.body.".repeat(8));
        expect(&nested(9), &[("limit_exceeded", &path)]);
    });
}

#[test]
fn a_definition_is_at_most_a_mebibyte_in_canonical_form() {
    let document = |bytes: usize| json!({"name": "x", "description": "y".repeat(bytes), "nodes": [{"id": "a", "type": "terminate"}]});
    let frame = crate::json::to_canonical_string(&document(0)).len();
    expect(&document(1024 * 1024 - frame), &[]);
    expect(&document(1024 * 1024 - frame + 1), &[("limit_exceeded", "")]);
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!("{{ input }}"), |inner, _| json!([inner]))
}

#[test]
fn documents_nest_128_deep_and_take_little_stack() {
    on_a_small_stack(|| {
        // The root, `nodes`, the node and its config are four levels.
        expect(&with_node("transform", json!({"template": deep(124)})), &[]);
        expect(&with_node("transform", json!({"template": deep(125)})), &[("limit_exceeded", "")]);
        expect(&with_node("transform", json!({"template": deep(400)})), &[("limit_exceeded", "")]);
        expect(
            &json!({"name": "x", "vars": {"deep": deep(126)}, "nodes": [{"id": "a", "type": "terminate"}]}),
            &[],
        );
        let mut body = json!({"to": "a@b"});
        body["to"] = deep(120);
        expect(&with_node("send_mail", body), &[("invalid_type", "nodes[0].config.to")]);
    });
}

#[test]
fn deep_schemas_compile_and_check_on_a_small_stack() {
    on_a_small_stack(|| {
        for keyword in ["allOf", "not", "properties", "items", "anyOf"] {
            let wrap = |inner: Value| match keyword {
                "allOf" | "anyOf" => json!({keyword: [inner]}),
                "properties" => json!({keyword: {"a": inner}}),
                _ => json!({keyword: inner}),
            };
            let levels = if matches!(keyword, "not" | "items") { 125 } else { 61 };
            let schema = (0..levels).fold(json!({}), |inner, _| wrap(inner));
            expect(
                &json!({"name": "x", "input_schema": schema, "nodes": [{"id": "a", "type": "terminate"}]}),
                &[],
            );
        }
        // The longest chain of references and combinators that is let through, once for each level of the value.
        let mut schema = json!({"properties": {"a": {"$ref": "#"}}});
        for _ in 0..10 {
            schema = json!({"anyOf": [schema]});
        }
        let schema = crate::definition::Schema::compile(&schema).unwrap();
        let value = (0..128).fold(json!(1), |inner, _| json!({"a": inner}));
        assert!(schema.is_valid(&value));
        assert_eq!(schema.validate(&value), Ok(()));
    });
}

#[test]
fn a_schema_whose_references_multiply_is_refused() {
    let mut defs = Map::new();
    for at in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        defs.insert(format!("d{at}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d30".to_owned(), json!({"type": "object"}));
    let document = json!({"name": "x", "input_schema": {"$ref": "#/$defs/d0", "$defs": defs}, "nodes": [{"id": "a", "type": "terminate"}]});
    expect(&document, &[("invalid_schema", "input_schema")]);
}

#[test]
fn expressions_are_bounded_in_text_and_nesting() {
    let long = |bytes: usize| format!("input{}", " ".repeat(bytes - 5));
    expect(&with_node("transform", json!({"expression": long(8 * 1024)})), &[]);
    let field = "nodes[0].config.expression";
    expect(&with_node("transform", json!({"expression": long(8 * 1024 + 1)})), &[("limit_exceeded", field)]);
    let parens = format!("{}a{}", "(".repeat(3_000), ")".repeat(3_000));
    expect(&with_node("transform", json!({"expression": parens})), &[("limit_exceeded", field)]);
    let chain = "a || ".repeat(30_000) + "a";
    expect(&with_node("transform", json!({"expression": chain})), &[("limit_exceeded", field)]);
}

#[test]
fn regular_expressions_are_bounded_over_the_whole_document() {
    let uses = |count: usize| format!("[{}]", vec!["regex_match(input, 'x')"; count].join(", "));
    let document = |expression: usize, template: usize, schema: usize| {
        let placeholders: Vec<_> = (0..template).map(|_| "{{ regex_replace(input, 'x', 'y') }}").collect();
        let patterns: Vec<_> = (0..schema).map(|_| json!({"pattern": "x"})).collect();
        json!({ "name": "x", "input_schema": {"allOf": patterns}, "nodes": [
            {"id": "a", "type": "transform", "config": {"expression": uses(expression)}},
            {"id": "b", "type": "transform", "config": {"template": placeholders}},
            {"id": "c", "type": "transform", "config": {"expression": "'regex_match'"}},
        ] })
    };
    expect(&document(25, 13, 25), &[]);
    expect(&document(25, 14, 25), &[("limit_exceeded", "nodes[2].config.expression")]);
    expect(
        &document(25, 15, 25),
        &[("limit_exceeded", "nodes[1].config.template"), ("limit_exceeded", "nodes[2].config.expression")],
    );
    let prose = json!({"template": "regex_match ".repeat(1_000)});
    expect(&with_node("transform", prose), &[]);
}

#[test]
fn a_regular_expression_of_a_schema_is_bounded_when_compiled() {
    let schema = |pattern: &str| json!({"expression": "input", "input_schema": {"pattern": pattern}});
    expect(&with_node("transform", schema("^[a-z]{1,200}$")), &[]);
    let field = "nodes[0].config.input_schema";
    expect(&with_node("transform", schema("^\\p{L}{1000}$")), &[("invalid_schema", field)]);
}

#[test]
fn templates_are_bounded_in_placeholders() {
    let text = "{{ input }}".repeat(90_000);
    expect(
        &with_node("transform", json!({"template": text})),
        &[("limit_exceeded", "nodes[0].config.template")],
    );
}

#[test]
fn numbers_at_their_bounds_work_and_past_them_are_told() {
    let items = |max: Value| {
        with_node(
            "for_each",
            json!({"items": "input", "max_items": max, "body": {"nodes": [{"id": "a", "type": "terminate"}]}}),
        )
    };
    let max_items = "nodes[0].config.max_items";
    expect(&items(json!(100_000)), &[]);
    expect(&items(json!(100_001)), &[("limit_exceeded", max_items)]);
    expect(&items(json!(0)), &[("invalid_value", max_items)]);
    expect(&items(json!(-1)), &[("invalid_value", max_items)]);
    expect(&items(json!(1e300)), &[("limit_exceeded", max_items)]);
    expect(&items(json!(1.5)), &[("invalid_type", max_items)]);
    expect(&items(json!("5")), &[("invalid_type", max_items)]);

    let attempts = |max: Value| {
        let config = json!({"method": "GET", "url": "https://x.example"});
        with_graph(
            json!([{"id": "a", "type": "http_call", "config": config, "retry": {"max_attempts": max}}]),
            json!([]),
        )
    };
    expect(&attempts(json!(100)), &[]);
    expect(&attempts(json!(1)), &[]);
    expect(&attempts(json!(101)), &[("limit_exceeded", "nodes[0].retry.max_attempts")]);
    expect(&attempts(json!(0)), &[("invalid_value", "nodes[0].retry.max_attempts")]);

    let webhook = |config: Value, problems: &[(&str, &str)]| expect(&with_webhook(config), problems);
    webhook(json!({"respond": {"wait": "60s"}}), &[]);
    webhook(json!({"respond": {"wait": "61s"}}), &[("invalid_value", "triggers[0].config.respond.wait")]);
    webhook(json!({"max_body": 1_048_576}), &[]);
    webhook(json!({"max_body": 1_048_577}), &[("limit_exceeded", "triggers[0].config.max_body")]);
}

#[test]
fn a_workflow_has_at_most_a_hundred_triggers() {
    let triggers = |count: usize| -> Value {
        (0..count)
            .map(|at| {
                let config = json!({"path": format!("p{at}"), "verify": {"scheme": "none"}});
                json!({"id": format!("t{at}"), "type": "webhook", "config": config})
            })
            .collect()
    };
    let document = |count: usize| json!({"name": "x", "triggers": triggers(count), "nodes": [{"id": "a", "type": "terminate"}]});
    expect(&document(100), &[]);
    expect(&document(10_000), &[("invalid_value", "triggers")]);
}

#[test]
fn the_host_may_move_the_bounds() {
    let types = node_types();
    let limits = DefinitionLimits { max_nodes: 2, ..DefinitionLimits::default() };
    let context = CheckContext::new(&types).limits(limits);
    assert!(check(&with_graph(transforms(2), json!([])), &context).is_valid());
    assert!(!check(&with_graph(transforms(3), json!([])), &context).is_valid());
}

#[test]
fn problems_are_bounded_and_an_error_is_always_among_them() {
    let mut document = Map::new();
    document.insert("name".to_owned(), json!("x"));
    for at in 0..5_000 {
        document.insert(format!("unknown{at}"), json!(1));
    }
    let checked = checked(&Value::Object(document));
    assert_eq!(checked.problems.len(), 1_000);
    assert!(!checked.is_valid());

    let secret = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    let vars: Map<String, Value> = (0..2_000).map(|at| (format!("v{at}"), json!(secret))).collect();
    let warnings = json!({"name": "x", "vars": vars, "nodes": [{"id": "a", "type": "terminate"}]});
    let found = super::checked(&warnings);
    assert_eq!((found.problems.len(), found.is_valid()), (1_000, true));
}

#[test]
fn the_largest_cyclic_graphs_are_checked() {
    // As many edges as a mebibyte holds, all backwards: each pair of them closes a cycle or extends the closure.
    let nodes: Value = (0..1_000).map(|at| json!({"id": format!("n{at}"), "type": "terminate"})).collect();
    let edges: Value = (0..24_000_usize)
        .map(|at| json!({"from": format!("n{}", at * 7 % 1_000), "to": format!("n{}", at * 13 % 999)}))
        .collect();
    let checked = checked(&with_graph(nodes, edges));
    assert!(!checked.is_valid());
}
