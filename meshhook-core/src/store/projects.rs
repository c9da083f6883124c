//! Projects: who exists.
//!
//! A project is made once and never removed, so that whoever saw one may believe in it for ever. Nothing else of a store
//! asks whether a project exists: rows of a project that was never made cannot come to be, because the engine makes no
//! workflow and no secret in one.

use async_trait::async_trait;

use super::{Listing, Page, StoreError};
use crate::id::ProjectId;
use crate::time::Timestamp;

/// Keeps the projects.
///
/// [`default`](ProjectId::default_project) exists from the start: nameless, and older than all others.
#[async_trait]
pub trait ProjectStore: Send + Sync + 'static {
    /// Makes a project; `false`, and nothing changes, when there is one of that id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn create_project(&self, record: ProjectRecord) -> Result<bool, StoreError>;

    /// One project, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn project(&self, project: &ProjectId) -> Result<Option<ProjectRecord>, StoreError>;

    /// Projects, newest first: descending by creation, then by id.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn projects(
        &self,
        page: Page<(Timestamp, ProjectId)>,
    ) -> Result<Listing<ProjectRecord>, StoreError>;
}

/// A project as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectRecord {
    /// Its id.
    pub id: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// When it was made; for the project that exists from the start, the beginning of 1970.
    pub created_at: Timestamp,
}

impl ProjectRecord {
    /// How many bytes of text it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.name.as_ref().map_or(0, String::len)
    }

    /// A project as it is kept.
    #[must_use]
    pub fn new(id: ProjectId, name: Option<String>, created_at: Timestamp) -> Self {
        Self { id, name, created_at }
    }

    /// The project that exists from the start.
    #[must_use]
    pub fn default_project() -> Self {
        Self::new(ProjectId::default_project(), None, Timestamp::from_micros(0))
    }
}
