//! `switch`: leaves by the port of the first case that holds.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Evaluated, NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::Expression;
use crate::failure::Failure;

/// A `switch` node.
#[derive(Debug, Clone)]
pub struct Switch {
    cases: Vec<(Arc<str>, Expression)>,
    default: Arc<str>,
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    let unknown_ports = Shape { ports: None, ..Shape::pure(&[], None) };
    let Some(members) = config.object(&["cases", "default"]) else { return unknown_ports };
    let default =
        members.optional("default").map_or_else(|| Some(port::default()), |field| read_port(&field));
    let Some(items) = members.required("cases").and_then(|field| {
        let items = field.items()?;
        if items.len() == 0 {
            field.report(ProblemCode::InvalidValue, "at least one case");
        }
        Some(items)
    }) else {
        return unknown_ports;
    };
    let count = items.len();
    let mut ports: Vec<Arc<str>> = Vec::new();
    let mut cases = Vec::new();
    for item in items {
        let Some(members) = item.object(&["port", "when"]) else { continue };
        let port = members.required("port").and_then(|field| read_port(&field));
        let when = members.required("when").and_then(|field| field.expression(names));
        ports.extend(port.clone());
        cases.extend(port.zip(when));
    }
    // Where a port could not be read, edges might name it: then no port is known for sure.
    let all_read = ports.len() == count && default.is_some();
    ports.extend(default.clone());
    ports.push(port::error());
    let mut distinct: Vec<Arc<str>> = Vec::new();
    for port in ports {
        if !distinct.contains(&port) {
            distinct.push(port);
        }
    }
    let kind = (all_read && count > 0 && cases.len() == count)
        .then_some(default)
        .flatten()
        .map(|default| NodeKind::Switch(Switch { cases, default }));
    Shape { ports: all_read.then_some(distinct), kind, ..Shape::pure(&[], None) }
}

fn read_port(field: &Field<'_>) -> Option<Arc<str>> {
    let text = field.text()?;
    if !super::is_port(text) {
        field.report(ProblemCode::InvalidValue, "must be 1 to 64 letters, digits, _ or -");
    } else if text == "error" {
        field.report(ProblemCode::InvalidValue, "error is the port of failures");
    } else {
        return Some(text.into());
    }
    None
}

impl Switch {
    /// Chooses the port; the output is the input.
    ///
    /// # Errors
    ///
    /// What a condition that had to be looked at fails with.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Evaluated, Failure> {
        for (port, when) in &self.cases {
            if scope.holds(when)? {
                return Ok(Evaluated::new(port.clone(), scope.input.clone()));
            }
        }
        Ok(Evaluated::new(self.default.clone(), scope.input.clone()))
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    let port = json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "not": {"const": "error"}});
    json!({
        "type": "object",
        "properties": {
            "cases": {
                "type": "array",
                "minItems": 1,
                "description": "the first whose condition holds decides",
                "items": {
                    "type": "object",
                    "properties": {"port": port, "when": {"type": "string", "description": "JMESPath"}},
                    "required": ["port", "when"],
                    "additionalProperties": false
                }
            },
            "default": {"anyOf": [port, {"type": "null"}], "default": "default", "description": "name of the port when no case holds"}
        },
        "required": ["cases"],
        "additionalProperties": false
    })
}
