use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::definition::graph::{closing_edges, topological_order};

fn nodes(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({"id": id, "type": "transform", "config": {"expression": "input"}})).collect()
}

#[test]
fn ids_follow_their_grammar_and_are_unique_in_their_graph() {
    let long = "a".repeat(65);
    let document = with_graph(nodes(&["ok", "_1", "1a", "a-b", "", &long, "ok"]), json!([]));
    expect(
        &document,
        &[
            ("invalid_id", "nodes[2].id"),
            ("invalid_id", "nodes[3].id"),
            ("invalid_id", "nodes[4].id"),
            ("invalid_id", "nodes[5].id"),
            ("duplicate_id", "nodes[6].id"),
        ],
    );
    expect(
        &with_graph(json!([{"id": 1, "type": "terminate"}]), json!([])),
        &[("invalid_type", "nodes[0].id")],
    );
}

#[test]
fn the_same_id_may_stand_in_a_graph_and_in_a_body_of_it() {
    let body = json!({"nodes": [{"id": "n", "type": "transform", "config": {"expression": "item"}}]});
    expect(&with_node("for_each", json!({"items": "input", "body": body})), &[]);
}

#[test]
fn everything_wrong_with_a_graph_is_told_at_once() {
    // A self edge, a cycle of two, an edge to nowhere, two start nodes, and one node that nothing leads to.
    let document = with_graph(
        nodes(&["a", "b", "c", "d"]),
        json!([
            {"from": "a", "to": "b"},
            {"from": "b", "to": "a"},
            {"from": "c", "to": "c"},
            {"from": "c", "to": "nowhere"},
            {"from": "ghost", "to": "d"}
        ]),
    );
    expect(
        &document,
        &[
            ("cycle", "edges[1]"),
            ("cycle", "edges[2]"),
            ("unknown_node", "edges[3].to"),
            ("unknown_node", "edges[4].from"),
        ],
    );
}

#[test]
fn a_cycle_is_told_at_the_first_edge_that_closes_it() {
    let edges = json!([{"from": "c", "to": "a"}, {"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "b", "to": "c"}]);
    let document = with_graph(nodes(&["a", "b", "c"]), edges);
    expect(&document, &[("cycle", "edges[2]"), ("cycle", "edges[3]")]);
}

#[test]
fn edges_leave_by_ports_that_their_node_has() {
    let nodes = json!([
        {"id": "t", "type": "transform", "config": {"expression": "input"}},
        {"id": "b", "type": "branch", "config": {"condition": "input"}},
        {"id": "s", "type": "switch", "config": {"cases": [{"port": "high", "when": "input"}], "default": "low"}},
        {"id": "w", "type": "wait", "config": {"event": "e"}},
        {"id": "h", "type": "send_mail", "config": {"to": "a@b"}},
        {"id": "end", "type": "terminate"},
        {"id": "z", "type": "transform", "config": {"expression": "input"}}
    ]);
    let good = json!([
        {"from": "t", "to": "z"}, {"from": "t", "port": "out", "to": "z"}, {"from": "t", "port": "error", "to": "z"},
        {"from": "b", "port": "true", "to": "z"}, {"from": "b", "port": "false", "to": "z"}, {"from": "b", "port": "error", "to": "z"},
        {"from": "s", "port": "high", "to": "z"}, {"from": "s", "port": "low", "to": "z"}, {"from": "s", "port": "error", "to": "z"},
        {"from": "w", "to": "z"}, {"from": "w", "port": "timeout", "to": "z"}, {"from": "h", "port": null, "to": "z"}
    ]);
    expect(&with_graph(nodes.clone(), good), &[]);
    let bad = json!([
        {"from": "b", "to": "z"}, {"from": "s", "to": "z"},
        {"from": "t", "port": "true", "to": "z"}, {"from": "b", "port": "out", "to": "z"},
        {"from": "s", "port": "default", "to": "z"}, {"from": "w", "port": "error", "to": "z"},
        {"from": "end", "to": "z"}, {"from": "end", "port": "out", "to": "z"}, {"from": "t", "port": 1, "to": "z"}
    ]);
    expect(
        &with_graph(nodes, bad),
        &[
            ("missing_port", "edges[0].port"),
            ("missing_port", "edges[1].port"),
            ("unknown_port", "edges[2].port"),
            ("unknown_port", "edges[3].port"),
            ("unknown_port", "edges[4].port"),
            ("unknown_port", "edges[5].port"),
            ("unknown_port", "edges[6].port"),
            ("unknown_port", "edges[7].port"),
            ("invalid_type", "edges[8].port"),
        ],
    );
}

#[test]
fn ports_are_checked_even_where_a_config_is_wrong() {
    let nodes = json!([
        {"id": "b", "type": "branch", "config": {}},
        {"id": "s", "type": "switch", "config": {"cases": [{"port": "x"}]}},
        {"id": "u", "type": "nonsense"},
        {"id": "z", "type": "terminate"}
    ]);
    let edges = json!([
        {"from": "b", "port": "nope", "to": "z"}, {"from": "s", "port": "y", "to": "z"}, {"from": "u", "port": "any", "to": "z"}
    ]);
    expect(
        &with_graph(nodes, edges),
        &[
            ("missing_field", "nodes[0].config.condition"),
            ("missing_field", "nodes[1].config.cases[0].when"),
            ("unknown_type", "nodes[2].type"),
            ("unknown_port", "edges[0].port"),
            ("unknown_port", "edges[1].port"),
        ],
    );
}

#[test]
fn an_edge_that_is_there_twice_counts_once() {
    let edges = json!([{"from": "a", "to": "b"}, {"from": "a", "port": "out", "to": "b"}, {"from": "a", "port": "error", "to": "b"}]);
    let definition = checked(&with_graph(nodes(&["a", "b"]), edges)).definition.unwrap();
    let graph = definition.graph();
    assert_eq!(graph.incoming(graph.index_of("b").unwrap()).len(), 2);
    assert!(graph.has_edge(graph.index_of("a").unwrap(), "error"));
    assert!(!graph.has_edge(graph.index_of("b").unwrap(), "out"));
}

#[test]
fn bodies_are_graphs_with_the_same_rules() {
    let body = json!({"nodes": [
        {"id": "x", "type": "transform", "config": {"expression": "nodes.before.output"}},
        {"id": "x", "type": "branch", "config": {"condition": "nodes.y.output && nodes.ghost.output"}},
        {"id": "y", "type": "transform", "config": {"template": "{{ nodes.x.output }}{{ nodes.after }}"}}
    ], "edges": [{"from": "x", "to": "before"}, {"from": "y", "to": "y"}], "extra": 1});
    let nodes = json!([
        {"id": "before", "type": "transform", "config": {"expression": "input"}},
        {"id": "each", "type": "for_each", "config": {"items": "nodes.before.output", "body": body}},
        {"id": "again", "type": "repeat", "config": {"until": "output", "max_iterations": 3, "body": {"nodes": []}}},
        {"id": "after", "type": "transform", "config": {"expression": "nodes.y.output"}}
    ]);
    expect(
        &with_graph(nodes, json!([])),
        &[
            ("unknown_field", "nodes[1].config.body.extra"),
            ("duplicate_id", "nodes[1].config.body.nodes[1].id"),
            ("unknown_node", "nodes[1].config.body.nodes[1].config.condition"),
            ("unknown_node", "nodes[1].config.body.edges[0].to"),
            ("cycle", "nodes[1].config.body.edges[1]"),
            ("invalid_value", "nodes[2].config.body.nodes"),
            ("unknown_node", "nodes[3].config.expression"),
        ],
    );
}

/// Depth first from every node: whether a node leads back to itself.
fn has_cycle(count: usize, edges: &[(usize, usize)]) -> bool {
    (0..count).any(|start| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<usize> =
            edges.iter().filter(|(from, _)| *from == start).map(|(_, to)| *to).collect();
        while let Some(next) = open.pop() {
            if next == start {
                return true;
            }
            if seen.insert(next) {
                open.extend(edges.iter().filter(|(from, _)| *from == next).map(|(_, to)| *to));
            }
        }
        false
    })
}

/// Follows a path into a document.
fn resolve<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = document;
    for segment in path.split(['.', '[', ']']).filter(|segment| !segment.is_empty()) {
        value = match segment.parse::<usize>() {
            Ok(index) => value.get(index)?,
            Err(_) => value.get(segment)?,
        };
    }
    Some(value)
}

fn random_graph() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (1..12_usize).prop_flat_map(|count| (Just(count), prop::collection::vec((0..count, 0..count), 0..24)))
}

fn document_of(count: usize, edges: &[(usize, usize)]) -> Value {
    let ids: Vec<String> = (0..count).map(|at| format!("n{at}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let edges = edges.iter().map(|(from, to)| json!({"from": ids[*from], "to": ids[*to]})).collect();
    with_graph(nodes(&ids), edges)
}

proptest! {
    #[test]
    fn cycles_are_found_where_a_naive_search_finds_them((count, edges) in random_graph()) {
        let mut kept: Vec<(usize, usize)> = Vec::new();
        let mut expected = Vec::new();
        for (at, edge) in edges.iter().enumerate() {
            kept.push(*edge);
            if has_cycle(count, &kept) {
                kept.pop();
                expected.push(at);
            }
        }
        prop_assert_eq!(closing_edges(count, &edges), expected.clone());

        let document = document_of(count, &edges);
        let checked = checked(&document);
        let paths: Vec<String> = checked.problems.iter().map(|problem| problem.path.clone()).collect();
        let expected: Vec<String> = expected.iter().map(|at| format!("edges[{at}]")).collect();
        prop_assert_eq!(paths, expected);
        for problem in &checked.problems {
            prop_assert!(resolve(&document, &problem.path).is_some(), "{:?}", problem);
        }
    }

    #[test]
    fn acyclic_graphs_are_valid_and_ordered((count, edges) in random_graph()) {
        let edges: Vec<(usize, usize)> = edges.into_iter().filter(|(from, to)| from < to).collect();
        let checked = checked(&document_of(count, &edges));
        prop_assert_eq!(&checked.problems, &[]);
        let definition = checked.definition.unwrap();
        let graph = definition.graph();
        let place = |wanted| graph.order().iter().position(|index| index.get() == wanted).unwrap();
        prop_assert_eq!(graph.order().len(), count);
        for (from, to) in &edges {
            prop_assert!(place(*from) < place(*to));
        }
        prop_assert_eq!(topological_order(count, &edges), graph.order().iter().map(|index| index.get()).collect::<Vec<_>>());
        for start in graph.starts() {
            prop_assert!(graph.incoming(*start).is_empty());
        }
        let sides = |index: usize| {
            let index = crate::definition::NodeIndex::new(index);
            (graph.incoming(index).len(), graph.outgoing(index).len())
        };
        let total = (0..count).map(sides).fold((0, 0), |sum, side| (sum.0 + side.0, sum.1 + side.1));
        prop_assert_eq!(total.0, total.1);
    }
}
