//! Events: what a run's history is made of.
//!
//! A history is an ordered, gapless list of events. Some are **facts**, which come from outside and cannot be
//! known before they happen (the run was created, an attempt ended, a timer came due); the others are
//! **decisions**, which follow from the definition and the facts before them. A fact and the decisions that
//! follow from it carry the same time, and are made durable together.
//!
//! Names and fields are a public, durable contract: fields are added, never renamed, and a name is never reused.

mod chunk;
mod codec;
mod trigger;

use std::sync::Arc;

use serde_json::Value;

#[cfg(feature = "testing")]
pub(crate) use self::chunk::chain;
pub use self::chunk::{ChainError, Chunk, ChunkHash, genesis};
pub use self::codec::{CodecError, decode_events, encode_events};
pub use self::trigger::RunTrigger;
use crate::exec::Level;
use crate::failure::Failure;
use crate::id::{Digest, RunId, StepKey, WorkerId};
use crate::time::Timestamp;

/// One recorded fact or decision of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Position in the history: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When it was decided, by the deciding process's clock; never earlier than the event before it.
    pub at: Timestamp,
    /// The step that it is about, if it is about one.
    pub step: Option<StepKey>,
    /// What happened.
    pub data: EventData,
}

impl Event {
    /// Makes an event.
    #[must_use]
    pub fn new(seq: u64, at: Timestamp, step: Option<StepKey>, data: EventData) -> Self {
        Self { seq, at, step, data }
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventData {
    /// The run exists. Fact.
    RunCreated(RunCreated),
    /// Another worker took the run over. Fact.
    RunClaimed {
        /// The worker that holds the run from here.
        worker: WorkerId,
        /// Its fencing number: higher than every earlier one.
        epoch: u64,
    },
    /// Nothing new starts from here. Fact.
    RunPaused {
        /// Who asked for it.
        by: Option<String>,
    },
    /// The run goes on. Fact.
    RunResumed {
        /// Who asked for it.
        by: Option<String>,
    },
    /// Somebody wants the run to end. Fact.
    RunCancelRequested {
        /// Who asked for it.
        by: Option<String>,
    },
    /// The failed steps of a failed run start again. Fact.
    RunRetried {
        /// Who asked for it.
        by: Option<String>,
    },
    /// The run ended well. Decision.
    RunSucceeded {
        /// The run's output.
        output: Arc<Value>,
        /// What a waiting webhook answers, when a `terminate` node says so.
        response: Option<Arc<Value>>,
    },
    /// The run ended badly. Decision, or fact where its time was up or a limit of the engine was reached.
    RunFailed {
        /// Why.
        failure: Failure,
        /// The step that failed it, if one did.
        failed_step: Option<StepKey>,
        /// What a waiting webhook answers, when a `terminate` node says so.
        response: Option<Arc<Value>>,
    },
    /// The run was cancelled. Decision.
    RunCancelled,
    /// The intent of a side effect, durable before it happens. Decision.
    StepStarted {
        /// The step's input.
        input: Arc<Value>,
        /// What every attempt of the step carries.
        idempotency_key: String,
    },
    /// One attempt went wrong. Fact; when it is tried again is a decision.
    AttemptFailed {
        /// The attempt's number, from 1.
        attempt: u32,
        /// How.
        failure: Failure,
        /// When the next attempt starts, if there is one.
        retry_at: Option<Timestamp>,
    },
    /// A step ended well. Decision for pure nodes, fact for side effects.
    StepSucceeded {
        /// The port by which it was left; none for `terminate`.
        port: Option<Arc<str>>,
        /// What it produced.
        output: Arc<Value>,
        /// How many attempts it took, on side-effect nodes.
        attempts: Option<u32>,
    },
    /// A step failed for good. Decision, or fact where its deadline passed.
    StepFailed {
        /// Why.
        failure: Failure,
        /// `error`, if that port has an edge.
        port: Option<Arc<str>>,
        /// How many attempts it took, on side-effect nodes.
        attempts: Option<u32>,
    },
    /// No edge into the step was taken. Decision.
    StepSkipped,
    /// The run waits for a time. Decision.
    TimerSet {
        /// The time.
        at: Timestamp,
        /// What for.
        purpose: TimerPurpose,
    },
    /// The time came. Fact.
    TimerFired {
        /// The time that was waited for.
        at: Timestamp,
        /// What for.
        purpose: TimerPurpose,
    },
    /// An external event arrived for the run. Fact.
    EventReceived {
        /// Its name.
        name: String,
        /// Its key.
        key: Option<String>,
        /// What it carries.
        payload: Arc<Value>,
    },
    /// A called workflow's run was started. Decision.
    ChildStarted {
        /// The child.
        run_id: RunId,
    },
    /// A called workflow's run ended. Fact.
    ChildFinished {
        /// The child.
        run_id: RunId,
        /// How it ended.
        status: RunStatus,
        /// Its output, if it succeeded.
        output: Option<Arc<Value>>,
        /// Its failure, if it failed.
        failure: Option<Failure>,
    },
    /// Something was said about a step or the run. Fact.
    StepLogged {
        /// How much it matters.
        level: Level,
        /// For people.
        message: String,
        /// Structured fields.
        fields: Option<Arc<Value>>,
    },
}

/// What starts a history.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunCreated {
    /// What started the run, as expressions see it in `trigger`.
    pub trigger: RunTrigger,
    /// The run's input.
    pub input: Arc<Value>,
    /// The definition that it runs.
    pub digest: Digest,
    /// The number of the rules by which it is decided; see [`crate::run::semantics`].
    pub semantics: u32,
    /// The run and step that this run was resumed from.
    pub resumed_from: Option<StepRef>,
    /// The run and step that called this run.
    pub parent: Option<StepRef>,
    /// Whether this is a test run.
    pub test: bool,
}

impl RunCreated {
    /// A run of a definition with the newest semantics.
    #[must_use]
    pub fn new(digest: Digest, trigger: RunTrigger, input: Arc<Value>) -> Self {
        let semantics = crate::run::semantics::NEWEST;
        Self { trigger, input, digest, semantics, resumed_from: None, parent: None, test: false }
    }

    /// Whether the input is the body of the webhook that started the run, and so need not be written twice.
    pub(crate) fn input_is_body(&self) -> bool {
        self.trigger.body().is_some_and(|body| Arc::ptr_eq(body, &self.input) || **body == *self.input)
    }
}

/// A step of some run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// The run.
    pub run_id: RunId,
    /// The step within it.
    pub step: StepKey,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerPurpose {
    /// A `delay` node.
    Delay,
    /// The pause between two iterations of `repeat`.
    Repeat,
    /// The timeout of a `wait` node.
    Wait,
}

impl TimerPurpose {
    const ALL: [TimerPurpose; 3] = [TimerPurpose::Delay, TimerPurpose::Repeat, TimerPurpose::Wait];

    /// The purpose's name in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TimerPurpose::Delay => "delay",
            TimerPurpose::Repeat => "repeat",
            TimerPurpose::Wait => "wait",
        }
    }

    /// Reads a purpose's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RunStatus {
    /// Something is being done, or can be.
    Running,
    /// Nothing to do until a time or an external event.
    Waiting,
    /// Nothing new starts until it is resumed.
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended because somebody wanted it to.
    Cancelled,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [RunStatus; 6] = [
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Paused,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
    ];

    /// The status's name in events and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Paused => "paused",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
        }
    }

    /// Reads a status's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled)
    }
}

impl EventData {
    /// The event's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            EventData::RunCreated(_) => "run_created",
            EventData::RunClaimed { .. } => "run_claimed",
            EventData::RunPaused { .. } => "run_paused",
            EventData::RunResumed { .. } => "run_resumed",
            EventData::RunCancelRequested { .. } => "run_cancel_requested",
            EventData::RunRetried { .. } => "run_retried",
            EventData::RunSucceeded { .. } => "run_succeeded",
            EventData::RunFailed { .. } => "run_failed",
            EventData::RunCancelled => "run_cancelled",
            EventData::StepStarted { .. } => "step_started",
            EventData::AttemptFailed { .. } => "attempt_failed",
            EventData::StepSucceeded { .. } => "step_succeeded",
            EventData::StepFailed { .. } => "step_failed",
            EventData::StepSkipped => "step_skipped",
            EventData::TimerSet { .. } => "timer_set",
            EventData::TimerFired { .. } => "timer_fired",
            EventData::EventReceived { .. } => "event_received",
            EventData::ChildStarted { .. } => "child_started",
            EventData::ChildFinished { .. } => "child_finished",
            EventData::StepLogged { .. } => "step_logged",
        }
    }

    /// Whether the run ends with this event.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, EventData::RunSucceeded { .. } | EventData::RunFailed { .. } | EventData::RunCancelled)
    }
}
