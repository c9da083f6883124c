//! Runs, their holders, their histories.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryStore, Operation, State};
use crate::event::{Chunk, RunStatus};
use crate::failure::Failure;
use crate::id::{ProjectId, RunId, WorkerId};
use crate::run::RunMeta;
use crate::store::{
    AdvanceRun, Claim, ClaimCandidate, Claimed, ClaimedRun, Commit, CommitOutcome, Dedupe, HeldRun, Hold,
    KeyHolder, Ledger, StartRun, StoreError, WakeUp,
};
use crate::time::Timestamp;

pub(super) type RunKey = (ProjectId, RunId);
type DedupeKey = (ProjectId, String, String);

#[derive(Default)]
pub(super) struct Runs {
    pub(super) runs: BTreeMap<RunKey, Run>,
    /// Released runs that wake up by themselves.
    due: BTreeSet<(ProjectId, Timestamp, RunId)>,
    held: BTreeSet<(WorkerId, RunKey)>,
    pub(super) leases: BTreeMap<WorkerId, Lease>,
    keys: BTreeMap<DedupeKey, Remembered>,
    expiring: BTreeSet<(Timestamp, DedupeKey)>,
}

pub(super) struct Run {
    pub(super) meta: RunMeta,
    pub(super) place: Place,
    pub(super) status: RunStatus,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) failure: Option<Failure>,
    pub(super) chunks: Vec<Chunk>,
    #[cfg(feature = "testing")]
    pub(super) commits: Vec<super::CommitRecord>,
    pub(super) epoch: u64,
    claim: u64,
    last_holder: WorkerId,
    strikes: u32,
    strike_seq: u64,
}

/// Who has a run.
#[derive(Clone, PartialEq)]
pub(super) enum Place {
    Held(WorkerId),
    Released(Option<Timestamp>),
    Ended,
}

pub(super) struct Lease {
    pub(super) until: Timestamp,
    retired: bool,
}

struct Remembered {
    holder: KeyHolder,
    expires_at: Timestamp,
}

impl Run {
    fn last_seq(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.last_seq)
    }

    fn is_held(&self, worker: &WorkerId, claim: u64) -> bool {
        self.claim == claim && matches!(&self.place, Place::Held(owner) if owner == worker)
    }

    /// Notes where the run stands, which is no end.
    fn stands(&mut self, status: RunStatus) {
        self.status = status;
        self.finished_at = None;
        self.failure = None;
    }

    /// The strikes that the run would have if it were claimed as an orphan now.
    fn next_strikes(&self) -> u32 {
        if self.last_seq() > self.strike_seq + 1 { 1 } else { self.strikes.saturating_add(1) }
    }
}

impl Runs {
    /// Moves a run and keeps the indexes in step.
    pub(super) fn place(&mut self, key: &RunKey, place: Place) {
        let Some(run) = self.runs.get_mut(key) else { return };
        let before = std::mem::replace(&mut run.place, place.clone());
        match before {
            Place::Held(worker) => {
                self.held.remove(&(worker, key.clone()));
            }
            Place::Released(Some(at)) => {
                self.due.remove(&(key.0.clone(), at, key.1));
            }
            Place::Released(None) | Place::Ended => {}
        }
        self.index(key, place);
    }

    fn index(&mut self, key: &RunKey, place: Place) {
        match place {
            Place::Held(worker) => {
                self.held.insert((worker, key.clone()));
            }
            Place::Released(Some(at)) => {
                self.due.insert((key.0.clone(), at, key.1));
            }
            Place::Released(None) | Place::Ended => {}
        }
    }

    fn held_by<'a>(&'a self, worker: &'a WorkerId) -> impl Iterator<Item = &'a RunKey> {
        let from = self.held.range((worker.clone(), first_key())..);
        from.take_while(move |(holder, _)| holder == worker).map(|(_, key)| key)
    }

    /// The earliest time at which a run wakes up: a step for each project that has one.
    fn next_wake_up(&self) -> Option<Timestamp> {
        let mut earliest: Option<Timestamp> = None;
        let mut next = self.due.first();
        while let Some((project, at, _)) = next {
            earliest = Some(earliest.map_or(*at, |earliest| earliest.min(*at)));
            let past = (project.clone(), Timestamp::MAX, RunId::from_bytes([0xFF; 16]));
            next = self.due.range((Bound::Excluded(past), Bound::Unbounded)).next();
        }
        earliest
    }

    fn key_holder(&self, project: &ProjectId, scope: &str, key: &str, now: Timestamp) -> Option<&KeyHolder> {
        let found = self.keys.get(&(project.clone(), scope.to_owned(), key.to_owned()))?;
        (found.expires_at > now).then_some(&found.holder)
    }

    fn remember(&mut self, project: &ProjectId, dedupe: &Dedupe, run: RunId, now: Timestamp) {
        let key = (project.clone(), dedupe.scope.clone(), dedupe.key.clone());
        let expires_at = now.after(dedupe.window);
        let holder = KeyHolder { run, fingerprint: dedupe.fingerprint };
        let remembered = Remembered { holder, expires_at };
        if let Some(before) = self.keys.insert(key.clone(), remembered) {
            self.expiring.remove(&(before.expires_at, key.clone()));
        }
        self.expiring.insert((expires_at, key));
    }

    fn drop_expired_keys(&mut self, now: Timestamp) {
        while self.expiring.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.expiring.pop_first() {
                self.keys.remove(&key);
            }
        }
    }

    fn renew(&mut self, worker: &WorkerId, until: Timestamp) {
        self.leases.insert(worker.clone(), Lease { until, retired: false });
    }

    fn candidates(&self, claim: &Claim, now: Timestamp) -> Vec<ClaimCandidate> {
        let mut found = Vec::new();
        let mut project = self.due.first().map(|(project, ..)| project.clone());
        while let Some(current) = project {
            let of_project =
                |(project, at, _): &&(ProjectId, Timestamp, RunId)| *project == current && *at <= now;
            found.extend(
                self.due
                    .range((current.clone(), Timestamp::MIN, first_key().1)..)
                    .take_while(of_project)
                    .take(claim.limit)
                    .map(|(project, since, run)| ClaimCandidate {
                        since: *since,
                        run: *run,
                        project: project.clone(),
                        suspect: false,
                    }),
            );
            let past = (current, Timestamp::MAX, RunId::from_bytes([0xFF; 16]));
            project = self
                .due
                .range((Bound::Excluded(past), Bound::Unbounded))
                .next()
                .map(|(project, ..)| project.clone());
        }
        for (worker, lease) in &self.leases {
            if lease.until > now || *worker == claim.worker {
                continue;
            }
            for key in self.held_by(worker) {
                let suspect = !lease.retired && self.runs.get(key).is_some_and(|run| run.next_strikes() >= 2);
                found.push(ClaimCandidate {
                    since: lease.until,
                    run: key.1,
                    project: key.0.clone(),
                    suspect,
                });
            }
        }
        found
    }

    fn take(&mut self, key: &RunKey, worker: &WorkerId) -> Option<ClaimedRun> {
        let run = self.runs.get_mut(key)?;
        if let Place::Held(owner) = &run.place
            && self.leases.get(owner).is_none_or(|lease| !lease.retired)
        {
            run.strikes = run.next_strikes();
            run.strike_seq = run.last_seq();
        }
        if run.last_holder != *worker {
            run.epoch += 1;
            run.last_holder = worker.clone();
        }
        run.claim += 1;
        let claimed = ClaimedRun {
            record: run.record(),
            epoch: run.epoch,
            claim: run.claim,
            strikes: run.strikes,
            chunks: run.chunks.clone(),
        };
        self.place(key, Place::Held(worker.clone()));
        Some(claimed)
    }

    /// Forgets leases that ended and cover nothing.
    fn drop_spent_leases(&mut self, now: Timestamp) {
        let held = &self.held;
        let holds = |worker: &WorkerId| {
            held.range((worker.clone(), first_key())..).next().is_some_and(|(holder, _)| holder == worker)
        };
        self.leases.retain(|worker, lease| lease.until > now || holds(worker));
    }
}

impl State {
    pub(super) fn start(&mut self, start: StartRun, now: Timestamp) -> CommitOutcome {
        let key = (start.meta.project.clone(), start.meta.run);
        if self.ledger.runs.contains_key(&key) {
            return CommitOutcome::Exists;
        }
        if let Some(dedupe) = &start.dedupe {
            if let Some(holder) = self.ledger.key_holder(&key.0, &dedupe.scope, &dedupe.key, now) {
                return holder.refuse(dedupe);
            }
            self.ledger.remember(&key.0, dedupe, key.1, now);
        }
        if matches!(start.hold, Hold::Keep { .. }) {
            self.ledger.leases.entry(start.worker.clone()).or_insert(Lease { until: now, retired: false });
        }
        let run = Run {
            meta: start.meta,
            place: Place::Ended,
            status: RunStatus::Running,
            finished_at: None,
            failure: None,
            #[cfg(feature = "testing")]
            commits: vec![super::CommitRecord { at: now, worker: start.worker.clone() }],
            chunks: vec![start.chunk],
            epoch: 1,
            claim: 1,
            last_holder: start.worker.clone(),
            strikes: 0,
            strike_seq: 0,
        };
        self.ledger.runs.insert(key.clone(), run);
        self.hold(&key, start.hold, &start.worker, now);
        CommitOutcome::Committed
    }

    fn advance(&mut self, advance: AdvanceRun, now: Timestamp) -> CommitOutcome {
        let key = (advance.project, advance.run);
        let Some(run) = self.ledger.runs.get_mut(&key) else { return CommitOutcome::Stale };
        if !run.is_held(&advance.worker, advance.claim) || run.last_seq() != advance.after {
            return CommitOutcome::Stale;
        }
        if let Some(chunk) = advance.chunk {
            run.chunks.push(chunk);
            #[cfg(feature = "testing")]
            run.commits.push(super::CommitRecord { at: now, worker: advance.worker.clone() });
        }
        self.inbox.consume(&key, &advance.consumed);
        self.hold(&key, advance.hold, &advance.worker, now);
        CommitOutcome::Committed
    }

    fn hold(&mut self, key: &RunKey, hold: Hold, worker: &WorkerId, now: Timestamp) {
        let Some(run) = self.ledger.runs.get_mut(key) else { return };
        let place = match hold {
            Hold::Keep { status } => {
                run.stands(status);
                Place::Held(worker.clone())
            }
            Hold::Release { wake_up, status } => {
                run.stands(status);
                let wake_at = wake_up.at(now);
                if self.inbox.has_any(key) {
                    Place::Released(Some(wake_at.map_or(now, |at| at.min(now))))
                } else {
                    Place::Released(wake_at)
                }
            }
            Hold::End { status, at, failure } => {
                run.status = status;
                run.finished_at = Some(at);
                run.failure = failure;
                if status != RunStatus::Failed {
                    self.inbox.clear(key);
                    Place::Ended
                } else if self.inbox.has_retry(key) {
                    Place::Released(Some(now))
                } else {
                    Place::Ended
                }
            }
        };
        self.ledger.place(key, place);
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.run_owned(Operation::Commit, move |state, now| {
            for commit in &batch {
                commit.check().map_err(StoreError::internal)?;
            }
            state.ledger.drop_expired_keys(now);
            Ok(batch
                .into_iter()
                .map(|commit| match commit {
                    Commit::Start(start) => state.start(start, now),
                    Commit::Advance(advance) => state.advance(advance, now),
                })
                .collect())
        })
        .await
    }

    async fn find_keys(
        &self,
        project: &ProjectId,
        wanted: &[&Dedupe],
    ) -> Result<Vec<Option<KeyHolder>>, StoreError> {
        self.run(Operation::Read, |state, now| {
            let holder =
                |dedupe: &&Dedupe| state.ledger.key_holder(project, &dedupe.scope, &dedupe.key, now).cloned();
            Ok(wanted.iter().map(holder).collect())
        })
        .await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.run(Operation::Claim, |state, now| {
            let runs = &mut state.ledger;
            runs.renew(&claim.worker, now.after(claim.lease));
            let with_messages = runs.held_by(&claim.worker).filter(|key| state.inbox.has_any(key));
            let messages = with_messages.take(claim.messages).cloned().collect();
            let chosen = ClaimCandidate::choose(runs.candidates(&claim, now), &claim);
            let (mut claimed, mut bytes) = (Vec::new(), 0);
            for candidate in chosen {
                if bytes >= claim.bytes && !claimed.is_empty() {
                    break;
                }
                let run = runs.take(&(candidate.project, candidate.run), &claim.worker);
                bytes += run.as_ref().map_or(0, ClaimedRun::bytes);
                claimed.extend(run);
            }
            runs.drop_spent_leases(now);
            let found = Claimed::new(claimed, messages, runs.next_wake_up(), now);
            Ok(found.next_schedule(state.schedules.next()))
        })
        .await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Timestamp, StoreError> {
        self.run(Operation::Renew, |state, now| {
            state.ledger.renew(worker, now.after(lease));
            Ok(now)
        })
        .await
    }

    async fn held(&self, worker: &WorkerId) -> Result<Vec<HeldRun>, StoreError> {
        self.run(Operation::Held, |state, _| {
            let runs = &state.ledger;
            let held = |key: &RunKey| {
                let claim = runs.runs.get(key)?.claim;
                Some(HeldRun { project: key.0.clone(), run: key.1, claim })
            };
            Ok(runs.held_by(worker).filter_map(held).collect())
        })
        .await
    }

    async fn forget(&self, worker: &WorkerId, runs: &[HeldRun], wake_up: WakeUp) -> Result<(), StoreError> {
        let (worker, runs) = (worker.clone(), runs.to_vec());
        self.run_owned(Operation::Forget, move |state, now| {
            for HeldRun { project, run, claim } in runs {
                let key = (project, run);
                if state.ledger.runs.get(&key).is_some_and(|run| run.is_held(&worker, claim)) {
                    state.ledger.place(&key, Place::Released(wake_up.at(now)));
                }
            }
            Ok(())
        })
        .await
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.run(Operation::Retire, |state, now| {
            state.ledger.leases.insert(worker.clone(), Lease { until: now, retired: true });
            Ok(())
        })
        .await
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        self.run(Operation::Read, |_, now| Ok(now)).await
    }
}

fn first_key() -> RunKey {
    // `0` is the least text that a project can be: shorter than any other that starts with it.
    (ProjectId::new("0").expect("`0` is a slug"), RunId::from_bytes([0; 16]))
}
