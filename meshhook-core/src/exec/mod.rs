//! Executors: the code that performs the side effects of nodes.
//!
//! The engine owns everything around an attempt: when it starts, its timeout, retries, what is recorded. An
//! executor performs one attempt and says how it went. It is called **at least once** for each attempt that the
//! history records: after a crash the same attempt may be started again, with the same idempotency key.

mod log;
mod node;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub use self::log::{Level, LogEntry, MAX_ENTRIES as MAX_LOG_ENTRIES, StepLog};
pub use self::node::Node;
pub(crate) use self::node::NodeExecutor;
pub use self::trace::TraceContext;
use crate::failure::Failure;
use crate::id::{ProjectId, RunId, StepKey, WorkflowSlug};
use crate::secret::Masker;
use crate::time::Timestamp;

/// Performs the side effect of one node type.
///
/// It runs on the host's runtime, beside whatever else runs there, the renewal of this worker's lease among it: it
/// awaits and never blocks. What blocks or computes for long belongs on a thread of its own, such as tokio's
/// `spawn_blocking`; else an attempt's timeout cannot end it, and others take this worker for dead.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Performs one attempt and answers with the step's output and port.
    ///
    /// Dropping the future must be safe at any await: the engine does so when the attempt's timeout passes, the
    /// run is cancelled or the process stops.
    ///
    /// # Errors
    ///
    /// A [`Failure`] that says whether another attempt may succeed. It is recorded after secrets that the attempt
    /// used were masked in it.
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError>;
}

/// One try of a step's side effect.
#[derive(Clone)]
#[non_exhaustive]
pub struct Attempt {
    /// The project that the run belongs to.
    pub project: ProjectId,
    /// The workflow that runs.
    pub workflow: WorkflowSlug,
    /// The run.
    pub run: RunId,
    /// The step within the run.
    pub step: StepKey,
    /// The attempt's number, from 1. A crash does not raise it.
    pub number: u32,
    /// The same for every attempt of the step, across crashes and workers, and different for every other step.
    pub idempotency_key: String,
    /// The node's config with every template rendered, **secrets included**: it must not be logged or kept.
    pub config: Value,
    /// The step's input.
    pub input: Arc<Value>,
    /// When the step's decision was recorded: what `now()` is in its templates.
    pub decided_at: Timestamp,
    /// How long this attempt may take; the engine drops the future after that.
    pub timeout: Duration,
    /// The trace that the run's webhook belongs to, with this attempt's place in it: for the `traceparent` of a request.
    pub trace: Option<TraceContext>,
    /// Ends when the engine no longer wants the result.
    pub cancelled: CancellationToken,
    /// Writes `step_logged` events, bounded.
    pub log: StepLog,
    /// Hides the project's secrets. The engine masks outcomes, failures and logs as they leave the attempt; an executor
    /// needs it only where it cuts text, so that half a secret does not remain.
    pub masker: Arc<Masker>,
}

impl Attempt {
    /// A first attempt for tests of executors: project `default`, workflow `test`, step `call`, 30 s of time.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn sample(config: Value) -> Self {
        let step: StepKey = "call".parse().expect("a valid step key");
        Self {
            project: ProjectId::default_project(),
            workflow: WorkflowSlug::new("test").expect("a valid slug"),
            run: RunId::new(Timestamp::EPOCH, [1; 8]),
            idempotency_key: "sample-key".into(),
            step,
            number: 1,
            config,
            input: Arc::new(Value::Null),
            decided_at: Timestamp::EPOCH,
            timeout: Duration::from_secs(30),
            trace: None,
            cancelled: CancellationToken::new(),
            log: StepLog::default(),
            masker: Arc::new(Masker::none()),
        }
    }
}

/// How an attempt succeeded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The port by which the step is left: `out` for most nodes.
    pub port: String,
    /// The step's output.
    pub output: Value,
}

impl Outcome {
    /// Leaves by the `out` port.
    #[must_use]
    pub fn out(output: Value) -> Self {
        Self { port: "out".into(), output }
    }
}

/// How an attempt failed, and when the other side asks to be tried again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttemptError {
    /// What is recorded.
    pub failure: Failure,
    /// The earliest moment at which another attempt makes sense, as a `Retry-After` names it.
    pub retry_not_before: Option<Timestamp>,
}

impl AttemptError {
    /// Adds the earliest moment of the next attempt.
    #[must_use]
    pub fn retry_not_before(mut self, at: Timestamp) -> Self {
        self.retry_not_before = Some(at);
        self
    }
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_not_before: None }
    }
}
