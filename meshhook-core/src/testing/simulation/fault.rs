//! Faults of the store: delays, refusals, lost requests, lost replies, and calls that arrive after they were given up, in
//! bursts.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::random::Random;
use crate::store::memory::{Fault, FaultPlan, Loss, Operation};

/// How the store misbehaves at the moment. Rates are per mille.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) refused: u64,
    /// The longest that an operation takes, in milliseconds.
    pub(super) slow_millis: u64,
    /// The longest that the answer takes which runs a worker holds, in milliseconds: by then they may be others.
    pub(super) stale_millis: u64,
}

impl Weather {
    pub(super) const CALM: Weather = Weather { slow_millis: 2, ..Weather::NONE };
    /// Nothing goes wrong and nothing takes time.
    pub(super) const NONE: Weather = Weather { lost: 0, refused: 0, slow_millis: 0, stale_millis: 0 };

    pub(super) fn draw(random: &mut Random) -> Self {
        match random.range(0, 5) {
            0 => Weather { slow_millis: random.range(1, 50), ..Self::NONE },
            1 => Weather { slow_millis: random.range(100, 3_000), ..Self::NONE },
            2 => Weather { lost: random.range(10, 300), slow_millis: random.range(1, 20), ..Self::NONE },
            3 => Weather { refused: random.range(50, 1_000), slow_millis: random.range(1, 20), ..Self::NONE },
            _ => Weather {
                lost: random.range(5, 100),
                refused: random.range(5, 100),
                slow_millis: random.range(1, 300),
                ..Self::NONE
            },
        }
    }
}

/// A plan of faults that follows from a seed and the weather.
#[derive(Debug)]
pub(super) struct Faults {
    state: Mutex<(Random, Weather)>,
    /// For the answers and the calls that come late, so that they leave everything else that a seed draws as it is.
    late: Mutex<Random>,
    injected: Mutex<u64>,
    operations: Mutex<(u64, Instant)>,
    overrun: CancellationToken,
}

/// How many operations there may be in a simulation's first second, and in each second more.
const MOST_AT_ONCE: u64 = 20_000;
const MOST_PER_SECOND: u64 = 500;

/// How late a call comes that was given up, in milliseconds: no later than the shortest lease lasts.
const LATEST_MILLIS: u64 = 3_000;

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: Mutex::new((Random::of(seed, "faults"), Weather::NONE)),
            late: Mutex::new(Random::of(seed, "late answers")),
            injected: Mutex::default(),
            operations: Mutex::new((0, Instant::now())),
            overrun: CancellationToken::new(),
        }
    }

    /// Waits until the store was asked for more than any honest use can need.
    pub(super) async fn overrun(&self) {
        self.overrun.cancelled().await;
    }

    fn count(&self) {
        let mut guard = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0 += 1;
        if guard.0 > MOST_AT_ONCE + MOST_PER_SECOND * guard.1.elapsed().as_secs() {
            self.overrun.cancel();
        }
    }

    pub(super) fn set(&self, weather: Weather) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = weather;
    }

    /// How late a call comes that its caller gave up, if it does. Every other call that gives runs back does: there are
    /// few, and what they name may be held again by then.
    fn lateness(&self, operation: Operation, weather: Weather) -> Option<Loss> {
        let permille = match operation {
            _ if weather.lost == 0 => 0,
            Operation::Commit => weather.lost / 2,
            Operation::Forget => 500,
            _ => 0,
        };
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        (permille > 0 && late.rarely(permille)).then(|| Loss::Late(late.millis(1, LATEST_MILLIS)))
    }

    /// How many operations were refused or lost.
    pub(super) fn injected(&self) -> u64 {
        *self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPlan for Faults {
    fn next(&self, operation: Operation) -> Fault {
        self.count();
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (random, weather) = &mut *guard;
        let mut fault = Fault::default();
        if weather.slow_millis > 0 {
            if random.chance(50) {
                fault.delay_before = Some(random.millis(0, weather.slow_millis));
            }
            if random.chance(50) {
                fault.delay_after = Some(random.millis(0, weather.slow_millis));
            }
        }
        if operation == Operation::Held && weather.stale_millis > 0 {
            let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
            fault.delay_after = Some(late.millis(0, weather.stale_millis));
        }
        if random.rarely(weather.lost) {
            fault.loss = Some(if random.chance(50) { Loss::ReplyLost } else { Loss::RequestLost });
        } else if random.rarely(weather.refused) {
            fault.loss = Some(if random.chance(80) { Loss::Unavailable } else { Loss::Full });
        }
        if fault.loss.is_none() {
            fault.loss = self.lateness(operation, *weather);
        }
        if fault.loss.is_some() {
            *self.injected.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        fault
    }
}
