//! Which transitions of the run logic a simulation took.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::definition::ValidDefinition;
use crate::event::{Event, EventData};

/// How often each transition was taken, by name.
///
/// `event <kind> <node type>` counts recorded events; `fact <kind> on <status>: <result>` counts what a run answered
/// to a fact where it stood, refusals included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    pub(super) fn count(&mut self, name: String) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub(super) fn count_event(&mut self, definition: &ValidDefinition, event: &Event) {
        let node = event.step.as_ref().and_then(|step| definition.node(step));
        let node_type = node.map_or("-", |(graph, index)| graph.node(index).kind.type_name());
        self.count(format!("event {}{} {node_type}", event.data.kind(), variant(&event.data)));
    }

    /// Adds what another simulation took.
    pub fn add(&mut self, other: &Coverage) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
    }

    /// How often a transition was taken.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The transitions that were taken.
    #[must_use]
    pub fn taken(&self) -> BTreeSet<&str> {
        self.counts.keys().map(String::as_str).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.counts {
            writeln!(f, "{count:>9}  {name}")?;
        }
        write!(f, "{:>9}  transitions taken", self.counts.len())
    }
}

/// What tells events of one kind apart that follow different rules.
fn variant(data: &EventData) -> String {
    match data {
        EventData::TimerSet { purpose, .. } | EventData::TimerFired { purpose, .. } => {
            format!("({})", purpose.as_str())
        }
        EventData::StepSucceeded { port, .. } => {
            format!("({})", port.as_deref().unwrap_or("none"))
        }
        EventData::StepFailed { port, failure, .. } => {
            format!("({}{})", failure.code, if port.is_some() { " caught" } else { "" })
        }
        EventData::AttemptFailed { retry_at, .. } => {
            (if retry_at.is_some() { "(to be retried)" } else { "(for good)" }).to_owned()
        }
        EventData::RunFailed { failure, .. } => format!("({})", failure.code),
        _ => String::new(),
    }
}
