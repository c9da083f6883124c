//! Nodes of each type.

mod custom;
mod described;
mod flow;
mod http_call;
mod policy;
mod pure;

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

/// A body of one node.
fn body() -> Value {
    json!({"nodes": [{"id": "a", "type": "transform", "config": {"expression": "item"}}]})
}
