//! Workflows: drafts, and what is live.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use meshhook_core::engine::{EngineError, TriggerView, WorkflowView};
use meshhook_core::id::WorkflowSlug;
use meshhook_core::store::Page as StorePage;
use meshhook_core::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer::{empty, json_answer};
use crate::auth::Permission;
use crate::call::Call;
use crate::member::Members;
use crate::problem::{DefinitionProblemBody, Problem};
use crate::table::Route;

const ALL: &str = "/api/projects/{project}/workflows";
const ONE: &str = "/api/projects/{project}/workflows/{slug}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, ALL, Permission::View, |call| Box::pin(list(call)))
            .about("listWorkflows", "Lists workflows, newest first")
            .pages::<WorkflowBody>(),
        Route::new(Method::POST, ALL, Permission::Edit, |call| Box::pin(create(call)))
            .about("createWorkflow", "Creates a workflow with a draft, which may have problems")
            .takes::<CreateWorkflow>()
            .yaml_too()
            .answers::<WorkflowBody>(201, "the workflow")
            .error(409, "slug_taken")
            .error(422, "invalid_slug"),
        Route::new(Method::GET, ONE, Permission::View, |call| Box::pin(show(call)))
            .about("getWorkflow", "Shows a workflow, with an `ETag` of its draft")
            .answers::<WorkflowBody>(200, "the workflow"),
        Route::new(Method::PUT, ONE, Permission::Edit, |call| Box::pin(save(call)))
            .about("saveDraft", "Saves a draft, which may have problems")
            .header("If-Match", "the `ETag` of the draft that is replaced; without it, whatever is there")
            .takes::<SaveDraft>()
            .yaml_too()
            .answers::<WorkflowBody>(200, "the workflow")
            .error(412, "precondition_failed"),
        Route::new(Method::DELETE, ONE, Permission::Edit, |call| Box::pin(delete(call)))
            .about("deleteWorkflow", "Removes a workflow and takes its triggers down; runs go on")
            .answers_empty(204, "it is gone"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/workflows/{slug}/validate",
            Permission::View,
            |call| Box::pin(validate(call)),
        )
        .about("validateWorkflow", "Checks a definition as publishing it here would; without one, the draft")
        .takes::<SaveDraft>()
        .optional_body()
        .yaml_too()
        .answers::<ValidatedBody>(200, "what was found"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/workflows/{slug}/publish",
            Permission::Edit,
            |call| Box::pin(publish(call)),
        )
        .about("publishWorkflow", "Publishes the draft as the next version and makes its triggers live")
        .answers::<PublishedBody>(201, "the new version")
        .answers::<PublishedBody>(200, "the newest version, which the draft equals")
        .error(409, "conflict")
        .error(422, "invalid_definition"),
        Route::new(
            Method::POST,
            "/api/projects/{project}/workflows/{slug}/unpublish",
            Permission::Edit,
            |call| Box::pin(unpublish(call)),
        )
        .about("unpublishWorkflow", "Takes a workflow's triggers down; runs go on")
        .answers_empty(204, "they are down"),
    ]
}

/// A workflow to create.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CreateWorkflow {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    slug: String,
    /// Its draft.
    definition: Value,
}

/// A draft to save or to check.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct SaveDraft {
    /// The definition.
    definition: Value,
    /// The workflow's own slug or nothing, so that what creates a workflow can save its draft as well.
    slug: Option<String>,
}

/// A workflow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
struct WorkflowBody {
    slug: String,
    draft: Value,
    /// How often the draft was saved; the `ETag` without its quotes.
    revision: u64,
    /// What is wrong with the draft.
    problems: Vec<DefinitionProblemBody>,
    /// The newest version's number.
    latest_version: Option<u32>,
    /// The version that is live: the newest, or `null` when the workflow is unpublished.
    published_version: Option<u32>,
    /// The triggers that are live.
    triggers: Vec<TriggerBody>,
    /// RFC 3339.
    created_at: String,
    /// When the draft was last saved.
    updated_at: String,
}

/// A live trigger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
struct TriggerBody {
    id: String,
    /// `webhook` or `schedule`.
    r#type: String,
    /// Where a webhook is sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    url: Option<String>,
}

/// What a check found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Validated)]
struct ValidatedBody {
    /// Whether it could be published.
    valid: bool,
    problems: Vec<DefinitionProblemBody>,
}

/// A version that is live.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Published)]
struct PublishedBody {
    version: u32,
    /// SHA-256 of the definition's canonical form, without its layout, in lower hex.
    digest: String,
    triggers: Vec<TriggerBody>,
    /// Warnings: what was found and did not keep it from being published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<DefinitionProblemBody>,
}

async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let unreadable = || Problem::invalid("query.cursor", "not a cursor of this list");
    let after = match call.after()? {
        None => None,
        Some(item) => {
            let (at, slug) = item.split_once(' ').ok_or_else(unreadable)?;
            let at: Timestamp = at.parse().map_err(|_| unreadable())?;
            Some((at, WorkflowSlug::new(slug).map_err(|_| unreadable())?))
        }
    };
    let views = call.project().workflows(StorePage { limit, after }).await?;
    call.page(views.map(|view| workflow_body(&call, view)), |workflow: &WorkflowBody| {
        format!("{} {}", workflow.created_at, workflow.slug)
    })
}

async fn create(call: Call) -> Result<Response, Problem> {
    let mut members = Members::of(call.document()?)?;
    let what = "the body is {\"slug\", \"definition\"}";
    let slug = members.required_text("slug").map_err(|problem| problem.about(what))?;
    let definition = members.required("definition").map_err(|problem| problem.about(what))?;
    members.finish()?;
    let slug = WorkflowSlug::new(&slug).map_err(|error| {
        let shown: String = slug.chars().take(64).collect();
        let detail = format!("{shown:?} is no slug: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_slug", detail).with("path", "body.slug")
    })?;
    match call.project().create_workflow(&slug, definition).await {
        Ok(saved) => answer(&call, StatusCode::CREATED, saved),
        Err(EngineError::SlugTaken) => {
            let detail = format!(
                "there is a workflow {slug} already; to change it, save a new draft with PUT …/workflows/{slug}"
            );
            Err(Problem::new(StatusCode::CONFLICT, "slug_taken", detail))
        }
        Err(error) => Err(error.into()),
    }
}

async fn show(call: Call) -> Result<Response, Problem> {
    let view = call.project().workflow(&call.slug()?).await?;
    answer(&call, StatusCode::OK, view)
}

async fn save(call: Call) -> Result<Response, Problem> {
    let slug = call.slug()?;
    let expected = if_match(&call.headers)?;
    let definition = draft_of(Members::of(call.document()?)?, &slug)?;
    let revision = match expected {
        Expected::Anything => None,
        Expected::One(revision) => Some(revision),
        // Several are rare: the one that is current stands for all.
        Expected::Several(revisions) => {
            let current = call.project().workflow(&slug).await?.record.revision;
            Some(if revisions.contains(&current) { current } else { 0 })
        }
    };
    match call.project().save_draft(&slug, definition, revision).await {
        Ok(saved) => answer(&call, StatusCode::OK, saved),
        Err(error @ EngineError::RevisionStale { current }) => {
            let stale =
                Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", error.to_string());
            Err(stale.with("path", "header.if-match").header(header::ETAG, etag(current)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The definition of a body that is about this workflow. It may say so, as the body that creates a workflow does.
fn draft_of(mut members: Members, slug: &WorkflowSlug) -> Result<Value, Problem> {
    let definition =
        members.required("definition").map_err(|problem| problem.about("the body is {\"definition\"}"))?;
    if members.text("slug")?.is_some_and(|named| named != slug.as_str()) {
        let detail = format!("a workflow's slug cannot be changed: leave it out, or name the path's, {slug}");
        return Err(Problem::invalid("body.slug", detail));
    }
    members.finish()?;
    Ok(definition)
}

async fn delete(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().delete_workflow(&call.slug()?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn validate(call: Call) -> Result<Response, Problem> {
    let slug = call.slug()?;
    let document = match call.document()? {
        None => None,
        body => Some(draft_of(Members::of(body)?, &slug)?),
    };
    let found = call.project().validate(&slug, document).await?;
    let problems = found.problems.iter().map(DefinitionProblemBody::from).collect();
    json_answer(StatusCode::OK, &ValidatedBody { valid: found.valid, problems })
}

async fn publish(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    let published = call.project().publish(&call.slug()?).await?;
    let status = if published.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let triggers = published.triggers.into_iter().map(|trigger| trigger_body(&call, trigger)).collect();
    let (version, digest) = (published.version, published.digest.to_string());
    let problems = published.problems.iter().map(DefinitionProblemBody::from).collect();
    json_answer(status, &PublishedBody { version, digest, triggers, problems })
}

async fn unpublish(call: Call) -> Result<Response, Problem> {
    call.no_members()?;
    call.project().unpublish(&call.slug()?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn answer(call: &Call, status: StatusCode, view: WorkflowView) -> Result<Response, Problem> {
    let tag = etag(view.record.revision);
    let mut response = json_answer(status, &workflow_body(call, view))?;
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response.into_response())
}

fn workflow_body(call: &Call, view: WorkflowView) -> WorkflowBody {
    let record = view.record;
    WorkflowBody {
        slug: record.slug.to_string(),
        draft: view.draft,
        revision: record.revision,
        problems: view.problems.iter().map(DefinitionProblemBody::from).collect(),
        latest_version: record.latest_version,
        published_version: record.live.map(|live| live.version),
        triggers: view.triggers.into_iter().map(|trigger| trigger_body(call, trigger)).collect(),
        created_at: record.created_at.to_string(),
        updated_at: record.updated_at.to_string(),
    }
}

fn trigger_body(call: &Call, trigger: TriggerView) -> TriggerBody {
    let hook = |path| format!("{}/hooks/{}/{path}", call.base_url, call.project().id());
    TriggerBody { id: trigger.id, r#type: trigger.kind.to_owned(), url: trigger.path.map(hook) }
}

fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits in quotes make a header's value")
}

/// Which revision of the draft a caller means to replace.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// Whatever is there.
    Anything,
    One(u64),
    Several(Vec<u64>),
}

/// Reads `If-Match`. Tags are compared strongly (RFC 9110, 13.1.1), so a weak one matches nothing.
fn if_match(headers: &HeaderMap) -> Result<Expected, Problem> {
    let malformed = || Problem::invalid("header.if-match", "must be a list of entity tags, or *");
    let mut revisions = Vec::new();
    let mut present = false;
    for value in headers.get_all(header::IF_MATCH) {
        present = true;
        let value = value.to_str().map_err(|_| malformed())?;
        if value.trim() == "*" {
            return Ok(Expected::Anything);
        }
        for tag in value.split(',').map(str::trim) {
            let (strong, quoted) = match tag.strip_prefix("W/") {
                Some(weak) => (false, weak),
                None => (true, tag),
            };
            let opaque =
                quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(malformed)?;
            // A tag that is not one of ours is a tag that does not match. Revisions start at 1.
            let plain = opaque.bytes().all(|b| b.is_ascii_digit()) && !opaque.starts_with('0');
            revisions.push(if strong && plain { opaque.parse().unwrap_or(0) } else { 0 });
        }
    }
    match revisions.as_slice() {
        [] if present => Err(malformed()),
        [] => Ok(Expected::Anything),
        [one] => Ok(Expected::One(*one)),
        _ => Ok(Expected::Several(revisions)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_read_strongly() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            if_match(&headers).ok()
        };
        assert_eq!(read(&[]), Some(Expected::Anything));
        assert_eq!(read(&["*"]), Some(Expected::Anything));
        assert_eq!(read(&["\"3\""]), Some(Expected::One(3)));
        assert_eq!(read(&["W/\"3\""]), Some(Expected::One(0)));
        assert_eq!(read(&["\"03\""]), Some(Expected::One(0)));
        assert_eq!(read(&["\"abc\""]), Some(Expected::One(0)));
        assert_eq!(read(&["\"3\", \"4\""]), Some(Expected::Several(vec![3, 4])));
        assert_eq!(read(&["\"3\"", "\"4\""]), Some(Expected::Several(vec![3, 4])));
        for malformed in ["", "3", "\"3", "\"3\",", "3\""] {
            assert_eq!(read(&[malformed]), None, "{malformed}");
        }
    }
}
