//! Commits: a batch as one statement.
//!
//! The statement takes each run and each key at most once. A batch in which two commits share one goes in waves, one
//! statement each, in one transaction; the engine's batches need one, because no run has two commits under way.

use std::collections::BTreeMap;

use meshhook_core::id::{ProjectId, RunId};
use meshhook_core::store::{AdvanceRun, Commit, CommitOutcome, Dedupe, Hold, StartRun, StoreError, WakeUp};
use meshhook_core::time::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{Error, PgConnection};
use uuid::Uuid;

use crate::error::{Effect, unreadable};
use crate::row::{digest_bytes, failure_text, int, micros, uuid};
use crate::session::{Lane, Query, get};
use crate::{PgStore, sql};

pub(super) async fn commit(store: &PgStore, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
    let now = store.now();
    let waves = waves(&batch);
    store
        .engine(Lane::Commit, Effect::Writes, move |session| {
            let (batch, waves) = (&batch, &waves);
            // What the future holds must be its own.
            let waves: Vec<Wave> = waves.iter().map(|members| Wave::new(batch, members)).collect();
            let count = batch.len();
            Box::pin(async move {
                let mut outcomes = vec![None; count];
                if let [wave] = &waves[..] {
                    let row = session.one(wave.query(now)).await?;
                    wave.read(&row, &mut outcomes)?;
                } else {
                    session.begin_plain().await?;
                    for wave in &waves {
                        let row = session.all(wave.query(now)).await?.pop().ok_or(Error::RowNotFound)?;
                        wave.read(&row, &mut outcomes)?;
                    }
                    session.commit().await?;
                }
                let missing = || unreadable("s_outcome", "a commit without an outcome");
                outcomes.into_iter().map(|outcome| outcome.ok_or_else(missing)).collect()
            })
        })
        .await
}

/// Commits one start within the transaction that the connection is in.
pub(crate) async fn start_in(
    connection: &mut PgConnection,
    start: StartRun,
    now: Option<i64>,
) -> Result<CommitOutcome, Error> {
    let wave = Wave::new(&[Commit::Start(start)], &[0]);
    // The session is the host's: nothing is left prepared in it.
    let row = wave.query(now).persistent(false).fetch_one(connection).await?;
    let mut outcomes = [None];
    wave.read(&row, &mut outcomes)?;
    let [outcome] = outcomes;
    outcome.ok_or_else(|| unreadable("s_outcome", "a commit without an outcome"))
}

/// A key as it is kept: short, and of any characters.
pub(super) fn key_bytes(scope: &str, key: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update((scope.len() as u64).to_be_bytes());
    hash.update(scope);
    hash.update(key);
    hash.finalize().to_vec()
}

/// Which commits go together: each wave holds a run and a key at most once, and order among those that share one is kept.
fn waves(batch: &[Commit]) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut runs: BTreeMap<(&ProjectId, RunId), usize> = BTreeMap::new();
    let mut keys: BTreeMap<(&ProjectId, &str, &str), usize> = BTreeMap::new();
    for (index, commit) in batch.iter().enumerate() {
        let (project, run, dedupe) = match commit {
            Commit::Start(start) => (&start.meta.project, start.meta.run, start.dedupe.as_ref()),
            Commit::Advance(advance) => (&advance.project, advance.run, None),
            _ => continue,
        };
        let key = dedupe.map(|dedupe| (project, &*dedupe.scope, &*dedupe.key));
        let of_run = runs.get(&(project, run)).copied().unwrap_or(0);
        let of_key = key.and_then(|key| keys.get(&key).copied()).unwrap_or(0);
        let wave = of_run.max(of_key);
        if waves.len() <= wave {
            waves.push(Vec::new());
        }
        waves[wave].push(index);
        runs.insert((project, run), wave + 1);
        if let Some(key) = key {
            keys.insert(key, wave + 1);
        }
    }
    waves
}

/// The columns of one statement, ready to be sent.
#[derive(Default)]
struct Wave {
    workers: Vec<String>,
    ids: Option<(Uuid, Uuid)>,
    starts: Starts,
    advances: Advances,
}

#[derive(Default)]
struct Starts {
    /// Each one's place in the batch.
    index: Vec<usize>,
    project: Vec<String>,
    run: Vec<Uuid>,
    workflow: Vec<String>,
    version: Vec<Option<i64>>,
    digest: Vec<Vec<u8>>,
    created_at: Vec<i64>,
    test: Vec<bool>,
    worker: Vec<String>,
    last: Vec<i64>,
    chunk: Vec<Vec<u8>>,
    hash: Vec<Vec<u8>>,
    hold: Holds,
    /// Left out where no start has one.
    keys: Option<Keys>,
}

#[derive(Default)]
struct Keys {
    key: Vec<Option<Vec<u8>>>,
    fingerprint: Vec<Option<Vec<u8>>>,
    window: Vec<Option<i64>>,
}

#[derive(Default)]
struct Advances {
    index: Vec<usize>,
    project: Vec<String>,
    run: Vec<Uuid>,
    worker: Vec<String>,
    epoch: Vec<i64>,
    first: Vec<Option<i64>>,
    last: Vec<Option<i64>>,
    chunk: Vec<Option<Vec<u8>>>,
    hash: Vec<Option<Vec<u8>>>,
    hold: Holds,
    consumed_by: Vec<i32>,
    consumed: Vec<i64>,
}

#[derive(Default)]
struct Holds {
    hold: Vec<i16>,
    status: Vec<String>,
    at: Vec<Option<i64>>,
    failure: Vec<Option<String>>,
}

impl Holds {
    fn push(&mut self, hold: &Hold) {
        let (code, status, at, failure) = match hold {
            Hold::Keep { status } => (0, status, None, None),
            Hold::Release { wake_up: WakeUp::Now, status } => (3, status, None, None),
            Hold::Release { wake_up: WakeUp::At(at), status } => (1, status, Some(*at), None),
            Hold::Release { wake_up: WakeUp::Never, status } => (1, status, None, None),
            Hold::End { status, at, failure } => (2, status, Some(*at), failure.as_ref()),
        };
        self.hold.push(code);
        self.status.push(status.as_str().to_owned());
        self.at.push(at.map(Timestamp::as_micros));
        self.failure.push(failure.map(failure_text));
    }
}

impl Wave {
    fn new(batch: &[Commit], members: &[usize]) -> Self {
        let mut wave = Self::default();
        let mut starts: Vec<(usize, &StartRun)> = Vec::new();
        let mut advances: Vec<(usize, &AdvanceRun)> = Vec::new();
        for &index in members {
            match &batch[index] {
                Commit::Start(start) => starts.push((index, start)),
                Commit::Advance(advance) => advances.push((index, advance)),
                _ => {}
            }
        }
        starts.sort_by_key(|(_, start)| (start.meta.project.clone(), start.meta.run));
        advances.sort_by_key(|(_, advance)| (advance.project.clone(), advance.run));
        let has_keys = starts.iter().any(|(_, start)| start.dedupe.is_some());
        wave.starts.keys = has_keys.then(Keys::default);
        for (index, start) in starts {
            wave.note_run(start.meta.run);
            // Only what is held can be taken away.
            if matches!(start.hold, Hold::Keep { .. }) {
                wave.workers.push(start.worker.to_string());
            }
            wave.starts.push(index, start);
        }
        for (index, advance) in advances {
            wave.note_run(advance.run);
            wave.workers.push(advance.worker.to_string());
            wave.advances.push(index, advance);
        }
        wave.workers.sort();
        wave.workers.dedup();
        wave
    }

    fn note_run(&mut self, run: RunId) {
        let id = uuid(run);
        self.ids = Some(self.ids.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
    }

    fn query(&self, now: Option<i64>) -> Query<'_> {
        let Wave { workers, ids, starts, advances } = self;
        let keys = starts.keys.as_ref();
        sqlx::query(sql!("commit"))
            .bind(now)
            .bind(workers)
            .bind(ids.map(|(low, _)| low))
            .bind(ids.map(|(_, high)| high))
            .bind(&starts.project)
            .bind(&starts.run)
            .bind(&starts.workflow)
            .bind(&starts.version)
            .bind(&starts.digest)
            .bind(&starts.created_at)
            .bind(&starts.test)
            .bind(&starts.worker)
            .bind(&starts.last)
            .bind(&starts.chunk)
            .bind(&starts.hash)
            .bind(&starts.hold.hold)
            .bind(&starts.hold.status)
            .bind(&starts.hold.at)
            .bind(&starts.hold.failure)
            .bind(keys.map(|keys| &keys.key))
            .bind(keys.map(|keys| &keys.fingerprint))
            .bind(keys.map(|keys| &keys.window))
            .bind(&advances.project)
            .bind(&advances.run)
            .bind(&advances.worker)
            .bind(&advances.epoch)
            .bind(&advances.first)
            .bind(&advances.last)
            .bind(&advances.chunk)
            .bind(&advances.hash)
            .bind(&advances.hold.hold)
            .bind(&advances.hold.status)
            .bind(&advances.hold.at)
            .bind(&advances.hold.failure)
            .bind(&advances.consumed_by)
            .bind(&advances.consumed)
    }

    /// Puts the answers where they belong.
    fn read(&self, row: &PgRow, outcomes: &mut [Option<CommitOutcome>]) -> Result<(), Error> {
        let codes: Option<Vec<i16>> = get(row, "s_outcome")?;
        let others: Option<Vec<Option<Uuid>>> = get(row, "s_other")?;
        let started = codes.unwrap_or_default().into_iter().zip(others.unwrap_or_default());
        for (&index, (code, other)) in self.starts.index.iter().zip(started) {
            let other = other.map(|id| RunId::from_bytes(id.into_bytes()));
            outcomes[index] = Some(match (code, other) {
                (0, _) => CommitOutcome::Committed,
                (1, _) => CommitOutcome::Exists,
                (2 | 3, Some(run)) => CommitOutcome::Duplicate { run, same: code == 2 },
                _ => return Err(unreadable("s_outcome", "an unknown outcome")),
            });
        }
        let done: Option<Vec<bool>> = get(row, "a_done")?;
        for (&index, done) in self.advances.index.iter().zip(done.unwrap_or_default()) {
            outcomes[index] = Some(if done { CommitOutcome::Committed } else { CommitOutcome::Stale });
        }
        Ok(())
    }
}

impl Starts {
    fn push(&mut self, index: usize, start: &StartRun) {
        let StartRun { meta, dedupe, worker, chunk, hold } = start;
        self.index.push(index);
        self.project.push(meta.project.to_string());
        self.run.push(uuid(meta.run));
        self.workflow.push(meta.workflow.to_string());
        self.version.push(meta.version.map(i64::from));
        self.digest.push(digest_bytes(&meta.digest));
        self.created_at.push(meta.created_at.as_micros());
        self.test.push(meta.test);
        self.worker.push(worker.to_string());
        self.last.push(int(chunk.last_seq));
        self.chunk.push(chunk.text.as_bytes().to_vec());
        self.hash.push(chunk.hash.0.to_vec());
        self.hold.push(hold);
        if let Some(keys) = &mut self.keys {
            let (key, fingerprint, window) = match dedupe {
                Some(Dedupe { scope, key, fingerprint, window }) => {
                    (Some(key_bytes(scope, key)), Some(fingerprint.to_vec()), Some(micros(*window)))
                }
                None => (None, None, None),
            };
            keys.key.push(key);
            keys.fingerprint.push(fingerprint);
            keys.window.push(window);
        }
    }
}

impl Advances {
    fn push(&mut self, index: usize, advance: &AdvanceRun) {
        let AdvanceRun { project, run, worker, epoch, chunk, hold, consumed } = advance;
        self.index.push(index);
        let item = i32::try_from(self.index.len()).unwrap_or(i32::MAX);
        self.project.push(project.to_string());
        self.run.push(uuid(*run));
        self.worker.push(worker.to_string());
        self.epoch.push(int(*epoch));
        self.first.push(chunk.as_ref().map(|chunk| int(chunk.first_seq)));
        self.last.push(chunk.as_ref().map(|chunk| int(chunk.last_seq)));
        self.chunk.push(chunk.as_ref().map(|chunk| chunk.text.as_bytes().to_vec()));
        self.hash.push(chunk.as_ref().map(|chunk| chunk.hash.0.to_vec()));
        self.hold.push(hold);
        for id in consumed {
            self.consumed_by.push(item);
            self.consumed.push(id.0);
        }
    }
}
