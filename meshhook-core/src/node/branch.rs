//! `branch`: leaves by `true` or `false`.

use serde_json::{Value, json};

use super::{Evaluated, NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names};
use crate::expr::Expression;
use crate::failure::Failure;

/// A `branch` node.
#[derive(Debug, Clone)]
pub struct Branch {
    condition: Expression,
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    let kind = (|| {
        let condition = config.object(&["condition"])?.required("condition")?.expression(names)?;
        Some(NodeKind::Branch(Branch { condition }))
    })();
    Shape::pure(&[port::yes, port::no, port::error], kind)
}

impl Branch {
    /// Chooses the port; the output is the input.
    ///
    /// # Errors
    ///
    /// What the condition fails with.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Evaluated, Failure> {
        let port = if scope.holds(&self.condition)? { port::yes() } else { port::no() };
        Ok(Evaluated::new(port, scope.input.clone()))
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"condition": {"type": "string", "description": "JMESPath that decides; truthy leaves by true"}},
        "required": ["condition"],
        "additionalProperties": false
    })
}
