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
    pub(super) fn terminate(&mut self, key: &StepKey, ended: Termination) -> Result<(), Failure> {
        let output = ended.output;
        let response = ended.response.map(|response| Arc::new(response.to_value()));
        if let Some(response) = &response {
            check_output(response)?;
        }
        self.succeed(key, None, output.clone())?;
        match ended.status {
            TerminateStatus::Succeeded => self.succeed_run(output, response, true),
            TerminateStatus::Failed => {
                let failure = Failure::permanent(code::TERMINATED, "the workflow ended the run as failed");
                let failure = failure.with_details((*output).clone());
                self.emit_run_failed(failure, Some(key.clone()), response, true);
            }
        }
        Ok(())
    }

    pub(super) fn succeed_run(&mut self, output: Arc<Value>, response: Option<Arc<Value>>, terminated: bool) {
        if let Err(failure) = check_output(&output) {
            return self.fail_run(failure, None);
        }
        self.emit(None, EventData::RunSucceeded { output: output.clone(), response: response.clone() });
        self.end(RunStatus::Succeeded, |end| {
            end.output = Some(output);
            end.response = response;
            end.terminated = terminated;
        });
    }

    pub(super) fn fail_run(&mut self, failure: Failure, step: Option<StepKey>) {
        self.emit_run_failed(failure, step, None, false);
    }

    pub(super) fn emit_run_failed(
        &mut self,
        failure: Failure,
        step: Option<StepKey>,
        response: Option<Arc<Value>>,
        terminated: bool,
    ) {
        let event = EventData::RunFailed {
            failure: failure.clone(),
            failed_step: step.clone(),
            response: response.clone(),
        };
        self.emit(None, event);
        self.end(RunStatus::Failed, |end| {
            end.failure = Some(failure);
            end.step = step;
            end.response = response;
            end.terminated = terminated;
        });
    }

    pub(super) fn end(&mut self, status: RunStatus, fill: impl FnOnce(&mut RunEnd)) {
        let mut end = RunEnd {
            status,
            at: self.now,
            output: None,
            failure: None,
            step: None,
            response: None,
            terminated: false,
        };
        fill(&mut end);
        self.state.paused_at = None;
        self.state.end = Some(end);
    }

    pub(super) fn time_out_run(&mut self) {
        self.fail_run(Failure::permanent(code::TIMED_OUT, "the run did not end within its timeout"), None);
    }
}
