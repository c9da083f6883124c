//! Runs as people look at them.

use async_trait::async_trait;
use meshhook_core::event::{Chunk, RunStatus};
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{
    Listing, MAX_LISTING_BYTES, RunFilter, RunReader, RunRecord, StoreError, StoredRun,
};
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::row::{chunk, chunk_of, int, record, span_of_ids, uuid};
use crate::session::{Session, get};
use crate::{PgStore, sql};

async fn run_record(
    session: &mut Session,
    project: &ProjectId,
    run: RunId,
) -> Result<Option<RunRecord>, Error> {
    let query = sqlx::query(sql!("run_record")).bind(project.as_str()).bind(uuid(run));
    session.first(query).await?.map(|row| record(&row, project.clone())).transpose()
}

/// A run with the ends of its history.
fn listed(row: &PgRow, project: &ProjectId) -> Result<StoredRun, Error> {
    let first = chunk_of(1, get(row, "first_last")?, get(row, "first_hash")?, get(row, "first_chunk")?)?;
    let mut ends = vec![first];
    if let Some(seq) = get::<Option<i64>>(row, "last_first")? {
        ends.push(chunk_of(seq, get(row, "last_last")?, get(row, "last_hash")?, get(row, "last_chunk")?)?);
    }
    Ok(StoredRun::new(record(row, project.clone())?, ends))
}

#[async_trait]
impl RunReader for PgStore {
    async fn run(&self, project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError> {
        let of = project.clone();
        self.read(project, move |session| {
            let of = of.clone();
            Box::pin(async move {
                let Some(record) = run_record(session, &of, run).await? else { return Ok(None) };
                let query = sqlx::query(sql!("chunks")).bind(of.as_str()).bind(uuid(run));
                let chunks = session.all(query).await?.iter().map(chunk).collect::<Result<_, _>>()?;
                Ok(Some(StoredRun::new(record, chunks)))
            })
        })
        .await
    }

    async fn run_record(&self, project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError> {
        let of = project.clone();
        self.look(project, move |session| {
            let of = of.clone();
            Box::pin(async move { run_record(session, &of, run).await })
        })
        .await
    }

    async fn runs(&self, project: &ProjectId, filter: RunFilter) -> Result<Listing<StoredRun>, StoreError> {
        let of = project.clone();
        let after = filter.page.after.as_ref().map(|after| *after.as_bytes());
        let Some((least, greatest)) = span_of_ids(filter.from, filter.to, after) else {
            return Ok(Listing::new(Vec::new(), false));
        };
        self.look(project, move |session| {
            let (of, limit) = (of.clone(), filter.page.limit);
            let statement = match (&filter.status, &filter.workflow) {
                (Some(RunStatus::Failed | RunStatus::Cancelled), _) => sql!("runs_by_status"),
                (Some(RunStatus::Running | RunStatus::Waiting | RunStatus::Paused), _) => sql!("runs_live"),
                (_, Some(_)) => sql!("runs_by_workflow"),
                (_, None) => sql!("runs_all"),
            };
            let query = sqlx::query(statement)
                .bind(of.to_string())
                .bind(greatest)
                .bind(filter.from.map_or(i64::MIN, |from| from.as_micros()))
                .bind(filter.to.map_or(i64::MAX, |to| to.as_micros()))
                .bind(filter.status.map(RunStatus::as_str))
                .bind(filter.workflow.as_ref().map(ToString::to_string))
                .bind(int(limit).saturating_add(1))
                .bind(int(MAX_LISTING_BYTES))
                .bind(least);
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(|row| listed(row, &of)), limit, StoredRun::bytes)
            })
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
        let of = project.clone();
        self.look(project, move |session| {
            let query = sqlx::query(sql!("chunks_after"))
                .bind(of.to_string())
                .bind(uuid(run))
                .bind(int(seq).min(i64::MAX - 1))
                .bind(int(limit).saturating_add(1))
                .bind(int(MAX_LISTING_BYTES));
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(chunk), limit, |chunk| chunk.text.len())
            })
        })
        .await
    }
}
