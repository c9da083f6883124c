//! Drafts, versions, definitions and hooks.
//!
//! Definitions are kept once each, by digest: versions and runs point to them, and they outlive the workflow, so that
//! a run can always be gone on with.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Listing, Page, PublishedSchedule, StoreError};
use crate::id::{Digest, ProjectId, WorkflowSlug};
use crate::time::Timestamp;

/// Keeps workflows.
#[async_trait]
pub trait WorkflowStore: Send + Sync + 'static {
    /// Creates a workflow with a draft.
    ///
    /// # Errors
    ///
    /// [`WorkflowStoreError::SlugTaken`], or any store error.
    async fn create_workflow(&self, create: CreateWorkflow) -> Result<WorkflowRecord, WorkflowStoreError>;

    /// One workflow, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn workflow(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
    ) -> Result<Option<WorkflowRecord>, StoreError>;

    /// Workflows, newest first: descending by creation, then by slug. What counts for the size of a part is the text
    /// of the drafts.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn workflows(
        &self,
        project: &ProjectId,
        page: Page<(Timestamp, WorkflowSlug)>,
    ) -> Result<Listing<WorkflowRecord>, StoreError>;

    /// Saves a draft and raises its revision.
    ///
    /// # Errors
    ///
    /// [`WorkflowStoreError::NotFound`], [`WorkflowStoreError::RevisionStale`] when `save.revision` is given and not
    /// the current one, or any store error.
    async fn save_draft(&self, save: SaveDraft) -> Result<WorkflowRecord, WorkflowStoreError>;

    /// Publishes a definition as the next version and makes its hooks and [schedules](PublishedSchedule) live instead of
    /// those before. When the newest version has the same digest there is no new one: if it is live nothing changes, if
    /// not it goes live again.
    ///
    /// # Errors
    ///
    /// [`WorkflowStoreError::NotFound`]; [`WorkflowStoreError::RevisionStale`] when the draft changed since it was
    /// read; [`WorkflowStoreError::PathTaken`] when another live hook of the project has one of the paths, or two of
    /// these hooks have the same; or any store error. They are looked for in this order.
    async fn publish(&self, publish: PublishWorkflow) -> Result<PublishOutcome, WorkflowStoreError>;

    /// Takes a workflow's hooks and schedules down and makes it unpublished; its versions stay, and what is known of its
    /// schedules until it is published again. `false` when there is no such workflow.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn unpublish(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError>;

    /// Removes a workflow, its versions, hooks and schedules; definitions and runs stay. A workflow created with the same
    /// name counts its versions from 1 again. `false` when there is none.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn delete_workflow(&self, project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError>;

    /// One version, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn version(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        version: u32,
    ) -> Result<Option<VersionRecord>, StoreError>;

    /// Versions, newest first. What counts for the size of a part is the text of the definitions.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn versions(
        &self,
        project: &ProjectId,
        slug: &WorkflowSlug,
        page: Page<u32>,
    ) -> Result<Listing<VersionRecord>, StoreError>;

    /// Keeps a definition by its digest, if it is not kept yet: for test runs of drafts.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn keep_definition(
        &self,
        project: &ProjectId,
        digest: &Digest,
        text: &str,
    ) -> Result<(), StoreError>;

    /// A definition's text by its digest, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn definition(&self, project: &ProjectId, digest: &Digest) -> Result<Option<String>, StoreError>;

    /// The live hook at a path, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn hook(&self, project: &ProjectId, path: &str) -> Result<Option<HookRoute>, StoreError>;

    /// Which workflows have live hooks at these paths, by path; paths without one are left out.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn hook_owners(
        &self,
        project: &ProjectId,
        paths: &[String],
    ) -> Result<BTreeMap<String, WorkflowSlug>, StoreError>;
}

/// Why a workflow operation did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowStoreError {
    /// The project has a workflow of that name.
    #[error("slug is taken")]
    SlugTaken,
    /// The project has no workflow of that name.
    #[error("no such workflow")]
    NotFound,
    /// The draft is not the one that the caller knows.
    #[error("draft has changed: revision is {current}")]
    RevisionStale {
        /// Its revision.
        current: u64,
    },
    /// Another live hook of the project has that path.
    #[error("hook path {path:?} is taken")]
    PathTaken {
        /// The path.
        path: String,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A workflow to create.
#[derive(Debug, Clone)]
pub struct CreateWorkflow {
    /// Its project.
    pub project: ProjectId,
    /// Its name.
    pub slug: WorkflowSlug,
    /// Its draft: canonical JSON text.
    pub draft: String,
    /// Now.
    pub at: Timestamp,
}

/// A draft to save.
#[derive(Debug, Clone)]
pub struct SaveDraft {
    /// The workflow's project.
    pub project: ProjectId,
    /// The workflow.
    pub slug: WorkflowSlug,
    /// The draft: canonical JSON text.
    pub draft: String,
    /// The revision that it replaces; `None` to replace whatever is there.
    pub revision: Option<u64>,
    /// Now.
    pub at: Timestamp,
}

/// A version to publish.
#[derive(Debug, Clone)]
pub struct PublishWorkflow {
    /// The workflow's project.
    pub project: ProjectId,
    /// The workflow.
    pub slug: WorkflowSlug,
    /// The revision of the draft that is published.
    pub revision: u64,
    /// The definition's digest.
    pub digest: Digest,
    /// The definition: canonical JSON text.
    pub definition: String,
    /// The hooks that become live.
    pub hooks: Vec<Hook>,
    /// The schedules that become live, of different triggers.
    pub schedules: Vec<PublishedSchedule>,
    /// Now.
    pub at: Timestamp,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishOutcome {
    /// There is a new version.
    Published {
        /// Its number.
        version: u32,
    },
    /// The newest version has the same definition.
    Unchanged {
        /// Its number.
        version: u32,
    },
}

/// A webhook trigger's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The path, unique among the project's live hooks.
    pub path: String,
    /// The trigger's id within its definition.
    pub trigger: String,
}

/// Where a live hook leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookRoute {
    /// The workflow.
    pub workflow: WorkflowSlug,
    /// Its published version.
    pub version: u32,
    /// That version's definition.
    pub digest: Digest,
    /// The trigger's id within the definition.
    pub trigger: String,
}

impl HookRoute {
    /// Where a live hook leads.
    #[must_use]
    pub fn new(workflow: WorkflowSlug, version: u32, digest: Digest, trigger: String) -> Self {
        Self { workflow, version, digest, trigger }
    }
}

/// A workflow as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkflowRecord {
    /// Its name.
    pub slug: WorkflowSlug,
    /// Its draft: JSON text as it was given.
    pub draft: String,
    /// How often the draft was saved, from 1.
    pub revision: u64,
    /// The newest version's number.
    pub latest_version: Option<u32>,
    /// The version whose triggers are live and which runs start from: the newest, or `None` when it is unpublished.
    pub live: Option<LiveVersion>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the draft was last saved.
    pub updated_at: Timestamp,
}

impl WorkflowRecord {
    /// A workflow that was just created.
    #[must_use]
    pub fn new(slug: WorkflowSlug, draft: String, at: Timestamp) -> Self {
        Self { slug, draft, revision: 1, latest_version: None, live: None, created_at: at, updated_at: at }
    }
}

/// The version that is live, and its hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveVersion {
    /// Its number.
    pub version: u32,
    /// Its definition's digest.
    pub digest: Digest,
    /// Its hooks, by path.
    pub hooks: Vec<Hook>,
}

impl LiveVersion {
    /// The version that is live, and its hooks.
    #[must_use]
    pub fn new(version: u32, digest: Digest, hooks: Vec<Hook>) -> Self {
        Self { version, digest, hooks }
    }
}

/// A version as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionRecord {
    /// Its number, from 1.
    pub version: u32,
    /// Its definition's digest.
    pub digest: Digest,
    /// Its definition: canonical JSON text, as it was first kept with that digest.
    pub definition: String,
    /// When it was published.
    pub created_at: Timestamp,
}

impl VersionRecord {
    /// A version as it is kept.
    #[must_use]
    pub fn new(version: u32, digest: Digest, definition: String, created_at: Timestamp) -> Self {
        Self { version, digest, definition, created_at }
    }
}
