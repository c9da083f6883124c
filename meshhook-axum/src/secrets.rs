//! Secrets: in, never out.

use axum::response::Response;
use http::{Method, StatusCode};
use meshhook_core::secret::{SecretName, SecretValue};
use meshhook_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{empty, json_answer};
use crate::auth::Permission;
use crate::call::Call;
use crate::problem::Problem;
use crate::table::{Route, Shadow};

const ALL: &str = "/api/projects/{project}/secrets";
const ROTATE: &str = "/api/projects/{project}/secrets/rotate";
const ONE: &str = "/api/projects/{project}/secrets/{name}";

/// A secret may have that name, too.
const NAMED_ROTATE: Shadow = Shadow { path: ROTATE, parameter: "name", value: "rotate" };

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, Permission::View, |call| Box::pin(list(call)))
            .about("listSecrets", "Lists the names of secrets, newest first; values never come out")
            .pages::<SecretBody>(),
        Route::new(Method::PUT, ONE, Permission::Administer, |call| Box::pin(put(call)))
            .about("putSecret", "Sets a secret")
            .takes::<PutSecret>()
            .also_at(NAMED_ROTATE)
            .answers_empty(204, "it is set"),
        Route::new(Method::DELETE, ONE, Permission::Administer, |call| Box::pin(delete(call)))
            .about("deleteSecret", "Removes a secret")
            .also_at(NAMED_ROTATE)
            .answers_empty(204, "it is gone"),
        Route::new(Method::POST, ROTATE, Permission::Administer, |call| Box::pin(rotate(call)))
            .about("rotateSecrets", "Wraps the keys of all secrets under the newest master key")
            .answers::<RotatedBody>(200, "all of them are under it"),
    ]
}

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Secret)]
struct SecretBody {
    name: String,
    /// When it was first set (RFC 3339).
    created_at: String,
    /// When it was last set.
    updated_at: String,
}

/// What a rotation did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rotated)]
struct RotatedBody {
    /// How many secrets there are.
    secrets: usize,
    /// How many of them were under an older master key.
    rewrapped: usize,
}

/// A secret to set.
#[derive(ToSchema)]
struct PutSecret {
    /// Its value, at most 64 KiB. At least 8 bytes, or it is not masked where it shows up.
    #[expect(dead_code, reason = "only its schema is used")]
    value: String,
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.after()?;
    let mut secrets = call.project().secrets().await?;
    // A project has few of them, so the store answers all.
    secrets.sort_by(|(a, a_made, _), (b, b_made, _)| (b_made, b).cmp(&(a_made, a)));
    let body = |(name, created, updated): (String, Timestamp, Timestamp)| SecretBody {
        name,
        created_at: created.to_string(),
        updated_at: updated.to_string(),
    };
    let behind = |secret: &SecretBody| match &after {
        Some(after) => (secret.created_at.as_str(), secret.name.as_str()) < split(after),
        None => true,
    };
    let part = Call::part(secrets.into_iter().map(body).filter(behind), limit);
    call.page(part, |secret| format!("{} {}", secret.created_at, secret.name))
}

/// A place in the list: time and name.
fn split(item: &str) -> (&str, &str) {
    item.split_once(' ').unwrap_or((item, ""))
}

async fn put(call: Call) -> Result<Response, Problem> {
    let grammar = "a secret's name must match [A-Za-z_][A-Za-z0-9_]{0,63}";
    let name = SecretName::new(call.param("name")).map_err(|_| Problem::invalid("path.name", grammar))?;
    let mut members = call.members()?;
    let value = SecretValue::new(members.required_text("value")?);
    members.finish()?;
    if value.is_empty() {
        return Err(Problem::invalid("body.value", "must not be empty"));
    }
    if value.expose().len() > SecretValue::MAX_BYTES {
        let detail = format!("a secret may not be larger than {} bytes", SecretValue::MAX_BYTES);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail));
    }
    call.project().set_secret(&name, &value).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn delete(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    let name = SecretName::new(call.param("name")).map_err(|_| Problem::not_found("secret"))?;
    call.project().delete_secret(&name).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn rotate(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    let rotated = call.project().rotate_secrets().await?;
    let body = RotatedBody { secrets: rotated.secrets, rewrapped: rotated.rewrapped };
    json_answer(StatusCode::OK, &body)
}
