//! Clocks that follow virtual time, each wrong in its own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::Instant;

use crate::clock::Clock;
use crate::time::Timestamp;

/// A clock that shows virtual time plus a skew. Clones share the skew.
#[derive(Debug, Clone)]
pub(super) struct SkewedClock {
    start: Instant,
    skew_micros: Arc<AtomicI64>,
}

impl SkewedClock {
    /// A clock that is right: 2026-01-02T03:04:05Z at `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self { start, skew_micros: Arc::default() }
    }

    /// A clock of the same time with a skew of its own.
    pub(super) fn skewed(&self, micros: i64) -> Self {
        let clock = Self::new(self.start);
        clock.set_skew(micros);
        clock
    }

    pub(super) fn set_skew(&self, micros: i64) {
        self.skew_micros.store(micros, Ordering::Relaxed);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let right = Timestamp::from_micros(START_MICROS).after(self.start.elapsed());
        Timestamp::from_micros(right.as_micros() + self.skew_micros.load(Ordering::Relaxed))
    }
}

const START_MICROS: i64 = 1_767_323_045_000_000;
