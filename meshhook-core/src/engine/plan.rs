//! Planned runs: for whoever wants to make one durable in a transaction of their own.
//!
//! The engine decides a run up to what it owes, as for any other, but does not commit it: a store that lives in the same
//! database as the host's tables puts it there within the host's transaction. The run then exists if and only if that
//! commits. It is released, due at once: the next worker that looks takes it.

use super::intake::{Asked, Begun, StartRequest};
use super::{EngineError, Project};
use crate::id::{RunId, WorkerId, WorkflowSlug};
use crate::run::RunEnd;
use crate::store::{Hold, StartRun};

/// A run that does not exist yet.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    start: StartRun,
    end: Option<RunEnd>,
}

impl PlannedRun {
    /// The id that the run will have.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.start.meta.run
    }

    /// How the run ends, if it has no more to do than was done in planning it.
    #[must_use]
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// What a store is to commit.
    #[must_use]
    pub fn start(&self) -> &StartRun {
        &self.start
    }
}

impl Project {
    /// Plans a run without making it: nothing is durable, nothing happens, and a plan may be dropped.
    ///
    /// # Errors
    ///
    /// As for [`start_run`](Project::start_run); a repetition of a key is found when the plan is committed.
    pub async fn plan_run(
        &self,
        slug: &WorkflowSlug,
        request: StartRequest,
    ) -> Result<PlannedRun, EngineError> {
        let new = match self.new_run(slug, request).await? {
            Asked::New(new) => new,
            Asked::Before(first) => return Err(EngineError::KeyReused { run: first.run }),
        };
        self.inner.leased().await?;
        let begun = self.inner.begin(new).await?;
        Ok(PlannedRun { start: begun.released(&self.inner.worker), end: begun.state.end().cloned() })
    }
}

impl Begun {
    /// What makes the run durable and leaves it to whoever claims it.
    pub(super) fn released(&self, worker: &WorkerId) -> StartRun {
        let Begun { meta, state, chunk, next_due, dedupe, .. } = self;
        let hold = match state.end() {
            Some(end) => Hold::End { status: end.status, at: end.at, failure: end.failure.clone() },
            None => Hold::Release { wake_up: *next_due, status: state.status(meta.created_at) },
        };
        StartRun {
            meta: meta.clone(),
            dedupe: dedupe.clone(),
            worker: worker.clone(),
            chunk: chunk.clone(),
            hold,
        }
    }
}
