//! Side effects: their attempts, retries and deadlines.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::decide::Decider;
use super::fact::Refusal;
use super::meta::RunMeta;
use super::semantics;
use super::state::{Work, locate};
use crate::event::EventData;
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::NodeKind;
use crate::policy::{EffectPolicy, retry_random};
use crate::time::Timestamp;

/// The longest that a `Retry-After` can put the next attempt off.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

impl Decider<'_> {
    pub(super) fn is_effect(&self, key: &StepKey) -> bool {
        self.state.active.contains(key)
            && self.state.is_live(key)
            && matches!(self.state.steps[key].work, Work::Effect { .. })
    }

    pub(super) fn policy(&self, key: &StepKey) -> Option<&EffectPolicy> {
        locate(self.definition, key).and_then(|(_, _, node)| node.policy.as_ref())
    }

    pub(super) fn deadline(&self, key: &StepKey, policy: &EffectPolicy) -> Option<Timestamp> {
        let from = self.state.steps.get(key)?.deadline_from;
        policy.deadline.map(|deadline| from.after(deadline))
    }

    /// Refuses the result of an attempt that is not under way; says whether time was up before it came.
    pub(super) fn check_attempt(&mut self, key: &StepKey, attempt: u32) -> Result<Late, Refusal> {
        if !self.is_effect(key) || self.state.steps[key].attempts + 1 != attempt {
            return Err(Refusal::StaleAttempt { step: key.clone(), attempt });
        }
        if self.is_out_of_time() {
            self.time_out_run();
            return Ok(Late::Yes);
        }
        let deadline = self.policy(key).and_then(|policy| self.deadline(key, policy));
        if deadline.is_some_and(|deadline| self.now >= deadline) {
            self.miss_deadline(key);
            return Ok(Late::Yes);
        }
        Ok(Late::No)
    }

    /// Refuses a port that the node type does not have.
    pub(super) fn check_port(&self, key: &StepKey, port: &Arc<str>) -> Result<(), Refusal> {
        match locate(self.definition, key).map(|(_, _, node)| &node.kind) {
            Some(NodeKind::Effect(effect)) if !effect.ports().contains(port) => {
                Err(Refusal::UnknownPort { step: key.clone(), port: port.to_string() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn attempt_succeeded(&mut self, key: &StepKey, port: Arc<str>, output: Arc<Value>) {
        if let Err(failure) = self.succeed(key, Some(port), output) {
            self.record_failed_attempt(key, &failure, None);
            self.fail(key, failure);
        }
    }

    pub(super) fn attempt_failed(&mut self, key: &StepKey, failure: Failure, not_before: Option<Timestamp>) {
        let policy = self.policy(key).cloned().unwrap_or_default();
        let step = &self.state.steps[key];
        let (attempt, tries) = (step.attempts + 1, step.tries + 1);
        if !failure.retryable || tries >= policy.retry.max_attempts {
            self.record_failed_attempt(key, &failure, None);
            return self.fail(key, failure);
        }
        let random = retry_random(self.state.meta.run.as_bytes(), key, attempt);
        let backoff = self.now.after(policy.retry.delay(tries, random));
        let asked = not_before.map_or(backoff, |at| at.min(self.now.after(MAX_RETRY_AFTER)));
        let retry_at = backoff.max(asked);
        let in_time = self.deadline(key, &policy).is_none_or(|deadline| retry_at <= deadline);
        self.record_failed_attempt(key, &failure, in_time.then_some(retry_at));
        if !in_time {
            self.fail_by_deadline(key, Some(failure));
        }
    }

    fn record_failed_attempt(&mut self, key: &StepKey, failure: &Failure, retry_at: Option<Timestamp>) {
        let step = self.state.steps.get_mut(key).expect("an effect under way has an entry");
        step.attempts += 1;
        step.tries += 1;
        step.failure = Some(failure.clone());
        step.work = Work::Effect { retry_at };
        let attempt = step.attempts;
        self.emit(Some(key), EventData::AttemptFailed { attempt, failure: failure.clone(), retry_at });
    }

    /// Fails a step whose deadline came; an attempt whose time had come before may have been made, and counts.
    pub(super) fn miss_deadline(&mut self, key: &StepKey) {
        let last = self.state.steps[key].failure.clone();
        if self.has_cut_off_attempts() && self.was_begun_in_time(key) {
            let cut_off = Failure::retryable(code::TIMED_OUT, "no result before the step's deadline");
            self.record_failed_attempt(key, &cut_off, None);
        }
        self.fail_by_deadline(key, last);
    }

    /// Whether what a deadline cuts off is recorded. It reads like any failed attempt, so the run's timeout comes first.
    pub(super) fn has_cut_off_attempts(&self) -> bool {
        self.state.created.semantics >= semantics::V2
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        self.now >= self.state.times_out_at(self.definition)
    }

    fn was_begun_in_time(&self, key: &StepKey) -> bool {
        let Work::Effect { retry_at } = self.state.steps[key].work else { return false };
        let deadline = self.policy(key).and_then(|policy| self.deadline(key, policy));
        retry_at.is_none_or(|at| deadline.is_none_or(|deadline| at < deadline))
    }

    fn fail_by_deadline(&mut self, key: &StepKey, last: Option<Failure>) {
        let mut failure = Failure::permanent(code::TIMED_OUT, "the step did not succeed before its deadline");
        if let Some(last) = last {
            failure = failure.with_details(json!({ "last_failure": last.to_value() }));
        }
        self.fail(key, failure);
    }

    /// What would have begun during a pause begins when it ends.
    pub(super) fn put_retries_off(&mut self, paused_at: Timestamp) {
        for key in &self.state.active {
            let Some(step) = self.state.steps.get_mut(key) else { continue };
            if let Work::Effect { retry_at: Some(at) } = &mut step.work
                && *at > paused_at
            {
                *at = self.now.max(*at);
            }
        }
    }
}

pub(super) enum Late {
    Yes,
    No,
}

/// The same for every attempt of a step, different for every other step of any run.
pub(super) fn idempotency_key(meta: &RunMeta, key: &StepKey) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"meshhook idempotency\0");
    hasher.update(meta.run.as_bytes());
    hasher.update(key.as_str().as_bytes());
    format!("mh_{}", hex::encode(&hasher.finalize()[..16]))
}
