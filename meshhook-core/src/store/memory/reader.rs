//! Runs as people look at them.

use async_trait::async_trait;

use super::ledger::Run;
use super::{MemoryStore, Operation};
use crate::event::Chunk;
use crate::id::{ProjectId, RunId};
use crate::store::{Listing, RunFilter, RunReader, RunRecord, StoreError, StoredRun};

impl Run {
    pub(super) fn record(&self) -> RunRecord {
        RunRecord {
            meta: self.meta.clone(),
            status: self.status,
            finished_at: self.finished_at,
            failure: self.failure.clone(),
        }
    }

    fn matches(&self, filter: &RunFilter) -> bool {
        let created_at = self.meta.created_at;
        filter.workflow.as_ref().is_none_or(|workflow| *workflow == self.meta.workflow)
            && filter.status.is_none_or(|status| status == self.status)
            && filter.from.is_none_or(|from| created_at >= from)
            && filter.to.is_none_or(|to| created_at < to)
    }

    fn ends_of_history(&self) -> Vec<Chunk> {
        match self.chunks.as_slice() {
            [first, .., last] => vec![first.clone(), last.clone()],
            few => few.to_vec(),
        }
    }
}

#[async_trait]
impl RunReader for MemoryStore {
    async fn run(&self, project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let found = state.ledger.runs.get(&(project.clone(), run));
            Ok(found.map(|run| StoredRun::new(run.record(), run.chunks.clone())))
        })
        .await
    }

    async fn run_record(&self, project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            Ok(state.ledger.runs.get(&(project.clone(), run)).map(Run::record))
        })
        .await
    }

    async fn runs(&self, project: &ProjectId, filter: RunFilter) -> Result<Listing<StoredRun>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let first = (project.clone(), RunId::from_bytes([0; 16]));
            let last = (project.clone(), RunId::from_bytes([0xFF; 16]));
            let runs = state
                .ledger
                .runs
                .range(first..=last)
                .rev()
                .filter(|((_, run), _)| filter.page.after.is_none_or(|after| *run < after))
                .filter(|(_, run)| run.matches(&filter))
                .map(|(_, run)| Ok(StoredRun::new(run.record(), run.ends_of_history())));
            Listing::gather(runs, filter.page.limit, StoredRun::bytes)
        })
        .await
    }

    async fn chunks_after(
        &self,
        project: &ProjectId,
        run: RunId,
        seq: u64,
        limit: usize,
    ) -> Result<Listing<Chunk>, StoreError> {
        self.run(Operation::Read, |state, _| {
            let found = state.ledger.runs.get(&(project.clone(), run));
            let chunks = found.map_or(&[][..], |run| run.chunks.as_slice());
            let chunks = chunks.iter().filter(|chunk| chunk.last_seq > seq).map(|chunk| Ok(chunk.clone()));
            Listing::gather(chunks, limit, |chunk| chunk.text.len())
        })
        .await
    }
}
