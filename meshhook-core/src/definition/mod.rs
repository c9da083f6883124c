//! Workflow definitions: the document that users write, checked completely and held in a form that runs.
//!
//! A [`ValidDefinition`] can only come out of a check that found no error, so whoever has one need not check again.

mod body;
mod builder;
mod check;
mod graph;
mod limits;
mod node;
mod problem;
mod reader;
mod schema;
mod schema_shape;
mod secret_literal;
#[cfg(test)]
mod tests;
mod text;
mod trigger;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub(crate) use self::body::read_body;
pub use self::builder::{GraphSpec, NodeSpec, Workflow};
pub use self::check::{CheckContext, Checked, check};
pub use self::graph::{Edge, Graph, Join, Node, NodeIndex};
pub use self::limits::DefinitionLimits;
pub use self::problem::{Problem, ProblemCode, Severity, index_path, member_path};
pub(crate) use self::reader::Field;
pub use self::schema::{MAX_VIOLATIONS, Schema, SchemaError, Violation};
pub(crate) use self::text::{Names, regex_uses_within};
pub use self::trigger::{
    CatchUp, DEFAULT_DEDUPE_WINDOW, Dedupe, Each, Handshake, RateLimit, Respond, ScheduleTrigger, Trigger,
    TriggerKind, WebhookPath, WebhookTrigger,
};
pub use self::yaml::{YamlError, parse_yaml};
use crate::id::{Digest, StepKey};

/// A definition without errors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ValidDefinition(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    document: Arc<Value>,
    digest: Digest,
    name: String,
    description: Option<String>,
    input_schema: Option<Schema>,
    vars: Arc<Value>,
    timeout: Duration,
    triggers: Vec<Trigger>,
    graph: Graph,
}

impl ValidDefinition {
    /// What people call the workflow.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is for.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// What a run's input must look like.
    #[must_use]
    pub fn input_schema(&self) -> Option<&Schema> {
        self.0.input_schema.as_ref()
    }

    /// The constants that expressions see as `vars`; an object.
    #[must_use]
    pub fn vars(&self) -> &Arc<Value> {
        &self.0.vars
    }

    /// How long a run may take: the definition's timeout, else the longest one allowed.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// What starts runs, in the order of the document.
    #[must_use]
    pub fn triggers(&self) -> &[Trigger] {
        &self.0.triggers
    }

    /// The root graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.0.graph
    }

    /// SHA-256 of the canonical form without `layout`.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// The definition as given, with its numbers in normal form.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.0.document
    }

    /// Finds the node that a step is an execution of, with the graph that it stands in; indexes are not looked at.
    #[must_use]
    pub fn node(&self, step: &StepKey) -> Option<(&Graph, NodeIndex)> {
        let mut found: Option<(&Graph, NodeIndex)> = None;
        for id in step.nodes() {
            let graph = match found {
                None => self.graph(),
                Some((graph, index)) => graph.node(index).kind.body()?,
            };
            found = Some((graph, graph.index_of(id)?));
        }
        found
    }
}
