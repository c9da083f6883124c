//! Runs as people look at them.

use async_trait::async_trait;
use meshhook_core::event::{Chunk, RunStatus};
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{Listing, RunFilter, RunReader, RunRecord, StoreError, StoredRun, span_of_ids};
use rusqlite::{Connection, params};

use crate::row::{all, chunk, first, int, listing, record};
use crate::{SqliteStore, sql};

/// A run's whole history.
pub(crate) fn history(
    connection: &Connection,
    project: &ProjectId,
    run: RunId,
) -> rusqlite::Result<Vec<Chunk>> {
    all(connection, sql!("chunks"), params![project.as_str(), run.as_bytes(), 0], chunk)
}

/// The chunks that hold events after `seq`.
fn chunks_after(
    connection: &Connection,
    project: &ProjectId,
    run: RunId,
    seq: u64,
    limit: usize,
) -> rusqlite::Result<Listing<Chunk>> {
    let params = params![project.as_str(), run.as_bytes(), int(seq)];
    listing(connection, sql!("chunks"), params, limit, chunk, |chunk| chunk.text.len())
}

fn run_record(
    connection: &Connection,
    project: &ProjectId,
    run: RunId,
) -> rusqlite::Result<Option<RunRecord>> {
    first(connection, sql!("run_record"), params![project.as_str(), run.as_bytes()], |row| {
        record(row, project)
    })
}

fn runs(
    connection: &Connection,
    project: &ProjectId,
    filter: &RunFilter,
) -> rusqlite::Result<Listing<StoredRun>> {
    let statement = match (&filter.status, &filter.workflow) {
        (Some(status), _) if *status != RunStatus::Succeeded => sql!("runs_by_status"),
        (_, Some(_)) => sql!("runs_by_workflow"),
        (_, None) => sql!("runs_all"),
    };
    let after = filter.page.after.as_ref().map(|run| *run.as_bytes());
    let Some((least, greatest)) = span_of_ids(filter.from, filter.to, after) else {
        return Ok(Listing::new(Vec::new(), false));
    };
    let from = filter.from.map_or(i64::MIN, |from| from.as_micros());
    let to = filter.to.map_or(i64::MAX, |to| to.as_micros());
    let status = filter.status.map(RunStatus::as_str);
    let workflow = filter.workflow.as_ref().map(|workflow| workflow.as_str());
    let params = params![project.as_str(), greatest, from, to, status, workflow, least];
    let mut query = connection.prepare_cached(statement)?;
    let runs = query.query_map(params, |row| record(row, project))?.map(|record| {
        let record = record?;
        let key = params![project.as_str(), record.meta.run.as_bytes()];
        let mut ends: Vec<Chunk> = first(connection, sql!("chunk_first"), key, chunk)?.into_iter().collect();
        let last = first(connection, sql!("chunk_last"), key, chunk)?;
        ends.extend(last.filter(|last| ends.first().is_none_or(|first| first.last_seq != last.last_seq)));
        Ok(StoredRun::new(record, ends))
    });
    Listing::gather(runs, filter.page.limit, StoredRun::bytes)
}

#[async_trait]
impl RunReader for SqliteStore {
    async fn run(&self, project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let Some(record) = run_record(connection, &project, run)? else { return Ok(None) };
            Ok(Some(StoredRun::new(record, history(connection, &project, run)?)))
        })
        .await
    }

    async fn run_record(&self, project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| run_record(connection, &project, run)).await
    }

    async fn runs(&self, project: &ProjectId, filter: RunFilter) -> Result<Listing<StoredRun>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| runs(connection, &project, &filter)).await
    }

    async fn chunks_after(
        &self,
        project: &ProjectId,
        run: RunId,
        seq: u64,
        limit: usize,
    ) -> Result<Listing<Chunk>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| chunks_after(connection, &project, run, seq, limit)).await
    }
}
