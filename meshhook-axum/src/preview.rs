//! Tries out expressions and templates.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::expr::{ExprError, TemplateError};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::answer::json_answer;
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/api/projects/{project}/preview", Permission::View, |call| {
            Box::pin(preview(call))
        })
        .about("preview", "Evaluates an expression, or renders a template, over a sample of the root object")
        .takes::<PreviewRequest>()
        .answers::<PreviewBody>(200, "what it gives")
        .error(422, "expression_syntax, expression_invalid_type, expression_invalid_arity, expression_unknown_function, expression_invalid_value, expression_budget_exceeded, limit_exceeded, secret_not_allowed, secret_not_found"),
    ]
}

/// What to try out: exactly one of `expression` and `template`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct PreviewRequest {
    /// An expression.
    expression: Option<String>,
    /// A template: any JSON value.
    template: Option<Value>,
    /// The root object: `input`, `trigger`, `nodes`, `vars`, `run`, `item`, `index`; any other value to try out plain
    /// JMESPath. Without it there is nothing in it.
    sample: Option<Value>,
}

/// What an expression or a template gives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Preview)]
struct PreviewBody {
    result: Value,
}

enum Text {
    Expression(String),
    Template(Value),
}

async fn preview(call: Call) -> Result<Response, Problem> {
    let mut members = call.members()?;
    let expression = members.text("expression")?;
    let template = members.take("template");
    let sample = members.optional("sample", "a value", Some)?.unwrap_or(Value::Object(Map::new()));
    members.finish()?;
    let text = match (expression, template) {
        (Some(expression), None) => Text::Expression(expression),
        (None, Some(template)) => Text::Template(template),
        _ => return Err(Problem::invalid("body", "must have either `expression` or `template`")),
    };
    let project = call.project().clone();
    // A budget of a million steps is too long to hold up other requests.
    let evaluated = tokio::task::spawn_blocking(move || match text {
        Text::Expression(text) => {
            project.preview_expression(&text, &sample).map_err(|error| of_expression(&error))
        }
        Text::Template(text) => project.preview_template(&text, &sample).map_err(|error| of_template(&error)),
    });
    let result = evaluated.await.map_err(|_| Problem::internal())??;
    json_answer(StatusCode::OK, &PreviewBody { result })
}

fn of_expression(error: &ExprError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
        .with("position", error.position)
}

fn of_template(error: &TemplateError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
        .with("position", error.position)
        .with("path", error.path.as_str())
}
