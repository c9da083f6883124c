//! The end of a run.

use std::sync::Arc;

use serde_json::Value;

use super::decide::Decider;
use super::output::check_output;
use super::state::RunEnd;
use crate::event::{EventData, RunStatus};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::{TerminateStatus, Termination};

impl Decider<'_> {
    /// Ends the step of a `terminate` node, and the run with it.
    pub(super) fn terminate(&mut self, key: &StepKey, ended: Termination) -> Result<(), Failure> {
        let output = ended.output;
        let response = ended.response.map(|response| Arc::new(response.to_value()));
        if let Some(response) = &response {
            check_output(response)?;
        }
        self.succeed(key, None, output.clone())?;
        let end = match ended.status {
            TerminateStatus::Succeeded => {
                RunEnd { output: Some(output), ..RunEnd::new(RunStatus::Succeeded, self.now) }
            }
            TerminateStatus::Failed => {
                let failure = Failure::permanent(code::TERMINATED, "the workflow ended the run as failed");
                let failure = failure.with_details((*output).clone());
                RunEnd {
                    failure: Some(failure),
                    step: Some(key.clone()),
                    ..RunEnd::new(RunStatus::Failed, self.now)
                }
            }
        };
        self.end(RunEnd { response, terminated: true, ..end });
        Ok(())
    }

    pub(super) fn succeed_run(&mut self, output: Arc<Value>) {
        match check_output(&output) {
            Ok(_) => self.end(RunEnd { output: Some(output), ..RunEnd::new(RunStatus::Succeeded, self.now) }),
            Err(failure) => self.fail_run(failure, None),
        }
    }

    pub(super) fn fail_run(&mut self, failure: Failure, step: Option<StepKey>) {
        self.end(RunEnd { failure: Some(failure), step, ..RunEnd::new(RunStatus::Failed, self.now) });
    }

    pub(super) fn time_out_run(&mut self) {
        self.fail_run(Failure::permanent(code::TIMED_OUT, "the run did not end within its timeout"), None);
    }

    pub(super) fn end(&mut self, end: RunEnd) {
        let event = match (&end.output, &end.failure) {
            (Some(output), _) => {
                EventData::RunSucceeded { output: output.clone(), response: end.response.clone() }
            }
            (None, Some(failure)) => EventData::RunFailed {
                failure: failure.clone(),
                failed_step: end.step.clone(),
                response: end.response.clone(),
            },
            (None, None) => EventData::RunCancelled,
        };
        self.emit(None, event);
        self.state.paused_at = None;
        self.state.end = Some(end);
    }
}
