//! Retry of a failed run: its failed steps start again, everything else stays as it is.

use super::decide::Decider;
use super::fact::Refusal;
use super::state::{Stage, Step, Todo};
use crate::event::{EventData, RunStatus};

impl Decider<'_> {
    pub(super) fn retry(&mut self, by: Option<String>) -> Result<(), Refusal> {
        match &self.state.end {
            Some(end) if end.status == RunStatus::Failed && !end.terminated => {}
            _ => return Err(Refusal::InvalidState { status: self.state.status(self.now) }),
        }
        self.emit(None, EventData::RunRetried { by });
        self.state.end = None;
        self.state.timeout_from = self.now;
        for key in &self.state.active {
            if let Some(step) = self.state.steps.get_mut(key) {
                step.begin_anew(self.now);
            }
        }
        self.reopen("");
        Ok(())
    }

    /// Starts the failed steps of a scope again, and those within loops that failed with them.
    pub(super) fn reopen(&mut self, scope: &str) {
        let Some(graph) = self.graph_of(scope) else { return };
        for index in graph.order() {
            let node = graph.node(*index);
            let text = format!("{scope}{}", node.id);
            let Some((key, step)) = self.state.steps.get_key_value(text.as_str()) else { continue };
            if step.stage != Stage::Failed || step.port.is_some() {
                continue;
            }
            let key = key.clone();
            // It counted as ended when it failed, unless its run ended before anybody saw to that.
            self.state.agenda.retain(|todo| *todo != Todo::Resolve(key.clone()));
            if self.reopen_loop(&key) {
                continue;
            }
            let step = self.state.steps.get_mut(&key).expect("just found");
            *step = Step { attempts: step.attempts, ..Step::ready(self.now, self.state.seq) };
            self.state.agenda.push_back(Todo::Start(key));
        }
    }
}
