//! What whoever keeps the process running asks, without a key.

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/healthz", Permission::Open, |call| Box::pin(async move { alive(&call) }))
            .about("isAlive", "Whether the process runs")
            .answers::<HealthBody>(200, "it runs"),
        Route::new(Method::GET, "/readyz", Permission::Open, |call| Box::pin(ready(call)))
            .about("isReady", "Whether the store can be reached and the worker is alive")
            .answers::<HealthBody>(200, "it is ready")
            .error(503, "unavailable"),
        Route::new(Method::GET, "/metrics", Permission::Open, |call| Box::pin(async move { metrics(&call) }))
            .about("showMetrics", "Metrics in the Prometheus text format")
            .answers_as::<String>(200, "the metrics", "text/plain")
            .error(404, "not_found"),
    ]
}

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
struct HealthBody {
    /// `ok`.
    status: &'static str,
}

fn alive(_: &Call) -> Result<Response, Problem> {
    json_answer(StatusCode::OK, &HealthBody { status: "ok" })
}

async fn ready(call: Call) -> Result<Response, Problem> {
    match call.shared.engine.check_ready().await {
        Ok(()) => json_answer(StatusCode::OK, &HealthBody { status: "ok" }),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            Err(Problem::unavailable(
                "the store cannot be reached, the worker is not alive, or the process stops",
            ))
        }
    }
}

fn metrics(call: &Call) -> Result<Response, Problem> {
    let render = call.shared.options.metrics.as_ref().ok_or_else(|| Problem::not_found("page"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render()).into_response())
}
