//! A store in memory: for tests, simulation and trying things out. Nothing outlives it.
//!
//! All state is behind one lock that is never held across an await, so each operation is atomic and a future that
//! is dropped leaves nothing half done. Iteration is in key order everywhere: the same calls give the same answers.
//! With the feature `testing` operations can be delayed, refused, given up and done later, or their answers lost, as a plan
//! says.

mod deliveries;
#[cfg(feature = "testing")]
mod fault;
mod inbox;
#[cfg(feature = "testing")]
mod inspect;
mod ledger;
mod projects;
mod rates;
mod reader;
mod schedules;
mod secrets;
mod workflows;

use std::fmt;
#[cfg(feature = "testing")]
use std::sync::PoisonError;
use std::sync::{Arc, Mutex};

#[cfg(feature = "testing")]
pub use self::fault::{Fault, FaultPlan, Loss, Transactions};
#[cfg(feature = "testing")]
pub use self::inspect::{CommitRecord, Inspected};
use super::StoreError;
use crate::clock::Clock;
use crate::time::Timestamp;

/// A [`Store`](super::Store) in memory.
///
/// ```
/// use std::sync::Arc;
/// use meshhook_core::clock::SystemClock;
/// use meshhook_core::store::{Store, memory::MemoryStore};
///
/// let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
/// ```
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    #[cfg(feature = "testing")]
    faults: Option<Arc<dyn FaultPlan>>,
    #[cfg(feature = "testing")]
    transactions: Mutex<Transactions>,
    #[cfg(feature = "testing")]
    late: Mutex<fault::Late>,
}

/// An operation of a store, as fault plans and counters tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Ledger::commit`](super::Ledger::commit).
    Commit,
    /// [`Ledger::claim`](super::Ledger::claim).
    Claim,
    /// [`Ledger::renew`](super::Ledger::renew).
    Renew,
    /// [`Ledger::forget`](super::Ledger::forget).
    Forget,
    /// [`Ledger::retire`](super::Ledger::retire).
    Retire,
    /// [`Inbox::post`](super::Inbox::post).
    Post,
    /// [`ScheduleStore::take_schedules`](super::ScheduleStore::take_schedules).
    TakeSchedules,
    /// [`ScheduleStore::fire_schedule`](super::ScheduleStore::fire_schedule).
    FireSchedule,
    /// What else changes workflows, versions, definitions, hooks or schedules.
    WorkflowWrite,
    /// What changes secrets.
    SecretWrite,
    /// [`ProjectStore::create_project`](super::ProjectStore::create_project).
    ProjectWrite,
    /// [`DeliveryStore::record_deliveries`](super::DeliveryStore::record_deliveries).
    DeliveryWrite,
    /// [`RateStore::admit`](super::RateStore::admit).
    RateWrite,
    /// [`Ledger::held`](super::Ledger::held).
    Held,
    /// What else only reads.
    Read,
}

impl Operation {
    /// Whether it only reads, so that its outcome is never unknown.
    #[must_use]
    pub fn is_read(self) -> bool {
        matches!(self, Operation::Held | Operation::Read)
    }
}

#[derive(Default)]
struct State {
    ledger: ledger::Runs,
    inbox: inbox::Messages,
    workflows: workflows::Workflows,
    schedules: schedules::Schedules,
    secrets: secrets::Secrets,
    projects: projects::Projects,
    deliveries: deliveries::Deliveries,
    rates: rates::Rates,
}

impl MemoryStore {
    /// An empty store that judges due times and leases by the clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            #[cfg(feature = "testing")]
            faults: None,
            #[cfg(feature = "testing")]
            transactions: Mutex::default(),
            #[cfg(feature = "testing")]
            late: Mutex::default(),
        }
    }

    /// Lets a plan disturb operations.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_faults(mut self, plan: Arc<dyn FaultPlan>) -> Self {
        self.faults = Some(plan);
        self
    }

    /// How many operations of each kind took effect.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn transactions(&self) -> Transactions {
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(not(feature = "testing"))]
    #[expect(clippy::unused_async, reason = "with fault plans it awaits")]
    async fn run<T>(
        &self,
        _: Operation,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        self.apply(apply)
    }

    #[cfg(feature = "testing")]
    async fn run<T: Send>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        self.run_under(self.next_fault(operation), operation, apply).await
    }

    /// As [`run`](Self::run), for calls that own what they need: with the feature `testing` they can take effect after their
    /// caller has given them up.
    #[cfg(not(feature = "testing"))]
    async fn run_owned<T>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(operation, apply).await
    }

    #[cfg(feature = "testing")]
    async fn run_owned<T: Send>(
        &self,
        operation: Operation,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let fault = self.next_fault(operation);
        if let Some(Loss::Late(after)) = fault.loss {
            let apply = Box::new(move |state: &mut State, now| apply(state, now).is_ok());
            self.late.lock().unwrap_or_else(PoisonError::into_inner).put_off(after, operation, apply);
            return Err(fault.give_up(operation).await);
        }
        self.run_under(fault, operation, apply).await
    }

    #[cfg(feature = "testing")]
    fn next_fault(&self, operation: Operation) -> Fault {
        self.faults.as_ref().map(|plan| plan.next(operation)).unwrap_or_default()
    }

    #[cfg(feature = "testing")]
    async fn run_under<T: Send>(
        &self,
        fault: Fault,
        operation: Operation,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        fault.before(operation).await?;
        let answer = self.apply(apply);
        if answer.is_ok() {
            self.count(operation);
        }
        fault.after(operation).await?;
        answer
    }

    #[cfg(feature = "testing")]
    fn count(&self, operation: Operation) {
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner).count(operation);
    }

    /// Does what was given up and whose time has come, before anything that comes now.
    #[cfg(feature = "testing")]
    fn apply_late(&self, state: &mut State, now: Timestamp) {
        let due = self.late.lock().unwrap_or_else(PoisonError::into_inner).take_due();
        for (operation, apply) in due {
            if apply(state, now) {
                self.count(operation);
            }
        }
    }

    fn apply<T>(
        &self,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.clock.now();
        let mut state = self.state.lock().map_err(|_| StoreError::internal("a store operation panicked"))?;
        #[cfg(feature = "testing")]
        self.apply_late(&mut state, now);
        apply(&mut state, now)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
