//! Drafts, versions, definitions and hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use async_trait::async_trait;
use meshhook_core::id::{Digest, ProjectId, WorkflowSlug};
use meshhook_core::store::{
    CreateWorkflow, Hook, HookRoute, Listing, LiveVersion, MAX_LISTING_BYTES, Page, PublishOutcome,
    PublishWorkflow, SaveDraft, StoreError, VersionRecord, WorkflowRecord, WorkflowStore, WorkflowStoreError,
};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::row::{count, count_or_null, digest, digest_bytes, int, parsed, text, time};
use crate::session::{Session, get};
use crate::store::done;
use crate::{PgStore, schedules, sql};

/// What a statement says, or why the operation does nothing.
type Checked<T> = Result<Result<T, WorkflowStoreError>, Error>;

fn record(row: &PgRow) -> Result<WorkflowRecord, Error> {
    let mut record = WorkflowRecord::new(parsed(row, "slug")?, text(row, "draft")?, time(row, "created_at")?);
    record.revision = count(row, "revision")?;
    record.latest_version = count_or_null(row, "latest_version")?;
    record.updated_at = time(row, "updated_at")?;
    if let Some(version) = count_or_null(row, "live_version")? {
        let paths: Option<Vec<String>> = get(row, "paths")?;
        let triggers: Option<Vec<String>> = get(row, "triggers")?;
        let pairs = paths.unwrap_or_default().into_iter().zip(triggers.unwrap_or_default());
        let hooks = pairs.map(|(path, trigger)| Hook { path, trigger }).collect();
        record.live = Some(LiveVersion::new(version, digest(row, "live_digest")?, hooks));
    }
    Ok(record)
}

fn version(row: &PgRow) -> Result<VersionRecord, Error> {
    let (number, digest) = (count(row, "version")?, digest(row, "digest")?);
    Ok(VersionRecord::new(number, digest, text(row, "definition")?, time(row, "created_at")?))
}

async fn workflow(session: &mut Session, project: &str, slug: &str) -> Result<Option<WorkflowRecord>, Error> {
    let query = sqlx::query(sql!("workflow")).bind(project).bind(slug);
    session.first(query).await?.map(|row| record(&row)).transpose()
}

/// A workflow's revision, newest and published version, under its lock.
pub(crate) struct Locked {
    revision: u64,
    latest: Option<u32>,
    pub(crate) published: Option<u32>,
}

/// Locks a workflow's row, as whoever changes the workflow or what belongs to it does first.
pub(crate) async fn lock(session: &mut Session, project: &str, slug: &str) -> Result<Option<Locked>, Error> {
    let query = sqlx::query(sql!("workflow_lock")).bind(project).bind(slug);
    let Some(row) = session.first(query).await? else { return Ok(None) };
    Ok(Some(Locked {
        revision: count(&row, "revision")?,
        latest: count_or_null(&row, "latest_version")?,
        published: count_or_null(&row, "published_version")?,
    }))
}

async fn create(session: &mut Session, create: CreateWorkflow) -> Checked<WorkflowRecord> {
    let CreateWorkflow { project, slug, draft, at } = create;
    let query = sqlx::query(sql!("workflow_insert"))
        .bind(project.as_str())
        .bind(slug.as_str())
        .bind(draft.as_bytes())
        .bind(at.as_micros());
    if session.execute(query).await? == 0 {
        return Ok(Err(WorkflowStoreError::SlugTaken));
    }
    Ok(Ok(WorkflowRecord::new(slug, draft, at)))
}

async fn save(session: &mut Session, save: SaveDraft) -> Checked<WorkflowRecord> {
    let SaveDraft { project, slug, draft, revision, at } = save;
    let (project, slug) = (project.as_str(), slug.as_str());
    let Some(Locked { revision: current, .. }) = lock(session, project, slug).await? else {
        return Ok(Err(WorkflowStoreError::NotFound));
    };
    if revision.is_some_and(|known| known != current) {
        return Ok(Err(WorkflowStoreError::RevisionStale { current }));
    }
    let query = sqlx::query(sql!("workflow_save"))
        .bind(project)
        .bind(slug)
        .bind(draft.as_bytes())
        .bind(at.as_micros());
    session.execute(query).await?;
    workflow(session, project, slug).await?.map(Ok).ok_or(Error::RowNotFound)
}

async fn publish(
    session: &mut Session,
    publish: PublishWorkflow,
    now: Option<i64>,
) -> Checked<PublishOutcome> {
    let PublishWorkflow { project, slug, revision, digest: of, definition, hooks, schedules, at } = publish;
    let (project, slug) = (project.as_str(), slug.as_str());
    let Some(locked) = lock(session, project, slug).await? else {
        return Ok(Err(WorkflowStoreError::NotFound));
    };
    if locked.revision != revision {
        return Ok(Err(WorkflowStoreError::RevisionStale { current: locked.revision }));
    }
    let newest = session.first(sqlx::query(sql!("version_newest")).bind(project).bind(slug)).await?;
    let newest = newest.map(|row| Ok::<_, Error>((count::<u32>(&row, "version")?, digest(&row, "digest")?)));
    let same = newest.transpose()?.filter(|(_, newest)| *newest == of).map(|(version, _)| version);
    if let Some(version) = same
        && locked.published == Some(version)
    {
        return Ok(Ok(PublishOutcome::Unchanged { version }));
    }
    session.execute(sqlx::query(sql!("hooks_delete")).bind(project).bind(slug)).await?;
    if let Some(path) = put_hooks(session, project, slug, &hooks).await? {
        return Ok(Err(WorkflowStoreError::PathTaken { path }));
    }
    schedules::publish(session, (project, slug), schedules, locked.published.is_some(), now).await?;
    let of = digest_bytes(&of);
    let query = sqlx::query(sql!("definition_keep")).bind(project).bind(&of).bind(definition.as_bytes());
    session.execute(query).await?;
    let version = same.unwrap_or(locked.latest.unwrap_or(0) + 1);
    if same.is_none() {
        let query = sqlx::query(sql!("version_insert"))
            .bind(project)
            .bind(slug)
            .bind(i64::from(version))
            .bind(&of)
            .bind(at.as_micros());
        session.execute(query).await?;
    }
    let query = sqlx::query(sql!("workflow_publish")).bind(project).bind(slug).bind(i64::from(version));
    session.execute(query).await?;
    Ok(Ok(match same {
        Some(version) => PublishOutcome::Unchanged { version },
        None => PublishOutcome::Published { version },
    }))
}

/// Makes hooks live; answers the first path that is taken, by another workflow or among them.
async fn put_hooks(
    session: &mut Session,
    project: &str,
    slug: &str,
    hooks: &[Hook],
) -> Result<Option<String>, Error> {
    let paths: Vec<String> = hooks.iter().map(|hook| hook.path.clone()).collect();
    let triggers: Vec<String> = hooks.iter().map(|hook| hook.trigger.clone()).collect();
    let query = sqlx::query(sql!("hooks_insert")).bind(project).bind(slug).bind(&paths).bind(triggers);
    if session.execute(query).await? == int(paths.len()).unsigned_abs() {
        return Ok(None);
    }
    let owners = owners(session, project, &paths).await?;
    let mut seen = BTreeSet::new();
    let mut taken = None;
    for path in &paths {
        if owners.get(path).is_some_and(|owner| owner.as_str() != slug) || !seen.insert(path) {
            taken = Some(path);
            break;
        }
    }
    // A path that was taken and is free again by now counts as taken.
    Ok(Some(taken.or(paths.first()).cloned().unwrap_or_default()))
}

async fn owners(
    session: &mut Session,
    project: &str,
    paths: &[String],
) -> Result<BTreeMap<String, WorkflowSlug>, Error> {
    let rows = session.all(sqlx::query(sql!("hook_owners")).bind(project).bind(paths)).await?;
    rows.iter().map(|row| Ok((get(row, "path")?, parsed(row, "slug")?))).collect()
}

#[async_trait]
impl WorkflowStore for PgStore {
    async fn create_workflow(&self, call: CreateWorkflow) -> Result<WorkflowRecord, WorkflowStoreError> {
        let project = call.project.clone();
        self.write(&project, move |session| {
            let call = call.clone();
            Box::pin(create(session, call))
        })
        .await?
    }

    async fn workflow(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
    ) -> Result<Option<WorkflowRecord>, StoreError> {
        let (of, slug) = (project.clone(), slug.clone());
        self.look(project, move |session| {
            let (of, slug) = (of.clone(), slug.clone());
            Box::pin(async move { workflow(session, of.as_str(), slug.as_str()).await })
        })
        .await
    }

    async fn workflows(
        &self,
        project: &ProjectId,
        page: Page<(Timestamp, WorkflowSlug)>,
    ) -> Result<Listing<WorkflowRecord>, StoreError> {
        let of = project.to_string();
        self.look(project, move |session| {
            let (at, slug) = match &page.after {
                Some((at, slug)) => (at.as_micros(), slug.to_string()),
                None => (i64::MAX, String::new()),
            };
            let limit = page.limit;
            let query = sqlx::query(sql!("workflows"))
                .bind(of.clone())
                .bind(int(limit).saturating_add(1))
                .bind(at)
                .bind(slug)
                .bind(int(MAX_LISTING_BYTES));
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(record), limit, |record| record.draft.len())
            })
        })
        .await
    }

    async fn save_draft(&self, call: SaveDraft) -> Result<WorkflowRecord, WorkflowStoreError> {
        let project = call.project.clone();
        self.write(&project, move |session| {
            let call = call.clone();
            Box::pin(save(session, call))
        })
        .await?
    }

    async fn publish(&self, call: PublishWorkflow) -> Result<PublishOutcome, WorkflowStoreError> {
        let (project, now) = (call.project.clone(), self.now());
        self.write(&project, move |session| {
            let call = call.clone();
            Box::pin(publish(session, call, now))
        })
        .await?
    }

    async fn unpublish(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        let (of, slug) = (project.clone(), slug.clone());
        let unpublished = self.write(project, move |session| {
            let (of, slug) = (of.clone(), slug.clone());
            Box::pin(async move {
                let (project, slug) = (of.as_str(), slug.as_str());
                if lock(session, project, slug).await?.is_none() {
                    return Ok(Ok::<_, Infallible>(false));
                }
                session.execute(sqlx::query(sql!("hooks_delete")).bind(project).bind(slug)).await?;
                session.execute(sqlx::query(sql!("schedules_unpublish")).bind(project).bind(slug)).await?;
                session.execute(sqlx::query(sql!("workflow_unpublish")).bind(project).bind(slug)).await?;
                Ok(Ok(true))
            })
        });
        unpublished.await.map(done)
    }

    async fn delete_workflow(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        let (of, slug) = (project.clone(), slug.clone());
        let deleted = self.write(project, move |session| {
            let (of, slug) = (of.clone(), slug.clone());
            Box::pin(async move {
                let (project, slug) = (of.as_str(), slug.as_str());
                if lock(session, project, slug).await?.is_none() {
                    return Ok(Ok::<_, Infallible>(false));
                }
                for statement in [
                    sql!("hooks_delete"),
                    sql!("schedules_delete"),
                    sql!("versions_delete"),
                    sql!("workflow_delete"),
                ] {
                    session.execute(sqlx::query(statement).bind(project).bind(slug)).await?;
                }
                Ok(Ok(true))
            })
        });
        deleted.await.map(done)
    }

    async fn version(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        number: u32,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let (of, slug) = (project.to_string(), slug.to_string());
        self.look(project, move |session| {
            let query =
                sqlx::query(sql!("version")).bind(of.clone()).bind(slug.clone()).bind(i64::from(number));
            Box::pin(async move { session.first(query).await?.map(|row| version(&row)).transpose() })
        })
        .await
    }

    async fn versions(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        page: Page<u32>,
    ) -> Result<Listing<VersionRecord>, StoreError> {
        let (of, slug) = (project.to_string(), slug.to_string());
        self.look(project, move |session| {
            let limit = page.limit;
            let query = sqlx::query(sql!("versions"))
                .bind(of.clone())
                .bind(slug.clone())
                .bind(page.after.map_or(i64::MAX, i64::from))
                .bind(int(limit).saturating_add(1))
                .bind(int(MAX_LISTING_BYTES));
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(version), limit, |version| version.definition.len())
            })
        })
        .await
    }

    async fn keep_definition(
        &self,
        project: &ProjectId,
        digest: &Digest,
        text: &str,
    ) -> Result<(), StoreError> {
        let (of, digest, text) = (project.to_string(), digest_bytes(digest), text.as_bytes().to_vec());
        let kept = self.write(project, move |session| {
            let query =
                sqlx::query(sql!("definition_keep")).bind(of.clone()).bind(digest.clone()).bind(text.clone());
            Box::pin(async move { Ok(Ok::<_, Infallible>(session.execute(query).await.map(drop)?)) })
        });
        kept.await.map(done)
    }

    async fn definition(&self, project: &ProjectId, digest: &Digest) -> Result<Option<String>, StoreError> {
        let (of, digest) = (project.to_string(), digest_bytes(digest));
        self.look(project, move |session| {
            let query = sqlx::query(sql!("definition")).bind(of.clone()).bind(digest.clone());
            Box::pin(
                async move { session.first(query).await?.map(|row| text(&row, "definition")).transpose() },
            )
        })
        .await
    }

    async fn hook(&self, project: &ProjectId, path: &str) -> Result<Option<HookRoute>, StoreError> {
        let (of, path) = (project.to_string(), path.to_owned());
        // No hook has a path that Postgres could not keep, and it would refuse to look for one.
        if path.contains('\0') {
            return Ok(None);
        }
        self.look(project, move |session| {
            let query = sqlx::query(sql!("hook")).bind(of.clone()).bind(path.clone());
            Box::pin(async move {
                let Some(row) = session.first(query).await? else { return Ok(None) };
                let (slug, digest) = (parsed(&row, "slug")?, digest(&row, "digest")?);
                Ok(Some(HookRoute::new(slug, count(&row, "version")?, digest, get(&row, "trigger")?)))
            })
        })
        .await
    }

    async fn hook_owners(
        &self,
        project: &ProjectId,
        paths: &[String],
    ) -> Result<BTreeMap<String, WorkflowSlug>, StoreError> {
        let of = project.to_string();
        let paths: Vec<String> = paths.iter().filter(|path| !path.contains('\0')).cloned().collect();
        self.look(project, move |session| {
            let (of, paths) = (of.clone(), paths.clone());
            Box::pin(async move { owners(session, &of, &paths).await })
        })
        .await
    }
}
