//! Whose time it is: the store's.
//!
//! Due times and leases are judged by the store's clock. A worker whose own clock is off would claim a run as due and
//! find nothing to do in it yet, again and again, or set a timer that others take for one of another hour. So an
//! engine tells the time by its own clock, put right by what the store says: whenever the store tells its time, that
//! lies between the call and its answer.
//!
//! ```text
//!   own clock      before ────────────────── after          the store's time lies between the two, as long as
//!   store                      its time                     before + offset ≤ its time ≤ after + offset
//! ```
//!
//! While it does, the offset stays as it is, so that an engine whose clock is right goes by that alone, whatever the
//! latency. When it does not, the store is taken to have said so just now, which is never ahead of it. **Rule:** what
//! the store deems due when it answers a claim is due by this time too, since the answer comes after the store's time.
//!
//! What strangers say about the time (signatures, tokens) is judged by the machine's own clock instead.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Inner;
use super::deadline::answer;
use super::trouble::Trouble;
use crate::clock::Clock;
use crate::time::Timestamp;

/// The store's time, as far as an engine knows it.
pub(super) struct StoreTime {
    clock: Arc<dyn Clock>,
    /// How many microseconds the store is ahead.
    offset: AtomicI64,
}

impl StoreTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, offset: AtomicI64::new(0) }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::Relaxed);
        Timestamp::from_micros(self.by_own_clock().as_micros().saturating_add(offset))
    }

    /// Now, as this machine says.
    pub(super) fn by_own_clock(&self) -> Timestamp {
        self.clock.now()
    }

    /// Learns from what the store said in answer to a call that began at `before` by the machine's own clock.
    pub(super) fn learn(&self, before: Timestamp, store: Timestamp) {
        let after = self.by_own_clock();
        // A clock that was put back meanwhile says nothing about the call.
        if after < before {
            return;
        }
        let ahead_of = |own: Timestamp| store.as_micros().saturating_sub(own.as_micros());
        let known = self.offset.load(Ordering::Relaxed);
        if !(ahead_of(after)..=ahead_of(before)).contains(&known) {
            let offset = ahead_of(after);
            self.offset.store(offset, Ordering::Relaxed);
            tracing::debug!(offset_micros = offset, "this machine's clock differs from the store's");
        }
    }
}

/// Follows the store's time where no worker does: at the start, and at every poll, but not more often than each second.
pub(super) async fn follow(inner: Arc<Inner>) {
    let every = inner.options.poll.max(Duration::from_secs(1));
    let trouble =
        Trouble::new("could not ask the store for the time", "the store is back: it has told the time");
    let asking = async {
        loop {
            let before = inner.time.by_own_clock();
            match answer(inner.options.lease, inner.store.ping()).await {
                Ok(now) => {
                    trouble.over();
                    inner.time.learn(before, now);
                    inner.leased.cancel();
                }
                Err(error) => trouble.met(&error),
            }
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        biased;
        () = inner.stopping.drain.cancelled() => {}
        () = asking => {}
    }
}

impl fmt::Debug for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTime").field("offset_micros", &self.offset).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Own(Mutex<i64>);

    impl Clock for Own {
        fn now(&self) -> Timestamp {
            at(*self.0.lock().unwrap())
        }
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// Learns from calls of `(before, store, after)` and answers the time at the end.
    fn after_calls(calls: &[(i64, i64, i64)]) -> i64 {
        let own = Arc::new(Own(Mutex::new(0)));
        let time = StoreTime::new(own.clone());
        for (before, store, after) in calls {
            *own.0.lock().unwrap() = *after;
            time.learn(at(*before), at(*store));
        }
        time.now().as_micros()
    }

    #[test]
    fn a_clock_that_may_be_right_is_left_alone() {
        assert_eq!(after_calls(&[(100, 100, 100)]), 100);
        assert_eq!(after_calls(&[(100, 101, 900), (1_000, 1_700, 1_800)]), 1_800);
    }

    #[test]
    fn what_is_due_by_the_store_is_due() {
        // Behind: the store's time is reached, and not passed by the latency.
        assert_eq!(after_calls(&[(100, 5_000, 110)]), 5_000);
        assert_eq!(after_calls(&[(9_000, 100, 9_010)]), 100);
    }

    #[test]
    fn later_answers_narrow_the_offset_and_follow_a_clock_that_is_set() {
        let first = (100, 5_000, 400);
        assert_eq!(after_calls(&[first, (500, 5_390, 500)]), 5_390);
        assert_eq!(after_calls(&[first, (500, 500, 500)]), 500);
        // An own clock that was put back during the call.
        assert_eq!(after_calls(&[(400, 5_000, 100)]), 100);
    }
}
