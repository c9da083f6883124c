//! Faults of the store: delays, refusals, lost requests and lost replies, in bursts.

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
}

impl Weather {
    pub(super) const CALM: Weather = Weather { lost: 0, refused: 0, slow_millis: 2 };
    /// Nothing goes wrong and nothing takes time.
    pub(super) const NONE: Weather = Weather { lost: 0, refused: 0, slow_millis: 0 };

    pub(super) fn draw(random: &mut Random) -> Self {
        match random.range(0, 5) {
            0 => Weather { lost: 0, refused: 0, slow_millis: random.range(1, 50) },
            1 => Weather { lost: 0, refused: 0, slow_millis: random.range(100, 3_000) },
            2 => Weather { lost: random.range(10, 300), refused: 0, slow_millis: random.range(1, 20) },
            3 => Weather { lost: 0, refused: random.range(50, 1_000), slow_millis: random.range(1, 20) },
            _ => Weather {
                lost: random.range(5, 100),
                refused: random.range(5, 100),
                slow_millis: random.range(1, 300),
            },
        }
    }
}

/// A plan of faults that follows from a seed and the weather.
#[derive(Debug)]
pub(super) struct Faults {
    state: Mutex<(Random, Weather)>,
    injected: Mutex<u64>,
    operations: Mutex<(u64, Instant)>,
    overrun: CancellationToken,
}

/// How many operations there may be in a simulation's first second, and in each second more.
const MOST_AT_ONCE: u64 = 20_000;
const MOST_PER_SECOND: u64 = 500;

impl Faults {
    pub(super) fn new(random: Random) -> Self {
        Self {
            state: Mutex::new((random, Weather::NONE)),
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

    /// How many operations were refused or lost.
    pub(super) fn injected(&self) -> u64 {
        *self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPlan for Faults {
    fn next(&self, _operation: Operation) -> Fault {
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
        if random.rarely(weather.lost) {
            fault.loss = Some(if random.chance(50) { Loss::ReplyLost } else { Loss::RequestLost });
        } else if random.rarely(weather.refused) {
            fault.loss = Some(if random.chance(80) { Loss::Unavailable } else { Loss::Full });
        }
        if fault.loss.is_some() {
            *self.injected.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        fault
    }
}
