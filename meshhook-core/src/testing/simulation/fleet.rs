//! Worker processes: started, killed at any await, frozen, shut down, started again.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::clock::SkewedClock;
use super::effect::Effects;
use super::fault::Weather;
use super::random::{Random, SeededEntropy};
use super::world::{Counters, World, lock};
use crate::engine::Engine;
use crate::testing::Gate;

/// A worker process that runs.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) engine: Engine,
    pub(super) gate: Arc<Gate>,
    clock: SkewedClock,
}

/// All worker processes.
#[derive(Debug)]
pub(super) struct Fleet {
    world: Arc<World>,
    slots: Mutex<Vec<Option<Live>>>,
}

impl Fleet {
    pub(super) fn new(world: Arc<World>) -> Arc<Self> {
        let slots = (0..world.profile.workers).map(|_| None).collect();
        Arc::new(Self { world, slots: Mutex::new(slots) })
    }

    /// One of the processes that run.
    pub(super) fn pick(&self, random: &mut Random) -> Option<Live> {
        let live: Vec<Live> = self.live();
        (!live.is_empty()).then(|| random.pick(&live).clone())
    }

    pub(super) fn live(&self) -> Vec<Live> {
        lock(&self.slots).iter().flatten().cloned().collect()
    }

    /// From here on nothing goes wrong by itself any more.
    pub(super) fn calm_down(&self) {
        self.world.stormy.store(false, std::sync::atomic::Ordering::Relaxed);
        self.world.faults.set(Weather::CALM);
        for live in self.live() {
            live.gate.crash_after(u64::MAX / 2);
        }
    }

    /// Kills all processes.
    pub(super) fn kill_all(&self) {
        for slot in lock(&self.slots).iter_mut() {
            if let Some(live) = slot.take() {
                live.gate.crash();
            }
        }
    }

    fn boot(&self, random: &mut Random) -> Live {
        let world = &self.world;
        Counters::add(&world.counters.boots);
        let gate = Gate::new();
        let clock = world.clock.skewed(skew(random, world.profile.max_skew));
        let worker = Arc::new(OnceLock::new());
        let effects = Effects {
            world: world.clone(),
            gate: gate.clone(),
            clock: clock.clone(),
            worker: worker.clone(),
        };
        let engine = Engine::builder(world.store.clone())
            .options(world.profile.options.clone())
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(Random::new(random.next()))))
            .gate(gate.clone())
            .http_call(Arc::new(effects.clone()))
            .node(effects)
            .start()
            .expect("the engine is complete");
        worker.set(engine.worker().clone()).expect("set once");
        Live { engine, gate, clock }
    }

    /// The lives of one process, one after the other, until the simulation drops it.
    pub(super) async fn live_on(self: Arc<Self>, slot: usize) {
        let mut random = Random::of(self.world.seed, &format!("process {slot}"));
        loop {
            let live = self.boot(&mut random);
            lock(&self.slots)[slot] = Some(live.clone());
            self.disturb(&live, &mut random).await;
            lock(&self.slots)[slot] = None;
            drop(live);
            let longest = if self.world.is_stormy() { 20_000 } else { 300 };
            tokio::time::sleep(random.millis(0, longest)).await;
        }
    }

    /// Disturbs a process until it is gone.
    async fn disturb(&self, live: &Live, random: &mut Random) {
        let profile = &self.world.profile;
        if profile.kills && self.world.is_stormy() && random.chance(40) {
            // At the n-th poll of any of its tasks: at every await, in the end.
            live.gate.crash_after(random.range(1, 2_000));
        }
        loop {
            tokio::select! {
                biased;
                () = live.gate.crashed() => {
                    Counters::add(&self.world.counters.kills);
                    return;
                }
                () = tokio::time::sleep(random.millis(100, 12_000)) => {}
            }
            if !self.world.is_stormy() {
                continue;
            }
            match random.range(0, 9) {
                0..=1 if profile.kills => live.gate.crash(),
                2..=3 if profile.kills => live.gate.crash_after(random.range(1, 500)),
                4..=5 if profile.freezes => self.freeze(live, random).await,
                6 if profile.shutdowns => {
                    Counters::add(&self.world.counters.shutdowns);
                    let (engine, grace) = (live.engine.clone(), random.millis(0, 10_000));
                    let stopping = Box::pin(async move { engine.shutdown(grace).await });
                    if live.gate.clone().guard(stopping).await.is_none() {
                        Counters::add(&self.world.counters.kills);
                    }
                    return;
                }
                7 => live.clock.set_skew(skew(random, profile.max_skew)),
                _ => {}
            }
        }
    }

    async fn freeze(&self, live: &Live, random: &mut Random) {
        Counters::add(&self.world.counters.freezes);
        lock(&self.world.frozen).insert(live.engine.worker().clone());
        let lease = u64::try_from(self.world.profile.options.lease.as_millis()).unwrap_or(15_000);
        live.gate.freeze();
        tokio::time::sleep(random.millis(1, lease * 2)).await;
        live.gate.thaw();
    }
}

/// Changes the store's behavior now and then, and its clock.
pub(super) async fn change_weather(world: Arc<World>) {
    let mut random = Random::of(world.seed, "weather");
    loop {
        world.faults.set(Weather::CALM);
        tokio::time::sleep(random.millis(100, 8_000)).await;
        if !world.is_stormy() {
            return;
        }
        if world.profile.store_faults {
            let mut weather = Weather::draw(&mut random);
            if weather.lost > 0 {
                // Up to what the worker waits for, and beyond.
                let lease = u64::try_from(world.profile.options.lease.as_millis()).unwrap_or(15_000);
                weather.stale_millis = lease * 2;
            }
            world.faults.set(weather);
        }
        if world.profile.store_steps && random.chance(20) {
            world.store_clock.set_skew(skew(&mut random, Duration::from_secs(3_600)));
        }
        tokio::time::sleep(random.millis(50, 10_000)).await;
        if !world.is_stormy() {
            return;
        }
    }
}

fn skew(random: &mut Random, most: Duration) -> i64 {
    let most = i64::try_from(most.as_micros()).unwrap_or(0);
    if most == 0 {
        return 0;
    }
    i64::try_from(random.range(0, most.unsigned_abs() * 2)).unwrap_or(0) - most
}
