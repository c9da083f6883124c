//! `repeat`: runs its body until a condition holds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{NodeKind, Scope, Shape, port};
use crate::definition::{Field, Graph, Names, read_body};
use crate::expr::Expression;
use crate::failure::Failure;

/// A `repeat` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repeat {
    /// From the end of one iteration to the start of the next.
    pub every: Option<Duration>,
    /// How many iterations there may be; at least 1.
    pub max_iterations: u64,
    /// What runs in each iteration.
    pub body: Arc<Graph>,
    until: Expression,
}

/// As many iterations as a `for_each` may have items.
const MAX_ITERATIONS: u64 = 100_000;

pub(super) fn read(config: &Field<'_>, names: &Names<'_>, nesting: usize) -> Shape {
    Shape::pure(
        &[port::out, port::exhausted, port::error],
        read_config(config, names, nesting).map(NodeKind::Repeat),
    )
}

fn read_config(config: &Field<'_>, names: &Names<'_>, nesting: usize) -> Option<Repeat> {
    let members = config.object(&["body", "until", "every", "max_iterations"])?;
    let body = members.required("body").and_then(|field| read_body(&field, names, nesting + 1));
    let until = members.required("until").and_then(|field| field.expression(names));
    let every = members.optional("every").map(|field| field.duration());
    let max_iterations =
        members.required("max_iterations").and_then(|field| field.integer(1..=MAX_ITERATIONS));
    Some(Repeat {
        every: every.map_or(Some(None), |every| every.map(Some))?,
        max_iterations: max_iterations?,
        body: Arc::new(body?),
        until: until?,
    })
}

impl Repeat {
    /// Returns whether the iterations are over; the scope's root has `output` and `index` of the last one.
    ///
    /// # Errors
    ///
    /// What the condition fails with.
    pub fn is_over(&self, scope: &Scope<'_>) -> Result<bool, Failure> {
        scope.holds(&self.until)
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "body": super::body_schema(),
            "until": {"type": "string", "description": "JMESPath, looked at after each iteration; sees output and index too"},
            "every": {"type": ["string", "null"], "description": "from the end of one iteration to the start of the next"},
            "max_iterations": {"type": "integer", "minimum": 1, "maximum": MAX_ITERATIONS}
        },
        "required": ["body", "until", "max_iterations"],
        "additionalProperties": false
    })
}
