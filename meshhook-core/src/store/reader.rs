//! Runs as people look at them.

use async_trait::async_trait;

use super::{Listing, Page, StoreError};
use crate::event::{Chunk, RunStatus};
use crate::failure::Failure;
use crate::id::{ProjectId, RunId, WorkflowSlug};
use crate::run::RunMeta;
use crate::time::Timestamp;

/// Reads runs; never blocks those who write them.
#[async_trait]
pub trait RunReader: Send + Sync + 'static {
    /// One run with its whole history, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn run(&self, project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError>;

    /// One run's record without its history, or `None`.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn run_record(&self, project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Runs that match the filter, newest first, each with its first and last chunk (once, where they are the same).
    /// What counts for the size of a part is the text of the chunks.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn runs(&self, project: &ProjectId, filter: RunFilter) -> Result<Listing<StoredRun>, StoreError>;

    /// The chunks of a run that hold events after position `seq`, ascending, at most `limit` and of bounded size; empty
    /// when there are none or no such run.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn chunks_after(
        &self,
        project: &ProjectId,
        run: RunId,
        seq: u64,
        limit: usize,
    ) -> Result<Listing<Chunk>, StoreError>;
}

/// A run's record: what is kept beside its history.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunRecord {
    /// What does not change.
    pub meta: RunMeta,
    /// Where it stands, as of the last commit.
    pub status: RunStatus,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

impl RunRecord {
    /// A run that has not ended.
    #[must_use]
    pub fn new(meta: RunMeta, status: RunStatus) -> Self {
        Self { meta, status, finished_at: None, failure: None }
    }
}

/// A run's record and its history, or part of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredRun {
    /// The record.
    pub record: RunRecord,
    /// The history, ascending.
    pub chunks: Vec<Chunk>,
}

impl StoredRun {
    /// A run's record and its history, or part of it.
    #[must_use]
    pub fn new(record: RunRecord, chunks: Vec<Chunk>) -> Self {
        Self { record, chunks }
    }

    /// How many bytes of text it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.text.len()).sum()
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFilter {
    /// Only this workflow's.
    pub workflow: Option<WorkflowSlug>,
    /// Only with this status.
    pub status: Option<RunStatus>,
    /// Created at this time or later.
    pub from: Option<Timestamp>,
    /// Created before this time.
    pub to: Option<Timestamp>,
    /// Which part of the list.
    pub page: Page<RunId>,
}
