//! Random operations have the same answers from any store as from the memory store.
//!
//! One seed is one game: a player makes random calls, most of them sensible, remembers what the memory store answered,
//! and demands the same of the other store, word for word.

#![expect(clippy::unwrap_used, reason = "a game is a test, though it is compiled into the library")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::ManualClock;
use super::conformance::Subject;
use crate::clock::Clock as _;
use crate::event::{Chunk, ChunkHash, RunStatus};
use crate::failure::Failure;
use crate::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use crate::run::RunMeta;
use crate::store::memory::MemoryStore;
use crate::store::{
    AdvanceRun, Claim, Commit, CreateWorkflow, Dedupe, FireSchedule, HeldRun, Hold, Hook, InboxId, Message,
    Page, Post, PublishWorkflow, PublishedSchedule, RunFilter, SaveDraft, ScheduleKey, StartRun, Store,
    TakenSchedule, WakeUp,
};
use crate::time::Timestamp;

/// Plays the game of one seed against a new and empty store that judges times by the given clock.
///
/// # Panics
///
/// At the first answer that differs, with the seed, the step and the call.
pub async fn compare<F>(seed: u64, steps: usize, factory: impl FnOnce(ManualClock) -> F)
where
    F: Future<Output = Subject>,
{
    let clock = ManualClock::new();
    let subject = factory(clock.clone()).await;
    let memory = MemoryStore::new(Arc::new(clock.clone()));
    let mut player =
        Player { random: Random(seed), clock, held: BTreeMap::new(), taken: Vec::new(), next_run: 0 };
    for step in 0..steps {
        let operation = player.operation();
        let expected = player.apply(&memory, &operation, true).await;
        let found = player.apply(subject.store(), &operation, false).await;
        assert_eq!(found, expected, "seed {seed}, step {step}: {operation:?}");
    }
}

/// Splitmix64, so that a seed means the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()].clone()
    }
}

#[derive(Debug)]
enum Operation {
    Advance(Duration),
    Commit(Vec<Commit>),
    Claim(Claim),
    Renew(WorkerId, Duration),
    Forget(WorkerId, Vec<HeldRun>, WakeUp),
    Retire(WorkerId),
    Post(Vec<Post>),
    Create(CreateWorkflow),
    Save(SaveDraft),
    Publish(PublishWorkflow),
    Unpublish(ProjectId, WorkflowSlug),
    TakeSchedules(usize, Duration, Timestamp),
    FireSchedule(Box<FireSchedule>),
    PauseSchedule(ScheduleKey),
    ResumeSchedule(ScheduleKey),
    Delete(ProjectId, WorkflowSlug),
    Keep(ProjectId, Digest, String),
    PutSecret(ProjectId, &'static str, u64),
    DeleteSecret(ProjectId, &'static str),
    ReadRun(ProjectId, RunId, u64, usize),
    ReadLists(ProjectId, RunFilter, Option<u32>),
    ReadWorker(WorkerId),
    ReadWorkflow(ProjectId, WorkflowSlug),
}

/// Where a run stands, as far as answers told.
#[derive(Clone)]
struct Known {
    worker: WorkerId,
    claim: u64,
    last_seq: u64,
}

struct Player {
    random: Random,
    clock: ManualClock,
    held: BTreeMap<(ProjectId, RunId), Known>,
    /// The schedules that were taken.
    taken: Vec<TakenSchedule>,
    next_run: u32,
}

impl Player {
    fn project(&mut self) -> ProjectId {
        ProjectId::new(self.random.pick(&["acme", "beta", "acme-2"])).unwrap()
    }

    fn worker(&mut self) -> WorkerId {
        WorkerId::new(self.random.pick(&["ann", "bob", "carl", "a:1"])).unwrap()
    }

    fn slug(&mut self) -> WorkflowSlug {
        WorkflowSlug::new(self.random.pick(&["flow", "other", "third"])).unwrap()
    }

    fn digest(&mut self) -> Digest {
        Digest::new(&self.random.pick(&["a", "b"]).repeat(64)).unwrap()
    }

    fn run(&mut self) -> RunId {
        let newest = u64::from(self.next_run.max(1));
        let back = self.random.below(12.min(newest));
        run(u32::try_from(newest - back).unwrap())
    }

    fn time(&mut self) -> Timestamp {
        let offset = Duration::from_secs(self.random.below(60));
        if self.random.one_in(3) { self.clock.now().before(offset) } else { self.clock.now().after(offset) }
    }

    fn seconds(&mut self, end: u64) -> Duration {
        Duration::from_secs(self.random.below(end))
    }

    fn status(&mut self) -> RunStatus {
        self.random.pick(&RunStatus::ALL)
    }

    /// A status that is no end.
    fn open_status(&mut self) -> RunStatus {
        self.random.pick(&[RunStatus::Running, RunStatus::Waiting, RunStatus::Paused])
    }

    fn wake_up(&mut self) -> WakeUp {
        match self.random.below(4) {
            0 => WakeUp::Never,
            1 => WakeUp::Now,
            _ => WakeUp::At(self.time()),
        }
    }

    fn hold(&mut self) -> Hold {
        match self.random.below(5) {
            0 | 1 => Hold::Keep { status: self.open_status() },
            2 | 3 => Hold::Release { wake_up: self.wake_up(), status: self.open_status() },
            _ => {
                let status = self.random.pick(&[
                    RunStatus::Succeeded,
                    RunStatus::Failed,
                    RunStatus::Failed,
                    RunStatus::Cancelled,
                ]);
                let failure = (status == RunStatus::Failed).then(|| Failure::permanent("http_status", "no"));
                Hold::End { status, at: self.time(), failure }
            }
        }
    }

    fn chunk(&mut self, first: u64) -> Chunk {
        let last = first + self.random.below(3);
        Chunk::from_parts(
            first,
            last,
            format!("[{first},{last}]"),
            ChunkHash([u8::try_from(last % 256).unwrap(); 32]),
        )
    }

    fn start(&mut self) -> StartRun {
        if !self.random.one_in(8) {
            self.next_run += 1;
        }
        let number = self.next_run.max(1);
        let mut meta = RunMeta::new(run(number), self.project(), self.slug(), self.digest(), created(number));
        meta.test = self.random.one_in(5);
        meta.version = (!self.random.one_in(4)).then_some(number);
        let dedupe = self.random.one_in(2).then(|| Dedupe {
            scope: self.random.pick(&["hook", "api"]).into(),
            key: self.random.pick(&["", "k", "\0", "é"]).into(),
            fingerprint: [u8::try_from(self.random.below(2)).unwrap(); 32],
            window: Duration::from_secs(self.random.below(40)),
        });
        StartRun { meta, dedupe, worker: self.worker(), chunk: self.chunk(1), hold: self.hold() }
    }

    fn advance(&mut self) -> AdvanceRun {
        let known: Vec<_> = self.held.iter().map(|(key, known)| (key.clone(), known.clone())).collect();
        let ((project, run), mut known) = if known.is_empty() || self.random.one_in(8) {
            let worker = self.worker();
            ((self.project(), self.run()), Known { worker, claim: 1, last_seq: 1 })
        } else {
            self.random.pick(&known)
        };
        if self.random.one_in(10) {
            known.worker = self.worker();
        }
        if self.random.one_in(10) {
            known.claim += self.random.below(2);
        }
        let next = known.last_seq + 1 + u64::from(self.random.one_in(10));
        let chunk = (!self.random.one_in(5)).then(|| self.chunk(next));
        // Without a chunk it may name another position, even one that no history has.
        let after = if chunk.is_none() && self.random.one_in(20) { u64::MAX } else { next - 1 };
        let consumed = (0..self.random.below(4))
            .map(|_| InboxId(i64::try_from(self.random.below(40)).unwrap()))
            .collect();
        AdvanceRun {
            project,
            run,
            worker: known.worker,
            claim: known.claim,
            after,
            chunk,
            hold: self.hold(),
            consumed,
        }
    }

    /// Schedules of some of a few triggers.
    fn schedules(&mut self) -> Vec<PublishedSchedule> {
        let triggers = ["t", "u"].map(|trigger| (self.random.one_in(2), trigger));
        let chosen = triggers.into_iter().filter(|(is_chosen, _)| *is_chosen);
        let schedule = |(_, trigger): (bool, &str)| PublishedSchedule {
            trigger: trigger.into(),
            cron: self.random.pick(&["0 9 * * *", "* * * * *"]).into(),
            timezone: self.random.pick(&["UTC", "Europe/Berlin"]).into(),
        };
        chosen.map(schedule).collect()
    }

    fn schedule_key(&mut self) -> ScheduleKey {
        let (project, workflow) = (self.project(), self.slug());
        ScheduleKey { project, workflow, trigger: self.random.pick(&["t", "u", "v"]).into() }
    }

    /// A firing of what was taken last, or of something that was not.
    fn fire(&mut self) -> FireSchedule {
        let (key, turn, digest) = match self.taken.last() {
            Some(taken) if !self.random.one_in(6) => (taken.key.clone(), taken.turn, taken.digest.clone()),
            _ => (self.schedule_key(), self.random.below(4), self.digest()),
        };
        let start = |player: &mut Self| {
            player.next_run += 1;
            let mut start = player.start();
            start.meta.project = key.project.clone();
            start.dedupe = None;
            if matches!(start.hold, Hold::Keep { .. }) {
                start.hold = Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Running };
            }
            start
        };
        let starts: Vec<_> = (0..self.random.below(3)).map(|_| start(self)).collect();
        let (done_until, wake_at) = (self.time(), self.random.one_in(3).then(|| self.time()));
        let last_at = (!starts.is_empty()).then_some(done_until);
        FireSchedule { key, turn, digest, done_until, wake_at, last_at, starts: starts.into() }
    }

    fn held_run(&mut self) -> HeldRun {
        HeldRun { project: self.project(), run: self.run(), claim: 1 + self.random.below(3) }
    }

    fn message(&mut self) -> Message {
        match self.random.below(4) {
            0 | 1 => Message::Retry { by: None },
            2 => Message::Cancel { by: Some("ann".into()) },
            _ => Message::Event {
                name: "paid".into(),
                key: None,
                payload: serde_json::json!({ "b": self.random.below(9), "a": [1.5, "\0"] }),
            },
        }
    }

    fn operation(&mut self) -> Operation {
        match self.random.below(44) {
            40 => {
                let limit = usize::try_from(self.random.below(4)).unwrap();
                Operation::TakeSchedules(limit, self.seconds(10), self.time())
            }
            41 => Operation::FireSchedule(Box::new(self.fire())),
            42 if self.random.one_in(3) => Operation::ResumeSchedule(self.schedule_key()),
            42 if self.random.one_in(2) => Operation::PauseSchedule(self.schedule_key()),
            42 => Operation::TakeSchedules(4, self.seconds(10), self.time()),
            0..=4 => Operation::Advance(self.seconds(15)),
            5..=16 => {
                let size = 1 + self.random.below(4);
                let commit = |player: &mut Self| match player.random.below(5) {
                    0 | 1 => Commit::Start(player.start()),
                    _ => Commit::Advance(player.advance()),
                };
                Operation::Commit((0..size).map(|_| commit(self)).collect())
            }
            17..=20 => Operation::Claim(Claim {
                worker: self.worker(),
                limit: usize::try_from(self.random.below(6)).unwrap(),
                suspects: usize::try_from(self.random.below(3)).unwrap(),
                bytes: usize::try_from(self.random.below(1_000)).unwrap(),
                messages: usize::try_from(self.random.below(4)).unwrap(),
                lease: self.seconds(20),
            }),
            21 => Operation::Renew(self.worker(), self.seconds(20)),
            22 => {
                let mut runs: Vec<_> = (0..2).map(|_| self.held_run()).collect();
                if let Some(((project, run), known)) = self.held.first_key_value() {
                    runs.push(HeldRun { project: project.clone(), run: *run, claim: known.claim });
                }
                Operation::Forget(self.worker(), runs, self.wake_up())
            }
            23 => Operation::Retire(self.worker()),
            24..=26 => {
                let post = |player: &mut Self| Post {
                    project: player.project(),
                    run: player.run(),
                    message: player.message(),
                };
                Operation::Post((0..2).map(|_| post(self)).collect())
            }
            27 => {
                let draft = format!("draft {}", self.random.below(9));
                Operation::Create(CreateWorkflow {
                    project: self.project(),
                    slug: self.slug(),
                    draft,
                    at: self.time(),
                })
            }
            28 => {
                let revision = self.random.one_in(2).then(|| self.random.below(4));
                let (project, slug, at) = (self.project(), self.slug(), self.time());
                Operation::Save(SaveDraft { project, slug, draft: "saved".into(), revision, at })
            }
            29 | 30 => {
                let hook = |player: &mut Self| Hook {
                    path: player.random.pick(&["p", "q", "r/s"]).into(),
                    trigger: "t".into(),
                };
                let digest = self.digest();
                Operation::Publish(PublishWorkflow {
                    project: self.project(),
                    slug: self.slug(),
                    revision: 1 + self.random.below(2),
                    definition: format!("definition {digest}"),
                    digest,
                    schedules: self.schedules(),
                    hooks: (0..self.random.below(3)).map(|_| hook(self)).collect(),
                    at: self.time(),
                })
            }
            31 => Operation::Unpublish(self.project(), self.slug()),
            32 if self.random.one_in(3) => Operation::Delete(self.project(), self.slug()),
            32 => Operation::Keep(self.project(), self.digest(), "kept".into()),
            33 => Operation::PutSecret(self.project(), self.random.pick(&["a", "b"]), self.random.below(5)),
            34 if self.random.one_in(2) => {
                Operation::DeleteSecret(self.project(), self.random.pick(&["a", "b"]))
            }
            34 | 35 => {
                let limit = usize::try_from(self.random.below(4)).unwrap();
                Operation::ReadRun(self.project(), self.run(), self.random.below(6), limit)
            }
            36 => {
                let filter = RunFilter {
                    workflow: self.random.one_in(2).then(|| self.slug()),
                    status: self.random.one_in(2).then(|| self.status()),
                    from: self.random.one_in(3).then(|| created(self.next_run / 2)),
                    to: self.random.one_in(3).then(|| created(self.next_run)),
                    page: Page {
                        limit: usize::try_from(self.random.below(20)).unwrap(),
                        after: self.random.one_in(2).then(|| self.run()),
                    },
                };
                let after = self.random.one_in(2).then(|| u32::try_from(self.random.below(4)).unwrap());
                Operation::ReadLists(self.project(), filter, after)
            }
            37 => Operation::ReadWorkflow(self.project(), self.slug()),
            _ => Operation::ReadWorker(self.worker()),
        }
    }

    /// Does the operation and answers what it said; learns from the first store's answers.
    async fn apply(&mut self, store: &dyn Store, operation: &Operation, first: bool) -> String {
        match operation {
            Operation::Advance(by) => {
                if first {
                    self.clock.advance(*by);
                }
                String::new()
            }
            Operation::Commit(batch) => {
                let outcomes = store.commit(batch.clone()).await;
                if let (true, Ok(outcomes)) = (first, &outcomes) {
                    for (commit, outcome) in batch.iter().zip(outcomes) {
                        if *outcome == crate::store::CommitOutcome::Committed {
                            self.learn(commit);
                        }
                    }
                }
                text(outcomes)
            }
            Operation::Claim(claim) => {
                let claimed = store.claim(claim.clone()).await;
                for run in claimed.iter().flat_map(|claimed| &claimed.runs).filter(|_| first) {
                    let last_seq = run.last_seq();
                    let known = Known { worker: claim.worker.clone(), claim: run.claim, last_seq };
                    self.held.insert((run.record.meta.project.clone(), run.record.meta.run), known);
                }
                text(claimed)
            }
            Operation::Renew(worker, lease) => text(store.renew(worker, *lease).await),
            Operation::Forget(worker, runs, wake_up) => text(store.forget(worker, runs, *wake_up).await),
            Operation::Retire(worker) => text(store.retire(worker).await),
            Operation::Post(posts) => text(store.post(posts.clone()).await),
            Operation::Create(create) => text(store.create_workflow(create.clone()).await),
            Operation::Save(save) => text(store.save_draft(save.clone()).await),
            Operation::Publish(publish) => text(store.publish(publish.clone()).await),
            Operation::Unpublish(project, slug) => text(store.unpublish(project, slug).await),
            Operation::TakeSchedules(limit, hold, since) => {
                let taken = store.take_schedules(*limit, *hold, *since).await;
                if let (true, Ok(taken)) = (first, &taken) {
                    self.taken.extend(taken.schedules.iter().cloned());
                }
                text(taken)
            }
            Operation::FireSchedule(fire) => text(store.fire_schedule((**fire).clone()).await),
            Operation::PauseSchedule(key) => text(store.pause_schedule(key).await),
            Operation::ResumeSchedule(key) => text(store.resume_schedule(key).await),
            Operation::Delete(project, slug) => text(store.delete_workflow(project, slug).await),
            Operation::Keep(project, digest, kept) => {
                text(store.keep_definition(project, digest, kept).await)
            }
            Operation::PutSecret(project, name, version) => {
                let sealed = version.to_be_bytes().to_vec();
                text(store.put_secret(project, name, *version, sealed, self.clock.now()).await)
            }
            Operation::DeleteSecret(project, name) => text(store.delete_secret(project, name).await),
            Operation::ReadRun(project, run, seq, limit) => text((
                store.run(project, *run).await,
                store.run_record(project, *run).await,
                store.chunks_after(project, *run, *seq, *limit).await,
                store.messages_for(project, *run, None).await,
            )),
            Operation::ReadLists(project, filter, after) => {
                let limit = filter.page.limit;
                let slug = filter.workflow.clone().unwrap_or_else(|| WorkflowSlug::new("flow").unwrap());
                let place = after.map(|_| (self.clock.now(), slug.clone()));
                text((
                    store.runs(project, filter.clone()).await,
                    store.workflows(project, Page { limit, after: place }).await,
                    store.versions(project, &slug, Page { limit, after: *after }).await,
                    store.secrets(project).await,
                    store.schedules(project, Page { limit, after: None }).await,
                ))
            }
            Operation::ReadWorker(worker) => text((store.held(worker).await, store.ping().await)),
            Operation::ReadWorkflow(project, slug) => text((
                store.workflow(project, slug).await,
                store.hook_owners(project, &["p".to_owned(), "q".to_owned()]).await,
                store.hook(project, "p").await,
                store.version(project, slug, 1).await,
                store.definition(project, &Digest::new(&"a".repeat(64)).unwrap()).await,
                store.secret_version(project, "a").await,
            )),
        }
    }

    fn learn(&mut self, commit: &Commit) {
        let (key, known, hold) = match commit {
            Commit::Start(start) => {
                let known = Known { worker: start.worker.clone(), claim: 1, last_seq: start.chunk.last_seq };
                ((start.meta.project.clone(), start.meta.run), known, &start.hold)
            }
            Commit::Advance(advance) => {
                let key = (advance.project.clone(), advance.run);
                let before = self.held.get(&key).map_or(1, |known| known.last_seq);
                let last_seq = advance.chunk.as_ref().map_or(before, |chunk| chunk.last_seq);
                let known = Known { worker: advance.worker.clone(), claim: advance.claim, last_seq };
                (key, known, &advance.hold)
            }
        };
        if matches!(hold, Hold::Keep { .. }) {
            self.held.insert(key, known);
        } else {
            self.held.remove(&key);
        }
    }
}

fn text(answer: impl Debug) -> String {
    format!("{answer:?}")
}

fn created(number: u32) -> Timestamp {
    Timestamp::from_micros(1_767_000_000_000_000).after(Duration::from_secs(u64::from(number)))
}

fn run(number: u32) -> RunId {
    RunId::new(created(number), [3; 8])
}
