//! Versions: what was published.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::store::{Page as StorePage, VersionRecord};
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
        Route::new(
            Method::GET,
            "/api/projects/{project}/workflows/{slug}/versions",
            Permission::View,
            |call| Box::pin(list(call)),
        )
        .about("listVersions", "Lists a workflow's versions, newest first")
        .pages::<VersionBody>(),
        Route::new(
            Method::GET,
            "/api/projects/{project}/workflows/{slug}/versions/{version}",
            Permission::View,
            |call| Box::pin(show(call)),
        )
        .about("getVersion", "Shows a version with its definition")
        .answers::<FullVersionBody>(200, "the version"),
    ]
}

/// A version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
struct VersionBody {
    version: u32,
    /// SHA-256 of the definition's canonical form, without its layout, in lower hex.
    digest: String,
    /// When it was published (RFC 3339).
    created_at: String,
}

/// A version with its definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FullVersion)]
struct FullVersionBody {
    version: u32,
    /// SHA-256 of the definition's canonical form, without its layout, in lower hex.
    digest: String,
    /// When it was published (RFC 3339).
    created_at: String,
    definition: Value,
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.after_as()?;
    let records = call.project().versions(&call.slug()?, StorePage { limit, after }).await?;
    let body = |record: VersionRecord| VersionBody {
        version: record.version,
        digest: record.digest.to_string(),
        created_at: record.created_at.to_string(),
    };
    call.page(records.map(body), |version: &VersionBody| version.version.to_string())
}

async fn show(call: Call) -> Result<Response, Problem> {
    let text = call.param("version");
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain).ok_or_else(|| Problem::not_found("version"))?;
    let record = call.project().version(&call.slug()?, number).await?;
    let definition = json::parse(record.definition.as_bytes(), &JsonLimits::default()).map_err(|error| {
        tracing::error!(%error, "a stored definition is not readable");
        Problem::internal()
    })?;
    let (digest, created_at) = (record.digest.to_string(), record.created_at.to_string());
    json_answer(StatusCode::OK, &FullVersionBody { version: record.version, digest, created_at, definition })
}
