//! Putting an engine together.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::admitter::Admitter;
use super::committer::Committer;
use super::long_work::LongWork;
use super::projects::KnownProjects;
use super::recorder::{self, Recorder};
use super::registry::Registry;
use super::routes::{Refusals, Routes};
use super::stand_back::StandBack;
use super::store_time::StoreTime;
use super::task::Tasks;
use super::trouble::Trouble;
use super::vault::Vault;
use super::watch::Watchers;
use super::{Engine, EngineOptions, Inner, Stopping, schedule, store_time, worker};
use crate::clock::{Clock, Entropy, EntropyError, SystemClock, SystemEntropy};
use crate::definition::DefinitionLimits;
use crate::exec::{Executor, Node, NodeExecutor};
use crate::id::WorkerId;
use crate::json;
use crate::node::{NodeTypes, RegisterError};
use crate::secret::KeyProvider;
use crate::store::Store;
use crate::time::Timestamp;

/// Puts an engine together.
#[must_use = "an engine starts with `start`"]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    options: EngineOptions,
    limits: DefinitionLimits,
    keys: Option<Arc<dyn KeyProvider>>,
    node_types: NodeTypes,
    executors: BTreeMap<String, Arc<dyn Executor>>,
    error: Option<BuildError>,
    tasks: Tasks,
}

/// Why an engine could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A node type cannot be registered.
    #[error(transparent)]
    NodeType(#[from] RegisterError),
    /// Numbers do not survive being written and read in this build.
    #[error("JSON numbers are not stable in this build")]
    Json(#[from] json::SelfCheckError),
    /// There is no randomness for the worker's name.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl EngineBuilder {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            options: EngineOptions::default(),
            limits: DefinitionLimits::default(),
            keys: None,
            node_types: NodeTypes::new(),
            executors: BTreeMap::new(),
            error: None,
            tasks: Tasks::default(),
        }
    }

    /// Sets sizes and times.
    pub fn options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the limits of definitions.
    pub fn definition_limits(mut self, limits: DefinitionLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets where the keys that seal secrets come from: [`StaticKeys`](crate::secret::StaticKeys) holds them in memory.
    ///
    /// Without one the engine can keep no secrets: setting one is [`EngineError::NoMasterKey`](super::EngineError).
    pub fn key_provider(mut self, keys: Arc<dyn KeyProvider>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Makes the `http_call` node type available, performed by an executor.
    pub fn http_call(mut self, executor: Arc<dyn Executor>) -> Self {
        self.node_types.register_http_call();
        self.executors.insert("http_call".into(), executor);
        self
    }

    /// Makes a node type of the host's available.
    pub fn node<N: Node>(mut self, node: N) -> Self {
        match self.node_types.register(N::info()) {
            Ok(()) => {
                self.executors.insert(N::KIND.into(), Arc::new(NodeExecutor::new(node)));
            }
            Err(error) => self.error = self.error.or(Some(error.into())),
        }
        self
    }

    /// Sets the clock. For tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the random source. For tests.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Lets a gate stop the engine's tasks. For simulations.
    #[cfg(feature = "testing")]
    pub fn gate(mut self, gate: Arc<crate::testing::Gate>) -> Self {
        self.tasks = Tasks::gated(gate);
        self
    }

    /// Performs every side effect by one executor, whatever its node type. For tests of workflows.
    #[cfg(feature = "testing")]
    pub(crate) fn replace_executors(mut self, executor: &Arc<dyn Executor>) -> Self {
        for slot in self.executors.values_mut() {
            *slot = executor.clone();
        }
        self
    }

    /// Starts the engine's tasks on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when a node type is refused, or the build or machine lacks something.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub fn start(self) -> Result<Engine, BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        json::self_check()?;
        if self.keys.is_none() {
            tracing::warn!(
                "no master key: workflows cannot use secrets; give EngineBuilder::key_provider one"
            );
        }
        let mut random = [0; 12];
        self.entropy.fill(&mut random)?;
        let worker = WorkerId::new(&format!("w-{}", hex::encode(random))).expect("hex is a valid worker id");
        let options = self.options;
        let stopping = Stopping::default();
        let committer = Committer::spawn(&self.tasks, self.store.clone(), &options, stopping.abandon.clone());
        let admitter =
            Admitter::spawn(&self.tasks, self.store.clone(), options.lease, stopping.abandon.clone());
        let (recorder, queued) = Recorder::new(&options);
        let inner = Arc::new(Inner {
            committer,
            recorder,
            admitter,
            long_work: if self.tasks.is_gated() { LongWork::in_place() } else { LongWork::elsewhere() },
            registry: Registry::new(self.node_types, self.limits),
            vault: Vault::new(self.store.clone(), self.keys, self.entropy.clone()),
            watchers: Watchers::default(),
            routes: Routes::default(),
            refusals: Refusals::default(),
            projects: KnownProjects::default(),
            permits: Arc::new(Semaphore::new(options.max_attempts.min(Semaphore::MAX_PERMITS))),
            stopping,
            held: Mutex::new(HashMap::new()),
            held_count: watch::Sender::new(0),
            wake: Notify::new(),
            schedules_due: Notify::new(),
            firing: Semaphore::new(1),
            looking: Mutex::default(),
            planned: Mutex::new(Timestamp::MAX),
            lost: watch::Sender::new(0),
            suspect: Arc::new(Semaphore::new(1)),
            reconcile: AtomicBool::new(false),
            renewed: Mutex::new(tokio::time::Instant::now()),
            lapsed: AtomicBool::new(false),
            blind: Trouble::new("could not claim runs", "the store is back: claiming runs again"),
            lost_track: Trouble::new(
                "could not look up what this worker holds",
                "found out what this worker holds",
            ),
            unloaded: Trouble::new("could not load a claimed run", "loading claimed runs again"),
            stand_back: StandBack::default(),
            looked: Mutex::new(tokio::time::Instant::now()),
            born: tokio::time::Instant::now(),
            leased: CancellationToken::new(),
            store: self.store,
            time: StoreTime::new(self.clock),
            entropy: self.entropy,
            executors: self.executors,
            tasks: self.tasks,
            options,
            worker,
        });
        inner.tasks.spawn(recorder::write(inner.clone(), queued));
        if inner.options.works {
            tracing::info!(worker = %inner.worker, "works");
            inner.tasks.spawn(worker::keep_lease(inner.clone()));
            inner.tasks.spawn(worker::claim_runs(inner.clone()));
            inner.tasks.spawn(schedule::fire_schedules(inner.clone()));
        } else {
            inner.tasks.spawn(store_time::follow(inner.clone()));
        }
        Ok(Engine { inner })
    }
}
