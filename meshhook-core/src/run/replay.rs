//! Replay: a run's state from its history, and the proof that the history is what the rules give.
//!
//! The facts of a history are decided again, and every decision must come out as it was recorded, byte for byte. So
//! loading a run and verifying it are one thing, and a state that disagrees with its history cannot come to be.

use std::sync::Arc;

use super::fact::Fact;
use super::meta::RunMeta;
use super::semantics;
use super::state::{RunState, Work};
use crate::definition::ValidDefinition;
use crate::event::{ChainError, Chunk, ChunkHash, Event, EventData, genesis};
use crate::failure::code;
use crate::time::Timestamp;

/// The first place where a history is not what the rules give.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Divergence {
    /// The position.
    pub seq: u64,
    /// What the rules give there; `None` when nothing follows.
    pub expected: Option<Box<Event>>,
    /// What the history has there; `None` when it ends.
    pub found: Option<Box<Event>>,
}

/// Why a history does not give a state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The stored chunks are not a chain of events.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The history starts otherwise than a run does.
    #[error("history does not start with run_created")]
    NoStart,
    /// It was decided by rules that this release does not know.
    #[error("history has the unknown semantics {0}")]
    UnknownSemantics(u32),
    /// It belongs to another definition.
    #[error("history belongs to another definition")]
    OtherDefinition,
    /// A decision comes out differently.
    #[error("history diverges from its rules at event {}", .0.seq)]
    Diverged(Divergence),
}

/// A run as its history tells it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replayed {
    /// Where it stands.
    pub state: RunState,
    /// The end of its chain, to which the next chunk is tied.
    pub hash: ChunkHash,
    /// How many bytes the events' text has.
    pub bytes: u64,
    /// The events.
    pub events: Vec<Event>,
}

/// Rebuilds a run from its stored history, without side effects.
///
/// # Errors
///
/// [`ReplayError`] at the first place where the history was altered or is not what the rules give.
pub fn replay(
    definition: &ValidDefinition,
    meta: Arc<RunMeta>,
    chunks: &[Chunk],
) -> Result<Replayed, ReplayError> {
    let mut hash = genesis(meta.run);
    let mut events: Vec<Event> = Vec::new();
    let mut bytes = 0;
    for chunk in chunks {
        let seq = events.last().map_or(0, |last| last.seq);
        events.extend(chunk.decode(hash, seq)?);
        hash = chunk.hash;
        bytes += chunk.text.len() as u64;
    }
    let state = verify(definition, meta, &events)?;
    Ok(Replayed { state, hash, bytes, events })
}

/// Decides a history's facts again and demands the recorded decisions; answers the state after them.
///
/// # Errors
///
/// [`ReplayError`] at the first place where the history is not what the rules give.
pub fn verify(
    definition: &ValidDefinition,
    meta: Arc<RunMeta>,
    events: &[Event],
) -> Result<RunState, ReplayError> {
    let Some(EventData::RunCreated(created)) = events.first().map(|event| &event.data) else {
        return Err(ReplayError::NoStart);
    };
    if !semantics::is_known(created.semantics) {
        return Err(ReplayError::UnknownSemantics(created.semantics));
    }
    if created.digest != *definition.digest() || created.digest != meta.digest {
        return Err(ReplayError::OtherDefinition);
    }
    let (mut state, decided) = RunState::begin(definition, meta, created.clone());
    let mut place = compare(events, 0, &decided)?;
    while let Some(head) = events.get(place) {
        let refused = || {
            ReplayError::Diverged(Divergence {
                seq: head.seq,
                expected: None,
                found: Some(Box::new(head.clone())),
            })
        };
        let fact = fact_of(&state, head).ok_or_else(refused)?;
        let decided = state.decide(definition, fact, head.at).map_err(|_| refused())?;
        place = compare(events, place, &decided)?;
    }
    Ok(state)
}

/// Compares what was decided with the history from `place` on; answers the place behind it.
fn compare(events: &[Event], place: usize, decided: &[Event]) -> Result<usize, ReplayError> {
    for (offset, expected) in decided.iter().enumerate() {
        let found = events.get(place + offset);
        if found != Some(expected) {
            return Err(ReplayError::Diverged(Divergence {
                seq: found.map_or(expected.seq, |found| found.seq),
                expected: Some(Box::new(expected.clone())),
                found: found.cloned().map(Box::new),
            }));
        }
    }
    Ok(place + decided.len())
}

/// The fact that an event at the head of a round of decisions stands for; `None` when it is a decision.
fn fact_of(state: &RunState, event: &Event) -> Option<Fact> {
    Some(match (event.data.clone(), event.step.clone()) {
        (EventData::RunClaimed { worker, epoch }, None) => Fact::Claimed { worker, epoch },
        (EventData::RunPaused { by }, None) => Fact::Pause { by },
        (EventData::RunResumed { by }, None) => Fact::Resume { by },
        (EventData::RunCancelRequested { by }, None) => Fact::Cancel { by },
        (EventData::RunRetried { by }, None) => Fact::Retry { by },
        (EventData::RunFailed { failure, failed_step: None, .. }, None)
            if failure.code == code::TIMED_OUT =>
        {
            Fact::TimedOut
        }
        (EventData::RunFailed { failure, failed_step: None, .. }, None) => Fact::Aborted { failure },
        (EventData::AttemptFailed { attempt, failure, retry_at }, Some(step)) => {
            // Without another attempt the other side may still have asked for one, past the step's deadline. What it
            // asked for is not recorded; any time that is too late leads to the same.
            let retry_not_before = retry_at.or(Some(Timestamp::MAX));
            Fact::AttemptFailed { step, attempt, failure, retry_not_before }
        }
        (EventData::StepSucceeded { port: Some(port), output, attempts: Some(attempt) }, Some(step)) => {
            Fact::AttemptSucceeded { step, attempt, port, output }
        }
        (EventData::StepFailed { failure, .. }, Some(step))
            if failure.code == code::TIMED_OUT
                && matches!(state.step(&step).map(|step| &step.work), Some(Work::Effect { .. })) =>
        {
            Fact::DeadlinePassed { step }
        }
        (EventData::TimerFired { .. }, Some(step)) => Fact::TimerDue { step },
        (EventData::EventReceived { name, key, payload }, None) => Fact::EventReceived { name, key, payload },
        (EventData::ChildFinished { run_id, status, output, failure }, _) => {
            Fact::ChildFinished { run_id, status, output, failure }
        }
        (EventData::StepLogged { level, message, fields }, step) => {
            Fact::Logged { step, level, message, fields }
        }
        _ => return None,
    })
}
