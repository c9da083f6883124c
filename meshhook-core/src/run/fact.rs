//! What a run is told from outside, and why it may not accept it.

use std::sync::Arc;

use serde_json::Value;

use crate::event::RunStatus;
use crate::exec::Level;
use crate::failure::Failure;
use crate::id::{RunId, StepKey, WorkerId};
use crate::time::Timestamp;

/// Something that happened outside of the run's logic and cannot be computed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// Another worker took the run over.
    Claimed {
        /// The worker.
        worker: WorkerId,
        /// Its epoch.
        epoch: u64,
    },
    /// Somebody wants nothing new to start.
    Pause {
        /// Who.
        by: Option<String>,
    },
    /// Somebody wants a paused run to go on.
    Resume {
        /// Who.
        by: Option<String>,
    },
    /// Somebody wants the run to end.
    Cancel {
        /// Who.
        by: Option<String>,
    },
    /// Somebody wants the failed steps of a failed run to start again.
    Retry {
        /// Who.
        by: Option<String>,
    },
    /// An attempt of a side effect succeeded.
    AttemptSucceeded {
        /// The step.
        step: StepKey,
        /// The attempt's number.
        attempt: u32,
        /// The port by which the step is left.
        port: Arc<str>,
        /// What the attempt produced.
        output: Arc<Value>,
    },
    /// An attempt of a side effect failed.
    AttemptFailed {
        /// The step.
        step: StepKey,
        /// The attempt's number.
        attempt: u32,
        /// How.
        failure: Failure,
        /// The earliest time at which the other side wants to be tried again.
        retry_not_before: Option<Timestamp>,
    },
    /// The time that a step waits for has come.
    TimerDue {
        /// The step.
        step: StepKey,
    },
    /// The time for all attempts of a step is up.
    DeadlinePassed {
        /// The step.
        step: StepKey,
    },
    /// The time for the run is up.
    TimedOut,
    /// The engine cannot let the run go on: it broke a limit, or its workers died of it.
    Aborted {
        /// Why.
        failure: Failure,
    },
    /// An external event arrived.
    EventReceived {
        /// Its name.
        name: String,
        /// Its key.
        key: Option<String>,
        /// What it carries.
        payload: Arc<Value>,
    },
    /// A run that a step called has ended.
    ChildFinished {
        /// The child.
        run_id: RunId,
        /// How it ended.
        status: RunStatus,
        /// Its output.
        output: Option<Arc<Value>>,
        /// Its failure.
        failure: Option<Failure>,
    },
    /// An attempt, or the engine about the run, has something to say.
    Logged {
        /// The step, if it is about one.
        step: Option<StepKey>,
        /// How much it matters.
        level: Level,
        /// For people.
        message: String,
        /// Structured fields.
        fields: Option<Arc<Value>>,
    },
}

/// Why a run does not accept a fact. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The run has ended.
    #[error("run has ended")]
    Ended,
    /// The run's status does not allow it.
    #[error("run is {}", status.as_str())]
    InvalidState {
        /// Where the run stands.
        status: RunStatus,
    },
    /// No such attempt is under way.
    #[error("attempt {attempt} of step {step} is not under way")]
    StaleAttempt {
        /// The step.
        step: StepKey,
        /// The attempt's number.
        attempt: u32,
    },
    /// The step does not wait for that, or not yet.
    #[error("step {step} has nothing due")]
    NotDue {
        /// The step.
        step: StepKey,
    },
    /// The run's time is not up.
    #[error("the run's time is not up")]
    TimeLeft,
    /// The node type has no such port.
    #[error("step {step} has no port {port:?}")]
    UnknownPort {
        /// The step.
        step: StepKey,
        /// The port.
        port: String,
    },
    /// No step waits for that child.
    #[error("no step waits for run {run_id}")]
    UnknownChild {
        /// The child.
        run_id: RunId,
    },
    /// The epoch is not higher than the one before.
    #[error("epoch {epoch} is stale")]
    StaleEpoch {
        /// The epoch.
        epoch: u64,
    },
}
