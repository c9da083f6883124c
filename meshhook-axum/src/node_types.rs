//! What definitions can be made of.

use axum::response::Response;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/node-types", Permission::View, |call| {
            Box::pin(async move { list(&call) })
        })
        .about("listNodeTypes", "The node types, with ports and the JSON Schemas of their configs")
        .answers::<NodeTypesBody>(200, "all of them"),
    ]
}

/// The node types that definitions can use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NodeTypes)]
struct NodeTypesBody {
    /// Each with `type`, `title`, `description`, `effect`, `ports`, `secret_fields`, `config_schema`.
    items: Value,
}

fn list(call: &Call) -> Result<Response, Problem> {
    json_answer(StatusCode::OK, &NodeTypesBody { items: call.shared.engine.node_types() })
}
