//! What a run is owed: derived from its state, never remembered beside it.

use super::state::{RunState, Work, locate};
use crate::definition::ValidDefinition;
use crate::event::TimerPurpose;
use crate::id::StepKey;
use crate::time::Timestamp;

/// Something that must happen for the run to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owed {
    /// An attempt of a side effect.
    Attempt {
        /// The step.
        step: StepKey,
        /// The attempt's number.
        number: u32,
        /// Not before this time; `None` means now.
        at: Option<Timestamp>,
    },
    /// A timer.
    Timer {
        /// The step.
        step: StepKey,
        /// When it fires.
        at: Timestamp,
    },
    /// The end of the time for all attempts of a step.
    Deadline {
        /// The step.
        step: StepKey,
        /// When it is up.
        at: Timestamp,
    },
    /// The end of the run's time.
    Timeout {
        /// When it is up.
        at: Timestamp,
    },
}

impl Owed {
    /// When it is due; `None` means now.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Owed::Attempt { at, .. } => *at,
            Owed::Timer { at, .. } | Owed::Deadline { at, .. } | Owed::Timeout { at } => Some(*at),
        }
    }
}

impl RunState {
    /// What the run is owed: nothing when it has ended; only its timeout while it is paused. In a defined order.
    #[must_use]
    pub fn outstanding(&self, definition: &ValidDefinition) -> Vec<Owed> {
        if self.end.is_some() {
            return Vec::new();
        }
        let mut owed = Vec::with_capacity(self.active.len() + 1);
        if !self.is_paused() {
            for key in &self.active {
                self.owed_by_step(definition, key, &mut owed);
            }
        }
        owed.push(Owed::Timeout { at: self.times_out_at(definition) });
        owed
    }

    fn owed_by_step(&self, definition: &ValidDefinition, key: &StepKey, owed: &mut Vec<Owed>) {
        let step = &self.steps[key];
        if let Work::Effect { retry_at } = &step.work {
            owed.push(Owed::Attempt { step: key.clone(), number: step.attempts + 1, at: *retry_at });
            let deadline = locate(definition, key).and_then(|(_, _, node)| node.policy.as_ref()?.deadline);
            if let Some(deadline) = deadline {
                owed.push(Owed::Deadline { step: key.clone(), at: step.deadline_from.after(deadline) });
            }
        } else if let Some((at, _)) = self.timer_of(key) {
            owed.push(Owed::Timer { step: key.clone(), at });
        }
    }

    /// The timer that an active step waits for.
    pub(super) fn timer_of(&self, key: &StepKey) -> Option<(Timestamp, TimerPurpose)> {
        let step = self.active.contains(key).then(|| self.steps.get(key))??;
        match &step.work {
            Work::Timer { at } => Some((*at, TimerPurpose::Delay)),
            Work::Wait { until, .. } => until.map(|at| (at, TimerPurpose::Wait)),
            Work::Repeat(_) => step.pause_until.map(|at| (at, TimerPurpose::Repeat)),
            Work::None | Work::Effect { .. } | Work::Each(_) => None,
        }
    }
}
