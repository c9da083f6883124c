//! Following a run: its events as they are committed, whichever process commits them.
//!
//! ```text
//!   committed here      ─► the last chunks, kept while somebody follows ─┐
//!   committed elsewhere ─► the store, looked at every poll interval ─────┴─► events behind the last one, without a gap
//! ```
//!
//! The history is the truth. What this process commits is handed on without asking the store for it; where that does not
//! continue what is known, since it was too much to be kept or another process had the run in between, the store is read.
//! So a follower neither misses nor repeats an event.

use std::sync::Arc;

use super::watch::{Ahead, Watch};
use super::{EngineError, EventPage, Project};
use crate::event::{Chunk, CodecError, Event};
use crate::id::RunId;
use crate::run::ReplayError;

/// Follows a run; made by [`Project::follow`].
#[derive(Debug)]
pub struct Follower {
    project: Project,
    run: RunId,
    /// The position of the last event that was read.
    after: u64,
    watch: Watch,
    /// What was read when the run was looked up.
    first: Option<Vec<Event>>,
    /// Whether the store is known to have more.
    has_more: bool,
    is_over: bool,
}

impl Project {
    /// Follows a run: its events after a position, and then what is committed to it, up to its end.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Unreadable`], or a store error.
    pub async fn follow(&self, run: RunId, after: u64) -> Result<Follower, EngineError> {
        // Before the first read, so that what is committed during it is not missed.
        let watch = self.inner.watchers.follow(run);
        let project = self.clone();
        let mut follower =
            Follower { project, run, after, watch, first: None, has_more: false, is_over: false };
        follower.first = Some(follower.look().await?);
        Ok(follower)
    }
}

impl Follower {
    /// The next events, ascending. None of them (`Some` of nothing) when a poll interval has gone by without any, so that
    /// the caller can look at what else may have changed. `None` behind the run's end, and when the process stops.
    ///
    /// A run that has ended may be retried: whoever follows it from there again sees how it goes on.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unreadable`] or a store error.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, EngineError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let stopping = self.project.inner.stopping.drain.clone();
        loop {
            if self.is_over || stopping.is_cancelled() {
                return Ok(None);
            }
            if self.has_more {
                return self.look().await.map(Some);
            }
            let ahead = self.watch.news.borrow_and_update().ahead_of(self.after);
            match ahead {
                Ahead::Chunks(chunks) => return self.read(&chunks).map(Some),
                Ahead::Unknown => return self.look().await.map(Some),
                Ahead::Nothing => {}
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Ok(None),
                _ = self.watch.news.changed() => {}
                // What is committed in other processes is no news here.
                () = tokio::time::sleep(self.project.inner.options.poll) => return self.look().await.map(Some),
            }
        }
    }

    /// Reads what was committed here.
    fn read(&mut self, chunks: &[Arc<Chunk>]) -> Result<Vec<Event>, EngineError> {
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(events_after(chunk, self.after)?);
        }
        Ok(self.go_on(EventPage { events, more: false }))
    }

    /// Reads what the store has.
    async fn look(&mut self) -> Result<Vec<Event>, EngineError> {
        let mut page = self.project.stored_events(self.run, self.after, BATCH).await?;
        if page.events.is_empty() && self.stands_at_its_end().await? {
            // It may have ended between the two.
            page = self.project.stored_events(self.run, self.after, BATCH).await?;
            self.is_over = page.events.is_empty();
        }
        Ok(self.go_on(page))
    }

    async fn stands_at_its_end(&self) -> Result<bool, EngineError> {
        let Project { inner, id } = &self.project;
        Ok(inner.status_of(id, self.run).await?.is_terminal())
    }

    fn go_on(&mut self, EventPage { events, more }: EventPage) -> Vec<Event> {
        self.has_more = more;
        if let Some(last) = events.last() {
            self.after = last.seq;
            // What was retried since goes on behind its end.
            self.is_over = !more && last.data.is_terminal();
        }
        events
    }
}

/// A chunk's events behind a position.
pub(super) fn events_after(
    chunk: &Chunk,
    after: u64,
) -> Result<impl Iterator<Item = Event> + use<>, EngineError> {
    let unreadable = |error: CodecError| EngineError::Unreadable(ReplayError::Chain(error.into()));
    Ok(chunk.events().map_err(unreadable)?.into_iter().filter(move |event| event.seq > after))
}

/// How many events are read at once.
const BATCH: usize = 200;
