//! Waiting: timers and external events.

use std::sync::Arc;

use serde_json::Value;

use super::decide::Decider;
use super::fact::Refusal;
use super::state::{EarlyEvent, Work, locate};
use crate::event::{EventData, TimerPurpose};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::{Wait, port};
use crate::time::Timestamp;

impl Decider<'_> {
    pub(super) fn set_timer(&mut self, key: &StepKey, at: Timestamp, purpose: TimerPurpose) {
        self.emit(Some(key), EventData::TimerSet { at, purpose });
        self.activate(key, Work::Timer { at });
    }

    pub(super) fn timer_due(&mut self, key: &StepKey) -> Result<(), Refusal> {
        let Some((at, purpose)) =
            self.state.timer_of(key).filter(|(at, _)| *at <= self.now && !self.state.is_paused())
        else {
            return Err(Refusal::NotDue { step: key.clone() });
        };
        self.emit(Some(key), EventData::TimerFired { at, purpose });
        match purpose {
            TimerPurpose::Delay => {
                let input = self.state.input_of(self.definition, key);
                self.succeed_or_fail(key, port::out(), input);
            }
            TimerPurpose::Repeat => {
                if let Some(step) = self.state.steps.get_mut(key) {
                    step.pause_until = None;
                }
                self.repeat_due(key);
            }
            TimerPurpose::Wait => {
                let has_edge = locate(self.definition, key)
                    .is_some_and(|(graph, index, _)| graph.has_edge(index, &port::timeout()));
                if has_edge {
                    self.succeed_or_fail(key, port::timeout(), Arc::new(Value::Null));
                } else {
                    self.fail(key, Failure::permanent(code::TIMED_OUT, "the event did not arrive in time"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn start_wait(
        &mut self,
        key: &StepKey,
        wait: &Wait,
        input: &Arc<Value>,
    ) -> Result<(), Failure> {
        let wanted_key = self.in_context(key, input, |scope, _| wait.key(scope))?;
        let fits = |early: &EarlyEvent| {
            matches(&wait.event, wanted_key.as_deref(), &early.name, early.key.as_deref())
        };
        if let Some(early) =
            self.state.early.iter().position(fits).and_then(|place| self.state.early.remove(place))
        {
            return self.succeed(key, Some(port::out()), early.payload);
        }
        let until = wait.timeout.map(|timeout| self.now.after(timeout));
        if let Some(at) = until {
            self.emit(Some(key), EventData::TimerSet { at, purpose: TimerPurpose::Wait });
        }
        self.activate(key, Work::Wait { name: wait.event.clone(), key: wanted_key, until });
        Ok(())
    }

    /// Gives an event to the first step that waits for it, or keeps it.
    pub(super) fn event_received(&mut self, name: String, key: Option<String>, payload: Arc<Value>) {
        let event =
            EventData::EventReceived { name: name.clone(), key: key.clone(), payload: payload.clone() };
        self.emit(None, event);
        let waiting = self.state.active.iter().filter_map(|step_key| {
            let step = &self.state.steps[step_key];
            match &step.work {
                // A wait that is over goes to its timeout, also while the run is paused.
                Work::Wait { name: wanted, key: wanted_key, until }
                    if until.is_none_or(|until| until > self.now)
                        && matches(wanted, wanted_key.as_deref(), &name, key.as_deref()) =>
                {
                    Some((step.started_seq, step_key.clone()))
                }
                _ => None,
            }
        });
        match waiting.min() {
            Some((_, step)) => self.succeed_or_fail(&step, port::out(), payload),
            None => self.state.early.push_back(EarlyEvent { name, key, payload }),
        }
    }

    fn succeed_or_fail(&mut self, key: &StepKey, port: Arc<str>, output: Arc<Value>) {
        if let Err(failure) = self.succeed(key, Some(port), output) {
            self.fail(key, failure);
        }
    }
}

fn matches(wanted: &str, wanted_key: Option<&str>, name: &str, key: Option<&str>) -> bool {
    wanted == name && wanted_key.is_none_or(|wanted_key| key == Some(wanted_key))
}
