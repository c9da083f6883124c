//! The projects of a server.

use axum::response::Response;
use http::Method;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/api/projects", Permission::Serve, |call| {
            Box::pin(async move { list(&call) })
        })
        .about("listProjects", "Lists projects")
        .pages::<ProjectBody>(),
    ]
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectBody {
    /// Its name.
    slug: String,
}

fn list(call: &Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.after()?;
    let all = call.shared.options.projects.iter().map(|project| project.to_string());
    let items = match &after {
        None => all.take(limit + 1).collect::<Vec<_>>(),
        Some(after) => all.skip_while(|project| project != after).skip(1).take(limit + 1).collect(),
    };
    let items = items.into_iter().map(|slug| ProjectBody { slug }).collect();
    call.page(items, limit, |project| project.slug.clone())
}
