//! Reading a graph: the nodes, then the edges between them, at the root and in the bodies of iterations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::graph::{Edge, Graph, NodeIndex, closing_edges};
use super::node::{self, ReadNode};
use super::problem::{Problem, ProblemCode};
use super::reader::{Field, Members};
use super::text::{Names, excerpt};

/// Reads the body of an iteration; `nesting` counts this body and those around it.
pub(crate) fn read_body(field: &Field<'_>, names: &Names<'_>, nesting: usize) -> Option<Graph> {
    let most = field.checker.context.limits.max_nesting;
    if nesting > most {
        field.report(ProblemCode::LimitExceeded, format!("bodies nest at most {most} deep"));
        return None;
    }
    read(&field.object(&["nodes", "edges"])?, Some(names), nesting)
}

/// Reads the members `nodes` and `edges`.
pub(super) fn read(members: &Members<'_>, outer: Option<&Names<'_>>, nesting: usize) -> Option<Graph> {
    let checker = members.checker;
    let limits = &checker.context.limits;
    let nodes_field = members.required("nodes");
    let items: Vec<Field<'_>> = nodes_field.as_ref().and_then(Field::items)?.collect();
    let nodes_field = nodes_field?;
    if items.is_empty() {
        nodes_field.report(ProblemCode::InvalidValue, "at least one node");
        return None;
    }
    let total = checker.nodes.get() + items.len();
    checker.nodes.set(total);
    if total > limits.max_nodes {
        let message = format!("at most {} nodes in all graphs together", limits.max_nodes);
        nodes_field.report(ProblemCode::LimitExceeded, message);
        return None;
    }

    let ids: BTreeSet<&str> =
        items.iter().filter_map(|item| item.value.get("id").and_then(Value::as_str)).collect();
    let inner: BTreeMap<&str, &str> = items.iter().flat_map(|item| body_ids(item.value)).collect();
    let names = Names::graph(&ids, &inner, outer);
    let mut nodes: Vec<ReadNode<'_>> = Vec::with_capacity(items.len());
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    let mut good = true;
    for item in &items {
        let node = node::read(item, &names, nesting);
        if let Some(id) = node.id {
            if by_id.contains_key(id) {
                let path = super::member_path(&item.path, "id");
                let message = format!("another node of this graph has the id {}", excerpt(id));
                checker.report(Problem::new(ProblemCode::DuplicateId, path, message));
                good = false;
            } else {
                by_id.insert(id, nodes.len());
            }
        }
        good &= node.node.is_some();
        nodes.push(node);
    }

    let edges = match members.optional("edges") {
        None => Some(Vec::new()),
        Some(field) => read_edges(&field, &Places { nodes: &nodes, by_id: &by_id, inner: &inner }),
    };
    let edges = edges.filter(|_| good)?;
    Some(Graph::new(nodes.into_iter().filter_map(|node| node.node).collect(), &edges))
}

/// The ids in a node's body, each with the node's own: for messages, so read as far as it can be.
fn body_ids(node: &Value) -> impl Iterator<Item = (&str, &str)> {
    let nodes = node["config"]["body"]["nodes"].as_array().into_iter().flatten();
    let ids = nodes.filter_map(|inner| inner["id"].as_str());
    ids.filter_map(|id| Some((id, node["id"].as_str()?)))
}

/// What an edge can lead to.
struct Places<'a> {
    nodes: &'a [ReadNode<'a>],
    by_id: &'a BTreeMap<&'a str, usize>,
    /// What no edge leads to: the nodes of bodies.
    inner: &'a BTreeMap<&'a str, &'a str>,
}

/// Reads the edges; an edge that is there twice counts once.
fn read_edges(field: &Field<'_>, graph: &Places<'_>) -> Option<Vec<Edge>> {
    let Places { nodes, by_id, inner } = *graph;
    let mut edges: Vec<Edge> = Vec::new();
    let mut known = BTreeSet::new();
    // Ends of all edges between existing nodes, and where to report a cycle: a wrong port does not hide one.
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut places: Vec<Field<'_>> = Vec::new();
    let mut good = true;
    for item in field.items()? {
        let Some(members) = item.object(&["from", "to", "port"]) else {
            good = false;
            continue;
        };
        let end = |name| {
            let field = members.required(name)?;
            let id = field.text()?;
            let found = by_id.get(id).copied();
            if found.is_none() {
                let message = match inner.get(id) {
                    Some(body) => {
                        let (id, body) = (excerpt(id), excerpt(body));
                        format!("{id} is inside the body of {body}: no edge leads from one graph to another")
                    }
                    None => format!("there is no node {} in this graph", excerpt(id)),
                };
                field.report(ProblemCode::UnknownNode, message);
            }
            found
        };
        let (from, to) = (end("from"), end("to"));
        let port = read_port(&item, &members, from.map(|from| &nodes[from]));
        if let (Some(from), Some(to)) = (from, to) {
            pairs.push((from, to));
            places.push(item.clone());
        }
        match (from, to, port) {
            (Some(from), Some(to), Some(port)) => {
                let edge = Edge { from: NodeIndex::new(from), to: NodeIndex::new(to), port };
                if known.insert(edge.clone()) {
                    edges.push(edge);
                }
            }
            _ => good = false,
        }
    }
    for closing in closing_edges(nodes.len(), &pairs) {
        places[closing]
            .report(ProblemCode::Cycle, "this edge closes a cycle; iteration is for for_each and repeat");
        good = false;
    }
    good.then_some(edges)
}

fn read_port(edge: &Field<'_>, members: &Members<'_>, from: Option<&ReadNode<'_>>) -> Option<Arc<str>> {
    let field = members.optional("port");
    let text = match &field {
        Some(field) => Some(field.text()?),
        None => None,
    };
    let ports = from.and_then(|node| node.ports.as_ref());
    let Some(ports) = ports else { return Some(text.unwrap_or("out").into()) };
    let path = super::member_path(&edge.path, "port");
    let report = |code, message: String| edge.checker.report(Problem::new(code, path.clone(), message));
    let type_name = from.and_then(|node| node.type_name).unwrap_or_default();
    if let Some(port) = ports.iter().find(|port| &***port == text.unwrap_or("out")) {
        return Some(port.clone());
    }
    if ports.is_empty() {
        report(ProblemCode::UnknownPort, format!("no edge leaves a {type_name}"));
    } else if text.is_none() {
        report(
            ProblemCode::MissingPort,
            format!("{type_name} has no port out; name one of {}", ports.join(", ")),
        );
    } else {
        report(ProblemCode::UnknownPort, format!("{type_name} has the ports {}", ports.join(", ")));
    }
    None
}
