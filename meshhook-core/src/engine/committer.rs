//! Group commit: many runs share one transaction.
//!
//! ```text
//!   start ─┐
//!   advance ┼─► queue ─► [ batch ] ─► store.commit ─► answers
//!   release ┘               ▲              │
//!                           └── collects while one transaction is in flight
//! ```
//!
//! No timer and no minimum: an idle committer takes a single commit at once, a busy one takes whatever came while the
//! last transaction was in flight. A transaction runs in the committer's own task, so that no caller who goes away can
//! cut it off.
//!
//! Queue and batch are bounded in number and in bytes of text. A commit that is larger than a batch may be goes alone;
//! one that is larger than the queue may be waits until nothing else is in it. Commits that belong together are handed in
//! together and never divided: they are durable at once, also where they are more than a batch takes otherwise.
//!
//! When a reply is lost, or does not come within a lease, each commit of the batch is looked up: a run id and a chunk are
//! unique, so whoever finds them in the store knows that the commit happened. What is not found out within a few seconds
//! stays unknown, and is said to be so: a sender of a webhook waits for the answer, and the other commits wait behind it.
//! What belongs together is looked up together, whatever its number.
//! When a batch is refused for good, its commits are made one by one as well, so that one which the store cannot take does
//! not fail the others.
//!
//! While the store has no room, nothing new is claimed: what is held already tries again, and shows when there is room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::EngineOptions;
use super::deadline::answer;
use super::task::Tasks;
use super::trouble::Trouble;
use crate::store::{AdvanceRun, Commit, CommitOutcome, StartRun, Store, StoreError};

/// Takes commits and answers when they are durable.
#[derive(Debug, Clone)]
pub(super) struct Committer {
    queue: mpsc::Sender<Item>,
    /// How many bytes of text there is room for, among what waits and what is in flight.
    room: Arc<Semaphore>,
    max_bytes: u32,
    full: Arc<Full>,
}

/// When the store last had no room for a commit, unless it took one since.
#[derive(Debug, Default)]
struct Full(Mutex<Option<Instant>>);

impl Full {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// What became of a commit.
pub(super) type Committed = Result<CommitOutcome, Arc<StoreError>>;

/// What goes into one transaction: a commit, or several that belong together.
struct Item {
    commits: Vec<(Commit, oneshot::Sender<Committed>)>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// Room in the queue for commits that belong together, taken while they are made: so what is being made is bounded like
/// what waits.
#[derive(Debug)]
pub(super) struct Room {
    share: OwnedSemaphorePermit,
    bytes: usize,
}

/// There is no room in the queue.
#[derive(Debug)]
pub(super) struct QueueFull;

impl Committer {
    /// Starts a committer; it ends when it is told to.
    pub(super) fn spawn(
        tasks: &Tasks,
        store: Arc<dyn Store>,
        options: &EngineOptions,
        end: CancellationToken,
    ) -> Self {
        let (queue, items) = mpsc::channel(options.max_queue.max(1));
        let full = Arc::new(Full::default());
        let server = Server {
            store,
            max_batch: options.max_batch.max(1),
            max_batch_bytes: options.max_batch_bytes,
            patience: options.lease,
            full: full.clone(),
            trouble: Trouble::new("could not commit, trying again", "the store is back: committing again"),
        };
        let max_bytes = u32::try_from(options.max_queue_bytes).unwrap_or(u32::MAX);
        let max_bytes = max_bytes.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = end.cancelled() => {}
                () = server.serve(items) => {}
            }
        });
        Self { queue, room: Arc::new(Semaphore::new(max_bytes as usize)), max_bytes, full }
    }

    /// When the store last had no room for a commit, unless it took one since.
    pub(super) fn full_since(&self) -> Option<Instant> {
        *self.full.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits, if there is room in the queue.
    pub(super) fn try_commit(&self, commit: Commit) -> Result<oneshot::Receiver<Committed>, QueueFull> {
        let (reply, answer) = oneshot::channel();
        let bytes = commit.bytes();
        let room = self.room.clone().try_acquire_many_owned(self.share_of(bytes)).map_err(|_| QueueFull)?;
        let commits = vec![(commit, reply)];
        self.queue.try_send(Item { commits, bytes, _room: room }).map_err(|_| QueueFull)?;
        Ok(answer)
    }

    /// Room for what is yet to be made, none of it taken.
    pub(super) fn room(&self) -> Result<Room, QueueFull> {
        let share = self.room.clone().try_acquire_many_owned(0).map_err(|_| QueueFull)?;
        Ok(Room { share, bytes: 0 })
    }

    /// Takes more room, for so many bytes.
    pub(super) fn grow(&self, room: &mut Room, bytes: usize) -> Result<(), QueueFull> {
        room.bytes += bytes;
        let held = u32::try_from(room.share.num_permits()).unwrap_or(u32::MAX);
        let more = self.share_of(room.bytes).saturating_sub(held);
        room.share.merge(self.room.clone().try_acquire_many_owned(more).map_err(|_| QueueFull)?);
        Ok(())
    }

    /// Commits starts that belong together in one transaction, in the room that was taken for them. Each has an outcome of
    /// its own.
    pub(super) fn try_commit_together(
        &self,
        starts: Vec<StartRun>,
        room: Room,
    ) -> Result<Vec<oneshot::Receiver<Committed>>, QueueFull> {
        let (commits, answers) = starts
            .into_iter()
            .map(|start| {
                let (reply, answer) = oneshot::channel();
                ((Commit::Start(start), reply), answer)
            })
            .unzip();
        let Room { share, bytes } = room;
        self.queue.try_send(Item { commits, bytes, _room: share }).map_err(|_| QueueFull)?;
        Ok(answers)
    }

    /// Commits; waits for room in the queue.
    pub(super) async fn commit(&self, commit: Commit) -> Committed {
        let (reply, answer) = oneshot::channel();
        let gone = || Arc::new(StoreError::Unavailable("the engine has stopped".into()));
        let bytes = commit.bytes();
        let room = self.room.clone().acquire_many_owned(self.share_of(bytes)).await.map_err(|_| gone())?;
        let commits = vec![(commit, reply)];
        self.queue.send(Item { commits, bytes, _room: room }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// How much of the queue's room a commit takes: all of it at most.
    fn share_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_bytes)
    }
}

/// Serves the queue.
struct Server {
    store: Arc<dyn Store>,
    max_batch: usize,
    max_batch_bytes: usize,
    /// How long an answer is waited for.
    patience: Duration,
    full: Arc<Full>,
    trouble: Trouble,
}

/// How long a lost answer is looked for: not longer than senders of webhooks are willing to wait.
const LOOK_UP_FOR: Duration = Duration::from_secs(3);

impl Server {
    async fn serve(self, mut items: mpsc::Receiver<Item>) {
        let mut waiting: VecDeque<Item> = VecDeque::new();
        let mut batch: Vec<Item> = Vec::with_capacity(self.max_batch);
        loop {
            if waiting.is_empty() && items.recv_many(&mut batch, self.max_batch).await == 0 {
                return;
            }
            waiting.extend(batch.drain(..));
            while waiting.len() < self.max_batch
                && let Ok(item) = items.try_recv()
            {
                waiting.push_back(item);
            }
            let sizes = waiting.iter().map(|item| (item.commits.len(), item.bytes));
            let size = batch_size(sizes, (self.max_batch, self.max_batch_bytes));
            batch.extend(waiting.drain(..size));
            let commits: Vec<Commit> =
                batch.iter().flat_map(|item| &item.commits).map(|(commit, _)| commit.clone()).collect();
            let count = commits.len();
            metrics::histogram!("meshhook_commit_batch_size").record(count as f64);
            match answer(self.patience, self.store.commit(commits)).await {
                Ok(outcomes) => {
                    self.note(None);
                    let replies = batch.drain(..).flat_map(|item| item.commits);
                    for ((_, reply), outcome) in replies.zip(outcomes) {
                        let _ = reply.send(Ok(outcome));
                    }
                }
                Err(error) if error.is_outcome_unknown() || (!error.is_transient() && count > 1) => {
                    tracing::warn!(%error, commits = count, "a batch was lost or refused, committing one by one");
                    let is_lost = error.is_outcome_unknown();
                    let patience = if is_lost { self.patience.min(LOOK_UP_FOR) } else { self.patience };
                    let until = Instant::now() + patience;
                    for item in batch.drain(..) {
                        let (commits, replies): (Vec<_>, Vec<_>) = item.commits.into_iter().unzip();
                        let outcomes = self.settle_item(&commits, until).await;
                        for (outcome, reply) in outcomes.into_iter().zip(replies) {
                            self.note(outcome.as_ref().err().map(|error| &**error));
                            let _ = reply.send(outcome);
                        }
                    }
                }
                Err(error) => {
                    self.note(Some(&error));
                    let error = Arc::new(error);
                    for (_, reply) in batch.drain(..).flat_map(|item| item.commits) {
                        let _ = reply.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}

impl Server {
    /// Settles what belongs together with as many calls as one commit takes; one by one where the store refuses it for good.
    async fn settle_item(&self, commits: &[Commit], until: Instant) -> Vec<Committed> {
        match settle(&*self.store, commits, until).await {
            Err(error) if commits.len() > 1 && !error.is_transient() => {
                let until = Instant::now() + self.patience;
                let mut settled = Vec::with_capacity(commits.len());
                for commit in commits.chunks(1) {
                    settled.extend(of_each(settle(&*self.store, commit, until).await, 1));
                }
                settled
            }
            settled => of_each(settled, commits.len()),
        }
    }

    /// Notes how a commit went: by its error, or that it was made.
    fn note(&self, error: Option<&StoreError>) {
        match error {
            None => {
                self.full.set(None);
                self.trouble.over();
            }
            Some(error) => {
                if matches!(error, StoreError::Full(_)) {
                    self.full.set(Some(Instant::now()));
                }
                // What is refused for good is told by whoever asked for it.
                if error.is_transient() {
                    self.trouble.met(error);
                }
            }
        }
    }
}

/// How many of those that wait go into one batch: as many as fit by the number of their commits and by bytes, but one at
/// least.
fn batch_size(
    sizes: impl Iterator<Item = (usize, usize)>,
    (mut commits, mut bytes): (usize, usize),
) -> usize {
    let fitting = sizes.take_while(|size| {
        match (commits.checked_sub(size.0), bytes.checked_sub(size.1)) {
            (Some(fewer), Some(less)) => (commits, bytes) = (fewer, less),
            _ => return false,
        }
        true
    });
    fitting.count().max(1)
}

/// What became of each of so many commits that were settled together.
fn of_each(settled: Result<Vec<CommitOutcome>, Arc<StoreError>>, count: usize) -> Vec<Committed> {
    match settled {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); count],
    }
}

/// Finds out whether a commit whose reply was lost happened, or starts that belong together; makes it happen if it did not.
async fn settle(
    store: &dyn Store,
    commits: &[Commit],
    until: Instant,
) -> Result<Vec<CommitOutcome>, Arc<StoreError>> {
    let mut wait = Duration::from_millis(20);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let error = StoreError::OutcomeUnknown("the lost reply of a commit was looked up in vain".into());
            return Err(Arc::new(error));
        }
        match answer(left, settle_once(store, commits)).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "could not look up a commit, trying again");
            }
            Err(error) => return Err(Arc::new(error)),
        }
        tokio::time::sleep(wait.min(left)).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}

async fn settle_once(store: &dyn Store, commits: &[Commit]) -> Result<Vec<CommitOutcome>, StoreError> {
    if let [Commit::Advance(advance)] = commits
        && let Some(found) = committed_before(store, advance).await?
    {
        return Ok(vec![found]);
    }
    let outcomes = store.commit(commits.to_vec()).await?;
    if outcomes.len() != commits.len() {
        return Err(StoreError::Internal("the store answered no outcome".into()));
    }
    let settled = outcomes.into_iter().zip(commits).map(|(outcome, commit)| match (outcome, commit) {
        (CommitOutcome::Exists, Commit::Start(_)) => Ok(CommitOutcome::Committed),
        (CommitOutcome::Duplicate { run, .. }, Commit::Start(start)) if run == start.meta.run => {
            Ok(CommitOutcome::Committed)
        }
        // The lost commit itself may be what has the key.
        (CommitOutcome::Busy, _) => Err(StoreError::Unavailable("the key cannot be judged now".into())),
        (outcome, _) => Ok(outcome),
    });
    settled.collect()
}

/// Looks for an advance's chunk in the history.
async fn committed_before(
    store: &dyn Store,
    advance: &AdvanceRun,
) -> Result<Option<CommitOutcome>, StoreError> {
    let Some(chunk) = &advance.chunk else { return Ok(None) };
    let stored = store.chunks_after(&advance.project, advance.run, advance.after, 1).await?;
    Ok(stored
        .items
        .first()
        .map(|stored| if stored == chunk { CommitOutcome::Committed } else { CommitOutcome::Stale }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::event::{Chunk, ChunkHash, RunStatus};
    use crate::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
    use crate::run::RunMeta;
    use crate::store::Hold;
    use crate::store::memory::MemoryStore;
    use crate::time::Timestamp;

    fn start(number: u8, first_seq: u64) -> StartRun {
        let (run, project) = (RunId::new(Timestamp::EPOCH, [number; 8]), ProjectId::default_project());
        let digest = Digest::new(&"a".repeat(64)).unwrap();
        let meta = RunMeta::new(run, project, WorkflowSlug::new("flow").unwrap(), digest, Timestamp::EPOCH);
        let chunk = Chunk::from_parts(first_seq, first_seq, "[1]".into(), ChunkHash([1; 32]));
        let hold = Hold::Keep { status: RunStatus::Running };
        StartRun { meta, dedupe: None, worker: WorkerId::new("ann").unwrap(), chunk, hold }
    }

    fn committer(options: &EngineOptions) -> Committer {
        let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        Committer::spawn(&Tasks::default(), store, options, CancellationToken::new())
    }

    #[tokio::test]
    async fn a_commit_that_the_store_refuses_for_good_does_not_fail_its_batch() {
        let committer = committer(&EngineOptions::default());
        // No history starts at 2.
        let answers = [start(1, 1), start(2, 2), start(3, 1)]
            .map(|start| committer.try_commit(Commit::Start(start)).unwrap());
        let mut committed = Vec::new();
        for answer in answers {
            committed.push(answer.await.unwrap().is_ok());
        }
        assert_eq!(committed, [true, false, true]);
    }

    #[tokio::test]
    async fn of_what_is_committed_together_each_has_its_outcome() {
        let committer = committer(&EngineOptions { max_batch: 2, ..EngineOptions::default() });
        let together = [1, 2, 3, 1, 4].map(|number| start(number, 1)).to_vec();
        let mut outcomes = Vec::new();
        for answer in committer.try_commit_together(together, committer.room().unwrap()).unwrap() {
            outcomes.push(answer.await.unwrap().unwrap());
        }
        let (made, exists) = (CommitOutcome::Committed, CommitOutcome::Exists);
        assert_eq!(outcomes, [made.clone(), made.clone(), made.clone(), exists, made]);
    }

    #[tokio::test]
    async fn what_is_being_made_takes_room_like_what_waits() {
        let committer = committer(&EngineOptions { max_queue_bytes: 100, ..EngineOptions::default() });
        let [mut one, mut two, mut large] = [(); 3].map(|()| committer.room().unwrap());
        assert!(committer.grow(&mut one, 40).is_ok() && committer.grow(&mut one, 40).is_ok());
        assert!(committer.grow(&mut two, 21).is_err());
        drop(one);
        // What is larger than the queue has all of it, and grows no further.
        assert!(committer.grow(&mut large, 1_000).is_ok() && committer.grow(&mut large, 1_000).is_ok());
        assert!(
            committer.grow(&mut two, 1).is_err() && committer.try_commit(Commit::Start(start(1, 1))).is_err()
        );
    }

    #[test]
    fn a_batch_takes_what_fits_and_one_commit_at_least() {
        for (sizes, expected) in [
            (&[(1, 1), (1, 2), (1, 3)][..], 3),
            (&[(1, 4), (1, 6), (1, 1)], 2),
            (&[(1, 4), (1, 7), (1, 1)], 1),
            (&[(1, 11), (1, 1)], 1),
            (&[(1, 1), (1, 11), (1, 1)], 1),
            (&[(1, 10), (1, 0), (1, 0)], 3),
            (&[(3, 0), (1, 0), (1, 0)], 2),
            (&[(1, 0), (4, 0), (1, 0)], 1),
            (&[(5, 0), (1, 0)], 1),
        ] {
            assert_eq!(batch_size(sizes.iter().copied(), (4, 10)), expected, "{sizes:?}");
        }
    }
}
