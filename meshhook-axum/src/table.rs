//! The table of routes: the only way to register one.
//!
//! A row names method, path, [`Permission`] and handler, and describes the route for the OpenAPI document; so there is
//! no route without a permission, none that is not described, and no description without a route.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::Method;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::auth::Permission;
use crate::call::{Call, Page, Shared};
use crate::problem::Problem;
use crate::{
    deliveries, health, hooks, node_types, openapi, preview, projects, runs, schedules, secrets, steps,
    streams, versions, workflows,
};

/// Handles a call that was authorized and taken apart.
pub(crate) type Handler = fn(Call) -> BoxFuture<'static, Result<Response, Problem>>;
/// Handles a request as it came.
pub(crate) type RawHandler = fn(Arc<Shared>, Request) -> BoxFuture<'static, Response>;

#[derive(Clone, Copy)]
pub(crate) enum Handling {
    Call(Handler),
    /// For any method.
    Raw(RawHandler),
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Another route's path that this one's parameter can also spell.
    pub(crate) also: Option<Shadow>,
    pub(crate) permission: Permission,
    pub(crate) handling: Handling,
    /// The name of the operation in clients.
    pub(crate) operation: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: Vec<Parameter>,
    pub(crate) headers: Vec<Parameter>,
    pub(crate) body: Option<RequestBody>,
    pub(crate) answers: Vec<Answer>,
    /// The errors that are this route's own.
    pub(crate) errors: Vec<(u16, &'static str)>,
}

/// A fixed path that hides one value of a parameter: `/secrets/rotate` hides the secret `rotate` in `/secrets/{name}`.
#[derive(Clone, Copy)]
pub(crate) struct Shadow {
    pub(crate) path: &'static str,
    pub(crate) parameter: &'static str,
    pub(crate) value: &'static str,
}

/// A parameter in the query or the headers.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
}

/// The body that a route takes.
pub(crate) struct RequestBody {
    pub(crate) schema: SchemaOf,
    pub(crate) required: bool,
    pub(crate) yaml_too: bool,
}

/// An answer of a route that did what was asked.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    pub(crate) content: Option<(&'static str, SchemaOf)>,
}

/// A type of the API, with all types that it is made of.
#[derive(Clone)]
pub(crate) struct SchemaOf {
    pub(crate) name: String,
    pub(crate) collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl SchemaOf {
    pub(crate) fn of<T: ToSchema + 'static>() -> Self {
        Self {
            name: T::name().into_owned(),
            collect: |all| {
                all.push((T::name().into_owned(), T::schema()));
                T::schemas(all);
            },
        }
    }
}

impl Route {
    pub(crate) fn new(method: Method, path: &'static str, permission: Permission, handler: Handler) -> Self {
        Self {
            method,
            path,
            also: None,
            permission,
            handling: Handling::Call(handler),
            operation: "",
            summary: "",
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn raw(
        method: Method,
        path: &'static str,
        permission: Permission,
        handler: RawHandler,
    ) -> Self {
        let unused: Handler = |_| Box::pin(async { Err(Problem::internal()) });
        Self { handling: Handling::Raw(handler), ..Self::new(method, path, permission, unused) }
    }

    pub(crate) fn about(mut self, operation: &'static str, summary: &'static str) -> Self {
        self.operation = operation;
        self.summary = summary;
        self
    }

    /// Serves the route also where another's fixed path hides one of its parameter's values.
    pub(crate) fn also_at(mut self, shadow: Shadow) -> Self {
        self.also = Some(shadow);
        self
    }

    pub(crate) fn query(mut self, name: &'static str, description: &'static str) -> Self {
        self.query.push(Parameter { name, description });
        self
    }

    pub(crate) fn header(mut self, name: &'static str, description: &'static str) -> Self {
        self.headers.push(Parameter { name, description });
        self
    }

    /// A list that comes in pages.
    pub(crate) fn pages<T: ToSchema + 'static>(self) -> Self
    where
        Page<T>: ToSchema,
    {
        self.query("limit", "how many items: 50 without it, at most 200")
            .query("cursor", "`next_cursor` of the part before, with the same filter")
            .answers::<Page<T>>(200, "one part of the list")
    }

    pub(crate) fn takes<T: ToSchema + 'static>(mut self) -> Self {
        self.body = Some(RequestBody { schema: SchemaOf::of::<T>(), required: true, yaml_too: false });
        self
    }

    /// The body may be left out.
    pub(crate) fn optional_body(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body.required = false;
        }
        self
    }

    /// The body may be YAML.
    pub(crate) fn yaml_too(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body.yaml_too = true;
        }
        self
    }

    pub(crate) fn answers<T: ToSchema + 'static>(self, status: u16, description: &'static str) -> Self {
        self.answers_as::<T>(status, description, "application/json")
    }

    pub(crate) fn answers_as<T: ToSchema + 'static>(
        mut self,
        status: u16,
        description: &'static str,
        media: &'static str,
    ) -> Self {
        self.answers.push(Answer { status, description, content: Some((media, SchemaOf::of::<T>())) });
        self
    }

    pub(crate) fn answers_empty(mut self, status: u16, description: &'static str) -> Self {
        self.answers.push(Answer { status, description, content: None });
        self
    }

    pub(crate) fn error(mut self, status: u16, codes: &'static str) -> Self {
        self.errors.push((status, codes));
        self
    }

    /// The names of the parameters that the query may have.
    pub(crate) fn known_query(&self) -> Vec<&'static str> {
        self.query.iter().map(|parameter| parameter.name).collect()
    }

    /// Whether the path names a project.
    pub(crate) fn has_project(&self) -> bool {
        self.path.contains("{project}")
    }
}

/// All routes.
pub(crate) fn routes() -> Vec<Route> {
    let families = [
        hooks::routes(),
        projects::routes(),
        workflows::routes(),
        versions::routes(),
        runs::routes(),
        steps::routes(),
        streams::routes(),
        deliveries::routes(),
        schedules::routes(),
        secrets::routes(),
        preview::routes(),
        node_types::routes(),
        openapi::routes(),
        health::routes(),
    ];
    families.into_iter().flatten().collect()
}
