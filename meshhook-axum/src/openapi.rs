//! The API described in OpenAPI 3.1, made from the table of routes.

use std::collections::BTreeMap;

use axum::response::IntoResponse as _;
use http::{Method, header};
use meshhook_core::json;
use serde_json::Value;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter as ApiParameter, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, Info, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Server,
};

use crate::auth::Permission;
use crate::problem::ProblemBody;
use crate::table::{Handling, Parameter, Route, SchemaOf};

pub(crate) fn routes() -> Vec<Route> {
    let show = Route::new(Method::GET, "/api/openapi.json", Permission::View, |call| {
        Box::pin(async move {
            let text = call.shared.openapi.clone();
            Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
        })
    });
    vec![show.about("describeApi", "This document").answers_as::<OpenApiBody>(
        200,
        "the document",
        "application/json",
    )]
}

/// An OpenAPI document.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = OpenApi, value_type = Object)]
pub(crate) struct OpenApiBody(#[expect(dead_code, reason = "only its schema is used")] Value);

/// The OpenAPI document of the routes, as `/api/openapi.json` answers it: canonical JSON.
#[must_use]
pub fn document() -> String {
    document_of(&crate::table::routes())
}

pub(crate) fn document_of(routes: &[Route]) -> String {
    let mut schemas = Vec::new();
    let problem = SchemaOf::of::<ProblemBody>();
    (problem.collect)(&mut schemas);
    let mut paths = Paths::new();
    for route in routes {
        for schema in route.body.iter().map(|body| &body.schema).chain(route_answers(route)) {
            (schema.collect)(&mut schemas);
        }
        let path = route.path.replace("{*", "{");
        let item = PathItem::new(http_method(&route.method), operation(route, &problem));
        match paths.paths.get_mut(&path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(path, item);
            }
        }
    }
    let schemas: BTreeMap<String, RefOr<Schema>> = schemas.into_iter().collect();
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("a key of the API"));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("key", SecurityScheme::Http(key.build()))
        .build();
    let mut info = Info::new("MeshHook", env!("CARGO_PKG_VERSION"));
    info.description =
        Some("Durable workflows for webhooks. Errors are problems (RFC 9457) with a stable `code`.".into());
    let document = OpenApiBuilder::new()
        .info(info)
        // The document lies one level below the place where the router is mounted.
        .servers(Some([Server::new("..")]))
        .paths(paths)
        .components(Some(components))
        .build();
    let value = serde_json::to_value(&document).expect("an OpenAPI document is plain data");
    json::to_canonical_string(&value)
}

fn route_answers(route: &Route) -> impl Iterator<Item = &SchemaOf> {
    route.answers.iter().filter_map(|answer| answer.content.as_ref().map(|(_, schema)| schema))
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Post,
    }
}

fn operation(route: &Route, problem: &SchemaOf) -> OperationBuilder {
    let family = route.path.trim_start_matches("/api").trim_start_matches("/projects/{project}");
    let tag = family.split('/').find(|part| !part.is_empty()).unwrap_or("projects").replace(".json", "");
    let mut operation =
        OperationBuilder::new().operation_id(Some(route.operation)).summary(Some(route.summary)).tag(tag);
    if let Some(needs) = needs(route.permission) {
        operation = operation
            .description(Some(format!("Needs {needs}.")))
            .security(SecurityRequirement::new("key", Vec::<String>::new()));
    }
    for name in path_names(route.path) {
        operation = operation
            .parameter(parameter(ParameterIn::Path, Parameter { name, description: path_text(name) }));
    }
    for known in &route.query {
        operation = operation.parameter(parameter(ParameterIn::Query, *known));
    }
    for known in &route.headers {
        operation = operation.parameter(parameter(ParameterIn::Header, *known));
    }
    if let Some(body) = &route.body {
        let required = if body.required { Required::True } else { Required::False };
        let content = || Content::new(Some(Ref::from_schema_name(&body.schema.name)));
        let mut request =
            RequestBodyBuilder::new().required(Some(required)).content("application/json", content());
        if body.yaml_too {
            request = request.content("application/yaml", content());
        }
        operation = operation.request_body(Some(request.build()));
    }
    for answer in &route.answers {
        let mut response = ResponseBuilder::new().description(answer.description);
        if let Some((media, schema)) = &answer.content {
            response = response.content(*media, Content::new(Some(Ref::from_schema_name(&schema.name))));
        }
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for (status, codes) in errors(route) {
        let content = Content::new(Some(Ref::from_schema_name(&problem.name)));
        let response: Response =
            ResponseBuilder::new().description(codes).content("application/problem+json", content).build();
        operation = operation.response(status.to_string(), response);
    }
    operation
}

fn parameter(place: ParameterIn, known: Parameter) -> ApiParameter {
    let kind = if matches!(known.name, "limit" | "after" | "version") { Type::Integer } else { Type::String };
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(known.name)
        .parameter_in(place)
        .required(required)
        .description(Some(known.description))
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .build()
}

fn needs(permission: Permission) -> Option<&'static str> {
    match permission {
        Permission::Open => None,
        Permission::View => Some("the role viewer"),
        Permission::Edit => Some("the role editor"),
        Permission::Administer => Some("the role admin"),
        Permission::Serve => Some("the server's admin key"),
    }
}

fn path_names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/')
        .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*')))
}

fn path_text(name: &str) -> &'static str {
    match name {
        "project" => "the project",
        "slug" => "the workflow",
        "run" => "the run's id",
        "version" => "the version's number",
        "trigger" => "the trigger's id",
        "delivery" => "the delivery's id",
        "path" => "the hook's path, which may have slashes",
        _ => "the name",
    }
}

/// All errors of a route, by status, each with its codes.
pub(crate) fn errors(route: &Route) -> BTreeMap<u16, String> {
    let mut all: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let mut add = |status, code| {
        let codes = all.entry(status).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    };
    for (status, codes) in &route.errors {
        add(*status, *codes);
    }
    if let Handling::Call(_) = route.handling {
        add(405, "method_not_allowed");
        if route.permission != Permission::Open {
            add(401, "unauthorized");
            add(403, "forbidden");
            add(400, "invalid_request");
            add(500, "internal");
            add(503, "unavailable");
        }
        if route.has_project() {
            add(404, "not_found");
        }
        if route.method != Method::GET && route.permission != Permission::Open {
            add(400, "invalid_json");
            add(408, "invalid_request");
            add(413, "payload_too_large");
            add(415, "unsupported_media_type");
        }
    }
    all.into_iter().map(|(status, codes)| (status, codes.join(", "))).collect()
}
