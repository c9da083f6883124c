//! A look at everything that a worker wants to know, and taking runs: one statement.
//!
//! When its answer is here the runs are this worker's, whatever they look like. So what cannot be read of one run is
//! that run's trouble: it is given back for a while, and the others are gone on with. When the answer as a whole cannot
//! be read, the outcome is unknown to whoever asked, who finds out what was taken by what the worker holds.

use std::time::Duration;

use meshhook_core::event::Chunk;
use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{Claim, Claimed, ClaimedRun, StoreError, WakeUp};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::{Effect, unreadable};
use crate::row::{chunk_of, count, int, micros, parsed, record, time};
use crate::session::{Lane, get};
use crate::{PgStore, sql};

pub(super) async fn claim(store: &PgStore, claim: Claim) -> Result<Claimed, StoreError> {
    store.tidy().await;
    let now = store.now();
    let (worker, limit) = (claim.worker.clone(), claim.limit);
    let rows = store
        .engine(Lane::Worker, Effect::Writes, move |session| {
            let query = sqlx::query(sql!("claim"))
                .bind(now)
                .bind(claim.worker.as_str().to_owned())
                .bind(micros(claim.lease))
                .bind(int(claim.limit))
                .bind(int(claim.suspects))
                .bind(int(claim.bytes))
                .bind(int(claim.messages));
            Box::pin(async move { session.alone(query).await })
        })
        .await?;
    // Whatever it says, it has happened.
    let unknown = |error: Error| StoreError::OutcomeUnknown(Box::new(error));
    let Read { claimed, unreadable } = read(&rows, limit).map_err(unknown)?;
    if !unreadable.is_empty() {
        set_aside(store, &worker, unreadable, claimed.now).await?;
    }
    Ok(claimed)
}

/// What an answer holds.
struct Read {
    claimed: Claimed,
    /// Runs that were taken and cannot be read.
    unreadable: Vec<(String, Uuid, i64)>,
}

fn read(rows: &[PgRow], limit: usize) -> Result<Read, Error> {
    let mut runs = Vec::with_capacity(rows.len().saturating_sub(1));
    let mut unreadable_runs = Vec::new();
    let mut look = None;
    for row in rows {
        match get::<i64>(row, "place")? {
            0 => look = Some(row),
            place => match taken(row) {
                Ok(run) => runs.push((place, run)),
                Err(error) => {
                    let of: (String, Uuid, i64) =
                        (get(row, "project")?, get(row, "run_id")?, get(row, "claim")?);
                    tracing::error!(%error, project_id = of.0, run_id = %of.1, "a claimed run cannot be read");
                    unreadable_runs.push(of);
                }
            },
        }
    }
    let look = look.ok_or(Error::RowNotFound)?;
    if runs.len() > limit {
        return Err(unreadable("place", "more runs were taken than were asked for"));
    }
    runs.sort_by_key(|(place, _)| *place);
    let runs = runs.into_iter().map(|(_, run)| run).collect();
    let next = get::<Option<i64>>(look, "next_wake_up")?.map(Timestamp::from_micros);
    let next_schedule = get::<Option<i64>>(look, "next_schedule")?.map(Timestamp::from_micros);
    let claimed =
        Claimed::new(runs, messages(look)?, next, time(look, "looked_at")?).next_schedule(next_schedule);
    Ok(Read { claimed, unreadable: unreadable_runs })
}

/// Gives runs back that cannot be read, so that nobody is kept busy with them. Where that fails they are still the
/// worker's, and nothing would tell it so but an outcome that is unknown.
async fn set_aside(
    store: &PgStore,
    worker: &WorkerId,
    runs: Vec<(String, Uuid, i64)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let until = WakeUp::At(now.after(SET_ASIDE));
    let given_back = store.give_back(worker, runs, until).await;
    given_back.map_err(|error| StoreError::OutcomeUnknown(Box::new(error)))
}

/// How long a run that cannot be read is left alone.
const SET_ASIDE: Duration = Duration::from_secs(600);

fn messages(look: &PgRow) -> Result<Vec<(ProjectId, RunId)>, Error> {
    let projects: Option<Vec<String>> = get(look, "message_projects")?;
    let runs: Option<Vec<Uuid>> = get(look, "message_runs")?;
    let pairs = projects.unwrap_or_default().into_iter().zip(runs.unwrap_or_default());
    // A project that is none has no run that could be told.
    let known =
        |(project, run): (String, Uuid)| Some((project.parse().ok()?, RunId::from_bytes(run.into_bytes())));
    Ok(pairs.filter_map(known).collect())
}

fn taken(row: &PgRow) -> Result<ClaimedRun, Error> {
    let record = record(row, parsed(row, "project")?)?;
    let chunks = chunks(row)?;
    let (epoch, claim) = (count(row, "epoch")?, count(row, "claim")?);
    Ok(ClaimedRun { record, epoch, claim, strikes: count(row, "strikes")?, chunks })
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
