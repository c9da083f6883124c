//! What goes wrong, as RFC 9457 problems.
//!
//! The `code` is what programs go by; `title` follows from the status, `detail` is for people. What went wrong inside
//! is logged and not told: a caller gets the request's id to ask with.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use meshhook_core::definition::Problem as DefinitionProblem;
use meshhook_core::engine::EngineError;
use meshhook_core::json;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::auth::Denied;

/// An answer that says what went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

/// What went wrong (RFC 9457), sent as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: go by `code`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The answer's status.
    status: u16,
    /// What went wrong, as a stable name.
    code: String,
    /// What went wrong, for people.
    detail: String,
    /// Where in the request: `query.limit`, `header.if-match`, `body.input`; and in previews, where in the template.
    path: Option<String>,
    /// Where in an expression, as a byte offset.
    position: Option<u64>,
    /// The run that is in the way.
    run_id: Option<String>,
    /// The item of a delivery that is in the way, by its place from 0.
    item: Option<u64>,
    /// With `invalid_definition`: all that was found.
    problems: Option<Vec<DefinitionProblemBody>>,
}

/// One thing that is wrong with a definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DefinitionProblem)]
pub(crate) struct DefinitionProblemBody {
    code: String,
    /// `error` or `warning`.
    severity: String,
    /// Where, from the document's root.
    path: String,
    message: String,
}

impl From<&DefinitionProblem> for DefinitionProblemBody {
    fn from(problem: &DefinitionProblem) -> Self {
        Self {
            code: problem.code.as_str().into(),
            severity: problem.severity().as_str().into(),
            path: problem.path.clone(),
            message: problem.message.clone(),
        }
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), members: Map::new(), headers: Vec::new() }
    }

    /// A malformed request, with the place that is wrong.
    pub(crate) fn invalid(path: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail).with("path", path)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("no such {what}"))
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the body may not be larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail).closing()
    }

    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong; the server's log says what",
        )
    }

    /// Says first what the problem is about.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.detail = format!("{what}; {}", self.detail);
        self
    }

    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The same with a member, if there is a value for it.
    pub(crate) fn with_some(self, member: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Ends the connection with the answer: the rest of the request is not read.
    pub(crate) fn closing(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.members;
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("code".into(), self.code.into());
        body.insert("detail".into(), self.detail.into());
        let text = json::to_canonical_string(&Value::Object(body));
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/problem+json")], text).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthorized => Self::new(StatusCode::UNAUTHORIZED, "unauthorized", denied.to_string())
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Denied::Forbidden
            | Denied::RemotePeer
            | Denied::ForeignHost { .. }
            | Denied::ForeignOrigin
            | Denied::PeerUnknown => Self::new(StatusCode::FORBIDDEN, "forbidden", denied.to_string()),
            Denied::ForeignProject => Self::not_found("project"),
            Denied::Unavailable => Self::unavailable("access cannot be decided now"),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, error.to_string());
        match &error {
            EngineError::NotFound { what } => Self::not_found(what),
            EngineError::SlugTaken | EngineError::ProjectTaken => conflict("slug_taken"),
            EngineError::RevisionStale { .. } => conflict("conflict"),
            EngineError::NotPublished | EngineError::ScheduleNotLive => conflict("not_published"),
            EngineError::InvalidState { .. } => conflict("invalid_state"),
            EngineError::KeyReused { run } => {
                conflict("idempotency_key_reused").with("run_id", run.to_string())
            }
            EngineError::InvalidDefinition { problems } => {
                let problems: Vec<Value> = problems.iter().map(DefinitionProblem::to_value).collect();
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_definition", error.to_string())
                    .with("problems", problems)
            }
            EngineError::NotKept { .. } => conflict("invalid_state"),
            EngineError::HasRun { run } => {
                conflict("invalid_state").with_some("run_id", run.map(|run| run.to_string()))
            }
            EngineError::ItemReused { item, run } => conflict("idempotency_key_reused")
                .with("item", *item)
                .with_some("run_id", run.map(|run| run.to_string())),
            EngineError::InputInvalid { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "input_invalid", error.to_string())
            }
            EngineError::Refused { item, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "input_invalid", error.to_string())
                    .with_some("item", *item)
            }
            EngineError::InvalidArgument { message } => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_request", message.clone())
            }
            EngineError::TooLarge { message } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message.clone())
            }
            EngineError::InboxFull => Self::unavailable(
                "too many messages wait for the run already; try again once it has taken some",
            ),
            EngineError::NoMasterKey => {
                tracing::warn!(%error, "refused a request");
                Self::unavailable(&error.to_string())
            }
            EngineError::Vault { .. } => {
                tracing::error!(%error, "the vault is not usable");
                Self::unavailable("the vault is not usable")
            }
            EngineError::Store(cause) if cause.is_outcome_unknown() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "do not know what became of a request"
                );
                Self::unavailable("it is not known whether this was done; send it again to find out")
            }
            error if error.is_transient() => {
                tracing::warn!(error = error as &dyn std::error::Error, "refused a request for now");
                Self::unavailable("too much to do, or the store cannot be reached; try again later")
            }
            error => {
                tracing::error!(error = error as &dyn std::error::Error, "a request failed");
                Self::internal()
            }
        }
    }
}
