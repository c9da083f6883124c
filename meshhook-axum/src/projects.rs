//! The projects of a server.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::id::ProjectId;
use meshhook_core::store::{Page, ProjectRecord};
use meshhook_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

const ALL: &str = "/api/projects";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, Permission::Serve, |call| Box::pin(list(call)))
            .about("listProjects", "Lists projects, newest first")
            .pages::<ProjectBody>(),
        Route::new(Method::POST, ALL, Permission::Serve, |call| Box::pin(create(call)))
            .about("createProject", "Makes a project")
            .takes::<CreateProject>()
            .answers::<ProjectBody>(201, "it is made")
            .error(409, "slug_taken")
            .error(422, "invalid_slug"),
    ]
}

/// A project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
struct ProjectBody {
    /// What paths call it.
    slug: String,
    /// What people call it.
    name: Option<String>,
    /// RFC 3339; for `default`, which exists from the start, the beginning of 1970.
    created_at: String,
}

/// A project to make.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CreateProject {
    /// `[a-z0-9][a-z0-9-]{0,62}`.
    slug: String,
    /// What people call it, at most 200 bytes.
    name: Option<String>,
}

impl From<ProjectRecord> for ProjectBody {
    fn from(record: ProjectRecord) -> Self {
        Self { slug: record.id.to_string(), name: record.name, created_at: record.created_at.to_string() }
    }
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let place = |item: String| {
        let (at, project) = item.split_once(' ')?;
        Some((at.parse::<Timestamp>().ok()?, ProjectId::new(project).ok()?))
    };
    let unreadable = || Problem::invalid("query.cursor", "not a cursor of this list");
    let after = call.after()?.map(|item| place(item).ok_or_else(unreadable)).transpose()?;
    let records = call.shared.engine.projects(Page { limit, after }).await?;
    call.page(records.map(ProjectBody::from), |project: &ProjectBody| {
        format!("{} {}", project.created_at, project.slug)
    })
}

async fn create(call: Call) -> Result<Response, Problem> {
    let mut members = call.members()?;
    let slug = members.required_text("slug")?;
    let name = members.text("name")?;
    members.finish()?;
    let project = ProjectId::new(&slug).map_err(|error| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_slug", error.to_string())
            .with("path", "body.slug")
    })?;
    let record = call.shared.engine.create_project(&project, name).await?;
    json_answer(StatusCode::CREATED, &ProjectBody::from(record))
}
