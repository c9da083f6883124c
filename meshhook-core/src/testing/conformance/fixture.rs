//! What the cases are made of.

use std::time::Duration;

use super::Kit;
use crate::clock::Clock as _;
use crate::event::{Chunk, ChunkHash, RunStatus};
use crate::failure::Failure;
use crate::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use crate::run::RunMeta;
use crate::store::{
    AdvanceRun, Claim, Claimed, ClaimedRun, Commit, CommitOutcome, HeldRun, Hold, InboxId, InboxItem,
    Message, Post, Posted, RunRecord, StartRun, StoreError, WakeUp,
};
use crate::time::Timestamp;

pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn project(name: &str) -> ProjectId {
    ProjectId::new(name).expect("cases use valid projects")
}

pub(super) fn acme() -> ProjectId {
    project("acme")
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("cases use valid workers")
}

pub(super) fn ann() -> WorkerId {
    worker("ann")
}

pub(super) fn bob() -> WorkerId {
    worker("bob")
}

pub(super) fn slug(name: &str) -> WorkflowSlug {
    WorkflowSlug::new(name).expect("cases use valid workflows")
}

pub(super) fn digest(of: char) -> Digest {
    Digest::new(&of.to_string().repeat(64)).expect("cases use hexadecimal digits")
}

/// The n-th run: later ones are newer.
pub(super) fn run(n: u32) -> RunId {
    let mut random = [7; 8];
    random[4..].copy_from_slice(&n.to_be_bytes());
    RunId::new(created(n), random)
}

pub(super) fn created(n: u32) -> Timestamp {
    Timestamp::from_micros(1_767_000_000_000_000).after(SECOND * n)
}

pub(super) fn meta(n: u32) -> RunMeta {
    RunMeta::new(run(n), acme(), slug("flow"), digest('a'), created(n)).version(3)
}

/// A chunk of the positions `first..=last`.
pub(super) fn chunk(first: u64, last: u64) -> Chunk {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&first.to_be_bytes());
    Chunk::from_parts(first, last, format!("[{first},{last}]"), ChunkHash(hash))
}

/// The n-th run's start by ann, who keeps it.
pub(super) fn start(n: u32) -> StartRun {
    StartRun { meta: meta(n), dedupe: None, worker: ann(), chunk: chunk(1, 1), hold: keep() }
}

/// The n-th run's start by ann, released until a time.
pub(super) fn start_released(n: u32, wake_at: Option<Timestamp>) -> StartRun {
    StartRun { hold: release(wake_at), ..start(n) }
}

pub(super) fn start_ended(n: u32, status: RunStatus) -> StartRun {
    StartRun { hold: end(status, created(n)), ..start(n) }
}

pub(super) fn start_in(project: ProjectId, mut start: StartRun) -> StartRun {
    start.meta.project = project;
    start
}

pub(super) fn keep() -> Hold {
    Hold::Keep { status: RunStatus::Running }
}

pub(super) fn release(wake_at: Option<Timestamp>) -> Hold {
    Hold::Release { wake_up: wake_at.map_or(WakeUp::Never, WakeUp::At), status: RunStatus::Waiting }
}

pub(super) fn end(status: RunStatus, at: Timestamp) -> Hold {
    let failure = (status == RunStatus::Failed).then(|| Failure::permanent("http_status", "status 404"));
    Hold::End { status, at, failure }
}

pub(super) fn item_ids(items: &[InboxItem]) -> Vec<InboxId> {
    items.iter().map(|item| item.id).collect()
}

/// An advance of the n-th run by ann, who started it, to position `seq`.
pub(super) fn advance(n: u32, seq: u64) -> AdvanceRun {
    AdvanceRun {
        project: acme(),
        run: run(n),
        worker: ann(),
        claim: 1,
        after: seq - 1,
        chunk: Some(chunk(seq, seq)),
        hold: keep(),
        consumed: Vec::new(),
    }
}

/// The n-th run, held through a claim.
pub(super) fn held(n: u32, claim: u64) -> HeldRun {
    HeldRun { project: acme(), run: run(n), claim }
}

/// An advance that a claim gave the right to.
pub(super) fn advance_claimed(claimed: &ClaimedRun, worker: WorkerId) -> AdvanceRun {
    let last = claimed.last_seq();
    AdvanceRun {
        project: claimed.record.meta.project.clone(),
        run: claimed.record.meta.run,
        worker,
        claim: claimed.claim,
        after: last,
        chunk: Some(chunk(last + 1, last + 1)),
        hold: keep(),
        consumed: Vec::new(),
    }
}

pub(super) fn event(name: &str) -> Message {
    Message::Event { name: name.into(), key: None, payload: serde_json::json!({ "n": 1 }) }
}

pub(super) fn retry() -> Message {
    Message::Retry { by: None }
}

pub(super) fn post(n: u32, message: Message) -> Post {
    Post { project: acme(), run: run(n), message }
}

pub(super) fn ids(claimed: &[ClaimedRun]) -> Vec<RunId> {
    claimed.iter().map(|claimed| claimed.record.meta.run).collect()
}

/// A claim that takes histories of any size.
pub(super) fn claim(worker: &WorkerId, limit: usize, suspects: usize) -> Claim {
    Claim { worker: worker.clone(), limit, suspects, bytes: usize::MAX, messages: 100, lease: LEASE }
}

impl Kit {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Gives a worker a lease.
    pub(super) async fn lease(&self, worker: &WorkerId) {
        self.store.renew(worker, LEASE).await.expect("renew");
    }

    pub(super) async fn commit_all(&self, batch: Vec<Commit>) -> Vec<CommitOutcome> {
        self.store.commit(batch).await.expect("commit")
    }

    pub(super) async fn commit(&self, commit: impl Into<Commit>) -> CommitOutcome {
        let outcomes = self.commit_all(vec![commit.into()]).await;
        <[CommitOutcome; 1]>::try_from(outcomes).map(|[outcome]| outcome).expect("one outcome for one commit")
    }

    /// Commits what nothing refuses.
    pub(super) async fn committed(&self, commit: impl Into<Commit>) {
        assert_eq!(self.commit(commit).await, CommitOutcome::Committed);
    }

    pub(super) async fn try_claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.store.claim(claim).await
    }

    /// Claims without tight limits.
    pub(super) async fn claim(&self, worker: &WorkerId) -> Vec<ClaimedRun> {
        self.claim_some(worker, 100, 100).await
    }

    pub(super) async fn claim_some(
        &self,
        worker: &WorkerId,
        limit: usize,
        suspects: usize,
    ) -> Vec<ClaimedRun> {
        self.look(worker, limit, suspects).await.runs
    }

    /// Everything that a claim answers.
    pub(super) async fn look(&self, worker: &WorkerId, limit: usize, suspects: usize) -> Claimed {
        let claim = claim(worker, limit, suspects);
        self.try_claim(claim).await.expect("claim")
    }

    /// When the next run wakes up, as somebody learns who takes nothing.
    pub(super) async fn next_wake_up(&self) -> Option<Timestamp> {
        self.look(&worker("looker"), 0, 0).await.next_wake_up
    }

    /// The runs that the worker holds and for which messages wait.
    pub(super) async fn messages(&self, worker: &WorkerId) -> Vec<RunId> {
        let found = self.look(worker, 0, 0).await.messages;
        assert!(found.iter().all(|(project, _)| *project == acme()));
        found.into_iter().map(|(_, run)| run).collect()
    }

    /// Claims the one run that there is to claim.
    pub(super) async fn claim_one(&self, worker: &WorkerId) -> ClaimedRun {
        let claimed = self.claim(worker).await;
        assert_eq!(claimed.len(), 1, "one run is claimable");
        claimed.into_iter().next().expect("it was counted")
    }

    pub(super) async fn post(&self, n: u32, message: Message) -> Posted {
        let posted = self.store.post(vec![post(n, message)]).await.expect("post");
        posted.into_iter().next().expect("one answer for one message")
    }

    pub(super) async fn waiting(&self, n: u32) -> Vec<InboxItem> {
        let mut items: Vec<InboxItem> = Vec::new();
        loop {
            let after = items.last().map(|item| item.id);
            let part = self.store.messages_for(&acme(), run(n), after).await.expect("messages");
            items.extend(part.items);
            if !part.more {
                return items;
            }
        }
    }

    pub(super) async fn record(&self, n: u32) -> RunRecord {
        self.store.run_record(&acme(), run(n)).await.expect("run_record").expect("the run exists")
    }

    pub(super) async fn history(&self, n: u32) -> Vec<Chunk> {
        self.store.run(&acme(), run(n)).await.expect("run").expect("the run exists").chunks
    }

    /// Lets ann's lease end.
    pub(super) fn pass_lease(&self) {
        self.clock.advance(LEASE);
    }
}

impl From<StartRun> for Commit {
    fn from(start: StartRun) -> Self {
        Commit::Start(start)
    }
}

impl From<AdvanceRun> for Commit {
    fn from(advance: AdvanceRun) -> Self {
        Commit::Advance(advance)
    }
}
