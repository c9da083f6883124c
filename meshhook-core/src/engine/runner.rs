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

mod commit;
mod decide;
mod due;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(super) use self::commit::Standing;
pub(super) use self::decide::Length;
pub(super) use self::due::wake_up;
use super::Inner;
use super::attempt::UnderWay;
use super::deadline::answer;
use super::worker::Suspicion;
use crate::definition::ValidDefinition;
use crate::event::{ChunkHash, Event, RunStatus};
use crate::id::StepKey;
use crate::run::{Fact, RunState};
use crate::store::{Hold, InboxId, Listing, Message, WakeUp};
use crate::time::Timestamp;

/// A run in memory, as far as it is durable.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) definition: ValidDefinition,
    pub(super) state: RunState,
    /// The claim through which it is held.
    pub(super) claim: u64,
    /// The end of the history's chain.
    pub(super) hash: ChunkHash,
    /// How many bytes the history has.
    pub(super) bytes: u64,
    /// Where its record says that it stands.
    pub(super) status: RunStatus,
}

/// Owns one run until it is released, ends or is lost. It is large and moves to where the work on it is done and back, so
/// it is boxed.
pub(super) struct Runner {
    inner: Arc<Inner>,
    run: Loaded,
    inbox: Arc<Notify>,
    lost: watch::Receiver<u64>,
    attempts: JoinSet<Option<(StepKey, u32, Vec<Fact>)>>,
    under_way: BTreeMap<StepKey, UnderWay>,
    /// Steps whose attempts are not started before a time, because what they need could not be had.
    put_off: BTreeMap<StepKey, Timestamp>,
    /// More messages wait than were read.
    has_unread: bool,
    /// Until it has advanced, a run that workers have died with.
    suspicion: Option<Suspicion>,
}

/// Whether the run is still this task's.
enum Held {
    Yes,
    No,
}

/// The longest sleep, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Runner {
    pub(super) fn new(inner: Arc<Inner>, run: Loaded, inbox: Arc<Notify>) -> Box<Self> {
        let lost = inner.lost.subscribe();
        Box::new(Self {
            inner,
            run,
            inbox,
            lost,
            attempts: JoinSet::new(),
            under_way: BTreeMap::new(),
            put_off: BTreeMap::new(),
            has_unread: false,
            suspicion: None,
        })
    }

    /// It may be what its workers died of.
    pub(super) fn suspected(mut self: Box<Self>, suspicion: Option<Suspicion>) -> Box<Self> {
        self.suspicion = suspicion;
        self
    }

    /// Goes on with a run whose first events are durable.
    pub(super) async fn go_on(mut self: Box<Self>) {
        loop {
            if self.inner.options.works && !self.inner.lease_is_good() {
                // Others may have taken the run over; whoever has it starts what follows.
                self.inner.reconcile_after(self.run.state.meta().run);
                return;
            }
            let (facts, consumed) = match self.start_attempts().await {
                facts if facts.is_empty() && self.record_is_true() && !self.may_rest() => {
                    match self.next().await {
                        Some(next) => next,
                        None => return,
                    }
                }
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
    pub(super) async fn take_over(mut self: Box<Self>, events: Vec<Event>) {
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

    /// Whether nobody needs to hold the run until attempts that were put off are looked at again.
    fn may_rest(&self) -> bool {
        !self.put_off.is_empty() && matches!(self.hold(), Hold::Release { .. })
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
                    // However many messages come, results are not held up behind them.
                    let finished = self.all_finished();
                    if !messages.is_empty() || !finished.is_empty() {
                        let mut facts = self.due_facts();
                        facts.extend(finished);
                        facts.extend(messages);
                        return Some((facts, consumed));
                    }
                }
                Some(done) = self.attempts.join_next() => {
                    let mut facts = self.finished(done);
                    facts.extend(self.all_finished());
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

    /// What the attempts brought that have ended by now.
    fn all_finished(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some(done) = self.attempts.try_join_next() {
            facts.extend(self.finished(done));
        }
        facts
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

    fn sleep(&self) -> Duration {
        let now = self.inner.time.now();
        // While the engine stops nothing is started, so a due attempt is no reason to wake up.
        let due = if self.inner.stopping.drains() { WakeUp::Never } else { self.next_due() };
        due.at(now).map_or(LONGEST_SLEEP, |at| at.since(now)).min(LONGEST_SLEEP)
    }

    /// Reads what others want from the run, as much of it as is read at once.
    async fn messages(&mut self) -> (Vec<Fact>, Vec<InboxId>) {
        let meta = self.run.state.meta();
        let reading = self.inner.store.messages_for(&meta.project, meta.run, None);
        let items = match answer(self.inner.options.lease, reading).await {
            Ok(Listing { items, more, .. }) => {
                self.has_unread = more;
                if more {
                    // The rest is read once these are consumed.
                    self.inbox.notify_one();
                }
                items
            }
            Err(error) => {
                // A store that cannot be reached fails all of them; it is told of where the worker looks.
                tracing::debug!(%error, run_id = %meta.run, "could not read the inbox");
                self.inner.poke_inbox_later(meta.run);
                return (Vec::new(), Vec::new());
            }
        };
        let consumed = items.iter().map(|item| item.id).collect();
        (items.into_iter().map(|item| fact_of(item.message)).collect(), consumed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::attempt::perform;

    fn size_of_future<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// There is one for each run and each attempt, and what is larger is slow to get and to move.
    #[test]
    fn the_futures_of_runs_and_attempts_are_small() {
        let sizes = [size_of_future(Runner::go_on), size_of_future(perform)];
        assert!(sizes.iter().all(|size| *size <= 3_072), "{sizes:?}");
    }
}
