//! What does not change about a run.

use crate::id::{Digest, ProjectId, RunId, WorkflowSlug};
use crate::time::Timestamp;

/// What does not change about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunMeta {
    /// The run.
    pub run: RunId,
    /// Its project.
    pub project: ProjectId,
    /// Its workflow's name when it started.
    pub workflow: WorkflowSlug,
    /// The version that it runs; `None` for a test run of a draft.
    pub version: Option<u32>,
    /// The definition that it runs.
    pub digest: Digest,
    /// When it was created, by the clock of the process that did.
    pub created_at: Timestamp,
    /// Whether it is a test run.
    pub test: bool,
}

impl RunMeta {
    /// What does not change about a run of a definition.
    #[must_use]
    pub fn new(
        run: RunId,
        project: ProjectId,
        workflow: WorkflowSlug,
        digest: Digest,
        created_at: Timestamp,
    ) -> Self {
        Self { run, project, workflow, version: None, digest, created_at, test: false }
    }

    /// Names the version that runs.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }
}
