//! A store in memory: for tests, simulation and trying things out. Nothing outlives it.
//!
//! All state is behind one lock that is never held across an await, so each operation is atomic and a future that
//! is dropped leaves nothing half done. Iteration is in key order everywhere: the same calls give the same answers.
//! With the feature `testing` operations can be delayed, refused, or their answers lost, as a plan says.

#[cfg(feature = "testing")]
mod fault;
mod inbox;
#[cfg(feature = "testing")]
mod inspect;
mod ledger;
mod projects;
mod reader;
mod secrets;
mod workflows;

use std::fmt;
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
    /// What changes workflows, versions, definitions or hooks.
    WorkflowWrite,
    /// What changes secrets.
    SecretWrite,
    /// [`ProjectStore::create_project`](super::ProjectStore::create_project).
    ProjectWrite,
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
    secrets: secrets::Secrets,
    projects: projects::Projects,
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
        self.transactions.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
        let fault = self.faults.as_ref().map(|plan| plan.next(operation)).unwrap_or_default();
        fault.before(operation).await?;
        let answer = self.apply(apply);
        if answer.is_ok() {
            self.transactions.lock().unwrap_or_else(std::sync::PoisonError::into_inner).count(operation);
        }
        fault.after(operation).await?;
        answer
    }

    fn apply<T>(
        &self,
        apply: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.clock.now();
        let mut state = self.state.lock().map_err(|_| StoreError::internal("a store operation panicked"))?;
        apply(&mut state, now)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
