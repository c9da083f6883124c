//! The owner of one run: waits for what the run is owed, decides, commits, starts what follows.
//!
//! ```text
//!   ┌─► start due attempts ─► wait: result, timer, message, stop ─► decide ─► commit ─┐
//!   └──────────────────────────────── held ◄──────────────────────────────────────────┘
//!                                          └── released, ended or lost: the task ends
//! ```
//!
//! **Invariant:** an attempt starts only after the commit that holds its intent, and the commit of everything before
//! it. The state in memory is ahead of the store only between deciding and the commit's answer; whatever goes wrong
//! there, the state is dropped and the run is loaded again by whoever claims it next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::attempt::{Launch, UnderWay, perform};
use super::long_work::text_len;
use super::{Inner, Stopping};
use crate::definition::ValidDefinition;
use crate::event::{Chunk, ChunkHash, Event, RunStatus};
use crate::exec::{Attempt, Level, StepLog, TraceContext};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::run::{Fact, MAX_HISTORY_EVENTS, Owed, Refusal, RunState};
use crate::store::{AdvanceRun, Commit, CommitOutcome, Hold, InboxId, Listing, Message, StoreError, WakeUp};
use crate::time::Timestamp;

/// A run in memory, as far as it is durable.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) definition: ValidDefinition,
    pub(super) state: RunState,
    /// The end of the history's chain.
    pub(super) hash: ChunkHash,
    /// How many bytes the history has.
    pub(super) bytes: u64,
    /// Where its record says that it stands.
    pub(super) status: RunStatus,
}

/// Owns one run until it is released, ends or is lost.
pub(super) struct Runner {
    inner: Arc<Inner>,
    run: Loaded,
    inbox: Arc<Notify>,
    lost: watch::Receiver<u64>,
    attempts: JoinSet<Option<(StepKey, u32, Vec<Fact>)>>,
    under_way: BTreeMap<StepKey, UnderWay>,
    /// Attempts are not started before this time: the vault or the store could not be reached.
    not_before: Option<Timestamp>,
    /// More messages wait than were read.
    has_unread: bool,
}

/// Whether the run is still this task's.
enum Held {
    Yes,
    No,
}

/// The longest sleep, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Runner {
    pub(super) fn new(inner: Arc<Inner>, run: Loaded, inbox: Arc<Notify>) -> Self {
        let lost = inner.lost.subscribe();
        Self {
            inner,
            run,
            inbox,
            lost,
            attempts: JoinSet::new(),
            under_way: BTreeMap::new(),
            not_before: None,
            has_unread: false,
        }
    }

    /// Goes on with a run whose first events are durable.
    pub(super) async fn go_on(mut self) {
        loop {
            if self.inner.options.works && !self.inner.lease_is_good() {
                // Others may have taken the run over; whoever has it starts what follows.
                self.inner.reconcile_after(self.run.state.meta().run);
                return;
            }
            let (facts, consumed) = match self.start_attempts().await {
                facts if facts.is_empty() && self.record_is_true() => match self.next().await {
                    Some(next) => next,
                    None => return,
                },
                facts => (facts, Vec::new()),
            };
            let chunk;
            (self, chunk) = self.decide(Vec::new(), facts).await;
            if let Held::No = self.commit(chunk, consumed).await {
                return;
            }
        }
    }

    /// Goes on with a run that was claimed: decides what came due meanwhile, together with the events given.
    pub(super) async fn take_over(mut self, events: Vec<Event>) {
        // What was due before a message came counts as earlier.
        let mut facts = self.due_facts();
        let (messages, consumed) = self.messages().await;
        facts.extend(messages);
        let chunk;
        (self, chunk) = self.decide(events, facts).await;
        if let Held::Yes = self.commit(chunk, consumed).await {
            self.go_on().await;
        }
    }

    /// Whether the run's record says where the run stands: the time of a retry comes without an event.
    fn record_is_true(&self) -> bool {
        self.run.state.status(self.inner.time.now()) == self.run.status
    }

    /// Waits for the next facts; `None` when the run was handed back.
    async fn next(&mut self) -> Option<(Vec<Fact>, Vec<InboxId>)> {
        let stopping = self.inner.stopping.clone();
        loop {
            if stopping.drains() {
                self.drop_queued();
            }
            if stopping.drains() && self.under_way.is_empty() {
                self.hand_back().await;
                return None;
            }
            let sleep = self.sleep();
            tokio::select! {
                biased;
                () = stopping.abandon.cancelled() => return None,
                _ = self.lost.changed() => {
                    self.inner.reconcile_after(self.run.state.meta().run);
                    return None;
                }
                () = stopping.halt.cancelled() => {
                    self.under_way.clear();
                    self.hand_back().await;
                    return None;
                }
                () = stopping.drain.cancelled(), if !stopping.drains() => {}
                () = self.inbox.notified() => {
                    let (messages, consumed) = self.messages().await;
                    if !messages.is_empty() {
                        let mut facts = self.due_facts();
                        facts.extend(messages);
                        return Some((facts, consumed));
                    }
                }
                Some(done) = self.attempts.join_next() => {
                    let mut facts = self.finished(done);
                    while let Some(done) = self.attempts.try_join_next() {
                        facts.extend(self.finished(done));
                    }
                    if !facts.is_empty() {
                        return Some((facts, Vec::new()));
                    }
                }
                () = tokio::time::sleep(sleep) => {
                    let facts = self.due_facts();
                    if !facts.is_empty() || self.has_due_attempts() {
                        return Some((facts, Vec::new()));
                    }
                }
            }
        }
    }

    /// Forgets the attempts that wait for a permit: nothing new is to start.
    fn drop_queued(&mut self) {
        self.under_way.retain(|_, under_way| under_way.has_started());
    }

    fn finished(
        &mut self,
        done: Result<Option<(StepKey, u32, Vec<Fact>)>, tokio::task::JoinError>,
    ) -> Vec<Fact> {
        let Ok(Some((step, number, facts))) = done else { return Vec::new() };
        if self.under_way.get(&step).is_some_and(|under_way| under_way.number == number) {
            self.under_way.remove(&step);
        }
        facts
    }

    /// What the run is owed, apart from attempts that are under way.
    fn owed(&self) -> impl Iterator<Item = Owed> {
        self.run.state.outstanding(&self.run.definition).into_iter().filter(|owed| match owed {
            Owed::Attempt { step, number, .. } => {
                self.under_way.get(step).is_none_or(|known| known.number != *number)
            }
            _ => true,
        })
    }

    /// When the run needs its owner next.
    fn next_due(&self) -> WakeUp {
        let not_before = self.not_before;
        let due = self.owed().map(|owed| match owed {
            Owed::Attempt { at, .. } => at.max(not_before),
            other => other.due_at(),
        });
        due.min().map_or(WakeUp::Never, wake_up)
    }

    fn has_due_attempts(&self) -> bool {
        let now = self.inner.time.now();
        self.owed().any(|owed| matches!(owed, Owed::Attempt { at, .. } if at.max(self.not_before).is_none_or(|at| at <= now)))
    }

    fn sleep(&self) -> Duration {
        let now = self.inner.time.now();
        // While the engine stops nothing is started, so a due attempt is no reason to wake up.
        let due = if self.inner.stopping.drains() { WakeUp::Never } else { self.next_due() };
        due.at(now).map_or(LONGEST_SLEEP, |at| at.since(now)).min(LONGEST_SLEEP)
    }

    /// The timers, deadlines and timeouts that are due now.
    fn due_facts(&self) -> Vec<Fact> {
        let now = self.inner.time.now();
        let is_due = |owed: &Owed| owed.due_at().is_some_and(|at| at <= now);
        let mut facts: Vec<Fact> = Vec::new();
        for owed in self.owed().filter(is_due) {
            match owed {
                Owed::Timeout { .. } => return vec![Fact::TimedOut],
                Owed::Timer { step, .. } => facts.push(Fact::TimerDue { step }),
                Owed::Deadline { step, .. } => facts.push(Fact::DeadlinePassed { step }),
                Owed::Attempt { .. } => {}
            }
        }
        facts
    }

    /// Reads what others want from the run, as much of it as is read at once.
    async fn messages(&mut self) -> (Vec<Fact>, Vec<InboxId>) {
        let meta = self.run.state.meta();
        let items = match self.inner.store.messages_for(&meta.project, meta.run, None).await {
            Ok(Listing { items, more, .. }) => {
                self.has_unread = more;
                if more {
                    // The rest is read once these are consumed.
                    self.inbox.notify_one();
                }
                items
            }
            Err(error) => {
                tracing::warn!(%error, run_id = %meta.run, "could not read the inbox");
                self.inner.poke_inbox_later(meta.run);
                return (Vec::new(), Vec::new());
            }
        };
        let consumed = items.iter().map(|item| item.id).collect();
        (items.into_iter().map(|item| fact_of(item.message)).collect(), consumed)
    }

    /// Starts the attempts that are due; answers the facts of those that could not even start.
    async fn start_attempts(&mut self) -> Vec<Fact> {
        self.under_way.retain(|step, under_way| self.run.state.awaits(step, under_way.number));
        if self.inner.stopping.drains() || !self.has_due_attempts() {
            return Vec::new();
        }
        let now = self.inner.time.now();
        self.not_before = None;
        let meta = self.run.state.meta().clone();
        let secrets = match self.inner.unsealed(&meta.project).await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::warn!(%error, run_id = %meta.run, "could not unseal secrets, attempts wait");
                self.not_before = Some(now.after(Duration::from_secs(1)));
                return Vec::new();
            }
        };
        let mut facts = Vec::new();
        for owed in self.owed().collect::<Vec<_>>() {
            let Owed::Attempt { step, number, at } = owed else { continue };
            if at.is_some_and(|at| at > now) {
                continue;
            }
            let resolver = |name: &str| secrets.get(name).map(|value| value.expose().to_owned());
            let rendered = self.run.state.render_attempt(&self.run.definition, &step, &resolver);
            let plan = rendered.and_then(|plan| {
                let executor = self.inner.executors.get(&*plan.type_name).cloned();
                let missing = || {
                    Failure::permanent(code::INVALID_CONFIG, format!("no executor for {}", plan.type_name))
                };
                Ok((executor.ok_or_else(missing)?, plan))
            });
            let (executor, plan) = match plan {
                Ok(found) => found,
                Err(failure) => {
                    let mut failure = failure;
                    secrets.masker().mask_failure(&mut failure);
                    facts.push(Fact::AttemptFailed {
                        step,
                        attempt: number,
                        failure,
                        retry_not_before: None,
                    });
                    continue;
                }
            };
            if plan.give_up_at <= now {
                // Its deadline, or the run's timeout, is due: what it would answer comes too late.
                continue;
            }
            let cancelled = CancellationToken::new();
            let trace = TraceContext::of_trigger(&self.run.state.created().trigger);
            let attempt = Attempt {
                project: meta.project.clone(),
                workflow: meta.workflow.clone(),
                run: meta.run,
                step: step.clone(),
                number,
                trace: trace.map(|trace| trace.child(&format!("{}/{number}", plan.idempotency_key))),
                idempotency_key: plan.idempotency_key,
                config: plan.config,
                input: plan.input,
                decided_at: plan.decided_at,
                timeout: plan.give_up_at.since(now).min(plan.timeout),
                cancelled: cancelled.clone(),
                log: StepLog::default(),
                masker: secrets.masker().clone(),
            };
            let permits = self.inner.permits.clone();
            let started = Arc::new(AtomicBool::new(false));
            let launch =
                Launch { executor, attempt, permits, secrets: secrets.clone(), started: started.clone() };
            let task = self.attempts.spawn(self.inner.tasks.guard(perform(launch)));
            self.under_way.insert(step, UnderWay { number, cancelled, task, started });
        }
        facts
    }

    /// Decides what follows from facts, and encodes it behind events that were decided before.
    async fn decide(self, mut events: Vec<Event>, facts: Vec<Fact>) -> (Self, Option<Chunk>) {
        if events.is_empty() && facts.is_empty() {
            return (self, None);
        }
        let (inner, definition) = (self.inner.clone(), self.run.definition.clone());
        let history = usize::try_from(self.run.bytes).unwrap_or(usize::MAX);
        let bytes = facts.iter().map(fact_len).fold(history, usize::saturating_add);
        let mut runner = self;
        let work = move || {
            events.extend(runner.decide_each(facts));
            let chunk = runner.encode(events);
            (runner, chunk)
        };
        inner.long_work.run(&definition, bytes, work).await
    }

    fn decide_each(&mut self, facts: Vec<Fact>) -> Vec<Event> {
        let mut events = Vec::new();
        for fact in facts {
            let now = self.inner.time.now();
            match self.run.state.decide(&self.run.definition, fact.clone(), now) {
                Ok(decided) => events.extend(decided),
                Err(Refusal::UnknownPort { step, port }) => {
                    let Fact::AttemptSucceeded { attempt, .. } = fact else { continue };
                    let message = format!("the node has no port {port:?}");
                    let failure = Failure::permanent(code::INVALID_CONFIG, message);
                    let failed = Fact::AttemptFailed { step, attempt, failure, retry_not_before: None };
                    events
                        .extend(self.run.state.decide(&self.run.definition, failed, now).unwrap_or_default());
                }
                Err(refusal) => {
                    tracing::debug!(%refusal, run_id = %self.run.state.meta().run, "refused a fact");
                }
            }
        }
        events
    }

    /// Makes events durable, and what was decided about the run's owner with them.
    async fn commit(&mut self, chunk: Option<Chunk>, consumed: Vec<InboxId>) -> Held {
        self.under_way.retain(|step, under_way| self.run.state.awaits(step, under_way.number));
        if self.run.state.is_paused() {
            self.drop_queued();
        }
        let hold = self.hold();
        let stands = hold == Hold::Keep { status: self.run.status };
        if chunk.is_none() && consumed.is_empty() && stands {
            return Held::Yes;
        }
        let advance = self.advance(chunk.clone(), hold.clone(), consumed);
        match self.persist(advance).await {
            Some(CommitOutcome::Committed) => {}
            Some(_) => {
                // Either somebody else has the run, or a lost reply hides that this worker still holds it.
                tracing::info!(run_id = %self.run.state.meta().run, "lost a run to another worker");
                self.inner.reconcile_after(self.run.state.meta().run);
                return Held::No;
            }
            None => return Held::No,
        }
        let run = self.run.state.meta().run;
        if let Some(chunk) = chunk {
            self.run.hash = chunk.hash;
            self.run.bytes += chunk.text.len() as u64;
            self.inner.watchers.announce(run, chunk.last_seq);
        }
        match hold {
            Hold::Keep { status } => {
                self.run.status = status;
                Held::Yes
            }
            Hold::Release { wake_up, .. } => {
                self.inner.wake_by(wake_up);
                Held::No
            }
            Hold::End { status, .. } => {
                super::ended(self.run.state.meta(), status);
                Held::No
            }
        }
    }

    fn advance(&self, chunk: Option<Chunk>, hold: Hold, consumed: Vec<InboxId>) -> AdvanceRun {
        let meta = self.run.state.meta();
        AdvanceRun {
            project: meta.project.clone(),
            run: meta.run,
            worker: self.inner.worker.clone(),
            epoch: self.run.state.epoch(),
            chunk,
            hold,
            consumed,
        }
    }

    /// Commits, and tries again as long as the store cannot be reached; `None` when the run must be dropped.
    async fn persist(&mut self, advance: AdvanceRun) -> Option<CommitOutcome> {
        let run = advance.run;
        let mut wait = Duration::from_millis(50);
        loop {
            match self.inner.committer.commit(Commit::Advance(advance.clone())).await {
                Ok(outcome) => return Some(outcome),
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, run_id = %run, "could not commit, trying again");
                    tokio::select! {
                        biased;
                        () = self.inner.stopping.abandon.cancelled() => return None,
                        _ = self.lost.changed() => {
                            self.inner.reconcile_after(run);
                            return None;
                        }
                        () = self.inner.stopping.halt.cancelled() => return None,
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(5)),
                    }
                }
                Err(error) => {
                    tracing::error!(%error, run_id = %run, "could not commit, the run is set aside");
                    let meta = self.run.state.meta();
                    self.inner.set_aside(&meta.project, run, self.run.state.epoch()).await;
                    return None;
                }
            }
        }
    }

    /// Encodes events; warns of a long history, and ends a run whose history is too long.
    fn encode(&mut self, mut events: Vec<Event>) -> Option<Chunk> {
        if events.is_empty() {
            return None;
        }
        let limit = self.inner.options.max_history_bytes;
        let chunk = Chunk::encode(self.run.hash, &events);
        let bytes = self.run.bytes + chunk.text.len() as u64;
        let crosses =
            |before: u64, after: u64, limit: u64| before < limit / 10 * 8 && after >= limit / 10 * 8;
        let extra = if bytes > limit {
            let message = format!("the history has reached {limit} bytes");
            Some(Fact::Aborted { failure: Failure::permanent(code::LIMIT_EXCEEDED, message) })
        } else if crosses(self.run.bytes, bytes, limit) {
            Some(format!("the history has {bytes} of at most {limit} bytes")).map(history_warning)
        } else if crosses(chunk.first_seq - 1, chunk.last_seq, MAX_HISTORY_EVENTS) {
            let events = chunk.last_seq;
            Some(format!("the history has {events} of at most {MAX_HISTORY_EVENTS} events"))
                .map(history_warning)
        } else {
            None
        };
        let Some(fact) = extra else { return Some(chunk) };
        events.extend(self.decide_each(vec![fact]));
        Some(Chunk::encode(self.run.hash, &events))
    }

    fn hold(&self) -> Hold {
        let now = self.inner.time.now();
        let next_due = self.next_due();
        let idle = self.under_way.is_empty() && !self.has_unread;
        hold(&self.run.state, now, next_due, idle, &self.inner.stopping, self.inner.options.hold)
    }

    /// Releases the run, due as soon as it has something to do.
    async fn hand_back(&self) {
        let status = self.run.state.status(self.inner.time.now());
        let advance = self.advance(None, Hold::Release { wake_up: self.next_due(), status }, Vec::new());
        if let Err(error) = self.inner.committer.commit(Commit::Advance(advance)).await {
            tracing::warn!(%error, "could not hand a run back; it is claimed when this worker's lease ends");
        }
    }
}

/// Who has a run after a commit, as its state is then.
pub(super) fn hold(
    state: &RunState,
    now: Timestamp,
    next_due: WakeUp,
    idle: bool,
    stopping: &Stopping,
    hold: Duration,
) -> Hold {
    if let Some(end) = state.end() {
        return Hold::End { status: end.status, at: end.at, failure: end.failure.clone() };
    }
    let far = next_due.at(now).is_none_or(|at| at > now.after(hold));
    let status = state.status(now);
    if !idle || !(far || stopping.drains()) {
        return Hold::Keep { status };
    }
    Hold::Release { wake_up: next_due, status }
}

/// When a run wakes up that is owed something at this time; `None` means now.
pub(super) fn wake_up(due_at: Option<Timestamp>) -> WakeUp {
    due_at.map_or(WakeUp::Now, WakeUp::At)
}

/// Says that a history is nearly as long as it may be.
fn history_warning(message: String) -> Fact {
    metrics::counter!("meshhook_history_warnings_total").increment(1);
    Fact::Logged { step: None, level: Level::Warn, message, fields: None }
}

/// How much text a fact brings.
fn fact_len(fact: &Fact) -> usize {
    match fact {
        Fact::AttemptSucceeded { output, .. } => text_len(output),
        Fact::EventReceived { payload, .. } => text_len(payload),
        Fact::ChildFinished { output: Some(output), .. } => text_len(output),
        _ => 0,
    }
}

fn fact_of(message: Message) -> Fact {
    match message {
        Message::Pause { by } => Fact::Pause { by },
        Message::Resume { by } => Fact::Resume { by },
        Message::Cancel { by } => Fact::Cancel { by },
        Message::Retry { by } => Fact::Retry { by },
        Message::Event { name, key, payload } => {
            Fact::EventReceived { name, key, payload: Arc::new(payload) }
        }
        Message::ChildFinished { run, status, output, failure } => {
            Fact::ChildFinished { run_id: run, status, output: output.map(Arc::<Value>::new), failure }
        }
    }
}

impl Inner {
    /// Releases a run that cannot be gone on with now, to be tried again in a while.
    pub(super) async fn set_aside(&self, project: &crate::id::ProjectId, run: crate::id::RunId, epoch: u64) {
        let wake_up = WakeUp::At(self.time.now().after(SET_ASIDE));
        let hold = Hold::Release { wake_up, status: RunStatus::Waiting };
        let advance = AdvanceRun {
            project: project.clone(),
            run,
            worker: self.worker.clone(),
            epoch,
            chunk: None,
            hold,
            consumed: Vec::new(),
        };
        let committed = self.committer.commit(Commit::Advance(advance)).await;
        if let Err(error) = committed {
            log_set_aside(&error, run);
        }
    }
}

fn log_set_aside(error: &StoreError, run: crate::id::RunId) {
    tracing::error!(%error, run_id = %run, "could not set a run aside");
}

/// How long a run that cannot be gone on with is left alone.
const SET_ASIDE: Duration = Duration::from_secs(600);
