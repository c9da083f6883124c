//! One call of the API: a request whose sender may do it, taken apart.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use meshhook_core::definition::{index_path, member_path, parse_yaml};
use meshhook_core::engine::{Engine, Project};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::json::{self, JsonLimits};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::answer::json_answer;
use crate::auth::{Access, Denied, Grant, Permission};
use crate::cursor::Cursors;
use crate::member::Members;
use crate::options::RouterOptions;
use crate::problem::Problem;
use crate::query::Query;

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) options: RouterOptions,
    pub(crate) cursors: Cursors,
    pub(crate) streams: Arc<Semaphore>,
    /// The text of `/api/openapi.json`.
    pub(crate) openapi: String,
}

impl Shared {
    /// A project that exists.
    pub(crate) async fn project(&self, text: &str) -> Result<Project, Problem> {
        let id = ProjectId::new(text).map_err(|_| Problem::not_found("project"))?;
        let project = self.engine.project(&id);
        project.require_existing().await?;
        Ok(project)
    }
}

/// One call of the API.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    /// The public URL of the place where the router is mounted.
    pub(crate) base_url: String,
    pub(super) route: &'static str,
    pub(super) params: Vec<(String, String)>,
    pub(super) project: Option<Project>,
}

/// Who calls, to be asked for again while a stream is open.
pub(crate) struct Caller {
    pub(crate) permission: Permission,
    pub(crate) project: Option<String>,
    pub(crate) method: Method,
    pub(crate) grant: Grant,
}

impl Caller {
    pub(crate) async fn authorize(&mut self, shared: &Shared, headers: &HeaderMap) -> Result<(), Denied> {
        if self.permission != Permission::Open {
            let access = Access {
                permission: self.permission,
                project: self.project.as_deref(),
                method: &self.method,
                headers,
            };
            self.grant = shared.options.authorizer.authorize(access).await?;
        }
        Ok(())
    }
}

impl Call {
    /// The project that the path names.
    pub(crate) fn project(&self) -> &Project {
        self.project.as_ref().expect("routes that ask for a project have one in their path")
    }

    /// Who calls, for the history.
    pub(crate) fn actor(&self) -> Option<String> {
        self.caller.grant.actor.clone()
    }

    pub(crate) fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect("routes ask for parameters of their own path")
    }

    /// The workflow that the path names. A name that none can have is one that does not exist.
    pub(crate) fn slug(&self) -> Result<WorkflowSlug, Problem> {
        WorkflowSlug::new(self.param("slug")).map_err(|_| Problem::not_found("workflow"))
    }

    /// The run that the path names.
    pub(crate) fn run(&self) -> Result<RunId, Problem> {
        self.param("run").parse().map_err(|_| Problem::not_found("run"))
    }

    /// The body as JSON or YAML; `None` when it is empty.
    pub(crate) fn document(&self) -> Result<Option<Value>, Problem> {
        self.read_body(true)
    }

    /// The members of a JSON body.
    pub(crate) fn members(&self) -> Result<Members, Problem> {
        Members::of(self.read_body(false)?)
    }

    /// Refuses a body with anything in it.
    pub(crate) fn no_members(&self) -> Result<(), Problem> {
        self.members()?.finish()
    }

    fn read_body(&self, yaml_too: bool) -> Result<Option<Value>, Problem> {
        if self.body.is_empty() {
            return Ok(None);
        }
        let unsupported = || {
            let detail = if yaml_too {
                "the body must be application/json or application/yaml, in UTF-8"
            } else {
                "the body must be application/json, in UTF-8"
            };
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        };
        let encoded = self.headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes());
        if encoded.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            return Err(unsupported());
        }
        match Media::of(&self.headers).ok_or_else(unsupported)? {
            // The wrapper adds a level to what a definition may have.
            Media::Json => json::parse(&self.body, &JsonLimits::default().with_max_depth(MAX_BODY_DEPTH))
                .map(Some)
                .map_err(|error| {
                    Problem::new(StatusCode::BAD_REQUEST, "invalid_json", error.to_string())
                        .with("path", body_path(&error.pointer))
                }),
            Media::Yaml if yaml_too => {
                parse_yaml(&self.body, &JsonLimits::default().with_max_depth(MAX_BODY_DEPTH))
                    .map(Some)
                    .map_err(|error| {
                        Problem::invalid("body", format!("the body is no YAML document: {error}"))
                    })
            }
            Media::Yaml => Err(unsupported()),
        }
    }

    /// The item that the list goes on behind, if the request says so.
    pub(crate) fn after(&self) -> Result<Option<String>, Problem> {
        let Some(cursor) = self.query.get("cursor") else { return Ok(None) };
        let opened = self.shared.cursors.open(&self.scope_refs(&self.scope()), cursor);
        opened.map(Some).ok_or_else(|| Problem::invalid("query.cursor", "not a cursor of this list"))
    }

    /// The same, read as the list's key.
    pub(crate) fn after_as<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        let unreadable = || Problem::invalid("query.cursor", "not a cursor of this list");
        self.after()?.map(|item| item.parse().map_err(|_| unreadable())).transpose()
    }

    /// Answers a page. `items` may hold one more than `limit`, which tells that there are more.
    pub(crate) fn page<T: Serialize>(
        &self,
        mut items: Vec<T>,
        limit: usize,
        key: impl Fn(&T) -> String,
    ) -> Result<Response, Problem> {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = if more { items.last().map(key) } else { None };
        let next_cursor = last.map(|item| self.seal(&item));
        json_answer(StatusCode::OK, &Page { items, next_cursor })
    }

    fn seal(&self, item: &str) -> String {
        self.shared.cursors.seal(&self.scope_refs(&self.scope()), item)
    }

    /// What a cursor is bound to: the route with the names in its path, and the filter.
    fn scope(&self) -> Vec<String> {
        let mut scope = vec![self.route.to_owned(), self.query.filter()];
        scope.extend(self.params.iter().map(|(_, value)| value.clone()));
        scope
    }

    #[expect(clippy::unused_self, reason = "reads as a step of its callers")]
    fn scope_refs<'a>(&self, scope: &'a [String]) -> Vec<&'a str> {
        scope.iter().map(String::as_str).collect()
    }
}

/// The path of a JSON pointer (RFC 6901) below the body. A number is taken as an index.
fn body_path(pointer: &str) -> String {
    pointer.split('/').skip(1).fold("body".to_owned(), |path, part| {
        let name = part.replace("~1", "/").replace("~0", "~");
        match name.parse() {
            Ok(index) => index_path(&path, index),
            Err(_) => member_path(&path, &name),
        }
    })
}

/// The deepest nesting of a body.
const MAX_BODY_DEPTH: usize = 130;

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to ask for the next part with; `null` at the end.
    pub(crate) next_cursor: Option<String>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("what to ask for the next part with; null at the end"));
        ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .required("items")
            .property("next_cursor", cursor)
            .required("next_cursor")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Json,
    Yaml,
}

impl Media {
    /// `None` when it is neither, or not UTF-8. A body that does not say is taken as JSON.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        let Some(value) = values.next() else { return Some(Media::Json) };
        if values.next().is_some() {
            return None;
        }
        let mut parts = value.to_str().ok()?.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("charset")
                && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            {
                return None;
            }
        }
        match essence.as_str() {
            "application/json" => Some(Media::Json),
            "application/yaml" => Some(Media::Yaml),
            essence if essence.starts_with("application/") && essence.ends_with("+json") => Some(Media::Json),
            _ => None,
        }
    }
}

/// Reads a body within a size and a time. Nothing is set aside for what a sender merely announces.
pub(crate) async fn read_body(
    body: Body,
    headers: &HeaderMap,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes as u64) {
        return Err(Problem::too_large(max_bytes));
    }
    let deadline = Instant::now() + timeout;
    let mut body = body;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the body took too long").closing()
        })?;
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                return Err(Problem::invalid("body", "the body could not be read to its end").closing());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > max_bytes {
            return Err(Problem::too_large(max_bytes));
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
