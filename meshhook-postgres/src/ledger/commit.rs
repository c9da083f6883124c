//! Commits: a batch as one statement.
//!
//! What the statements do, and why no two writers both succeed, is said where they are written (migration 0005). One
//! takes a worker's commits, each run and each key at most once; an engine's batch is that, because no run of it has two
//! commits under way. A batch in which commits share a run or a key, or of several workers, goes in **waves**, one
//! statement each, in one transaction that takes the locks of all of them first.
//!
//! A statement supposes that no run is started twice and that no other transaction holds a key. Where that is wrong it
//! fails, changes nothing, and is made again with **care**: it looks for what exists, and takes keys one by one, so that
//! a key that cannot be judged, because a transaction that took it is still open, refuses its own start only. For a moment
//! after that, whatever comes with the same key is made with care at once, so that the others in its batch do not wait for
//! that key again; who has it by then is asked all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::store::{Commit, CommitOutcome, StartRun, StoreError};
use sha2::{Digest as _, Sha256};
use sqlx::{Error, PgConnection};
use tokio::time::Instant;

use super::wave::{Locks, Outcomes, Starts, Wave, waves};
use crate::error::{Effect, needs_care, unreadable};
use crate::session::{Lane, Session};
use crate::{PgStore, sql};

pub(super) async fn commit(store: &PgStore, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
    store.tidy().await;
    let now = store.now();
    let (count, waves): (usize, Arc<[Wave]>) = (batch.len(), waves(&batch).into());
    let (known, is_known) = (waves.clone(), store.busy.has_any(&waves));
    let outcomes = store
        .engine(Lane::Commit, Effect::Writes, move |session| {
            let waves = waves.clone();
            Box::pin(async move {
                let care = if is_known { Care::each(now) } else { Care::none(now) };
                let outcomes = match run(session, &waves, count, care).await {
                    Err(error) if !is_known && needs_care(&error) => {
                        session.rollback().await?;
                        run(session, &waves, count, Care::each(now)).await
                    }
                    done => done,
                };
                complete(outcomes?)
            })
        })
        .await?;
    store.busy.note(&known, &outcomes);
    Ok(outcomes)
}

/// Keys that could not be judged a moment ago.
#[derive(Debug, Default)]
pub(crate) struct BusyKeys(Mutex<HashMap<(String, Vec<u8>), Instant>>);

impl BusyKeys {
    fn has_any(&self, waves: &[Wave]) -> bool {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.is_empty() {
            return false;
        }
        busy.retain(|_, since| since.elapsed() < BUSY_FOR);
        waves
            .iter()
            .flat_map(Wave::keys)
            .any(|(_, project, key)| busy.contains_key(&(project.to_owned(), key.to_owned())))
    }

    fn note(&self, waves: &[Wave], outcomes: &[CommitOutcome]) {
        if !outcomes.contains(&CommitOutcome::Busy) {
            return;
        }
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, project, key) in waves.iter().flat_map(Wave::keys) {
            if outcomes.get(index) == Some(&CommitOutcome::Busy) && busy.len() < MAX_BUSY {
                busy.insert((project.to_owned(), key.to_owned()), Instant::now());
            }
        }
    }
}

/// How long a key that could not be judged is remembered as such, and how many are.
const BUSY_FOR: Duration = Duration::from_secs(1);
const MAX_BUSY: usize = 10_000;

/// Commits one start within the transaction that the connection is in.
pub(crate) async fn start_in(
    connection: &mut PgConnection,
    start: StartRun,
    now: Option<i64>,
) -> Result<CommitOutcome, Error> {
    let worker = start.worker.clone();
    let starts = Starts::new(&worker, vec![(0, &start)]);
    // The session is the host's: nothing is left prepared in it.
    let query = starts.bind(sqlx::query(sql!("start_in")), Care::host(now)).persistent(false);
    let row = query.fetch_one(connection).await?;
    let mut outcomes = vec![None];
    starts.read(&row, &mut outcomes)?;
    complete(outcomes)?.pop().ok_or(Error::RowNotFound)
}

/// Commits starts that have no keys within the transaction that the session is in.
pub(crate) async fn start_all_in(
    session: &mut Session,
    starts: &[Commit],
    now: Option<i64>,
) -> Result<Vec<CommitOutcome>, Error> {
    let mut outcomes = vec![None; starts.len()];
    for wave in waves(starts) {
        let row = session.first(wave.query(Care::each(now))).await?.ok_or(Error::RowNotFound)?;
        wave.read(&row, &mut outcomes)?;
    }
    complete(outcomes)
}

/// With which care starts are made, and as of when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    pub(super) now: Option<i64>,
    pub(super) careful: bool,
    /// How long a key is waited for that another transaction holds.
    pub(super) patience: &'static str,
}

impl Care {
    /// Other processes' commits hold keys for some milliseconds.
    fn none(now: Option<i64>) -> Self {
        Self { now, careful: false, patience: "50ms" }
    }

    /// It has been waited for already.
    fn each(now: Option<i64>) -> Self {
        Self { now, careful: true, patience: "1ms" }
    }

    /// Nobody else waits for a transaction of a host's.
    fn host(now: Option<i64>) -> Self {
        Self { now, careful: true, patience: "10s" }
    }
}

async fn run(session: &mut Session, waves: &[Wave], count: usize, care: Care) -> Result<Outcomes, Error> {
    let mut outcomes = vec![None; count];
    if let [wave] = waves {
        wave.read(&session.one(wave.query(care)).await?, &mut outcomes)?;
        return Ok(outcomes);
    }
    session.begin_plain().await?;
    let locks = Locks::of(waves);
    session.all(locks.query()).await?;
    for wave in waves {
        let row = session.first(wave.query(care)).await?.ok_or(Error::RowNotFound)?;
        wave.read(&row, &mut outcomes)?;
    }
    session.commit().await?;
    Ok(outcomes)
}

fn complete(outcomes: Outcomes) -> Result<Vec<CommitOutcome>, Error> {
    let missing = || unreadable("s_outcome", "a commit without an outcome");
    outcomes.into_iter().map(|outcome| outcome.ok_or_else(missing)).collect()
}

/// A key as it is kept: short, and of any characters.
pub(super) fn key_bytes(scope: &str, key: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update((scope.len() as u64).to_be_bytes());
    hash.update(scope);
    hash.update(key);
    hash.finalize().to_vec()
}
