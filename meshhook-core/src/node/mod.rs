//! Node types: what a node's configuration may say, by which ports it is left, and, where it needs nothing from
//! outside, what it answers.

mod call_workflow;
mod for_each;
pub mod port;
mod repeat;
mod terminate;
mod wait;

use std::sync::Arc;

use serde_json::Value;

pub use self::call_workflow::CallWorkflow;
pub use self::for_each::{ForEach, OnItemError};
pub use self::repeat::Repeat;
pub use self::terminate::TerminateStatus;
pub use self::wait::Wait;
use crate::definition::Graph;

/// How a pure step ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluated {
    /// The port by which it is left.
    pub port: Arc<str>,
    /// Its output.
    pub output: Arc<Value>,
}

impl Evaluated {
    /// Leaves by a port.
    #[must_use]
    pub fn new(port: Arc<str>, output: Arc<Value>) -> Self {
        Self { port, output }
    }
}

/// What a node does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeKind {
    /// Runs its body once for each item of an array.
    ForEach(ForEach),
    /// Runs its body until a condition holds.
    Repeat(Repeat),
    /// Waits for an event from outside.
    Wait(Wait),
    /// Runs another workflow.
    CallWorkflow(CallWorkflow),
}

impl NodeKind {
    /// The graph that the node runs, for `for_each` and `repeat`.
    #[must_use]
    pub fn body(&self) -> Option<&Graph> {
        match self {
            NodeKind::ForEach(config) => Some(&config.body),
            NodeKind::Repeat(config) => Some(&config.body),
            _ => None,
        }
    }
}
