//! Who waits for news of a run in this process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::{Chunk, RunStatus};
use crate::id::RunId;
use crate::run::{RunEnd, RunState};
use crate::store::Hold;

/// What is known in this process of a run that somebody waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct News {
    /// The position of the last event that was committed here; 0 before the first.
    seq: u64,
    /// Where the run stood then.
    pub(super) status: Option<RunStatus>,
    /// How it had ended then, if it had.
    pub(super) end: Option<RunEnd>,
    /// The last chunks that were committed here, each continuing the one before, if somebody follows the run.
    recent: Option<VecDeque<Arc<Chunk>>>,
}

/// What a commit changed.
#[derive(Debug)]
pub(super) struct Step {
    /// The events, if there were any.
    pub(super) chunk: Option<Chunk>,
    /// Where the run stands now.
    pub(super) status: RunStatus,
    /// How it has ended, if it has.
    pub(super) end: Option<RunEnd>,
}

/// What was committed here behind a position.
#[derive(Debug)]
pub(super) enum Ahead {
    Nothing,
    /// These chunks, the first of which may begin before it.
    Chunks(Vec<Arc<Chunk>>),
    /// Something that is not known here any more.
    Unknown,
}

impl News {
    /// What is behind a position.
    pub(super) fn ahead_of(&self, after: u64) -> Ahead {
        if self.seq <= after {
            return Ahead::Nothing;
        }
        let recent = self.recent.iter().flatten();
        let chunks: Vec<_> = recent.filter(|chunk| chunk.last_seq > after).cloned().collect();
        match chunks.first() {
            Some(first) if first.first_seq <= after + 1 => Ahead::Chunks(chunks),
            _ => Ahead::Unknown,
        }
    }

    fn take(&mut self, step: Step) {
        self.status = Some(step.status);
        self.end = step.end;
        let Some(chunk) = step.chunk else { return };
        let continues = chunk.first_seq == self.seq + 1;
        self.seq = chunk.last_seq;
        let Some(recent) = &mut self.recent else { return };
        if !continues {
            recent.clear();
        }
        recent.push_back(Arc::new(chunk));
        let mut bytes: usize = recent.iter().map(|chunk| chunk.text.len()).sum();
        while bytes > MAX_RECENT_BYTES {
            bytes -= recent.pop_front().map_or(bytes, |chunk| chunk.text.len());
        }
    }
}

impl Step {
    /// What was committed with a state.
    pub(super) fn of(state: &RunState, hold: &Hold, chunk: Option<Chunk>) -> Self {
        Self { chunk, status: hold.status(), end: state.end().cloned() }
    }
}

/// Tells waiting callers how far a run has come.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    runs: Arc<Mutex<Watched>>,
}

/// The runs that somebody waits for.
type Watched = HashMap<RunId, watch::Sender<News>>;

/// Watches a run, until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    run: RunId,
    pub(super) news: watch::Receiver<News>,
    runs: Arc<Mutex<Watched>>,
}

impl Watchers {
    /// Watches a run: where it stands after what is committed to it in this process from here on.
    pub(super) fn subscribe(&self, run: RunId) -> Watch {
        self.watch(run, |_| {})
    }

    /// Follows a run: also the events of what is committed.
    pub(super) fn follow(&self, run: RunId) -> Watch {
        self.watch(run, |news| {
            news.recent.get_or_insert_default();
        })
    }

    fn watch(&self, run: RunId, prepare: impl FnOnce(&mut News)) -> Watch {
        let mut runs = lock(&self.runs);
        let sender = runs.entry(run).or_default();
        sender.send_if_modified(|news| {
            prepare(news);
            false
        });
        Watch { run, news: sender.subscribe(), runs: self.runs.clone() }
    }

    /// Says what was committed to a run, if somebody waits for it.
    pub(super) fn announce(&self, run: RunId, step: impl FnOnce() -> Step) {
        if let Some(sender) = lock(&self.runs).get(&run) {
            sender.send_modify(|news| news.take(step()));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut runs = lock(&self.runs);
        // Nobody else is left to tell, and what is known here may be long past when somebody comes again.
        if runs.get(&self.run).is_some_and(|sender| sender.receiver_count() <= 1) {
            runs.remove(&self.run);
        }
    }
}

fn lock(runs: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much of what was committed to a run is kept for those who follow it.
const MAX_RECENT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventData, genesis};
    use crate::time::Timestamp;

    fn run() -> RunId {
        RunId::new(Timestamp::EPOCH, [1; 8])
    }

    fn step(first: u64, last: u64, bytes: usize) -> Step {
        let by = Some("x".repeat(bytes));
        let events: Vec<_> = (first..=last)
            .map(|seq| Event::new(seq, Timestamp::EPOCH, None, EventData::RunPaused { by: by.clone() }))
            .collect();
        Step { chunk: Some(Chunk::encode(genesis(run()), &events)), status: RunStatus::Running, end: None }
    }

    fn ahead(watch: &Watch, after: u64) -> Option<Vec<(u64, u64)>> {
        match watch.news.borrow().ahead_of(after) {
            Ahead::Nothing => Some(Vec::new()),
            Ahead::Chunks(chunks) => {
                Some(chunks.iter().map(|chunk| (chunk.first_seq, chunk.last_seq)).collect())
            }
            Ahead::Unknown => None,
        }
    }

    #[test]
    fn who_follows_is_told_what_was_committed_since_and_nothing_across_a_gap() {
        let watchers = Watchers::default();
        let news = watchers.follow(run());
        assert_eq!(ahead(&news, 0), Some(vec![]));
        watchers.announce(run(), || step(3, 4, 1));
        watchers.announce(run(), || step(5, 5, 1));
        assert_eq!(ahead(&news, 1), None, "2 was not committed here");
        assert_eq!(ahead(&news, 2), Some(vec![(3, 4), (5, 5)]));
        assert_eq!(ahead(&news, 3), Some(vec![(3, 4), (5, 5)]), "a chunk that begins before");
        assert_eq!(ahead(&news, 4), Some(vec![(5, 5)]));
        assert_eq!(ahead(&news, 5), Some(vec![]));
        assert_eq!(ahead(&news, 9), Some(vec![]), "another process is ahead");
        watchers.announce(run(), || step(8, 9, 1));
        assert_eq!(ahead(&news, 5), None, "6 and 7 were committed elsewhere");
        assert_eq!(ahead(&news, 7), Some(vec![(8, 9)]));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let watchers = Watchers::default();
        let (news, waits) =
            (watchers.follow(run()), watchers.subscribe(RunId::new(Timestamp::EPOCH, [2; 8])));
        for seq in 1..=100 {
            watchers.announce(run(), || step(seq, seq, 10_000));
        }
        assert_eq!(ahead(&news, 94).map(|chunks| chunks.len()), Some(6));
        assert_eq!(ahead(&news, 93), None);
        watchers.announce(run(), || step(101, 101, MAX_RECENT_BYTES));
        assert_eq!(ahead(&news, 100), None, "one chunk may be too much");
        watchers.announce(run(), || step(102, 102, 1));
        assert_eq!(ahead(&news, 101), Some(vec![(102, 102)]));
        watchers.announce(RunId::new(Timestamp::EPOCH, [2; 8]), || step(1, 1, 1));
        assert_eq!(ahead(&waits, 0), None, "who only waits for the end needs no events");
    }

    #[test]
    fn what_was_known_to_those_who_have_left_is_forgotten() {
        let watchers = Watchers::default();
        let (first, second) = (watchers.follow(run()), watchers.subscribe(run()));
        watchers.announce(run(), || step(1, 1, 1));
        drop(first);
        assert_eq!(ahead(&second, 0), Some(vec![(1, 1)]), "somebody is left");
        drop(second);
        assert!(lock(&watchers.runs).is_empty());
        assert_eq!(ahead(&watchers.follow(run()), 0), Some(vec![]));
    }
}
