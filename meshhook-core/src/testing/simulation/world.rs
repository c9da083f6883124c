//! What all parts of a simulation share: the store, the clocks, what was observed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Mode;
use super::clock::SkewedClock;
use super::fault::Faults;
use super::random::Random;
use crate::engine::EngineOptions;
use crate::event::Event;
use crate::id::{ProjectId, RunId, StepKey, WorkerId};
use crate::store::memory::MemoryStore;
use crate::time::Timestamp;

/// How wild a simulation is; drawn from its seed.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) mode: Mode,
    pub(super) workers: u64,
    pub(super) options: EngineOptions,
    /// Whether workers are killed, frozen, and shut down.
    pub(super) kills: bool,
    pub(super) freezes: bool,
    pub(super) shutdowns: bool,
    pub(super) store_faults: bool,
    pub(super) poison: bool,
    /// The most that a worker's clock is off, either way.
    pub(super) max_skew: Duration,
    /// Whether the store's clock may step.
    pub(super) store_steps: bool,
    /// How long faults go on.
    pub(super) faults_for: Duration,
    pub(super) clients: u64,
    pub(super) operations: u64,
    pub(super) workflows: u64,
}

impl Profile {
    /// The most that a worker's idea of the store's time is ahead: until the store answers next, as much as its own
    /// clock went ahead since.
    pub(super) fn clocks_off(&self) -> Duration {
        self.max_skew * 2
    }

    pub(super) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "profile");
        let mode = if seed.is_multiple_of(2) { Mode::Safety } else { Mode::Liveness };
        let calm = random.chance(8);
        let mut options = EngineOptions {
            lease: random.millis(3_000, 15_000),
            poll: random.millis(500, 2_000),
            hold: random.millis(0, 3_000),
            ..EngineOptions::default()
        };
        if random.chance(20) {
            options.max_held_runs = usize::try_from(random.range(1, 4)).unwrap_or(1);
        }
        if random.chance(20) {
            options.max_attempts = usize::try_from(random.range(1, 3)).unwrap_or(1);
        }
        if random.chance(20) {
            options.max_batch = usize::try_from(random.range(1, 3)).unwrap_or(1);
        }
        if random.chance(10) {
            options.max_queue = usize::try_from(random.range(1, 3)).unwrap_or(1);
        }
        // Drawn apart, so that everything else that a seed draws stays as it is.
        let mut suspicion = Random::of(seed, "suspicion");
        options.suspect_after = *suspicion.pick(&[0, 1, 10, 20].map(Duration::from_secs));
        options.quarantine_after = *suspicion.pick(&[2, 3, 3, 4]);
        if random.chance(6) {
            options.max_history_bytes = random.range(800, 4_000);
        }
        let skews = [0, 0, 50, 500, 3_000];
        let max_skew = Duration::from_millis(if calm { 0 } else { *random.pick(&skews) });
        let wild = mode == Mode::Safety && !calm && random.chance(5);
        Self {
            mode,
            workers: random.range(1, 4),
            options,
            kills: !calm && random.chance(70),
            freezes: !calm && random.chance(50),
            shutdowns: !calm && random.chance(50),
            store_faults: !calm && random.chance(60),
            poison: !calm && random.chance(15),
            max_skew: if wild { Duration::from_secs(3_600) } else { max_skew },
            store_steps: wild && random.chance(50),
            faults_for: random.millis(10_000, 60_000),
            clients: random.range(1, 4),
            operations: random.range(5, 30),
            workflows: random.range(1, 4),
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub(super) invariant: &'static str,
    pub(super) what: String,
    pub(super) run: Option<RunId>,
}

/// One execution of a side effect.
#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub(super) worker: WorkerId,
    pub(super) run: RunId,
    pub(super) step: StepKey,
    pub(super) attempt: u32,
    pub(super) key: String,
    pub(super) decided_at: Timestamp,
    pub(super) config: String,
    /// Whether the worker did not hold the run any more.
    pub(super) late: bool,
    pub(super) under_way: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) kills: AtomicU64,
    pub(super) freezes: AtomicU64,
    pub(super) shutdowns: AtomicU64,
    pub(super) boots: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) profile: Profile,
    pub(super) project: ProjectId,
    pub(super) start: Instant,
    pub(super) clock: SkewedClock,
    pub(super) store_clock: SkewedClock,
    pub(super) store: Arc<MemoryStore>,
    pub(super) faults: Arc<Faults>,
    pub(super) counters: Counters,
    /// Whether faults go on.
    pub(super) stormy: AtomicBool,
    pub(super) executions: Mutex<Vec<Execution>>,
    /// The workers that were frozen at least once, or could have lost their lease otherwise.
    pub(super) frozen: Mutex<BTreeSet<WorkerId>>,
    histories: Mutex<BTreeMap<RunId, (usize, Vec<Event>)>>,
    broken: Mutex<Vec<Broken>>,
}

impl World {
    pub(super) fn new(seed: u64, profile: Profile) -> Arc<Self> {
        let start = Instant::now();
        let clock = SkewedClock::right();
        let store_clock = clock.skewed(0);
        let faults = Arc::new(Faults::new(seed));
        let store = MemoryStore::new(Arc::new(store_clock.clone())).with_faults(faults.clone());
        Arc::new(Self {
            seed,
            profile,
            project: ProjectId::default_project(),
            start,
            clock,
            store_clock,
            store: Arc::new(store),
            faults,
            counters: Counters::default(),
            stormy: AtomicBool::new(false),
            executions: Mutex::default(),
            frozen: Mutex::default(),
            histories: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    pub(super) fn breaks(&self, invariant: &'static str, run: Option<RunId>, what: impl Into<String>) {
        lock(&self.broken).push(Broken { invariant, what: what.into(), run });
    }

    pub(super) fn broken(&self) -> Vec<Broken> {
        lock(&self.broken).clone()
    }

    pub(super) fn runs(&self) -> Vec<RunId> {
        self.store.run_keys().into_iter().map(|(_, run)| run).collect()
    }

    /// Looks at a run's durable events.
    pub(super) fn with_history<T>(&self, run: RunId, look: impl FnOnce(&[Event]) -> T) -> T {
        let mut histories = lock(&self.histories);
        let (chunks, events) = histories.entry(run).or_default();
        for chunk in self.store.inspect_chunks(&self.project, run, *chunks) {
            *chunks += 1;
            match chunk.events() {
                Ok(more) => events.extend(more),
                Err(error) => self.breaks("INV-3", Some(run), format!("a chunk is not readable: {error}")),
            }
        }
        look(events)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
