//! Side effects: their outcomes are drawn from the seed, and a ledger outside of all workers remembers each of them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::clock::SkewedClock;
use super::definition::{CUSTOM, POISON};
use super::random::Random;
use super::world::{Counters, Execution, World, lock};
use crate::clock::Clock as _;
use crate::event::{Event, EventData};
use crate::exec::{Attempt, AttemptError, Executor, Level, Node, Outcome};
use crate::failure::Failure;
use crate::id::WorkerId;
use crate::json;
use crate::node::NodeTypes;
use crate::testing::Gate;

/// The side effects of one worker process.
#[derive(Debug, Clone)]
pub(super) struct Effects {
    pub(super) world: Arc<World>,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: SkewedClock,
    /// Known as soon as the engine is.
    pub(super) worker: Arc<OnceLock<WorkerId>>,
}

/// The node types that simulated definitions use.
pub(super) fn node_types() -> NodeTypes {
    let mut types = NodeTypes::new();
    types.register_http_call();
    types.register(Effects::info()).expect("the name is free");
    types
}

/// The config of the host's own node type.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub(super) struct CustomConfig {
    #[expect(dead_code, reason = "only the schema matters")]
    tag: String,
    #[expect(dead_code, reason = "only the schema matters")]
    index: Option<serde_json::Value>,
}

#[async_trait]
impl Node for Effects {
    const KIND: &'static str = CUSTOM;
    type Config = CustomConfig;

    fn ports() -> &'static [&'static str] {
        &["out", "other"]
    }

    async fn execute(&self, _: CustomConfig, attempt: &Attempt) -> Result<Outcome, AttemptError> {
        self.perform(attempt, true).await
    }
}

#[async_trait]
impl Executor for Effects {
    async fn execute(&self, attempt: Attempt) -> Result<Outcome, AttemptError> {
        self.perform(&attempt, false).await
    }
}

impl Effects {
    async fn perform(&self, attempt: &Attempt, custom: bool) -> Result<Outcome, AttemptError> {
        let (place, repetition) = self.enter(attempt);
        let _leave = Leave { world: self.world.clone(), place };
        let purpose = format!("effect {} {} {repetition}", attempt.idempotency_key, attempt.number);
        let mut random = Random::of(self.world.seed, &purpose);
        if attempt.config["url"].as_str().is_some_and(|url| url.contains(POISON)) {
            tokio::time::sleep(random.millis(0, 50)).await;
            return self.die().await;
        }
        if self.world.is_stormy() && self.world.profile.kills && random.chance(2) {
            return self.die().await;
        }
        if random.chance(15) {
            attempt.log.write(Level::Info, "simulated", random.chance(50).then(|| json!({ "n": 1 })));
        }
        let takes = match random.range(0, 9) {
            0..=3 => Duration::ZERO,
            4..=7 => random.millis(1, 500),
            _ => random.millis(500, 20_000),
        };
        tokio::time::sleep(takes).await;
        match random.range(0, 99) {
            0..=13 => Err(Failure::retryable("http_status", "status 503").into()),
            14..=18 => {
                let later = self.clock.now().after(random.millis(0, 12_000));
                Err(AttemptError::from(Failure::retryable("http_status", "status 429"))
                    .retry_not_before(later))
            }
            19..=23 => Err(Failure::permanent("http_status", "status 404").into()),
            24..=26 => {
                tokio::time::sleep(Duration::from_secs(100_000)).await;
                Ok(Outcome::out(Value::Null))
            }
            // Unwinds as a panic does, without the message that would be printed for one.
            27 => std::panic::resume_unwind(Box::new("simulated panic of an executor")),
            28..=29 => Ok(Outcome { port: "nowhere".into(), output: Value::Null }),
            30..=31 => Ok(Outcome::out(Value::String("x".repeat(crate::run::MAX_OUTPUT_BYTES)))),
            _ => {
                let port = if custom && random.chance(40) { "other" } else { "out" };
                Ok(Outcome {
                    port: port.into(),
                    output: json!({ "ok": attempt.number, "n": random.range(0, 9) }),
                })
            }
        }
    }

    /// Kills the worker; what was recorded stays recorded.
    async fn die(&self) -> Result<Outcome, AttemptError> {
        if !self.gate.has_crashed() {
            Counters::add(&self.world.counters.kills);
        }
        self.gate.crash();
        std::future::pending().await
    }

    /// Enters the execution in the ledger, and checks that it may happen.
    fn enter(&self, attempt: &Attempt) -> (usize, usize) {
        let world = &self.world;
        let worker = self.worker.get().expect("set when the engine starts").clone();
        let late = self.check(attempt, &worker);
        let mut executions = lock(&world.executions);
        let same = |one: &&Execution| one.key == attempt.idempotency_key;
        let earlier: Vec<&Execution> = executions.iter().filter(same).collect();
        for other in &earlier {
            if other.under_way && other.worker == worker {
                let what = format!("two executions of {} at once in one worker", attempt.step);
                world.breaks("INV-5", Some(attempt.run), what);
            }
        }
        let repetition = earlier.iter().filter(|one| one.attempt == attempt.number).count();
        executions.push(Execution {
            worker,
            run: attempt.run,
            step: attempt.step.clone(),
            attempt: attempt.number,
            key: attempt.idempotency_key.clone(),
            decided_at: attempt.decided_at,
            config: json::to_canonical_string(&attempt.config),
            late,
            under_way: true,
        });
        (executions.len() - 1, repetition)
    }

    /// Whether this execution is one of a worker that lost the run; what it breaks otherwise.
    fn check(&self, attempt: &Attempt, worker: &WorkerId) -> bool {
        let (world, run) = (&self.world, attempt.run);
        let breaks = |invariant, what: &str| {
            let place = format!("{} attempt {} of {worker}", attempt.step, attempt.number);
            world.breaks(invariant, Some(run), format!("{place} at {:?}: {what}", world.elapsed()));
        };
        let Some(found) = world.store.inspect(&world.project, run) else {
            breaks("INV-5", "the run is not durable");
            return false;
        };
        let late = found.holder.as_ref() != Some(worker);
        if late && !lock(&world.frozen).contains(worker) && !world.profile.store_faults {
            breaks("INV-5", "the worker does not hold the run, and never was silent");
        }
        world.with_history(run, |events| {
            let of_step = |event: &&Event| event.step.as_ref() == Some(&attempt.step);
            let started = events.iter().filter(of_step).rev().find_map(|event| match &event.data {
                EventData::StepStarted { idempotency_key, .. } => Some((event.seq, idempotency_key)),
                _ => None,
            });
            let Some((started, key)) = started else { return breaks("INV-5", "its intent is not durable") };
            if *key != attempt.idempotency_key {
                breaks("INV-5", "its key is not that of the intent");
            }
            if late {
                return;
            }
            let failed = events
                .iter()
                .filter(of_step)
                .filter(|e| matches!(e.data, EventData::AttemptFailed { .. }))
                .count();
            if failed + 1 != attempt.number as usize {
                breaks("INV-5", &format!("{failed} attempts have failed"));
            }
            let (mut paused, mut due) = (false, None);
            for event in events.iter().skip_while(|event| event.seq < started) {
                match (&event.data, event.step.as_ref() == Some(&attempt.step)) {
                    (EventData::StepSucceeded { .. } | EventData::StepFailed { .. }, true) => {
                        breaks("INV-5", "the step's outcome is durable");
                    }
                    (EventData::AttemptFailed { retry_at, .. }, true) => due = *retry_at,
                    (EventData::RunPaused { .. }, _) => paused = true,
                    (EventData::RunResumed { .. } | EventData::RunRetried { .. }, _) => paused = false,
                    _ => {}
                }
            }
            // Only the last one counts: a clock that was set back leaves earlier ones in the future.
            let profile = &self.world.profile;
            let now = self.world.store_clock.now().after(profile.clocks_off());
            if let Some(at) = due.filter(|at| !profile.store_steps && now < *at) {
                breaks("INV-7", &format!("it is not due before {at}"));
            }
            if paused {
                breaks("PAUSE", "the run is paused");
            }
            if events.last().is_some_and(|event| event.data.is_terminal()) {
                breaks("INV-2", "the run has ended");
            }
        });
        late
    }
}

/// Notes when an execution ends, also by being dropped.
struct Leave {
    world: Arc<World>,
    place: usize,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(execution) = lock(&self.world.executions).get_mut(self.place) {
            execution.under_way = false;
        }
    }
}
