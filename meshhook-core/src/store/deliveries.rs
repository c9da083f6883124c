//! Deliveries: what was sent to hooks, and what became of it.
//!
//! A delivery is kept for people who ask why something did not arrive; nothing that runs depends on it. It is written in
//! batches after its sender was answered, and is gone when its time is over.

use async_trait::async_trait;

use super::{Listing, Page, StoreError};
use crate::id::{DeliveryId, ProjectId, WorkflowSlug};
use crate::time::Timestamp;
use crate::webhook::{RecordedVerdict, Verdict};

/// Keeps deliveries.
#[async_trait]
pub trait DeliveryStore: Send + Sync + 'static {
    /// Keeps deliveries, of any projects. One that is there already is left as it is, so that a call of unknown outcome can
    /// be made again.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; all of the batch is kept or nothing.
    async fn record_deliveries(&self, batch: Vec<DeliveryRecord>) -> Result<(), StoreError>;

    /// A project's deliveries, newest first, by id. Those whose time is over are not among them; when they are removed is
    /// the store's affair.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn deliveries(
        &self,
        project: &ProjectId,
        filter: DeliveryFilter,
    ) -> Result<Listing<DeliveryRecord>, StoreError>;

    /// One delivery; `None` when there is none, or its time is over.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn delivery(
        &self,
        project: &ProjectId,
        delivery: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError>;
}

/// A delivery as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryRecord {
    /// Its project.
    pub project: ProjectId,
    /// Its id.
    pub id: DeliveryId,
    /// When it came.
    pub at: Timestamp,
    /// From when on it is forgotten, by the store's clock.
    pub expires_at: Timestamp,
    /// The workflow whose hook it was sent to, if there was one.
    pub workflow: Option<WorkflowSlug>,
    /// What became of it. A store keeps names that it does not know.
    pub verdict: RecordedVerdict,
    /// What else is known of it: JSON, of the engine's own form, in which nothing is secret.
    pub facts: String,
    /// What was sent, sealed.
    pub sealed: Option<Vec<u8>>,
}

impl DeliveryRecord {
    /// A delivery of which nothing but this is known.
    #[must_use]
    pub fn new(
        project: ProjectId,
        id: DeliveryId,
        (at, expires_at): (Timestamp, Timestamp),
        verdict: impl Into<RecordedVerdict>,
    ) -> Self {
        let verdict = verdict.into();
        let facts = "{}".into();
        Self { project, id, at, expires_at, workflow: None, verdict, facts, sealed: None }
    }

    /// How many bytes of content it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.facts.len() + self.sealed.as_ref().map_or(0, Vec::len)
    }
}

/// Which deliveries are asked for. The default: the newest ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeliveryFilter {
    /// Only this workflow's.
    pub workflow: Option<WorkflowSlug>,
    /// Only with this verdict.
    pub verdict: Option<Verdict>,
    /// That came at this time or later.
    pub from: Option<Timestamp>,
    /// That came before this time.
    pub to: Option<Timestamp>,
    /// Which part of them.
    pub page: Page<DeliveryId>,
}

impl DeliveryFilter {
    /// Whether it asks for a delivery, pages aside.
    #[must_use]
    pub fn matches(&self, record: &DeliveryRecord) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| record.workflow.as_ref() == Some(workflow))
            && self.verdict.is_none_or(|verdict| record.verdict == verdict)
            && self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
    }
}
