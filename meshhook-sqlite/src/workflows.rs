//! Drafts, versions, definitions and hooks.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use meshhook_core::id::{Digest, ProjectId, WorkflowSlug};
use meshhook_core::store::{
    CreateWorkflow, Hook, HookRoute, Listing, LiveVersion, Page, PublishOutcome, PublishWorkflow, SaveDraft,
    StoreError, VersionRecord, WorkflowRecord, WorkflowStore, WorkflowStoreError,
};
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::row::{all, count, execute, first, listing, parsed, time};
use crate::{SqliteStore, schedules, sql};

/// What a statement says, or why the operation does nothing.
type Checked<T> = rusqlite::Result<Result<T, WorkflowStoreError>>;

/// A record from a row, its live hooks looked up.
fn record(connection: &Connection, project: &ProjectId, row: &Row<'_>) -> rusqlite::Result<WorkflowRecord> {
    let mut record = WorkflowRecord::new(parsed(row, 0)?, row.get(1)?, time(row, 5)?);
    record.revision = count(row, 2)?;
    record.latest_version = row.get(3)?;
    record.updated_at = time(row, 6)?;
    if let Some(version) = row.get(4)? {
        let params = params![project.as_str(), record.slug.as_str()];
        let hooks = all(connection, sql!("hooks"), params, |row| {
            Ok(Hook { path: row.get(0)?, trigger: row.get(1)? })
        })?;
        record.live = Some(LiveVersion::new(version, parsed(row, 7)?, hooks));
    }
    Ok(record)
}

fn version(row: &Row<'_>) -> rusqlite::Result<VersionRecord> {
    Ok(VersionRecord::new(row.get(0)?, parsed(row, 1)?, row.get(2)?, time(row, 3)?))
}

fn workflow(
    connection: &Connection,
    project: &ProjectId,
    slug: &WorkflowSlug,
) -> rusqlite::Result<Option<WorkflowRecord>> {
    first(connection, sql!("workflow"), params![project.as_str(), slug.as_str()], |row| {
        record(connection, project, row)
    })
}

fn create(connection: &Connection, create: &CreateWorkflow) -> Checked<WorkflowRecord> {
    let CreateWorkflow { project, slug, draft, at } = create;
    if workflow(connection, project, slug)?.is_some() {
        return Ok(Err(WorkflowStoreError::SlugTaken));
    }
    let params = params![project.as_str(), slug.as_str(), draft, at.as_micros()];
    execute(connection, sql!("workflow_insert"), params)?;
    Ok(Ok(WorkflowRecord::new(slug.clone(), draft.clone(), *at)))
}

fn save(connection: &Connection, save: &SaveDraft) -> Checked<WorkflowRecord> {
    let SaveDraft { project, slug, draft, revision, at } = save;
    let Some(mut record) = workflow(connection, project, slug)? else {
        return Ok(Err(WorkflowStoreError::NotFound));
    };
    if revision.is_some_and(|known| known != record.revision) {
        return Ok(Err(WorkflowStoreError::RevisionStale { current: record.revision }));
    }
    let params = params![project.as_str(), slug.as_str(), draft, at.as_micros()];
    execute(connection, sql!("workflow_save"), params)?;
    record.draft.clone_from(draft);
    record.revision += 1;
    record.updated_at = *at;
    Ok(Ok(record))
}

fn publish(connection: &Connection, publish: &PublishWorkflow, now: Timestamp) -> Checked<PublishOutcome> {
    let PublishWorkflow { project, slug, revision, digest, definition, hooks, schedules, at } = publish;
    let Some(record) = workflow(connection, project, slug)? else {
        return Ok(Err(WorkflowStoreError::NotFound));
    };
    if record.revision != *revision {
        return Ok(Err(WorkflowStoreError::RevisionStale { current: record.revision }));
    }
    let (project, slug) = (project.as_str(), slug.as_str());
    let newest = first(connection, sql!("version_newest"), params![project, slug], |row| {
        Ok((row.get::<_, u32>(0)?, parsed::<Digest>(row, 1)?))
    })?;
    let same = newest.filter(|(_, newest)| newest == digest).map(|(version, _)| version);
    if let Some(version) = same
        && record.live.as_ref().is_some_and(|live| live.version == version)
    {
        return Ok(Ok(PublishOutcome::Unchanged { version }));
    }
    if let Some(path) = taken_path(connection, project, slug, hooks)? {
        return Ok(Err(WorkflowStoreError::PathTaken { path }));
    }
    execute(connection, sql!("hooks_delete"), params![project, slug])?;
    for Hook { path, trigger } in hooks {
        execute(connection, sql!("hook_insert"), params![project, path, slug, trigger])?;
    }
    schedules::publish(connection, (project, slug), schedules, record.live.is_some(), now)?;
    execute(connection, sql!("definition_keep"), params![project, digest.as_str(), definition])?;
    let version = same.unwrap_or(record.latest_version.unwrap_or(0) + 1);
    if same.is_none() {
        let params = params![project, slug, version, digest.as_str(), at.as_micros()];
        execute(connection, sql!("version_insert"), params)?;
    }
    execute(connection, sql!("workflow_publish"), params![project, slug, version])?;
    Ok(Ok(match same {
        Some(version) => PublishOutcome::Unchanged { version },
        None => PublishOutcome::Published { version },
    }))
}

fn hook_owner(connection: &Connection, project: &str, path: &str) -> rusqlite::Result<Option<WorkflowSlug>> {
    first(connection, sql!("hook_owner"), params![project, path], |row| parsed(row, 0))
}

fn taken_path(
    connection: &Connection,
    project: &str,
    slug: &str,
    hooks: &[Hook],
) -> rusqlite::Result<Option<String>> {
    let mut paths = BTreeSet::new();
    for Hook { path, .. } in hooks {
        let owner = hook_owner(connection, project, path)?;
        if owner.is_some_and(|owner| owner.as_str() != slug) || !paths.insert(path) {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn delete(connection: &Connection, project: &str, slug: &str) -> rusqlite::Result<bool> {
    execute(connection, sql!("hooks_delete"), params![project, slug])?;
    schedules::delete(connection, project, slug)?;
    execute(connection, sql!("versions_delete"), params![project, slug])?;
    Ok(execute(connection, sql!("workflow_delete"), params![project, slug])? > 0)
}

#[async_trait]
impl WorkflowStore for SqliteStore {
    async fn create_workflow(&self, call: CreateWorkflow) -> Result<WorkflowRecord, WorkflowStoreError> {
        self.write(move |connection, _| create(connection, &call)).await?
    }

    async fn workflow(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
    ) -> Result<Option<WorkflowRecord>, StoreError> {
        let (project, slug) = (project.clone(), slug.clone());
        self.read(move |connection, _| workflow(connection, &project, &slug)).await
    }

    async fn workflows(
        &self,
        project: &ProjectId,
        page: Page<(Timestamp, WorkflowSlug)>,
    ) -> Result<Listing<WorkflowRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let read = |row: &Row<'_>| record(connection, &project, row);
            let bytes = |record: &WorkflowRecord| record.draft.len();
            match &page.after {
                None => {
                    let params = params![project.as_str()];
                    listing(connection, sql!("workflows_first"), params, page.limit, read, bytes)
                }
                Some((at, slug)) => {
                    let params = params![project.as_str(), at.as_micros(), slug.as_str()];
                    listing(connection, sql!("workflows_after"), params, page.limit, read, bytes)
                }
            }
        })
        .await
    }

    async fn save_draft(&self, call: SaveDraft) -> Result<WorkflowRecord, WorkflowStoreError> {
        self.write(move |connection, _| save(connection, &call)).await?
    }

    async fn publish(&self, call: PublishWorkflow) -> Result<PublishOutcome, WorkflowStoreError> {
        self.write(move |connection, now| publish(connection, &call, now)).await?
    }

    async fn unpublish(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        let (project, slug) = (project.clone(), slug.clone());
        self.write(move |connection, _| {
            let params = params![project.as_str(), slug.as_str()];
            execute(connection, sql!("hooks_delete"), params)?;
            schedules::unpublish(connection, project.as_str(), slug.as_str())?;
            Ok(execute(connection, sql!("workflow_unpublish"), params)? > 0)
        })
        .await
    }

    async fn delete_workflow(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        let (project, slug) = (project.clone(), slug.clone());
        self.write(move |connection, _| delete(connection, project.as_str(), slug.as_str())).await
    }

    async fn version(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        number: u32,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let (project, slug) = (project.clone(), slug.clone());
        self.read(move |connection, _| {
            first(connection, sql!("version"), params![project.as_str(), slug.as_str(), number], version)
        })
        .await
    }

    async fn versions(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        page: Page<u32>,
    ) -> Result<Listing<VersionRecord>, StoreError> {
        let (project, slug) = (project.clone(), slug.clone());
        self.read(move |connection, _| {
            let before = page.after.map_or(i64::MAX, i64::from);
            let params = params![project.as_str(), slug.as_str(), before];
            let bytes = |version: &VersionRecord| version.definition.len();
            listing(connection, sql!("versions"), params, page.limit, version, bytes)
        })
        .await
    }

    async fn keep_definition(
        &self,
        project: &ProjectId,
        digest: &Digest,
        text: &str,
    ) -> Result<(), StoreError> {
        let (project, digest, text) = (project.clone(), digest.clone(), text.to_owned());
        self.write(move |connection, _| {
            let params = params![project.as_str(), digest.as_str(), text];
            execute(connection, sql!("definition_keep"), params).map(|_| ())
        })
        .await
    }

    async fn definition(&self, project: &ProjectId, digest: &Digest) -> Result<Option<String>, StoreError> {
        let (project, digest) = (project.clone(), digest.clone());
        self.read(move |connection, _| {
            first(connection, sql!("definition"), params![project.as_str(), digest.as_str()], |row| {
                row.get(0)
            })
        })
        .await
    }

    async fn hook(&self, project: &ProjectId, path: &str) -> Result<Option<HookRoute>, StoreError> {
        let (project, path) = (project.clone(), path.to_owned());
        self.read(move |connection, _| {
            first(connection, sql!("hook"), params![project.as_str(), path], |row| {
                Ok(HookRoute::new(parsed(row, 0)?, row.get(1)?, parsed(row, 2)?, row.get(3)?))
            })
        })
        .await
    }

    async fn hook_owners(
        &self,
        project: &ProjectId,
        paths: &[String],
    ) -> Result<BTreeMap<String, WorkflowSlug>, StoreError> {
        let (project, paths) = (project.clone(), paths.to_vec());
        self.read(move |connection, _| {
            let mut owners = BTreeMap::new();
            for path in &paths {
                if let Some(owner) = hook_owner(connection, project.as_str(), path)? {
                    owners.insert(path.clone(), owner);
                }
            }
            Ok(owners)
        })
        .await
    }
}
