//! From facts to the chunk that records them and what follows.

use tracing::field::display;

use super::Runner;
use crate::engine::long_work::text_len;
use crate::event::{Chunk, Event, EventData};
use crate::exec::Level;
use crate::failure::{Failure, code};
use crate::run::{Fact, MAX_HISTORY_EVENTS, Refusal};

impl Runner {
    /// Decides what follows from facts, and encodes it behind events that were decided before.
    pub(super) async fn decide(
        self: Box<Self>,
        mut events: Vec<Event>,
        facts: Vec<Fact>,
    ) -> (Box<Self>, Option<Chunk>) {
        if events.is_empty() && facts.is_empty() {
            return (self, None);
        }
        let (inner, definition) = (self.inner.clone(), self.run.definition.clone());
        let history = usize::try_from(self.run.bytes).unwrap_or(usize::MAX);
        let bytes = facts.iter().map(fact_len).fold(history, usize::saturating_add);
        let mut runner = self;
        let work = move || {
            events.extend(runner.decide_each(facts));
            let chunk = runner.encode(events);
            (runner, chunk)
        };
        inner.long_work.run(&definition, bytes, work).await
    }

    fn decide_each(&mut self, facts: Vec<Fact>) -> Vec<Event> {
        let mut events = Vec::new();
        for fact in facts {
            let now = self.inner.time.now();
            match self.run.state.decide(&self.run.definition, fact.clone(), now) {
                Ok(decided) => {
                    decided.iter().for_each(|event| self.tell(event));
                    events.extend(decided);
                }
                Err(Refusal::UnknownPort { step, port }) => {
                    let Fact::AttemptSucceeded { attempt, .. } = fact else { continue };
                    let message = format!("the node has no port {port:?}");
                    let failure = Failure::permanent(code::INVALID_CONFIG, message);
                    let failed = Fact::AttemptFailed { step, attempt, failure, retry_not_before: None };
                    events
                        .extend(self.run.state.decide(&self.run.definition, failed, now).unwrap_or_default());
                }
                Err(refusal) => {
                    tracing::debug!(%refusal, run_id = %self.run.state.meta().run, "refused a fact");
                }
            }
        }
        events
    }

    /// Tells the log of what an operator may want to know before the run has ended.
    fn tell(&self, event: &Event) {
        let EventData::AttemptFailed { attempt, failure, retry_at } = &event.data else { return };
        let (meta, step) = (self.run.state.meta(), event.step.as_ref().map(display));
        let (code, retry_at) = (&*failure.code, retry_at.as_ref().map(display));
        tracing::info!(project_id = %meta.project, run_id = %meta.run, step, attempt, code, retry_at, "attempt failed");
    }

    /// Encodes events; warns of a long history, and ends a run whose history is too long.
    fn encode(&mut self, mut events: Vec<Event>) -> Option<Chunk> {
        if events.is_empty() {
            return None;
        }
        let chunk = Chunk::encode(self.run.hash, &events);
        let before = Length { bytes: self.run.bytes, events: chunk.first_seq - 1 };
        let facts = before.grown_by(&chunk, self.inner.options.max_history_bytes);
        if facts.is_empty() {
            return Some(chunk);
        }
        events.extend(self.decide_each(facts));
        Some(Chunk::encode(self.run.hash, &events))
    }
}

/// How long a history is.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine) struct Length {
    pub(in crate::engine) bytes: u64,
    pub(in crate::engine) events: u64,
}

impl Length {
    /// What a run has to be told when its history grows by a chunk: first that it is long, then that it is too long. A run that
    /// has ended with the chunk is told nothing more; the metric counts it all the same.
    pub(in crate::engine) fn grown_by(self, chunk: &Chunk, max_bytes: u64) -> Vec<Fact> {
        let (bytes, events) = (self.bytes + chunk.text.len() as u64, chunk.last_seq);
        let crosses =
            |before: u64, after: u64, limit: u64| before < limit / 10 * 8 && after >= limit / 10 * 8;
        let mut facts = Vec::new();
        if crosses(self.bytes, bytes, max_bytes) {
            facts.push(warning(format!("the history has {bytes} of at most {max_bytes} bytes")));
        } else if crosses(self.events, events, MAX_HISTORY_EVENTS) {
            facts.push(warning(format!("the history has {events} of at most {MAX_HISTORY_EVENTS} events")));
        }
        if bytes > max_bytes {
            let message = format!("the history has reached {max_bytes} bytes");
            facts.push(Fact::Aborted { failure: Failure::permanent(code::LIMIT_EXCEEDED, message) });
        }
        facts
    }
}

/// Says that a history is nearly as long as it may be.
fn warning(message: String) -> Fact {
    metrics::counter!("meshhook_history_warnings_total").increment(1);
    Fact::Logged { step: None, level: Level::Warn, message, fields: None }
}

/// How much text a fact brings.
fn fact_len(fact: &Fact) -> usize {
    match fact {
        Fact::AttemptSucceeded { output, .. } => text_len(output),
        Fact::EventReceived { payload, .. } => text_len(payload),
        Fact::ChildFinished { output: Some(output), .. } => text_len(output),
        _ => 0,
    }
}
