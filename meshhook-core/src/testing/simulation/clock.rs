//! Clocks that follow virtual time, each wrong in its own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::Clock;
use crate::testing::VirtualClock;
use crate::time::Timestamp;

/// A clock that shows virtual time plus a skew. Clones share the skew.
#[derive(Debug, Clone)]
pub(super) struct SkewedClock {
    time: VirtualClock,
    skew_micros: Arc<AtomicI64>,
}

impl SkewedClock {
    /// A clock that is right.
    pub(super) fn right() -> Self {
        Self { time: VirtualClock::new(), skew_micros: Arc::default() }
    }

    /// A clock of the same time with a skew of its own.
    pub(super) fn skewed(&self, micros: i64) -> Self {
        Self { time: self.time, skew_micros: Arc::new(AtomicI64::new(micros)) }
    }

    pub(super) fn set_skew(&self, micros: i64) {
        self.skew_micros.store(micros, Ordering::Relaxed);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let right = self.time.now();
        Timestamp::from_micros(right.as_micros() + self.skew_micros.load(Ordering::Relaxed))
    }
}
