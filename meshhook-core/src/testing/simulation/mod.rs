//! Simulation: real engines on one memory store, in virtual time, on one thread, everything drawn from one seed.
//!
//! ```text
//!   seed ─► definitions, clients, outcomes of effects, faults of the store, kills, freezes, skews
//!             │
//!             ▼
//!   clients ─► engines ─► memory store          while it runs: may this effect happen now?
//!                 │                             afterwards:    do histories, clients and effects agree?
//!                 └─► effects ─► ledger
//! ```
//!
//! One seed always gives the same histories, so a seed that breaks an invariant is a test. A process dies by all its
//! tasks ending at one of their polls, which is at any await; what it had sent to the store by then happened or did not.
//!
//! Two modes, chosen by the seed. In [`Mode::Safety`] faults never stop, and nothing wrong may be recorded. In
//! [`Mode::Liveness`] faults stop, and every run must reach its end in the time that it and the leases need.
//!
//! The invariants that are checked:
//!
//! | name | what holds |
//! | --- | --- |
//! | INV-1 | an acked start has exactly one run, a refused one has none, and every run was asked for |
//! | INV-2 | a run ends once and nothing follows, except the retry of a failed one |
//! | INV-3 | positions have no gap, the chain of hashes holds, times do not go back |
//! | INV-4 | the rules give the same history and state again, whole and from every cut |
//! | INV-5 | an effect starts after its intent is durable and not after its outcome is; each step has one key and each decision of it one config; an attempt is performed again only after an interruption |
//! | INV-6 | epochs rise |
//! | INV-7 | no timer fires and no attempt starts before its time by the store's clock, as far as a worker can know that when its own is set |
//! | INV-11 | what a run is owed happens in time once faults have stopped; no run is left with nobody to wake it |
//! | INBOX | an acked event arrives once, a refused one never |
//! | PAUSE | no effect starts while a run is paused |
//! | QUARANTINE | only a run whose workers died is ended as poison |
//! | BUSY | nothing asks the store without end |
//! | API | no call fails for a reason that the caller cannot have caused |

mod check;
mod client;
mod clock;
mod coverage;
mod definition;
mod effect;
mod fault;
mod fleet;
mod probe;
mod random;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use self::check::Checker;
use self::client::{Client, ClientLedger};
pub use self::coverage::Coverage;
use self::definition::{Taste, definition};
use self::effect::node_types;
use self::fleet::{Fleet, change_weather};
use self::random::{Random, SeededEntropy};
use self::world::{Counters, Profile, World, lock};
use crate::definition::{CheckContext, ValidDefinition, check};
use crate::engine::{Engine, EngineOptions};
use crate::event::{Event, encode_events};
use crate::id::{Digest, WorkflowSlug};

/// What is demanded of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Faults never stop; nothing wrong is recorded.
    Safety,
    /// Faults stop; then every run ends in time.
    Liveness,
}

/// What happened in a simulation that kept every promise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was demanded.
    pub mode: Mode,
    /// How many runs there were.
    pub runs: u64,
    /// How many of them ended.
    pub ended: u64,
    /// How many requests of clients were answered with a yes.
    pub acked: u64,
    /// With a no.
    pub refused: u64,
    /// Or not at all.
    pub indeterminate: u64,
    /// How often a process was killed.
    pub kills: u64,
    /// How often a process was frozen and thawed.
    pub freezes: u64,
    /// How often a process was shut down.
    pub shutdowns: u64,
    /// How many operations of the store were refused or lost.
    pub faults: u64,
    /// How many side effects were performed.
    pub effects: u64,
    /// How many of them for an attempt that had been performed before.
    pub repeated: u64,
    /// How many of them by a process that had lost the run without knowing it.
    pub late: u64,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// Which transitions were taken.
    pub coverage: Coverage,
    /// A hash over all histories.
    pub fingerprint: [u8; 32],
}

/// A promise that a simulation found broken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// The invariant, by the name that the [module](self) gives it.
    pub invariant: &'static str,
    /// What was found.
    pub what: String,
    /// The history of the run that it was found in; the shortest, if there are several.
    pub history: Vec<Event>,
    /// The definition of that run.
    pub definition: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} broke {}: {}", self.seed, self.invariant, self.what)?;
        for event in &self.history {
            writeln!(f, "  {}", crate::json::to_canonical_string(&event.to_value()))?;
        }
        if let Some(definition) = &self.definition {
            writeln!(f, "  of {definition}")?;
        }
        write!(
            f,
            "again: MESHHOOK_SIM_FROM={} MESHHOOK_SIM_SEEDS=1 cargo test -p meshhook-core --features testing --test simulation",
            self.seed
        )
    }
}

impl std::error::Error for Violation {}

/// Simulates a seed, on this thread.
///
/// # Errors
///
/// The [`Violation`] with the shortest history, when a promise was broken.
///
/// # Panics
///
/// When no tokio runtime can be built, or within one.
pub fn simulate(seed: u64) -> Result<Report, Box<Violation>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the machine");
    runtime.block_on(Box::pin(run(seed)))
}

async fn run(seed: u64) -> Result<Report, Box<Violation>> {
    let world = World::new(seed, Profile::draw(seed));
    let (workflows, definitions) = publish(&world).await;
    let fleet = Fleet::new(world.clone());
    let clients = Arc::new(ClientLedger::default());
    world.stormy.store(true, std::sync::atomic::Ordering::Relaxed);

    let mut processes = JoinSet::new();
    for slot in 0..usize::try_from(world.profile.workers).unwrap_or(1) {
        processes.spawn(fleet.clone().live_on(slot));
    }
    processes.spawn(change_weather(world.clone()));
    let mut working = JoinSet::new();
    for number in 0..world.profile.clients {
        let client = Client::new(world.clone(), fleet.clone(), clients.clone(), workflows.clone(), number);
        working.spawn(client.work());
    }
    let mut checker = Checker { world: &world, definitions: &definitions, coverage: Coverage::default() };
    let course = async {
        tokio::time::sleep(world.profile.faults_for).await;
        if world.profile.mode == Mode::Liveness {
            fleet.calm_down();
            working.join_all().await;
            converge(&world, &fleet, &checker).await;
        }
    };
    tokio::select! {
        biased;
        () = course => {}
        () = world.faults.overrun() => {
            world.breaks("BUSY", None, format!("the store is asked without end at {:?}", world.elapsed()));
        }
    }
    fleet.kill_all();
    processes.shutdown().await;
    let simulated = world.elapsed();
    checker.check(&clients);
    match violation(&world, &definitions) {
        Some(violation) => Err(Box::new(violation)),
        None => Ok(report(&world, &clients, checker.coverage, simulated)),
    }
}

/// Publishes the seed's definitions, undisturbed.
async fn publish(world: &Arc<World>) -> (Vec<WorkflowSlug>, BTreeMap<Digest, ValidDefinition>) {
    let mut random = Random::of(world.seed, "definitions");
    let types = node_types();
    let options = EngineOptions { works: false, ..EngineOptions::default() };
    let effects = effect::Effects {
        world: world.clone(),
        gate: crate::testing::Gate::new(),
        clock: world.clock.clone(),
        worker: Arc::default(),
    };
    let engine = Engine::builder(world.store.clone())
        .options(options)
        .clock(Arc::new(world.clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(Random::of(world.seed, "publisher"))))
        .http_call(Arc::new(effects.clone()))
        .node(effects)
        .start()
        .expect("the engine is complete");
    let project = engine.project(&world.project);
    let (mut slugs, mut definitions) = (Vec::new(), BTreeMap::new());
    for number in 0..world.profile.workflows {
        let poison = world.profile.poison && number == 0;
        let document = definition(&mut random, Taste { poison });
        let checked = check(&document, &CheckContext::new(&types));
        let valid = checked.definition.expect("a drawn definition is valid");
        let slug = WorkflowSlug::new(&format!("flow-{number}")).expect("a valid slug");
        project.create_workflow(&slug, document).await.expect("the store is undisturbed");
        project.publish(&slug).await.expect("a drawn definition can be published");
        definitions.insert(valid.digest().clone(), valid);
        slugs.push(slug);
    }
    engine.shutdown(Duration::ZERO).await;
    (slugs, definitions)
}

/// Waits until all runs have ended, helps those that wait for people, and breaks INV-11 when it takes too long.
async fn converge(world: &Arc<World>, fleet: &Arc<Fleet>, checker: &Checker<'_>) {
    let options = &world.profile.options;
    let lag = options.poll * 3 + world.profile.max_skew * 2 + Duration::from_secs(3);
    // A worker that died or was frozen has a lease to lose first.
    let recovery = options.lease * 3 + lag + options.suspect_after + Duration::from_secs(5);
    let mut random = Random::of(world.seed, "operator");
    let tight = options.max_held_runs < 100 || options.max_attempts < 100 || world.profile.poison;
    tokio::time::sleep(recovery).await;
    for _ in 0..12 {
        if open_runs(world).is_empty() {
            return;
        }
        if !tight {
            checker.check_progress(lag + options.lease);
        }
        if !world.broken().is_empty() {
            return;
        }
        help(world, fleet, &mut random).await;
        tokio::time::sleep(random.millis(5_000, 25_000)).await;
    }
    // What is left waits for events, or longer than it is worth: it must at least end when it is told to.
    let patience = if tight { recovery * 20 } else { recovery };
    let until = world.elapsed() + patience;
    while world.elapsed() < until && !open_runs(world).is_empty() {
        for run in open_runs(world) {
            if let Some(live) = fleet.pick(&mut random) {
                let _ = live.engine.project(&world.project).cancel(run, None).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for run in open_runs(world) {
        let found = world.store.inspect(&world.project, run);
        world.breaks("INV-11", Some(run), format!("the run did not end: {found:?}"));
    }
    tokio::time::sleep(lag).await;
    for live in fleet.live() {
        if live.engine.held_runs() > 0 {
            let what =
                format!("{} holds {} runs after all ended", live.engine.worker(), live.engine.held_runs());
            world.breaks("INV-11", None, what);
        }
    }
}

fn open_runs(world: &World) -> Vec<crate::id::RunId> {
    let is_open = |run: &crate::id::RunId| {
        let found = world.store.inspect(&world.project, *run);
        found.is_some_and(|found| !found.record.status.is_terminal() || found.wake_at.is_some())
    };
    world.runs().into_iter().filter(is_open).collect()
}

/// Does what people do: resumes what is paused, sends what is waited for.
async fn help(world: &Arc<World>, fleet: &Arc<Fleet>, random: &mut Random) {
    for run in open_runs(world) {
        let Some(live) = fleet.pick(random) else { return };
        let project = live.engine.project(&world.project);
        let _ = project.resume(run, Some("operator".into())).await;
        let (event, key) = (random.pick(&definition::EVENTS), random.pick(&definition::KEYS));
        let _ = project.send_event(run, event, Some((*key).to_owned()), serde_json::Value::Null).await;
    }
}

fn violation(world: &World, definitions: &BTreeMap<Digest, ValidDefinition>) -> Option<Violation> {
    let broken = world.broken();
    let length =
        |broken: &world::Broken| broken.run.map_or(usize::MAX, |run| world.with_history(run, <[Event]>::len));
    let first = broken.iter().min_by_key(|broken| length(broken))?;
    let history = first.run.map(|run| world.with_history(run, <[Event]>::to_vec)).unwrap_or_default();
    let digest = first
        .run
        .and_then(|run| world.store.inspect(&world.project, run))
        .map(|found| found.record.meta.digest);
    let definition = digest
        .and_then(|digest| definitions.get(&digest))
        .map(|definition| crate::json::to_canonical_string(definition.document()));
    Some(Violation {
        seed: world.seed,
        invariant: first.invariant,
        what: format!("{} ({} findings; {:?})", first.what, broken.len(), world.profile),
        history,
        definition,
    })
}

fn report(world: &World, clients: &ClientLedger, coverage: Coverage, simulated: Duration) -> Report {
    let (acked, refused, indeterminate) = clients.counts();
    let executions = lock(&world.executions);
    let mut hasher = Sha256::new();
    let (mut runs, mut ended) = (0, 0);
    for run in world.runs() {
        runs += 1;
        world.with_history(run, |events| {
            ended += u64::from(events.last().is_some_and(|event| event.data.is_terminal()));
            hasher.update(run.as_bytes());
            hasher.update(encode_events(events));
        });
    }
    let distinct: std::collections::BTreeSet<_> =
        executions.iter().map(|one| (&one.key, one.attempt, one.decided_at)).collect();
    let counters = &world.counters;
    Report {
        seed: world.seed,
        mode: world.profile.mode,
        runs,
        ended,
        acked,
        refused,
        indeterminate,
        kills: Counters::of(&counters.kills),
        freezes: Counters::of(&counters.freezes),
        shutdowns: Counters::of(&counters.shutdowns),
        faults: world.faults.injected(),
        effects: executions.len() as u64,
        repeated: (executions.len() - distinct.len()) as u64,
        late: executions.iter().filter(|one| one.late).count() as u64,
        simulated,
        coverage,
        fingerprint: hasher.finalize().into(),
    }
}
