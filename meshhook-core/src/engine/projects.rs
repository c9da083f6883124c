//! Which projects exist.
//!
//! Whatever a project has begins with a workflow or a secret, so those are not made in a project that does not exist.
//! A project is never removed; so one that was seen once is believed in without asking the store again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Engine, EngineError, Inner, Project};
use crate::id::ProjectId;
use crate::store::{Listing, Page, ProjectRecord};
use crate::time::Timestamp;

/// Projects that were seen.
#[derive(Debug, Default)]
pub(super) struct KnownProjects {
    known: Mutex<HashSet<ProjectId>>,
}

/// The most projects that are remembered. With more of them some are looked up again.
const MAX_KNOWN: usize = 100_000;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

impl KnownProjects {
    fn has(&self, project: &ProjectId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(project)
    }

    fn learn(&self, project: &ProjectId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(project.clone());
    }
}

impl Inner {
    async fn require_project(&self, project: &ProjectId) -> Result<(), EngineError> {
        if self.projects.has(project) {
            return Ok(());
        }
        // Unknown projects are not remembered: whoever tries many names must not fill the memory.
        self.store.project(project).await?.ok_or(EngineError::NotFound { what: "project" })?;
        self.projects.learn(project);
        Ok(())
    }
}

impl Engine {
    /// Makes a project.
    ///
    /// # Errors
    ///
    /// [`EngineError::ProjectTaken`], [`EngineError::InvalidArgument`] when the name is empty or longer than 200 bytes,
    /// or a store error.
    pub async fn create_project(
        &self,
        project: &ProjectId,
        name: Option<String>,
    ) -> Result<ProjectRecord, EngineError> {
        if name.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > MAX_NAME_BYTES) {
            let message = format!("a project's name has 1 to {MAX_NAME_BYTES} bytes");
            return Err(EngineError::InvalidArgument { message });
        }
        let record = ProjectRecord::new(project.clone(), name, self.inner.time.now());
        match self.inner.store.create_project(record.clone()).await {
            Ok(true) => Ok(record),
            Ok(false) => Err(EngineError::ProjectTaken),
            // If the project is there just as it was to be made, to the microsecond, then this call made it.
            Err(error) if error.is_outcome_unknown() => match self.inner.store.project(project).await {
                Ok(Some(made)) if made == record => Ok(record),
                Ok(Some(_)) => Err(EngineError::ProjectTaken),
                Ok(None) | Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Projects, newest first. `default` exists from the start.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn projects(
        &self,
        page: Page<(Timestamp, ProjectId)>,
    ) -> Result<Listing<ProjectRecord>, EngineError> {
        Ok(self.inner.store.projects(page).await?)
    }
}

impl Project {
    /// Refuses a project that does not exist.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn require_existing(&self) -> Result<(), EngineError> {
        self.inner.require_project(&self.id).await
    }
}
