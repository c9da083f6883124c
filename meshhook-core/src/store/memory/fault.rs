//! Faults on demand, and counters.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{Operation, State};
use crate::store::StoreError;
use crate::time::Timestamp;

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
    /// The caller gives it up ([`StoreError::OutcomeUnknown`]), and it is applied so long after the call, by tokio's clock:
    /// before the next operation from then on. Only what commits runs or gives them back; others lose the request.
    Late(Duration),
}

impl Fault {
    pub(super) async fn before(&self, operation: Operation) -> Result<(), StoreError> {
        pause(self.delay_before).await;
        let error = match self.loss {
            None | Some(Loss::ReplyLost) => return Ok(()),
            Some(Loss::Full) if !operation.is_read() => StoreError::Full("injected fault".into()),
            Some(Loss::RequestLost | Loss::Late(_)) if !operation.is_read() => {
                StoreError::OutcomeUnknown("injected fault: the request was lost".into())
            }
            Some(_) => StoreError::Unavailable("injected fault".into()),
        };
        pause(self.delay_after).await;
        Err(error)
    }

    /// The error of a call that is given up.
    pub(super) async fn give_up(&self, operation: Operation) -> StoreError {
        let given_up = || StoreError::OutcomeUnknown("injected fault: the call was given up".into());
        self.before(operation).await.err().unwrap_or_else(given_up)
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

/// What was given up and takes effect later, in the order in which it does.
#[derive(Default)]
pub(super) struct Late(VecDeque<(Instant, Operation, Apply)>);

/// Takes effect; answers whether it did.
type Apply = Box<dyn FnOnce(&mut State, Timestamp) -> bool + Send>;

impl Late {
    pub(super) fn put_off(&mut self, after: Duration, operation: Operation, apply: Apply) {
        let due = Instant::now() + after;
        let place = self.0.partition_point(|(at, ..)| *at <= due);
        self.0.insert(place, (due, operation, apply));
    }

    pub(super) fn take_due(&mut self) -> Vec<(Operation, Apply)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let due = self.0.partition_point(|(at, ..)| *at <= now);
        self.0.drain(..due).map(|(_, operation, apply)| (operation, apply)).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::id::WorkerId;
    use crate::store::Ledger as _;
    use crate::store::memory::MemoryStore;
    use crate::testing::ManualClock;

    /// Faults in the order in which they strike.
    struct Script(Mutex<Vec<Fault>>);

    impl FaultPlan for Script {
        fn next(&self, _: Operation) -> Fault {
            self.0.lock().unwrap().pop().unwrap_or_default()
        }
    }

    fn store(fault: Fault) -> MemoryStore {
        let plan = Script(Mutex::new(vec![fault]));
        MemoryStore::new(Arc::new(ManualClock::new())).with_faults(Arc::new(plan))
    }

    async fn retire(store: &MemoryStore) -> Result<(), StoreError> {
        store.retire(&WorkerId::new("ann").unwrap()).await
    }

    #[tokio::test]
    async fn a_lost_reply_took_effect_and_a_lost_request_did_not() {
        for (loss, applied) in [(Loss::ReplyLost, 1), (Loss::RequestLost, 0)] {
            let store = store(Fault { loss: Some(loss), ..Fault::default() });
            assert!(retire(&store).await.unwrap_err().is_outcome_unknown());
            assert_eq!(store.transactions().of(Operation::Retire), applied);
            retire(&store).await.unwrap();
            assert_eq!(store.transactions().writes(), applied + 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_takes_effect_late() {
        let after = Duration::from_secs(3);
        let store = store(Fault { loss: Some(Loss::Late(after)), ..Fault::default() });
        assert!(store.commit(Vec::new()).await.unwrap_err().is_outcome_unknown());
        store.ping().await.unwrap();
        assert_eq!(store.transactions().of(Operation::Commit), 0);
        tokio::time::sleep(after).await;
        store.ping().await.unwrap();
        store.ping().await.unwrap();
        assert_eq!(store.transactions().of(Operation::Commit), 1);
    }

    #[tokio::test]
    async fn refusals_change_nothing() {
        for loss in [Loss::Unavailable, Loss::Full] {
            let store = store(Fault { loss: Some(loss), ..Fault::default() });
            let error = retire(&store).await.unwrap_err();
            assert!(error.is_transient() && !error.is_outcome_unknown(), "{error:?}");
            assert_eq!(store.transactions().writes(), 0);
        }
    }

    #[tokio::test]
    async fn a_read_is_never_of_unknown_outcome() {
        for loss in [Loss::Unavailable, Loss::Full, Loss::RequestLost, Loss::ReplyLost] {
            let error = store(Fault { loss: Some(loss), ..Fault::default() }).ping().await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_pass_before_and_after_the_effect() {
        let (before, after) = (Duration::from_secs(3), Duration::from_secs(5));
        let fault = Fault { delay_before: Some(before), delay_after: Some(after), loss: None };
        let store = store(fault);
        let began = tokio::time::Instant::now();
        let halfway = async {
            tokio::time::sleep(before + Duration::from_secs(1)).await;
            store.transactions().writes()
        };
        let (answer, halfway) = tokio::join!(retire(&store), halfway);
        answer.unwrap();
        assert_eq!((halfway, began.elapsed()), (1, before + after));
    }
}
