//! A batch of commits as columns: what the statements take.

use std::collections::{BTreeMap, BTreeSet};

use meshhook_core::id::{ProjectId, RunId, WorkerId};
use meshhook_core::store::{AdvanceRun, Commit, CommitOutcome, Hold, StartRun, WakeUp};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::commit::{Care, key_bytes};
use crate::error::unreadable;
use crate::row::{digest_bytes, failure_text, int, micros, uuid};
use crate::session::{Query, get};
use crate::sql;

/// What became of each commit of a batch, as far as it is known.
pub(super) type Outcomes = Vec<Option<CommitOutcome>>;

/// Commits of one worker, of which no two share a run or a key.
#[derive(Debug)]
pub(super) enum Wave {
    Starts(Starts),
    Advances(Advances),
    Both(Box<Starts>, Box<Advances>),
}

/// Divides a batch; the order of commits that share a run or a key is kept.
pub(super) fn waves(batch: &[Commit]) -> Vec<Wave> {
    let mut waves: BTreeMap<(usize, &WorkerId), Vec<usize>> = BTreeMap::new();
    let mut runs: BTreeMap<(&ProjectId, RunId), usize> = BTreeMap::new();
    let mut keys: BTreeMap<(&ProjectId, &str, &str), usize> = BTreeMap::new();
    for (index, commit) in batch.iter().enumerate() {
        let (project, run, worker, dedupe) = match commit {
            Commit::Start(start) => {
                (&start.meta.project, start.meta.run, &start.worker, start.dedupe.as_ref())
            }
            Commit::Advance(advance) => (&advance.project, advance.run, &advance.worker, None),
            _ => continue,
        };
        let key = dedupe.map(|dedupe| (project, &*dedupe.scope, &*dedupe.key));
        let of_run = runs.get(&(project, run)).copied().unwrap_or(0);
        let of_key = key.and_then(|key| keys.get(&key).copied()).unwrap_or(0);
        let turn = of_run.max(of_key);
        waves.entry((turn, worker)).or_default().push(index);
        runs.insert((project, run), turn + 1);
        if let Some(key) = key {
            keys.insert(key, turn + 1);
        }
    }
    waves.into_iter().filter_map(|((_, worker), members)| Wave::new(worker, batch, &members)).collect()
}

impl Wave {
    fn new(worker: &WorkerId, batch: &[Commit], members: &[usize]) -> Option<Self> {
        let mut starts: Vec<(usize, &StartRun)> = Vec::new();
        let mut advances: Vec<(usize, &AdvanceRun)> = Vec::new();
        for &index in members {
            match &batch[index] {
                Commit::Start(start) => starts.push((index, start)),
                Commit::Advance(advance) => advances.push((index, advance)),
                _ => {}
            }
        }
        match (starts.is_empty(), advances.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Wave::Starts(Starts::new(worker, starts))),
            (true, false) => Some(Wave::Advances(Advances::new(worker, advances))),
            (false, false) => {
                let (starts, advances) = (Starts::new(worker, starts), Advances::new(worker, advances));
                Some(Wave::Both(Box::new(starts), Box::new(advances)))
            }
        }
    }

    pub(super) fn query(&self, care: Care) -> Query<'_> {
        match self {
            Wave::Starts(starts) => starts.bind(sqlx::query(sql!("start")), care),
            Wave::Advances(advances) => advances.bind(sqlx::query(sql!("advance")), care),
            Wave::Both(starts, advances) => {
                advances.bind(starts.bind(sqlx::query(sql!("start_and_advance")), care), care)
            }
        }
    }

    /// The keys that are wanted: for which commit of the batch, of which project, and which.
    pub(super) fn keys(&self) -> impl Iterator<Item = (usize, &str, &[u8])> {
        let starts = match self {
            Wave::Starts(starts) => Some(starts),
            Wave::Both(starts, _) => Some(&**starts),
            Wave::Advances(_) => None,
        };
        starts.into_iter().flat_map(|starts| {
            let Keys { item, key, .. } = &starts.keys;
            item.iter().zip(key).filter_map(|(item, key)| {
                let place = usize::try_from(*item).ok()?.checked_sub(1)?;
                Some((*starts.index.get(place)?, starts.project.get(place)?.as_str(), key.as_slice()))
            })
        })
    }

    /// Puts the answers where they belong.
    pub(super) fn read(&self, row: &PgRow, outcomes: &mut [Option<CommitOutcome>]) -> Result<(), Error> {
        match self {
            Wave::Starts(starts) => starts.read(row, outcomes),
            Wave::Advances(advances) => advances.read(row, outcomes),
            Wave::Both(starts, advances) => {
                starts.read(row, outcomes)?;
                advances.read(row, outcomes)
            }
        }
    }
}

/// The locks that waves of one transaction need, in their order.
#[derive(Debug)]
pub(super) struct Locks {
    workers: Vec<String>,
    project: Vec<String>,
    run: Vec<Uuid>,
}

impl Locks {
    pub(super) fn of(waves: &[Wave]) -> Self {
        let mut workers = BTreeSet::new();
        let mut runs = BTreeSet::new();
        for wave in waves {
            let (starts, advances) = match wave {
                Wave::Starts(starts) => (Some(starts), None),
                Wave::Advances(advances) => (None, Some(advances)),
                Wave::Both(starts, advances) => (Some(&**starts), Some(&**advances)),
            };
            if let Some(starts) = starts {
                workers.insert(starts.worker.clone());
            }
            if let Some(advances) = advances {
                workers.insert(advances.worker.clone());
                runs.extend(advances.project.iter().cloned().zip(advances.run.iter().copied()));
            }
        }
        let (project, run) = runs.into_iter().unzip();
        Self { workers: workers.into_iter().collect(), project, run }
    }

    pub(super) fn query(&self) -> Query<'_> {
        sqlx::query(sql!("lock")).bind(&self.workers).bind(&self.project).bind(&self.run)
    }
}

#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Each one's place in the batch.
    index: Vec<usize>,
    worker: String,
    low: Uuid,
    high: Uuid,
    project: Vec<String>,
    run: Vec<Uuid>,
    workflow: Vec<String>,
    version: Vec<Option<i64>>,
    digest: Vec<Vec<u8>>,
    created_at: Vec<i64>,
    test: Vec<bool>,
    last: Vec<i64>,
    chunk: Vec<Vec<u8>>,
    hash: Vec<Vec<u8>>,
    hold: Holds,
    keys: Keys,
}

/// The keys that are wanted, by value, each with the place of its run among the starts, counted from one.
#[derive(Debug, Default)]
struct Keys {
    item: Vec<i32>,
    key: Vec<Vec<u8>>,
    fingerprint: Vec<Vec<u8>>,
    window: Vec<i64>,
}

impl Starts {
    pub(super) fn new(worker: &WorkerId, mut starts: Vec<(usize, &StartRun)>) -> Self {
        starts.sort_by(|(_, a), (_, b)| (&a.meta.project, a.meta.run).cmp(&(&b.meta.project, b.meta.run)));
        let mut columns = Self { worker: worker.to_string(), ..Self::default() };
        (columns.low, columns.high) = ends(starts.iter().map(|(_, start)| start.meta.run));
        let mut keys = Vec::new();
        for ((index, start), item) in starts.into_iter().zip(1..) {
            let StartRun { meta, dedupe, worker: _, chunk, hold } = start;
            columns.index.push(index);
            columns.project.push(meta.project.to_string());
            columns.run.push(uuid(meta.run));
            columns.workflow.push(meta.workflow.to_string());
            columns.version.push(meta.version.map(i64::from));
            columns.digest.push(digest_bytes(&meta.digest));
            columns.created_at.push(meta.created_at.as_micros());
            columns.test.push(meta.test);
            columns.last.push(int(chunk.last_seq));
            columns.chunk.push(chunk.text.as_bytes().to_vec());
            columns.hash.push(chunk.hash.0.to_vec());
            columns.hold.push(hold);
            if let Some(dedupe) = dedupe {
                keys.push((&meta.project, key_bytes(&dedupe.scope, &dedupe.key), item, dedupe));
            }
        }
        keys.sort_by(|(a_project, a_key, ..), (b_project, b_key, ..)| {
            (a_project, a_key).cmp(&(b_project, b_key))
        });
        for (_, key, item, dedupe) in keys {
            columns.keys.item.push(item);
            columns.keys.key.push(key);
            columns.keys.fingerprint.push(dedupe.fingerprint.to_vec());
            columns.keys.window.push(micros(dedupe.window));
        }
        columns
    }

    pub(super) fn bind<'q>(&'q self, query: Query<'q>, care: Care) -> Query<'q> {
        let Keys { item, key, fingerprint, window } = &self.keys;
        let keyed = !item.is_empty();
        query
            .bind(care.now)
            .bind(&self.worker)
            .bind(self.low)
            .bind(self.high)
            .bind(care.careful)
            .bind(care.patience)
            .bind(&self.project)
            .bind(&self.run)
            .bind(&self.workflow)
            .bind(&self.version)
            .bind(&self.digest)
            .bind(&self.created_at)
            .bind(&self.test)
            .bind(&self.last)
            .bind(&self.chunk)
            .bind(&self.hash)
            .bind(&self.hold.hold)
            .bind(&self.hold.status)
            .bind(self.hold.at())
            .bind(self.hold.failure())
            .bind(keyed.then_some(item))
            .bind(keyed.then_some(key))
            .bind(keyed.then_some(fingerprint))
            .bind(keyed.then_some(window))
    }

    pub(super) fn read(&self, row: &PgRow, outcomes: &mut [Option<CommitOutcome>]) -> Result<(), Error> {
        let Some(codes) = get::<Option<Vec<i16>>>(row, "s_outcome")? else {
            self.index.iter().for_each(|index| outcomes[*index] = Some(CommitOutcome::Committed));
            return Ok(());
        };
        let others: Vec<Option<Uuid>> = get(row, "s_other")?;
        for (&index, (code, other)) in self.index.iter().zip(codes.into_iter().zip(others)) {
            let other = other.map(|id| RunId::from_bytes(id.into_bytes()));
            outcomes[index] = Some(match (code, other) {
                (0, _) => CommitOutcome::Committed,
                (1, _) => CommitOutcome::Exists,
                (2 | 3, Some(run)) => CommitOutcome::Duplicate { run, same: code == 2 },
                (4, _) => CommitOutcome::Busy,
                _ => return Err(unreadable("s_outcome", "an unknown outcome")),
            });
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(super) struct Advances {
    index: Vec<usize>,
    worker: String,
    low: Uuid,
    high: Uuid,
    project: Vec<String>,
    run: Vec<Uuid>,
    claim: Vec<i64>,
    after: Vec<i64>,
    last: Vec<Option<i64>>,
    chunk: Vec<Option<Vec<u8>>>,
    hash: Vec<Option<Vec<u8>>>,
    hold: Holds,
    consumed_by: Vec<i32>,
    consumed: Vec<i64>,
}

impl Advances {
    fn new(worker: &WorkerId, mut advances: Vec<(usize, &AdvanceRun)>) -> Self {
        advances.sort_by(|(_, a), (_, b)| (&a.project, a.run).cmp(&(&b.project, b.run)));
        let mut columns = Self { worker: worker.to_string(), ..Self::default() };
        (columns.low, columns.high) = ends(advances.iter().map(|(_, advance)| advance.run));
        for ((index, advance), item) in advances.into_iter().zip(1..) {
            let AdvanceRun { project, run, worker: _, claim, after, chunk, hold, consumed } = advance;
            columns.index.push(index);
            columns.project.push(project.to_string());
            columns.run.push(uuid(*run));
            columns.claim.push(int(*claim));
            columns.after.push(int(*after));
            columns.last.push(chunk.as_ref().map(|chunk| int(chunk.last_seq)));
            columns.chunk.push(chunk.as_ref().map(|chunk| chunk.text.as_bytes().to_vec()));
            columns.hash.push(chunk.as_ref().map(|chunk| chunk.hash.0.to_vec()));
            columns.hold.push(hold);
            for id in consumed {
                columns.consumed_by.push(item);
                columns.consumed.push(id.0);
            }
        }
        columns
    }

    fn bind<'q>(&'q self, query: Query<'q>, care: Care) -> Query<'q> {
        let consumes = !self.consumed.is_empty();
        query
            .bind(care.now)
            .bind(&self.worker)
            .bind(self.low)
            .bind(self.high)
            .bind(&self.project)
            .bind(&self.run)
            .bind(&self.claim)
            .bind(&self.after)
            .bind(&self.last)
            .bind(&self.chunk)
            .bind(&self.hash)
            .bind(&self.hold.hold)
            .bind(&self.hold.status)
            .bind(self.hold.at())
            .bind(self.hold.failure())
            .bind(consumes.then_some(&self.consumed_by))
            .bind(consumes.then_some(&self.consumed))
    }

    fn read(&self, row: &PgRow, outcomes: &mut [Option<CommitOutcome>]) -> Result<(), Error> {
        let done: Option<Vec<bool>> = get(row, "a_done")?;
        for (place, &index) in self.index.iter().enumerate() {
            // No answer says that all are committed.
            let done = done.as_ref().is_none_or(|done| done.get(place).copied().unwrap_or_default());
            outcomes[index] = Some(if done { CommitOutcome::Committed } else { CommitOutcome::Stale });
        }
        Ok(())
    }
}

/// Who has each run afterwards.
#[derive(Debug, Default)]
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

    /// Left out where there is none.
    fn at(&self) -> Option<&Vec<Option<i64>>> {
        self.at.iter().any(Option::is_some).then_some(&self.at)
    }

    /// Left out where there is none.
    fn failure(&self) -> Option<&Vec<Option<String>>> {
        self.failure.iter().any(Option::is_some).then_some(&self.failure)
    }
}

/// The least and the greatest run.
fn ends(runs: impl Iterator<Item = RunId> + Clone) -> (Uuid, Uuid) {
    let least = runs.clone().map(uuid).min().unwrap_or_default();
    (least, runs.map(uuid).max().unwrap_or_default())
}
