//! Projects.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, Operation};
use crate::id::ProjectId;
use crate::store::{Listing, Page, ProjectRecord, ProjectStore, StoreError};
use crate::time::Timestamp;

pub(super) struct Projects {
    by_id: BTreeMap<ProjectId, ProjectRecord>,
}

impl Default for Projects {
    fn default() -> Self {
        let first = ProjectRecord::default_project();
        Self { by_id: BTreeMap::from([(first.id.clone(), first)]) }
    }
}

#[async_trait]
impl ProjectStore for MemoryStore {
    async fn create_project(&self, record: ProjectRecord) -> Result<bool, StoreError> {
        self.run(Operation::ProjectWrite, |state, _| {
            let is_new = !state.projects.by_id.contains_key(&record.id);
            if is_new {
                state.projects.by_id.insert(record.id.clone(), record);
            }
            Ok(is_new)
        })
        .await
    }

    async fn project(&self, project: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        self.run(Operation::Read, |state, _| Ok(state.projects.by_id.get(project).cloned())).await
    }

    async fn projects(
        &self,
        page: Page<(Timestamp, ProjectId)>,
    ) -> Result<Listing<ProjectRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let place = |record: &ProjectRecord| (record.created_at, record.id.clone());
            let all = state.projects.by_id.values();
            let mut records: Vec<ProjectRecord> = all
                .filter(|record| page.after.as_ref().is_none_or(|after| place(record) < *after))
                .cloned()
                .collect();
            records.sort_by_key(|record| std::cmp::Reverse(place(record)));
            Listing::gather(records.into_iter().map(Ok), page.limit, ProjectRecord::bytes)
        })
        .await
    }
}
