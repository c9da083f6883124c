//! One attempt, from its permit to the fact that it becomes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::vault::Unsealed;
use crate::exec::{Attempt, AttemptError, Executor, LogEntry, Outcome};
use crate::failure::{Failure, MAX_DETAILS_BYTES, code};
use crate::id::StepKey;
use crate::json;
use crate::run::{Fact, MAX_OUTPUT_BYTES, MAX_OUTPUT_DEPTH};

/// An attempt that is about to start.
pub(super) struct Launch {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) attempt: Attempt,
    pub(super) permits: Arc<Semaphore>,
    pub(super) secrets: Arc<Unsealed>,
    /// Set when the attempt has its permit and starts.
    pub(super) started: Arc<AtomicBool>,
}

/// Cancels an attempt when it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) number: u32,
    pub(super) cancelled: CancellationToken,
    pub(super) task: tokio::task::AbortHandle,
    pub(super) started: Arc<AtomicBool>,
}

impl UnderWay {
    /// Whether the attempt has started; before that it waits for its permit.
    pub(super) fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cancelled.cancel();
        self.task.abort();
    }
}

/// Performs an attempt and says what happened, in facts that hold no secret.
pub(super) async fn perform(launch: Box<Launch>) -> (StepKey, u32, Vec<Fact>) {
    let attempt = &launch.attempt;
    let (step, number, log, timeout) =
        (attempt.step.clone(), attempt.number, attempt.log.clone(), attempt.timeout);
    let secrets = launch.secrets.clone();
    let permit = launch.permits.clone().acquire_owned().await;
    launch.started.store(true, Ordering::Release);
    let execution = async move {
        let Launch { executor, attempt, .. } = *launch;
        executor.execute(attempt).await
    };
    let execution = AssertUnwindSafe(execution).catch_unwind();
    let result = match tokio::time::timeout(timeout, execution).await {
        Err(_) => {
            Err(Failure::retryable(code::TIMED_OUT, format!("no result within {}", shown(timeout))).into())
        }
        Ok(Err(_)) => Err(Failure::permanent(code::EXECUTOR_PANICKED, "the node's executor panicked").into()),
        Ok(Ok(result)) => result,
    };
    drop(permit);
    let mut facts: Vec<Fact> = log.take().into_iter().map(|entry| logged(&step, entry, &secrets)).collect();
    facts.push(finished(&step, number, result, &secrets));
    (step, number, facts)
}

fn shown(timeout: Duration) -> String {
    crate::time::format_duration(timeout)
}

fn finished(step: &StepKey, attempt: u32, result: Result<Outcome, AttemptError>, secrets: &Unsealed) -> Fact {
    let checked = result.and_then(|outcome| {
        let mut output = outcome.output;
        let refused =
            |message: String| AttemptError::from(Failure::permanent(code::OUTPUT_TOO_LARGE, message));
        if json::depth(&output) > MAX_OUTPUT_DEPTH {
            return Err(refused(format!("the output nests deeper than {MAX_OUTPUT_DEPTH}")));
        }
        if json::normalize(&mut output).is_err() {
            return Err(
                Failure::permanent(code::RESPONSE_INVALID, "the output holds a number out of range").into()
            );
        }
        secrets.masker().mask_value(&mut output);
        if json::canonical_len_within(&output, MAX_OUTPUT_BYTES).is_none() {
            return Err(refused(format!("the output is larger than {MAX_OUTPUT_BYTES} bytes")));
        }
        Ok((outcome.port, output))
    });
    match checked {
        Ok((port, output)) => Fact::AttemptSucceeded {
            step: step.clone(),
            attempt,
            port: port.into(),
            output: Arc::new(output),
        },
        Err(AttemptError { failure, retry_not_before, .. }) => Fact::AttemptFailed {
            step: step.clone(),
            attempt,
            failure: masked(failure, secrets),
            retry_not_before,
        },
    }
}

fn masked(failure: Failure, secrets: &Unsealed) -> Failure {
    let mut failure = failure.bounded();
    secrets.masker().mask_failure(&mut failure);
    failure
}

fn logged(step: &StepKey, entry: LogEntry, secrets: &Unsealed) -> Fact {
    let message = secrets.masker().mask_str(&entry.message).into_owned();
    let fields = entry.fields.map(|mut fields| {
        if json::depth(&fields) > MAX_OUTPUT_DEPTH
            || json::normalize(&mut fields).is_err()
            || json::canonical_len_within(&fields, MAX_DETAILS_BYTES).is_none()
        {
            return Arc::new(Value::String("the fields were too large to keep".into()));
        }
        secrets.masker().mask_value(&mut fields);
        Arc::new(fields)
    });
    Fact::Logged { step: Some(step.clone()), level: entry.level, message, fields }
}
