//! `terminate`: ends the run at once.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::http_header::{is_header_name, is_header_value, is_reserved_header};
use super::{NodeKind, Scope, Shape};
use crate::definition::{Field, Names, ProblemCode};
use crate::expr::Template;
use crate::failure::{Failure, code};

/// A `terminate` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Terminate {
    /// How the run ends.
    pub status: TerminateStatus,
    output: Option<Template>,
    response: Option<Response>,
}

/// How `terminate` ends the run. Exhaustive: the definition format names exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TerminateStatus {
    /// The run succeeds.
    #[default]
    Succeeded,
    /// The run fails with the code `terminated`.
    Failed,
}

/// What a `terminate` step comes to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Termination {
    /// How the run ends.
    pub status: TerminateStatus,
    /// The run's output; null where the node names none.
    pub output: Arc<Value>,
    /// What a webhook that waits for the run answers, where the node says so.
    pub response: Option<TerminateResponse>,
}

/// What a webhook that waits for the run answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TerminateResponse {
    /// The status, from 200 to 599.
    pub status: u16,
    /// Headers in lower case, sorted, each with one value that can stand in a header.
    pub headers: Vec<(String, String)>,
    /// The body: a string is sent as it is, anything else as JSON; `None` where the node names none.
    pub body: Option<Value>,
}

impl TerminateResponse {
    /// The response as an object `{body?, headers, status}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        if let Some(body) = &self.body {
            object.insert("body".into(), body.clone());
        }
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        object.insert("headers".into(), Value::Object(headers.collect()));
        object.insert("status".into(), self.status.into());
        Value::Object(object)
    }

    /// Reads what [`to_value`](Self::to_value) made; `None` when it has another shape.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let mut headers: Vec<(String, String)> = object
            .get("headers")?
            .as_object()?
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()?;
        headers.sort();
        Some(Self {
            status: u16::try_from(object.get("status")?.as_u64()?).ok()?,
            headers,
            body: object.get("body").cloned(),
        })
    }
}

#[derive(Debug, Clone)]
struct Response {
    status: Status,
    /// Names in lower case.
    headers: Vec<(String, Template)>,
    body: Option<Template>,
}

#[derive(Debug, Clone)]
enum Status {
    Fixed(u16),
    Rendered(Template),
}

const MAX_HEADERS: usize = 64;

pub(super) fn read(config: &Field<'_>, names: &Names<'_>) -> Shape {
    Shape::pure(&[], read_config(config, names).map(NodeKind::Terminate))
}

fn read_config(config: &Field<'_>, names: &Names<'_>) -> Option<Terminate> {
    let members = config.object(&["status", "output", "response"])?;
    let status = members.optional("status").map(|field| {
        field.choice(&[("succeeded", TerminateStatus::Succeeded), ("failed", TerminateStatus::Failed)])
    });
    let output = members.optional("output").map(|field| field.template(names));
    let response = members.optional("response").map(|field| read_response(&field, names));
    Some(Terminate {
        status: status.unwrap_or(Some(TerminateStatus::Succeeded))?,
        output: output.map_or(Some(None), |output| output.map(Some))?,
        response: response.map_or(Some(None), |response| response.map(Some))?,
    })
}

fn read_response(field: &Field<'_>, names: &Names<'_>) -> Option<Response> {
    let members = field.object(&["status", "headers", "body"])?;
    let status = members.optional("status").map(|field| match field.value {
        Value::String(_) => field.template(names).map(Status::Rendered),
        _ => field.integer(200..=599).and_then(|status| u16::try_from(status).ok()).map(Status::Fixed),
    });
    let headers = members.optional("headers").map(|field| read_headers(&field, names));
    let body = members.optional("body").map(|field| field.template(names));
    Some(Response {
        status: status.unwrap_or(Some(Status::Fixed(200)))?,
        headers: headers.unwrap_or(Some(Vec::new()))?,
        body: body.map_or(Some(None), |body| body.map(Some))?,
    })
}

fn read_headers(field: &Field<'_>, names: &Names<'_>) -> Option<Vec<(String, Template)>> {
    let all = field.members()?.all();
    if all.len() > MAX_HEADERS {
        field.report(ProblemCode::InvalidValue, format!("at most {MAX_HEADERS} headers"));
        return None;
    }
    let mut headers = Vec::new();
    let mut good = true;
    for (name, field) in all {
        let lower = name.to_ascii_lowercase();
        if !is_header_name(name) || is_reserved_header(name) {
            field.report(ProblemCode::InvalidValue, "not a header that a response can set");
            good = false;
        } else if headers.iter().any(|(earlier, _)| *earlier == lower) {
            field.report(ProblemCode::InvalidValue, "this header is there already, in another spelling");
            good = false;
        }
        match field.text_template(names) {
            Some(_) if field.constant_text().is_some_and(|text| !is_header_value(text)) => {
                field.report(ProblemCode::InvalidValue, "not a value that a header can have");
                good = false;
            }
            Some(template) => headers.push((lower, template)),
            None => good = false,
        }
    }
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    good.then_some(headers)
}

impl Terminate {
    /// Renders what the run ends with.
    ///
    /// # Errors
    ///
    /// `invalid_config` when the rendered response cannot be sent, and what a template fails with.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Termination, Failure> {
        let output = match &self.output {
            Some(template) => scope.render(template)?,
            None => Value::Null,
        };
        let response = self.response.as_ref().map(|response| response.render(scope)).transpose()?;
        Ok(Termination { status: self.status, output: Arc::new(output), response })
    }
}

impl Response {
    fn render(&self, scope: &Scope<'_>) -> Result<TerminateResponse, Failure> {
        let invalid = |message: String| Failure::permanent(code::INVALID_CONFIG, message);
        let status = match &self.status {
            Status::Fixed(status) => *status,
            Status::Rendered(template) => {
                let rendered = scope.render(template)?;
                let number = rendered.as_u64().or_else(|| rendered.as_str()?.parse().ok());
                number
                    .and_then(|number| u16::try_from(number).ok())
                    .filter(|status| (200..=599).contains(status))
                    .ok_or_else(|| invalid("the response's status is not from 200 to 599".to_owned()))?
            }
        };
        let mut headers = Vec::new();
        for (name, template) in &self.headers {
            let value = match scope.render(template)? {
                Value::Null => continue,
                Value::String(text) => text,
                other => crate::json::to_canonical_string(&other),
            };
            if !is_header_value(&value) {
                return Err(invalid(format!("header {name} cannot have this value")));
            }
            headers.push((name.clone(), value));
        }
        let body = self.body.as_ref().map(|body| scope.render(body)).transpose()?;
        Ok(TerminateResponse { status, headers, body })
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": {"enum": ["succeeded", "failed", null], "default": "succeeded"},
            "output": {"description": "the run's output, templates allowed"},
            "response": {
                "type": ["object", "null"],
                "description": "what a webhook that waits for the run answers; templates allowed",
                "properties": {
                    "status": {"type": ["integer", "string", "null"], "minimum": 200, "maximum": 599, "default": 200},
                    "headers": {"type": ["object", "null"], "maxProperties": MAX_HEADERS, "additionalProperties": {"type": "string"}},
                    "body": {}
                },
                "additionalProperties": false
            }
        },
        "additionalProperties": false
    })
}
