//! `wait`: waits for an event from outside.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::Template;
use crate::failure::{Failure, code};
use crate::json;

/// A `wait` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Wait {
    /// The name of the event.
    pub event: Arc<str>,
    /// How long to wait; without it, as long as the run lasts.
    pub timeout: Option<Duration>,
    key: Option<Template>,
}

/// The longest name of an event.
pub const MAX_EVENT_NAME_BYTES: usize = 128;

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape::pure(&[port::out, port::timeout], read_config(config, names).map(NodeKind::Wait))
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<Wait> {
    let members = config.object(&["event", "key", "timeout"])?;
    let event = members.required("event").and_then(|field| {
        let event = field.short_text(MAX_EVENT_NAME_BYTES)?;
        if is_event_name(event) {
            return Some(event);
        }
        field.report(ProblemCode::InvalidValue, "a constant without slashes and control characters");
        None
    });
    let key = members.optional("key").map(|field| field.template(names));
    let longest = config.checker.context.limits.max_run_timeout;
    let timeout = members.optional("timeout").map(|field| field.limited_timeout(longest));
    Some(Wait {
        event: event?.into(),
        timeout: timeout.map_or(Some(None), |timeout| timeout.map(Some))?,
        key: key.map_or(Some(None), |key| key.map(Some))?,
    })
}

/// Whether a text can name an event: 1 to 128 bytes without slashes and control characters, and no template.
#[must_use]
pub fn is_event_name(text: &str) -> bool {
    (1..=MAX_EVENT_NAME_BYTES).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c == '/')
        && !text.contains("{{")
}

impl Wait {
    /// Returns the key that the event must have: a string as it is, another value as compact JSON; `None` when any event
    /// of the name will do.
    ///
    /// # Errors
    ///
    /// What the key's template fails with; `invalid_config` when it renders to null. Somebody who names a key never means
    /// just any event, and what gave no value here is more often misspelled than meant.
    pub fn key(&self, scope: &Scope<'_>) -> Result<Option<String>, Failure> {
        let Some(key) = &self.key else { return Ok(None) };
        match scope.render(key)? {
            Value::Null => {
                Err(Failure::permanent(code::INVALID_CONFIG, "the key that the event must have is null"))
            }
            Value::String(key) => Ok(Some(key)),
            other => Ok(Some(json::to_canonical_string(&other))),
        }
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "event": {"type": "string", "minLength": 1, "maxLength": MAX_EVENT_NAME_BYTES, "pattern": "^[^/]+$", "description": "name of the event"},
            "key": {"description": "only an event with an equal key counts; templates allowed"},
            "timeout": {"type": ["string", "null"], "description": "a duration; afterwards the step is left by timeout"}
        },
        "required": ["event"],
        "additionalProperties": false
    })
}
