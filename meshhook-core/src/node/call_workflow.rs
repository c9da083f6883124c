//! `call_workflow`: runs another workflow.

use crate::id::WorkflowSlug;

/// A `call_workflow` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallWorkflow {
    /// The workflow to run, of the same project.
    pub workflow: WorkflowSlug,
    /// The version to run; without it, the latest published one.
    pub version: Option<u32>,
    /// Whether the step lasts until the child ends.
    pub wait: bool,
}
