//! Runs as people look at them.

use async_trait::async_trait;
use meshhook_core::event::{Chunk, RunStatus};
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{RunFilter, RunReader, RunRecord, StoreError, StoredRun};
use rusqlite::{Connection, params};

use crate::row::{all, chunk, first, int, record};
use crate::{SqliteStore, sql};

/// The chunks that hold events after `seq`, at most `limit`; -1 for all.
pub(crate) fn chunks(
    connection: &Connection,
    project: &ProjectId,
    run: RunId,
    seq: u64,
    limit: i64,
) -> rusqlite::Result<Vec<Chunk>> {
    all(connection, sql!("chunks"), params![project.as_str(), run.as_bytes(), int(seq), limit], chunk)
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
) -> rusqlite::Result<Vec<StoredRun>> {
    let statement = match (&filter.status, &filter.workflow) {
        (Some(status), _) if *status != RunStatus::Succeeded => sql!("runs_by_status"),
        (_, Some(_)) => sql!("runs_by_workflow"),
        (_, None) => sql!("runs_all"),
    };
    let before = filter.page.after.as_ref().map_or(&PAST_EVERY_ID[..], |run| run.as_bytes());
    let from = filter.from.map_or(i64::MIN, |from| from.as_micros());
    let to = filter.to.map_or(i64::MAX, |to| to.as_micros());
    let status = filter.status.map(RunStatus::as_str);
    let workflow = filter.workflow.as_ref().map(|workflow| workflow.as_str());
    let limit = int(filter.page.limit);
    let params = params![project.as_str(), before, from, to, status, workflow, limit];
    let records = all(connection, statement, params, |row| record(row, project))?;
    records
        .into_iter()
        .map(|record| {
            let run = record.meta.run;
            let mut ends = chunks(connection, project, run, 0, 1)?;
            let last =
                first(connection, sql!("chunk_last"), params![project.as_str(), run.as_bytes()], chunk)?;
            ends.extend(last.filter(|last| ends.first().is_none_or(|first| first.last_seq != last.last_seq)));
            Ok(StoredRun::new(record, ends))
        })
        .collect()
}

/// Greater than every run id.
const PAST_EVERY_ID: [u8; 17] = [0xFF; 17];

#[async_trait]
impl RunReader for SqliteStore {
    async fn run(&self, project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            let Some(record) = run_record(connection, &project, run)? else { return Ok(None) };
            Ok(Some(StoredRun::new(record, chunks(connection, &project, run, 0, -1)?)))
        })
        .await
    }

    async fn run_record(&self, project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| run_record(connection, &project, run)).await
    }

    async fn runs(&self, project: &ProjectId, filter: RunFilter) -> Result<Vec<StoredRun>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| runs(connection, &project, &filter)).await
    }

    async fn chunks_after(
        &self,
        project: &ProjectId,
        run: RunId,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<Chunk>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| chunks(connection, &project, run, seq, int(limit))).await
    }
}
