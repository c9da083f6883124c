//! Workflow definitions: the document that users write, checked completely and held in a form that runs.
//!
//! A [`ValidDefinition`] can only come out of a check that found no error, so whoever has one need not check again.

mod graph;
mod limits;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use self::graph::{Edge, Graph, Join, Node, NodeIndex};
pub use self::limits::DefinitionLimits;
pub use self::problem::{Problem, ProblemCode, Severity, index_path, member_path};
use crate::id::{Digest, StepKey};

/// A definition without errors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ValidDefinition(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    document: Value,
    digest: Digest,
    name: String,
    description: Option<String>,
    vars: Arc<Value>,
    timeout: Duration,
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
