//! A look at everything that a worker wants to know, and taking runs: one statement.

use meshhook_core::event::Chunk;
use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{Claim, Claimed, ClaimedRun, StoreError};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::{Effect, unreadable};
use crate::row::{chunk_of, count, int, micros, parsed, record, time};
use crate::session::get;
use crate::{PgStore, sql};

pub(super) async fn claim(store: &PgStore, claim: Claim) -> Result<Claimed, StoreError> {
    let now = store.now();
    store.tidy();
    store
        .engine(Effect::Writes, move |session| {
            let query = sqlx::query(sql!("claim"))
                .bind(now)
                .bind(claim.worker.as_str().to_owned())
                .bind(micros(claim.lease))
                .bind(int(claim.limit))
                .bind(int(claim.suspects))
                .bind(int(claim.bytes))
                .bind(int(claim.messages));
            let limit = claim.limit;
            Box::pin(async move { claimed(&session.alone(query).await?, limit) })
        })
        .await
}

fn claimed(rows: &[PgRow], limit: usize) -> Result<Claimed, Error> {
    let mut runs = Vec::with_capacity(rows.len().saturating_sub(1));
    let mut look = None;
    for row in rows {
        match get::<i64>(row, "place")? {
            0 => look = Some(row),
            place => runs.push((place, taken(row)?)),
        }
    }
    let look = look.ok_or(Error::RowNotFound)?;
    if runs.len() > limit {
        return Err(unreadable("place", "more runs were taken than were asked for"));
    }
    runs.sort_by_key(|(place, _)| *place);
    let runs = runs.into_iter().map(|(_, run)| run).collect();
    let next = get::<Option<i64>>(look, "next_wake_up")?.map(Timestamp::from_micros);
    Ok(Claimed::new(runs, messages(look)?, next, time(look, "looked_at")?))
}

fn messages(look: &PgRow) -> Result<Vec<(ProjectId, RunId)>, Error> {
    let projects: Option<Vec<String>> = get(look, "message_projects")?;
    let runs: Option<Vec<Uuid>> = get(look, "message_runs")?;
    let pairs = projects.unwrap_or_default().into_iter().zip(runs.unwrap_or_default());
    pairs
        .map(|(project, run)| {
            let project = project.parse().map_err(|error| unreadable("message_projects", error))?;
            Ok((project, RunId::from_bytes(run.into_bytes())))
        })
        .collect()
}

fn taken(row: &PgRow) -> Result<ClaimedRun, Error> {
    let record = record(row, parsed(row, "project")?)?;
    let chunks = chunks(row)?;
    Ok(ClaimedRun { record, epoch: count(row, "epoch")?, strikes: count(row, "strikes")?, chunks })
}

/// A history from four lists of the same length.
fn chunks(row: &PgRow) -> Result<Vec<Chunk>, Error> {
    let first: Option<Vec<i64>> = get(row, "first_seqs")?;
    let last: Option<Vec<i64>> = get(row, "last_seqs")?;
    let hashes: Option<Vec<Vec<u8>>> = get(row, "hashes")?;
    let texts: Option<Vec<Vec<u8>>> = get(row, "chunks")?;
    let places = first.unwrap_or_default().into_iter().zip(last.unwrap_or_default());
    let contents = hashes.unwrap_or_default().into_iter().zip(texts.unwrap_or_default());
    places.zip(contents).map(|((first, last), (hash, text))| chunk_of(first, last, hash, text)).collect()
}
