//! Making a chunk durable, and with it who has the run from then on.

use std::error::Error;
use std::time::Duration;

use super::{Held, Runner};
use crate::engine::deadline::answer;
use crate::engine::watch::Step;
use crate::engine::{Inner, ended};
use crate::event::Chunk;
use crate::run::RunState;
use crate::store::{AdvanceRun, Commit, CommitOutcome, HeldRun, Hold, InboxId, WakeUp};
use crate::time::Timestamp;

impl Runner {
    /// Makes events durable, and what was decided about the run's owner with them.
    pub(super) async fn commit(&mut self, chunk: Option<Chunk>, consumed: Vec<InboxId>) -> Held {
        self.under_way.retain(|step, under_way| self.run.state.awaits(step, under_way.number));
        if self.run.state.is_paused() {
            self.drop_queued();
        }
        let hold = self.hold();
        let stands = hold == Hold::Keep { status: self.run.status };
        if chunk.is_none() && consumed.is_empty() && stands {
            return Held::Yes;
        }
        let is_news = chunk.is_some() || !consumed.is_empty();
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
        let has_chunk = chunk.is_some();
        if let Some(chunk) = &chunk {
            self.run.hash = chunk.hash;
            self.run.bytes += chunk.text.len() as u64;
            if self.suspicion.as_ref().is_some_and(|suspicion| suspicion.is_over(chunk.last_seq)) {
                self.suspicion = None;
            }
        }
        if is_news {
            self.inner.watchers.announce(run, || Step::of(&self.run.state, &hold, chunk));
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
            Hold::End { .. } => {
                // Without a chunk nothing happened: the run goes back to the end that it had.
                if let Some(end) = self.run.state.end().filter(|_| has_chunk) {
                    ended(self.run.state.meta(), end);
                }
                Held::No
            }
        }
    }

    fn advance(&self, chunk: Option<Chunk>, hold: Hold, consumed: Vec<InboxId>) -> AdvanceRun {
        let meta = self.run.state.meta();
        // With a chunk the state is ahead of the history.
        let after = chunk.as_ref().map_or(self.run.state.seq(), |chunk| chunk.first_seq - 1);
        AdvanceRun {
            project: meta.project.clone(),
            run: meta.run,
            worker: self.inner.worker.clone(),
            claim: self.run.claim,
            after,
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
                    tracing::debug!(%error, run_id = %run, "could not commit, trying again");
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
                    let project = self.run.state.meta().project.clone();
                    self.inner.set_aside(HeldRun { project, run, claim: self.run.claim }, &error).await;
                    return None;
                }
            }
        }
    }

    pub(super) fn hold(&self) -> Hold {
        let has_work = !self.under_way.is_empty() || self.has_unread;
        let standing = Standing { now: self.inner.time.now(), next_due: self.next_due(), has_work };
        self.inner.hold(&self.run.state, &standing)
    }

    /// Releases the run, due as soon as it has something to do.
    pub(super) async fn hand_back(&self) {
        let status = self.run.state.status(self.inner.time.now());
        let advance = self.advance(None, Hold::Release { wake_up: self.next_due(), status }, Vec::new());
        if let Err(error) = self.inner.committer.commit(Commit::Advance(advance)).await {
            tracing::warn!(%error, "could not hand a run back; it is claimed when this worker's lease ends");
        }
    }
}

/// What decides who has a run after a commit, beside its state.
pub(in crate::engine) struct Standing {
    pub(in crate::engine) now: Timestamp,
    /// When the run needs its owner next.
    pub(in crate::engine) next_due: WakeUp,
    /// Whether its owner has something to do with it until then.
    pub(in crate::engine) has_work: bool,
}

impl Inner {
    /// Who has a run after a commit, as its state is then.
    pub(in crate::engine) fn hold(&self, state: &RunState, standing: &Standing) -> Hold {
        if let Some(end) = state.end() {
            return Hold::End { status: end.status, at: end.at, failure: end.failure.clone() };
        }
        let Standing { now, next_due, has_work } = *standing;
        let is_far = next_due.at(now).is_none_or(|at| at > now.after(self.options.hold));
        let status = state.status(now);
        if has_work || !(is_far || self.stopping.drains()) {
            return Hold::Keep { status };
        }
        Hold::Release { wake_up: next_due, status }
    }

    /// Gives back a run that cannot be gone on with now, to be tried again in a while: its record as it stands, and
    /// messages that wait do not make it due earlier. What comes later does, once for each.
    pub(in crate::engine) async fn set_aside(
        &self,
        held: HeldRun,
        why: &(dyn Error + Send + Sync + 'static),
    ) {
        let run = held.run;
        tracing::error!(error = why, project_id = %held.project, run_id = %run, "a run cannot be gone on with");
        metrics::counter!("meshhook_runs_set_aside_total").increment(1);
        let until = WakeUp::At(self.time.now().after(SET_ASIDE));
        let giving_back = self.store.forget(&self.worker, std::slice::from_ref(&held), until);
        if let Err(error) = answer(self.options.lease, giving_back).await {
            tracing::error!(%error, run_id = %run, "could not set a run aside");
            self.reconcile_after(run);
        }
    }
}

/// How long a run that cannot be gone on with is left alone.
const SET_ASIDE: Duration = Duration::from_secs(600);
