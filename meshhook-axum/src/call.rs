//! One call of the API: a request whose sender may do it, taken apart.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use meshhook_core::engine::{Engine, Project};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::store::Listing;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::answer::{json_answer, json_bytes};
use crate::auth::{Access, Denied, Grant, Permission};
use crate::body::{self, Accepts};
use crate::cursor::Cursors;
use crate::member::Members;
use crate::options::RouterOptions;
use crate::problem::Problem;
use crate::query::Query;
use crate::room::Room;

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) options: RouterOptions,
    pub(crate) cursors: Cursors,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) bodies: Arc<Room>,
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
    pub(crate) peer: Option<IpAddr>,
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
                peer: self.peer,
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
        body::parse(&self.headers, &self.body, Accepts::JsonOrYaml)
    }

    /// The members of a JSON body.
    pub(crate) fn members(&self) -> Result<Members, Problem> {
        Members::of(body::parse(&self.headers, &self.body, Accepts::Json)?)
    }

    /// Refuses a body with anything in it.
    pub(crate) fn no_members(&self) -> Result<(), Problem> {
        self.members()?.finish()
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

    /// Answers a page.
    pub(crate) fn page<T: Serialize>(
        &self,
        part: Listing<T>,
        key: impl Fn(&T) -> String,
    ) -> Result<Response, Problem> {
        let Listing { items, more, .. } = part;
        let last = if more { items.last().map(key) } else { None };
        let next_cursor = last.map(|item| self.seal(&item));
        json_answer(StatusCode::OK, &Page { items, next_cursor })
    }

    /// As many of the items as fit on a page.
    pub(crate) fn part<T: Serialize>(items: impl IntoIterator<Item = T>, limit: usize) -> Listing<T> {
        let items = items.into_iter().map(Ok::<_, Infallible>);
        match Listing::gather(items, limit, json_bytes) {
            Ok(part) => part,
            Err(never) => match never {},
        }
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
