//! `delay`: goes on after a while, or at a time.

use serde_json::{Value, json};

use super::{NodeKind, Scope, Shape, port};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::Template;
use crate::failure::{Failure, code};
use crate::time::{Timestamp, parse_duration};

/// A `delay` node.
#[derive(Debug, Clone)]
pub struct Delay {
    unit: Unit,
    template: Template,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    For,
    Until,
}

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape::pure(&[port::out], read_config(config, names).map(NodeKind::Delay))
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<Delay> {
    let members = config.object(&["for", "until"])?;
    let read = |name, unit| members.optional(name).map(|field| read_time(&field, unit, names));
    match (read("for", Unit::For), read("until", Unit::Until)) {
        (Some(_), Some(_)) => {
            config.report(ProblemCode::InvalidConfig, "either for or until, not both");
            None
        }
        (None, None) => {
            members.missing("for");
            None
        }
        (Some(delay), None) | (None, Some(delay)) => delay,
    }
}

fn read_time(field: &Field<'_>, unit: Unit, names: &Names<'_>) -> Option<Delay> {
    let template = field.text_template(names)?;
    if field.constant_text().is_some() {
        due(unit, field.value, Timestamp::EPOCH)
            .map_err(|failure| field.report(ProblemCode::InvalidDuration, failure.message))
            .ok()?;
    }
    Some(Delay { unit, template })
}

impl Delay {
    /// Returns when the step is over, if it starts `now`; a time that has passed means at once.
    ///
    /// # Errors
    ///
    /// `invalid_duration` when the rendered text is no duration or time, and what the template fails with.
    pub fn due(&self, scope: &Scope<'_>, now: Timestamp) -> Result<Timestamp, Failure> {
        due(self.unit, &scope.render(&self.template)?, now)
    }
}

fn due(unit: Unit, rendered: &Value, now: Timestamp) -> Result<Timestamp, Failure> {
    let invalid = |message: String| Failure::permanent(code::INVALID_DURATION, message);
    match (unit, rendered) {
        (Unit::For, Value::String(text)) => parse_duration(text)
            .map(|duration| now.after(duration))
            .map_err(|error| invalid(error.to_string())),
        (Unit::Until, Value::String(text)) => {
            text.parse::<Timestamp>().map_err(|error| invalid(error.to_string()))
        }
        (Unit::For, _) => Err(invalid("for is no string such as 10s".to_owned())),
        (Unit::Until, _) => Err(invalid("until is no string such as 2026-01-02T03:04:05Z".to_owned())),
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "for": {"type": "string", "description": "a duration such as 10s or 1h30m, or a template that gives one"},
            "until": {"type": "string", "description": "an RFC 3339 time, or a template that gives one"}
        },
        "oneOf": [{"required": ["for"]}, {"required": ["until"]}],
        "additionalProperties": false
    })
}
