//! `transform`: makes a value by an expression or a template.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Evaluated, NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names, ProblemCode, Schema};
use crate::expr::{Expression, Template};
use crate::failure::{Failure, code};

/// A `transform` node.
#[derive(Debug, Clone)]
pub struct Transform {
    source: Source,
    input_schema: Option<Schema>,
    output_schema: Option<Schema>,
}

#[derive(Debug, Clone)]
enum Source {
    Expression(Expression),
    Template(Template),
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape::pure(&[port::out, port::error], read_config(config, names).map(NodeKind::Transform))
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<Transform> {
    let members = config.object(&["expression", "template", "input_schema", "output_schema"])?;
    let expression = members.optional("expression").map(|field| field.expression(names));
    let template = members.optional("template").map(|field| field.template(names));
    let input_schema = members.optional("input_schema").map(|field| field.schema());
    let output_schema = members.optional("output_schema").map(|field| field.schema());
    let source = match (expression, template) {
        (Some(_), Some(_)) => {
            config.report(ProblemCode::InvalidConfig, "either expression or template, not both");
            None
        }
        (None, None) => {
            members.missing("expression");
            None
        }
        (Some(expression), None) => expression.map(Source::Expression),
        (None, Some(template)) => template.map(Source::Template),
    };
    Some(Transform {
        source: source?,
        input_schema: input_schema.map_or(Some(None), |schema| schema.map(Some))?,
        output_schema: output_schema.map_or(Some(None), |schema| schema.map(Some))?,
    })
}

impl Transform {
    /// Makes the value.
    ///
    /// # Errors
    ///
    /// `schema_violation` when the input or the value does not match its schema, and what the expression fails with.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Evaluated, Failure> {
        demand(self.input_schema.as_ref(), scope.input, "input")?;
        let value = match &self.source {
            Source::Expression(expression) => scope.value(expression)?,
            Source::Template(template) => scope.render(template)?,
        };
        demand(self.output_schema.as_ref(), &value, "output")?;
        Ok(Evaluated::new(port::out(), Arc::new(value)))
    }
}

fn demand(schema: Option<&Schema>, value: &Value, what: &str) -> Result<(), Failure> {
    let Some(schema) = schema else { return Ok(()) };
    schema.validate(value).map_err(|violations| {
        let list: Vec<Value> = violations
            .iter()
            .map(|violation| json!({"path": violation.path, "message": violation.message}))
            .collect();
        Failure::permanent(code::SCHEMA_VIOLATION, format!("{what} does not match its schema"))
            .with_details(json!({"violations": list}))
    })
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "expression": {"type": "string", "description": "JMESPath that makes the output"},
            "template": {"description": "a JSON value with {{ placeholders }} that becomes the output"},
            "input_schema": {"type": ["object", "boolean", "null"], "description": "JSON Schema of the input"},
            "output_schema": {"type": ["object", "boolean", "null"], "description": "JSON Schema of the output"}
        },
        "oneOf": [{"required": ["expression"]}, {"required": ["template"]}],
        "additionalProperties": false
    })
}
