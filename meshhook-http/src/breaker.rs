//! Circuit breakers: hosts that fail again and again are left alone for a while.
//!
//! ```text
//!             N failures in a row                    the time is over
//!   closed ────────────────────────► open ─────────────────────────────► one probe
//!     ▲ ▲                             ▲                                     │  │
//!     │ └── any answer below 500      └────── it fails: twice as long ──────┘  │
//!     └───────────────────────────────────── it succeeds ──────────────────────┘
//! ```
//!
//! One breaker per project and origin, in this process only: it spares connections, timeouts and the other side
//! during an outage, and is not needed for correctness. A failure is what says nothing about the request itself: no
//! connection, a broken one, a timeout, a 5xx. Healthy hosts take no memory: a breaker exists from the first failure
//! to the next success. Time is the process's monotonic clock, so a jump of the wall clock keeps nothing open.
//!
//! An attempt that meets an open breaker fails at once, retryable, and is asked to come back after the next probe,
//! spread over the time that the breaker would stay open after it: a recovered host is not hit by everything at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshhook_core::id::ProjectId;
use tokio::time::Instant;
use url::Url;

/// What a breaker watches: an origin, as one project sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    project: ProjectId,
    origin: String,
}

impl Target {
    pub(crate) fn new(project: &ProjectId, url: &Url) -> Self {
        Self { project: project.clone(), origin: url.origin().ascii_serialization() }
    }

    #[cfg(test)]
    pub(crate) fn sample(origin: &str) -> Self {
        Self { project: ProjectId::default_project(), origin: origin.into() }
    }
}

/// When breakers open and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakerOptions {
    /// Failures in a row that open it.
    pub(crate) failures: u32,
    /// How long it stays open at first.
    pub(crate) open: Duration,
    /// How long it stays open at most.
    pub(crate) max_open: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 20, open: Duration::from_secs(5), max_open: Duration::from_secs(60) }
    }
}

/// The breakers of an executor.
#[derive(Debug)]
pub(crate) struct Breakers {
    options: BreakerOptions,
    hosts: Mutex<HashMap<Target, Breaker>>,
}

/// A host that failed last time.
#[derive(Debug)]
struct Breaker {
    failures: u32,
    state: State,
    touched: Instant,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant, lasting: Duration, is_probed: bool },
}

/// The breaker is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// How long until the next probe may go out.
    pub(crate) retry_in: Duration,
    /// Over how long attempts should spread after that.
    pub(crate) spread: Duration,
    /// How often the host failed in a row.
    pub(crate) failures: u32,
}

/// The most hosts that are remembered; the one that failed longest ago gives way.
const MAX_HOSTS: usize = 4_096;

impl Breakers {
    pub(crate) fn new(options: BreakerOptions) -> Arc<Self> {
        Arc::new(Self { options, hosts: Mutex::default() })
    }

    /// Lets an attempt through, or not. `patience` is how long the attempt may take.
    pub(crate) fn admit(self: &Arc<Self>, target: Target, patience: Duration) -> Result<Permit, Open> {
        let now = Instant::now();
        let mut is_probe = false;
        if let Some(breaker) = self.lock().get_mut(&target)
            && let State::Open { until, lasting, is_probed } = &mut breaker.state
        {
            if now < *until || *is_probed {
                let wait = until.saturating_duration_since(now);
                let retry_in = if wait.is_zero() { self.options.open } else { wait };
                return Err(Open { retry_in, spread: *lasting, failures: breaker.failures });
            }
            *is_probed = true;
            is_probe = true;
        }
        Ok(Permit { breakers: self.clone(), target, is_probe, started: now, patience, is_settled: false })
    }

    fn succeeded(&self, target: &Target) {
        self.lock().remove(target);
    }

    fn failed(&self, target: &Target, is_probe: bool) {
        let now = Instant::now();
        let mut hosts = self.lock();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(target) {
            let oldest = hosts.iter().min_by_key(|(_, breaker)| breaker.touched).map(|(key, _)| key.clone());
            oldest.and_then(|key| hosts.remove(&key));
        }
        let breaker = hosts.entry(target.clone()).or_insert(Breaker {
            failures: 0,
            state: State::Closed,
            touched: now,
        });
        breaker.touched = now;
        breaker.failures = breaker.failures.saturating_add(1);
        let lasting = match breaker.state {
            State::Closed if breaker.failures >= self.options.failures => self.options.open,
            State::Open { lasting, .. } if is_probe => lasting.saturating_mul(2),
            // Not yet, or an attempt that began before the breaker opened.
            State::Closed | State::Open { .. } => return,
        };
        let lasting = lasting.min(self.options.max_open);
        breaker.state = State::Open { until: now + lasting, lasting, is_probed: false };
    }

    /// A probe that came to no verdict: another one may go.
    fn released(&self, target: &Target) {
        if let Some(breaker) = self.lock().get_mut(target)
            && let State::Open { is_probed, .. } = &mut breaker.state
        {
            *is_probed = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Breaker>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an attempt speaks for or against its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host answered.
    Healthy,
    /// It did not, or with a 5xx.
    Failing,
    /// Nothing was learned.
    Neither,
}

/// An attempt that was let through. Dropped without a verdict it counts as failing if its time was up, since then
/// the engine abandoned it for that; else as nothing.
#[derive(Debug)]
pub(crate) struct Permit {
    breakers: Arc<Breakers>,
    target: Target,
    is_probe: bool,
    started: Instant,
    patience: Duration,
    is_settled: bool,
}

impl Permit {
    pub(crate) fn settle(mut self, verdict: Verdict) {
        self.conclude(verdict);
    }

    fn conclude(&mut self, verdict: Verdict) {
        self.is_settled = true;
        match verdict {
            Verdict::Healthy => self.breakers.succeeded(&self.target),
            Verdict::Failing => self.breakers.failed(&self.target, self.is_probe),
            Verdict::Neither if self.is_probe => self.breakers.released(&self.target),
            Verdict::Neither => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_settled {
            let is_late = self.started.elapsed() >= self.patience.mul_f32(0.9);
            self.conclude(if is_late { Verdict::Failing } else { Verdict::Neither });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn breakers() -> Arc<Breakers> {
        let options =
            BreakerOptions { failures: 3, open: Duration::from_secs(5), max_open: Duration::from_secs(15) };
        Breakers::new(options)
    }

    fn settle(breakers: &Arc<Breakers>, verdict: Verdict) {
        breakers.admit(Target::sample("a"), PATIENCE).expect("admitted").settle(verdict);
    }

    fn refused_for(breakers: &Arc<Breakers>) -> Option<u64> {
        breakers.admit(Target::sample("a"), PATIENCE).err().map(|open| open.retry_in.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        let breakers = breakers();
        for verdict in
            [Verdict::Failing, Verdict::Failing, Verdict::Healthy, Verdict::Failing, Verdict::Neither]
        {
            settle(&breakers, verdict);
        }
        settle(&breakers, Verdict::Failing);
        assert_eq!(refused_for(&breakers), None);
        settle(&breakers, Verdict::Failing);
        assert_eq!(refused_for(&breakers), Some(5));
        assert!(breakers.admit(Target::sample("b"), PATIENCE).is_ok(), "other hosts are not concerned");
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_goes_out_and_decides() {
        let breakers = breakers();
        for _ in 0..3 {
            settle(&breakers, Verdict::Failing);
        }
        for expected in [10, 15, 15] {
            advance(Duration::from_secs(15)).await;
            let probe = breakers.admit(Target::sample("a"), PATIENCE).expect("a probe");
            assert_eq!(refused_for(&breakers), Some(5), "while the probe is out");
            probe.settle(Verdict::Failing);
            assert_eq!(refused_for(&breakers), Some(expected));
        }
        advance(Duration::from_secs(15)).await;
        settle(&breakers, Verdict::Healthy);
        assert_eq!(refused_for(&breakers), None);
        assert!(breakers.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_makes_room_for_another() {
        let breakers = breakers();
        for _ in 0..3 {
            settle(&breakers, Verdict::Failing);
        }
        advance(Duration::from_secs(5)).await;
        drop(breakers.admit(Target::sample("a"), PATIENCE));
        assert_eq!(refused_for(&breakers), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_abandoned_at_its_timeout_failed() {
        let breakers = breakers();
        for _ in 0..3 {
            let permit = breakers.admit(Target::sample("a"), PATIENCE);
            advance(PATIENCE).await;
            drop(permit);
        }
        assert_eq!(refused_for(&breakers), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn late_failures_do_not_lengthen_an_outage() {
        let breakers = breakers();
        let late: Vec<_> = (0..9).map(|_| breakers.admit(Target::sample("a"), PATIENCE).unwrap()).collect();
        for permit in late {
            permit.settle(Verdict::Failing);
        }
        assert_eq!(refused_for(&breakers), Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn failing_hosts_are_bounded() {
        let breakers = breakers();
        for n in 0..MAX_HOSTS + 10 {
            breakers.admit(Target::sample(&n.to_string()), PATIENCE).unwrap().settle(Verdict::Failing);
            if n < 20 {
                advance(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(breakers.lock().len(), MAX_HOSTS);
        assert!(!breakers.lock().contains_key(&Target::sample("0")));
    }
}
