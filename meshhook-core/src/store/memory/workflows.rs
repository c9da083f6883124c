//! Drafts, versions, definitions and hooks.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::schedules::Schedules;
use super::{MemoryStore, Operation};
use crate::id::{Digest, ProjectId, WorkflowSlug};
use crate::store::{
    CreateWorkflow, Hook, HookRoute, Listing, LiveVersion, Page, PublishOutcome, PublishWorkflow, SaveDraft,
    StoreError, VersionRecord, WorkflowRecord, WorkflowStore, WorkflowStoreError,
};
use crate::time::Timestamp;

type WorkflowKey = (ProjectId, WorkflowSlug);

#[derive(Default)]
pub(super) struct Workflows {
    kept: BTreeMap<WorkflowKey, Kept>,
    definitions: BTreeMap<(ProjectId, Digest), String>,
    hooks: BTreeMap<(ProjectId, String), (WorkflowSlug, String)>,
}

struct Kept {
    record: WorkflowRecord,
    versions: Vec<VersionRecord>,
}

impl Workflows {
    fn found(&mut self, key: &WorkflowKey) -> Result<&mut Kept, WorkflowStoreError> {
        self.kept.get_mut(key).ok_or(WorkflowStoreError::NotFound)
    }

    /// The version of a workflow that is live, and its definition.
    pub(super) fn live(&self, project: &ProjectId, slug: &WorkflowSlug) -> Option<(u32, Digest)> {
        let live = self.kept.get(&(project.clone(), slug.clone()))?.record.live.as_ref()?;
        Some((live.version, live.digest.clone()))
    }

    fn publish(
        &mut self,
        publish: PublishWorkflow,
        schedules: &mut Schedules,
        now: Timestamp,
    ) -> Result<PublishOutcome, WorkflowStoreError> {
        let key = (publish.project, publish.slug);
        let record = self.found(&key)?.record.clone();
        if record.revision != publish.revision {
            return Err(WorkflowStoreError::RevisionStale { current: record.revision });
        }
        let newest = self.found(&key)?.versions.last().cloned();
        let newest = newest.filter(|newest| newest.digest == publish.digest);
        if let Some(newest) = &newest
            && record.live.as_ref().is_some_and(|live| live.version == newest.version)
        {
            return Ok(PublishOutcome::Unchanged { version: newest.version });
        }
        let mut paths = BTreeSet::new();
        for Hook { path, .. } in &publish.hooks {
            let taken =
                self.hooks.get(&(key.0.clone(), path.clone())).is_some_and(|(owner, _)| *owner != key.1);
            if taken || !paths.insert(path) {
                return Err(WorkflowStoreError::PathTaken { path: path.clone() });
            }
        }
        schedules.publish(&key, publish.schedules, record.live.is_some(), now);
        self.take_hooks_down(&key);
        for Hook { path, trigger } in publish.hooks.clone() {
            self.hooks.insert((key.0.clone(), path), (key.1.clone(), trigger));
        }
        let definition = self
            .definitions
            .entry((key.0.clone(), publish.digest.clone()))
            .or_insert(publish.definition)
            .clone();
        let kept = self.found(&key)?;
        let outcome = match newest {
            Some(newest) => PublishOutcome::Unchanged { version: newest.version },
            None => {
                let version = record.latest_version.unwrap_or(0) + 1;
                let record = VersionRecord::new(version, publish.digest.clone(), definition, publish.at);
                kept.versions.push(record);
                PublishOutcome::Published { version }
            }
        };
        let mut hooks = publish.hooks;
        hooks.sort_by(|a, b| a.path.cmp(&b.path));
        let (PublishOutcome::Published { version } | PublishOutcome::Unchanged { version }) = outcome;
        kept.record.latest_version = Some(version);
        kept.record.live = Some(LiveVersion::new(version, publish.digest, hooks));
        Ok(outcome)
    }

    fn take_hooks_down(&mut self, key: &WorkflowKey) {
        self.hooks.retain(|(project, _), (slug, _)| *project != key.0 || *slug != key.1);
    }
}

#[async_trait]
impl WorkflowStore for MemoryStore {
    async fn create_workflow(&self, create: CreateWorkflow) -> Result<WorkflowRecord, WorkflowStoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let key = (create.project, create.slug.clone());
            if state.workflows.kept.contains_key(&key) {
                return Ok(Err(WorkflowStoreError::SlugTaken));
            }
            let record = WorkflowRecord::new(create.slug, create.draft, create.at);
            state.workflows.kept.insert(key, Kept { record: record.clone(), versions: Vec::new() });
            Ok(Ok(record))
        })
        .await?
    }

    async fn workflow(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
    ) -> Result<Option<WorkflowRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let kept = state.workflows.kept.get(&(project.clone(), slug.clone()));
            Ok(kept.map(|kept| kept.record.clone()))
        })
        .await
    }

    async fn workflows(
        &self,
        project: &ProjectId,
        page: Page<(Timestamp, WorkflowSlug)>,
    ) -> Result<Listing<WorkflowRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let place = |record: &WorkflowRecord| (record.created_at, record.slug.clone());
            let mut records: Vec<&WorkflowRecord> = state
                .workflows
                .kept
                .iter()
                .filter(|((of, _), _)| of == project)
                .map(|(_, kept)| &kept.record)
                .filter(|record| page.after.as_ref().is_none_or(|after| place(record) < *after))
                .collect();
            records.sort_by_key(|record| std::cmp::Reverse(place(record)));
            let records = records.into_iter().map(|record| Ok(record.clone()));
            Listing::gather(records, page.limit, |record| record.draft.len())
        })
        .await
    }

    async fn save_draft(&self, save: SaveDraft) -> Result<WorkflowRecord, WorkflowStoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let kept = match state.workflows.found(&(save.project, save.slug)) {
                Ok(kept) => kept,
                Err(error) => return Ok(Err(error)),
            };
            let current = kept.record.revision;
            if save.revision.is_some_and(|known| known != current) {
                return Ok(Err(WorkflowStoreError::RevisionStale { current }));
            }
            kept.record.draft = save.draft;
            kept.record.revision += 1;
            kept.record.updated_at = save.at;
            Ok(Ok(kept.record.clone()))
        })
        .await?
    }

    async fn publish(&self, publish: PublishWorkflow) -> Result<PublishOutcome, WorkflowStoreError> {
        self.run(Operation::WorkflowWrite, |state, now| {
            Ok(state.workflows.publish(publish, &mut state.schedules, now))
        })
        .await?
    }

    async fn unpublish(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let key = (project.clone(), slug.clone());
            state.workflows.take_hooks_down(&key);
            state.schedules.unpublish(&key);
            let kept = state.workflows.kept.get_mut(&key);
            Ok(kept.map(|kept| kept.record.live = None).is_some())
        })
        .await
    }

    async fn delete_workflow(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let key = (project.clone(), slug.clone());
            state.workflows.take_hooks_down(&key);
            state.schedules.delete(&key);
            Ok(state.workflows.kept.remove(&key).is_some())
        })
        .await
    }

    async fn version(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        version: u32,
    ) -> Result<Option<VersionRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let kept = state.workflows.kept.get(&(project.clone(), slug.clone()));
            Ok(kept.and_then(|kept| kept.versions.iter().find(|kept| kept.version == version).cloned()))
        })
        .await
    }

    async fn versions(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        page: Page<u32>,
    ) -> Result<Listing<VersionRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let kept = state.workflows.kept.get(&(project.clone(), slug.clone()));
            let versions = kept
                .map_or(&[][..], |kept| kept.versions.as_slice())
                .iter()
                .rev()
                .filter(|kept| page.after.is_none_or(|after| kept.version < after))
                .map(|kept| Ok(kept.clone()));
            Listing::gather(versions, page.limit, |version| version.definition.len())
        })
        .await
    }

    async fn keep_definition(
        &self,
        project: &ProjectId,
        digest: &Digest,
        text: &str,
    ) -> Result<(), StoreError> {
        self.run(Operation::WorkflowWrite, |state, _| {
            let key = (project.clone(), digest.clone());
            state.workflows.definitions.entry(key).or_insert_with(|| text.to_owned());
            Ok(())
        })
        .await
    }

    async fn definition(&self, project: &ProjectId, digest: &Digest) -> Result<Option<String>, StoreError> {
        self.run(Operation::Read, |state, _| {
            Ok(state.workflows.definitions.get(&(project.clone(), digest.clone())).cloned())
        })
        .await
    }

    async fn hook(&self, project: &ProjectId, path: &str) -> Result<Option<HookRoute>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let workflows = &state.workflows;
            let Some((slug, trigger)) = workflows.hooks.get(&(project.clone(), path.to_owned())) else {
                return Ok(None);
            };
            let kept = workflows.kept.get(&(project.clone(), slug.clone()));
            let newest = kept.and_then(|kept| kept.versions.last());
            Ok(newest.map(|newest| {
                HookRoute::new(slug.clone(), newest.version, newest.digest.clone(), trigger.clone())
            }))
        })
        .await
    }

    async fn hook_owners(
        &self,
        project: &ProjectId,
        paths: &[String],
    ) -> Result<BTreeMap<String, WorkflowSlug>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let owner = |path: &String| {
                let found = state.workflows.hooks.get(&(project.clone(), path.clone()))?;
                Some((path.clone(), found.0.clone()))
            };
            Ok(paths.iter().filter_map(owner).collect())
        })
        .await
    }
}
