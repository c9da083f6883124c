//! The engine: takes runs in, owns them, moves them on.
//!
//! ```text
//!   webhook, API ──► intake ──┐                       ┌──► attempts (executors)
//!                             ├─► committer ─► store  │
//!   due, orphaned ─► worker ──┘        ▲              ▼
//!                                      └── runner: one task for each run held in memory
//! ```
//!
//! Each run is held by one process, which keeps it in memory for as long as it has something to do. The process that
//! takes a run in goes on with it at once; the worker (`worker.rs`) only claims what is not at home anywhere: runs
//! whose time has come, and runs whose process died.
//!
//! **Invariant:** nothing outside the store is believed to have happened before the store said so: no answer to a sender
//! before the commit, no side effect before its intent.

mod admitter;
mod astray;
mod attempt;
mod builder;
mod committer;
mod contained;
mod deadline;
mod delivery;
mod draft;
mod each;
mod error;
mod follow;
mod fresh;
mod greet;
mod hearing;
mod held;
mod hook;
mod intake;
mod lease;
mod long_work;
mod options;
mod plan;
mod preview;
mod project;
mod projects;
mod receive;
mod recognize;
mod recorder;
mod refusal;
mod registry;
mod routes;
mod runner;
mod runs;
mod schedule;
mod schedules;
mod stand_back;
mod steer;
mod store_time;
mod task;
mod trouble;
mod vault;
mod view;
mod watch;
mod worker;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch as tokio_watch};
use tokio_util::sync::CancellationToken;

pub use self::builder::{BuildError, EngineBuilder};
pub use self::delivery::{CheckedDelivery, DeliveryView, KeptRequest};
pub use self::error::EngineError;
pub use self::follow::Follower;
pub use self::hearing::Waiting;
pub use self::hook::LiveHook;
pub use self::intake::{StartRequest, Started};
pub use self::options::EngineOptions;
pub use self::plan::PlannedRun;
pub use self::project::{Project, Published, TriggerView, Validated, WorkflowView};
pub use self::receive::{ItemRun, Received};
pub use self::refusal::HookRefusal;
pub use self::schedules::ScheduleView;
pub use self::vault::Rotated;
pub use self::view::{Difference, EventPage, RunView, StepView, Verdict};
use crate::clock::Entropy;
use crate::exec::Executor;
use crate::id::{ProjectId, RunId, WorkerId};
use crate::run::{RunEnd, RunMeta};
use crate::store::{Page, Store, StoreError, WakeUp};
use crate::time::Timestamp;

/// A running engine. Cheap to clone; all clones are one engine.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// Starts to put an engine together on a store.
    pub fn builder(store: Arc<dyn Store>) -> EngineBuilder {
        EngineBuilder::new(store)
    }

    /// A project's workflows, runs and secrets. Nothing is looked up: a project that does not exist has nothing, and
    /// takes nothing before it is [made](Self::create_project). `default` exists from the start.
    #[must_use]
    pub fn project(&self, project: &ProjectId) -> Project {
        Project::new(self.inner.clone(), project.clone())
    }

    /// The node types that definitions can use: names, ports and the JSON Schemas of their configs.
    #[must_use]
    pub fn node_types(&self) -> Value {
        self.inner.registry.node_types().describe(self.inner.registry.limits())
    }

    /// This process's worker.
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.inner.worker
    }

    /// Whether the store can be reached and, where this process works, its worker is alive.
    ///
    /// # Errors
    ///
    /// [`EngineError::Store`] when the store cannot be reached within 2 s, [`EngineError::NotReady`] when the worker has not
    /// renewed its lease or looked for what is due in time, or the engine is stopping.
    pub async fn check_ready(&self) -> Result<(), EngineError> {
        let before = self.inner.time.by_own_clock();
        let ping = tokio::time::timeout(READY_WITHIN, self.inner.store.ping()).await;
        let slow = || StoreError::Unavailable(format!("no answer within {READY_WITHIN:?}").into());
        self.inner.time.learn(before, ping.map_err(|_| slow())??);
        self.inner.why_not_ready().map_or(Ok(()), |why| Err(EngineError::NotReady { why }))
    }

    /// Tries to open a secret: whether the keys of this process are those of the store. Looks at `default` and the newest
    /// projects until one of their secrets can be opened; without secrets all is well.
    ///
    /// # Errors
    ///
    /// Why the first secret cannot be opened, if none can: [`EngineError::Vault`] when its key is not known,
    /// [`EngineError::NoMasterKey`] without a key provider; or a store error.
    pub async fn check_keys(&self) -> Result<(), EngineError> {
        let page = Page { limit: PROBED_PROJECTS, after: None };
        let newest = self.inner.store.projects(page).await?.items;
        let newest = newest.into_iter().map(|project| project.id);
        let mut first = None;
        for project in std::iter::once(ProjectId::default_project()).chain(newest) {
            match self.inner.vault.probe(&project).await {
                Ok(None) => {}
                Ok(Some(())) => return Ok(()),
                Err(EngineError::Store(error)) if error.is_transient() => return Err(error.into()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// How many runs this process holds in memory.
    #[must_use]
    pub fn held_runs(&self) -> usize {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Stops: takes nothing new, lets attempts under way finish, hands back what is held, and ends the worker's lease; all
    /// of it within `grace`, of which the last part, up to 5 s, is kept for what comes after the last attempt. A `grace` of
    /// less than a second counts as one of a second in which no attempt is waited for.
    ///
    /// What could not be ended in time is left to itself, and said: a call that the store does not answer, or work that was
    /// begun on threads for blocking work and goes on until it is done.
    pub async fn shutdown(&self, grace: Duration) -> Stopped {
        let last = (grace / 2).clamp(Duration::from_secs(1), LAST_PART);
        let deadline = tokio::time::Instant::now() + grace.max(last);
        self.inner.stopping.drain.cancel();
        if tokio::time::timeout_at(deadline - last, self.inner.drained()).await.is_err() {
            self.inner.stopping.halt.cancel();
            // What is handed back now is only commits; a store that cannot be reached must not hold the process.
            let _ = tokio::time::timeout_at(deadline - last / 4, self.inner.drained()).await;
        }
        let is_drained = self.held_runs() == 0 && self.inner.firing.available_permits() > 0;
        self.inner.stopping.abandon.cancel();
        // The lease ends last: a renewal or a claim still under way would bring it back.
        let has_ended = tokio::time::timeout_at(deadline - last / 8, self.inner.tasks.join()).await.is_ok();
        let retired = async {
            if self.inner.options.works { self.inner.store.retire(&self.inner.worker).await } else { Ok(()) }
        };
        let retired = tokio::time::timeout_at(deadline, retired).await;
        if let Ok(Err(error)) = &retired {
            tracing::warn!(%error, "could not end the lease; what is left is claimed when it ends");
        }
        let is_retired = matches!(retired, Ok(Ok(())));
        if is_drained && has_ended && is_retired { Stopped::Clean } else { Stopped::Unfinished }
    }
}

/// How an engine stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// Everything has ended: nothing of the engine runs any more, and others can claim at once what is left to do.
    Clean,
    /// Time was up before. What was not handed back is claimed by others, some of it only when this worker's lease ends.
    Unfinished,
}

/// In how many projects a secret is looked for that can be opened.
const PROBED_PROJECTS: usize = 20;

/// How long the store may take to show that it can be reached.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The most of a shutdown's time that is kept for what comes after the last attempt.
const LAST_PART: Duration = Duration::from_secs(5);

/// What all parts of an engine share.
pub(crate) struct Inner {
    store: Arc<dyn Store>,
    time: store_time::StoreTime,
    entropy: Arc<dyn Entropy>,
    options: EngineOptions,
    worker: WorkerId,
    executors: BTreeMap<String, Arc<dyn Executor>>,
    registry: registry::Registry,
    vault: vault::Vault,
    routes: routes::Routes,
    refusals: routes::Refusals,
    recorder: recorder::Recorder,
    admitter: admitter::Admitter,
    projects: projects::KnownProjects,
    committer: committer::Committer,
    long_work: long_work::LongWork,
    watchers: watch::Watchers,
    tasks: task::Tasks,
    permits: Arc<Semaphore>,
    stopping: Stopping,
    /// The runs held in memory, with what wakes their owner for messages.
    held: Mutex<HashMap<RunId, held::Owner>>,
    /// How many runs are held, for whoever waits until there are none.
    held_count: tokio_watch::Sender<usize>,
    /// Wakes the worker: something may be due earlier than it plans to look.
    wake: Notify,
    /// Wakes who fires schedules: some are due.
    schedules_due: Notify,
    /// The right to fire schedules: who has it is at it.
    firing: Semaphore,
    /// Since when the worker has been looking.
    looking: Mutex<schedule::Looking>,
    /// When the worker looks next, by the store's clock.
    planned: Mutex<Timestamp>,
    /// Counts how often this worker stopped believing in what it holds.
    lost: tokio_watch::Sender<u64>,
    /// The permit to hold a run that killed workers before.
    suspect: Arc<Semaphore>,
    /// The store may count runs as held that are not in memory.
    reconcile: AtomicBool,
    renewed: Mutex<tokio::time::Instant>,
    /// Whether the loss of the lease was noticed; until it is renewed, it is one.
    lapsed: AtomicBool,
    /// Looks that fail, what is held that cannot be looked up, and claimed runs that cannot be loaded.
    blind: trouble::Trouble,
    lost_track: trouble::Trouble,
    unloaded: trouble::Trouble,
    /// Runs that others shall take first.
    stand_back: stand_back::StandBack,
    /// When the worker began the last look that was answered.
    looked: Mutex<tokio::time::Instant>,
    /// When this worker came to be.
    born: tokio::time::Instant,
    /// Cancelled when the store has given this worker its first lease; where nothing works, when it has told the time.
    leased: CancellationToken,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("worker", &self.worker)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// How an engine stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping {
    /// Start nothing new; finish and hand back.
    pub(crate) drain: CancellationToken,
    /// Abandon attempts, hand back.
    pub(crate) halt: CancellationToken,
    /// Drop everything without a word: the lease is lost, or the time is up.
    pub(crate) abandon: CancellationToken,
}

impl Stopping {
    fn drains(&self) -> bool {
        self.drain.is_cancelled()
    }
}

impl Inner {
    async fn unsealed(&self, project: &ProjectId) -> Result<Arc<vault::Unsealed>, EngineError> {
        deadline::answer(self.options.lease, self.vault.unsealed(project)).await
    }

    /// Makes the worker look no later than a run wakes up that was just released.
    fn wake_by(&self, wake_up: WakeUp) {
        let planned = *self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if wake_up.at(Timestamp::MIN).is_some_and(|at| at < planned) {
            self.look_soon();
        }
    }

    /// Has somebody look for what is due: this process, or, where it takes in only, another one.
    fn look_soon(&self) {
        if self.options.works {
            self.wake.notify_one();
        } else {
            self.store.hint(None);
        }
    }

    /// What keeps this process from doing its part, the reach of the store aside.
    fn why_not_ready(&self) -> Option<String> {
        if self.stopping.drains() {
            return Some("it is stopping".into());
        }
        let EngineOptions { works, lease, poll, .. } = self.options;
        let looked = *self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if works && !self.lease_is_good() {
            let ago = self.renewed_at().elapsed();
            return Some(format!("its lease of {lease:?} was renewed {ago:?} ago"));
        }
        // One look may have been given up, and the next one be under way.
        let overdue = works && looked.elapsed() > poll + lease * 2;
        overdue.then(|| format!("it last looked for what is due {:?} ago", looked.elapsed()))
    }
}

/// Notes that a run came to be.
fn began(meta: &RunMeta) {
    if !meta.test {
        metrics::counter!("meshhook_runs_started_total").increment(1);
    }
}

/// Notes that a run ended.
fn ended(meta: &RunMeta, end: &RunEnd) {
    let status = end.status.as_str();
    if !meta.test {
        metrics::counter!("meshhook_runs_ended_total", "status" => status).increment(1);
    }
    let RunMeta { project, run, workflow, .. } = meta;
    match &end.failure {
        None => {
            tracing::info!(project_id = %project, run_id = %run, %workflow, status, "run ended");
        }
        Some(failure) => {
            let (code, step) = (&*failure.code, end.step.as_ref().map(tracing::field::display));
            tracing::warn!(project_id = %project, run_id = %run, %workflow, status, code, step, "run ended");
        }
    }
}
