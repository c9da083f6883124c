//! Clocks for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::time::Timestamp;

/// A clock that moves only when it is told to. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at 2026-01-02T03:04:05Z.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Timestamp::from_micros(1_767_323_045_000_000))
    }

    /// A clock that stands at `time`.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { micros: Arc::new(AtomicI64::new(time.as_micros())) }
    }

    /// Moves it on, and answers the new time.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let time = self.now().after(by);
        self.set(time);
        time
    }

    /// Moves it to `time`, back too.
    pub fn set(&self, time: Timestamp) {
        self.micros.store(time.as_micros(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }
}

/// A clock that follows tokio's, which a test can pause: virtual time. It starts at 2026-01-02T03:04:05Z.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    start: tokio::time::Instant,
}

impl VirtualClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_323_045_000_000).after(self.start.elapsed())
    }
}
