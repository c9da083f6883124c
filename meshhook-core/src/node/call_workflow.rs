//! `call_workflow`: runs another workflow.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::Template;
use crate::failure::Failure;
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
    input: Option<Template>,
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape::pure(&[port::out, port::error], read_config(config, names).map(NodeKind::CallWorkflow))
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<CallWorkflow> {
    let members = config.object(&["workflow", "version", "input", "wait"])?;
    let workflow = members.required("workflow").and_then(|field| {
        let slug = WorkflowSlug::new(field.text()?);
        slug.map_err(|error| field.report(ProblemCode::InvalidValue, error.to_string())).ok()
    });
    let version = members.optional("version").map(|field| field.integer(1..=u64::from(u32::MAX)));
    let input = members.optional("input").map(|field| field.template(names));
    let wait = members.optional("wait").map(|field| field.boolean());
    Some(CallWorkflow {
        workflow: workflow?,
        version: version.map_or(Some(None), |version| version?.try_into().ok().map(Some))?,
        input: input.map_or(Some(None), |input| input.map(Some))?,
        wait: wait.unwrap_or(Some(true))?,
    })
}

impl CallWorkflow {
    /// Returns the child's input: the node's own input unless the config says otherwise.
    ///
    /// # Errors
    ///
    /// What the template fails with.
    pub fn input(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Failure> {
        match &self.input {
            Some(template) => scope.render(template).map(Arc::new),
            None => Ok(scope.input.clone()),
        }
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "workflow": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "description": "slug of a workflow of the same project"},
            "version": {"type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX, "description": "default: the latest published one"},
            "input": {"description": "the child's input, templates allowed; default: this node's input"},
            "wait": {"type": ["boolean", "null"], "default": true}
        },
        "required": ["workflow"],
        "additionalProperties": false
    })
}
