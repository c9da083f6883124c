//! Faults on demand, and counters.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Operation;
use crate::store::StoreError;

/// Says what happens to the next operation.
///
/// It is asked once per call, in the order in which the calls are first polled; a plan that draws from a seed gives
/// the same faults again.
pub trait FaultPlan: Send + Sync + 'static {
    /// What happens to this operation.
    fn next(&self, operation: Operation) -> Fault;
}

/// What happens to an operation. The default: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// How long it takes, by tokio's clock, until it is applied.
    pub delay_before: Option<Duration>,
    /// What goes wrong.
    pub loss: Option<Loss>,
    /// How long it takes, by tokio's clock, from there to the answer.
    pub delay_after: Option<Duration>,
}

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is not applied: [`StoreError::Unavailable`].
    Unavailable,
    /// It is not applied: [`StoreError::Full`].
    Full,
    /// It is not applied, and the caller cannot know: [`StoreError::OutcomeUnknown`].
    RequestLost,
    /// It is applied, and the caller cannot know: [`StoreError::OutcomeUnknown`].
    ReplyLost,
}

impl Fault {
    pub(super) async fn before(&self, operation: Operation) -> Result<(), StoreError> {
        pause(self.delay_before).await;
        let error = match self.loss {
            None | Some(Loss::ReplyLost) => return Ok(()),
            Some(Loss::Full) if !operation.is_read() => StoreError::Full("injected fault".into()),
            Some(Loss::RequestLost) if !operation.is_read() => {
                StoreError::OutcomeUnknown("injected fault: the request was lost".into())
            }
            Some(_) => StoreError::Unavailable("injected fault".into()),
        };
        pause(self.delay_after).await;
        Err(error)
    }

    pub(super) async fn after(&self, operation: Operation) -> Result<(), StoreError> {
        pause(self.delay_after).await;
        match self.loss {
            Some(Loss::ReplyLost) if operation.is_read() => {
                Err(StoreError::Unavailable("injected fault".into()))
            }
            Some(Loss::ReplyLost) => {
                Err(StoreError::OutcomeUnknown("injected fault: the reply was lost".into()))
            }
            _ => Ok(()),
        }
    }
}

async fn pause(delay: Option<Duration>) {
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
}

/// How many operations of each kind took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transactions(BTreeMap<Operation, u64>);

impl Transactions {
    /// How many of this kind.
    #[must_use]
    pub fn of(&self, operation: Operation) -> u64 {
        self.0.get(&operation).copied().unwrap_or(0)
    }

    /// How many that may write.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.iter().filter(|(operation, _)| !operation.is_read()).map(|(_, count)| count).sum()
    }

    pub(super) fn count(&mut self, operation: Operation) {
        *self.0.entry(operation).or_default() += 1;
    }
}
