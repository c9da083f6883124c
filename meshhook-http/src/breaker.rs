//! Circuit breakers: hosts that fail again and again are left alone for a while.
//!
//! ```text
//!            N steps in a row fail                   the time is over
//!   closed ────────────────────────► open ─────────────────────────────► one probe
//!     ▲ ▲                             ▲                                     │  │
//!     │ └── any answer below 500      └────── it fails: twice as long ──────┘  │
//!     └───────────────────────────────────── it succeeds ──────────────────────┘
//! ```
//!
//! One breaker per project and origin, in this process only: it spares connections, timeouts and the other side
//! during an outage, and is not needed for correctness. A failure is what says nothing about the request itself: no
//! connection, a broken one, a timeout, a 5xx. Different steps have to fail, with no success between: one step that
//! is tried again and again has its own backoff. Healthy hosts take no memory: a breaker exists from the first
//! failure to the next success. Time is the process's monotonic clock, so a jump of the wall clock keeps nothing open.
//!
//! An attempt that meets an open breaker waits where the next probe is near or under way: after a short outage, or
//! when somebody retries what failed in one, nothing should be refused needlessly. Else it fails at once, retryable,
//! and is asked to come back after the next probe, spread over the time that the breaker would stay open after it: a
//! recovered host is not hit by everything at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meshhook_core::id::ProjectId;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
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
    /// How many different steps have to fail in a row to open it.
    pub(crate) failures: usize,
    /// How long it stays open at first.
    pub(crate) open: Duration,
    /// How long it stays open at most.
    pub(crate) max_open: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self { failures: 20, open: Duration::from_secs(1), max_open: Duration::from_secs(60) }
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
    /// The steps that failed since the last success, as many as it takes to open.
    steps: Vec<StepHash>,
    state: State,
    touched: Instant,
    /// Wakes those who wait for a probe's verdict.
    judged: Arc<Notify>,
}

/// Tells steps apart.
pub(crate) type StepHash = u64;

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
}

/// The most hosts that are remembered; the one that failed longest ago gives way.
const MAX_HOSTS: usize = 4_096;

impl Breakers {
    pub(crate) fn new(options: BreakerOptions) -> Arc<Self> {
        Arc::new(Self { options, hosts: Mutex::default() })
    }

    /// Lets an attempt through, or not. `patience` is how long the attempt may take.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        target: Target,
        step: StepHash,
        patience: Duration,
    ) -> Result<Permit, Open> {
        let started = Instant::now();
        let waits_until = started + (patience / 2).min(LONGEST_WAIT);
        loop {
            let wait = match self.ask(&target) {
                Answer::Go { is_probe } => {
                    let breakers = self.clone();
                    return Ok(Permit {
                        breakers,
                        target,
                        step,
                        is_probe,
                        started,
                        patience,
                        is_settled: false,
                    });
                }
                Answer::Wait(wait) => wait,
            };
            let next = wait.until.unwrap_or(waits_until);
            if next > waits_until || Instant::now() >= waits_until {
                let retry_in = next.saturating_duration_since(Instant::now());
                return Err(Open { retry_in: retry_in.max(self.options.open), spread: wait.lasting });
            }
            // Woken early by a verdict, or else at the time; either way the breaker is asked again.
            let _ = tokio::time::timeout_at(next, wait.judged).await;
        }
    }

    fn ask(&self, target: &Target) -> Answer {
        let mut hosts = self.lock();
        let Some(breaker) = hosts.get_mut(target) else { return Answer::Go { is_probe: false } };
        let State::Open { until, lasting, is_probed } = &mut breaker.state else {
            return Answer::Go { is_probe: false };
        };
        let is_early = Instant::now() < *until;
        if !is_early && !*is_probed {
            *is_probed = true;
            return Answer::Go { is_probe: true };
        }
        // Made under the lock: from here on no verdict is missed.
        let judged = breaker.judged.clone().notified_owned();
        Answer::Wait(Wait { until: is_early.then_some(*until), lasting: *lasting, judged })
    }

    fn succeeded(&self, target: &Target) {
        if let Some(breaker) = self.lock().remove(target) {
            breaker.judged.notify_waiters();
        }
    }

    fn failed(&self, target: &Target, step: StepHash, is_probe: bool) {
        let now = Instant::now();
        let mut hosts = self.lock();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(target) {
            let oldest = hosts.iter().min_by_key(|(_, breaker)| breaker.touched).map(|(key, _)| key.clone());
            oldest.and_then(|key| hosts.remove(&key));
        }
        let breaker = hosts.entry(target.clone()).or_insert_with(|| Breaker {
            steps: Vec::new(),
            state: State::Closed,
            touched: now,
            judged: Arc::default(),
        });
        breaker.touched = now;
        if breaker.steps.len() < self.options.failures && !breaker.steps.contains(&step) {
            breaker.steps.push(step);
        }
        let lasting = match breaker.state {
            State::Closed if breaker.steps.len() >= self.options.failures => self.options.open,
            State::Open { lasting, .. } if is_probe => lasting.saturating_mul(2),
            // Not yet, or an attempt that began before the breaker opened.
            State::Closed | State::Open { .. } => return,
        };
        let lasting = lasting.min(self.options.max_open);
        breaker.state = State::Open { until: now + lasting, lasting, is_probed: false };
        breaker.judged.notify_waiters();
    }

    /// A probe that came to no verdict: another one may go.
    fn released(&self, target: &Target) {
        if let Some(breaker) = self.lock().get_mut(target)
            && let State::Open { is_probed, .. } = &mut breaker.state
        {
            *is_probed = false;
            breaker.judged.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Breaker>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a breaker says to an attempt.
enum Answer {
    Go { is_probe: bool },
    Wait(Wait),
}

struct Wait {
    /// When the next probe may go out; `None` while one is under way.
    until: Option<Instant>,
    lasting: Duration,
    judged: OwnedNotified,
}

/// How long an attempt waits for a breaker before it is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

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
    step: StepHash,
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
            Verdict::Failing => self.breakers.failed(&self.target, self.step, self.is_probe),
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

    async fn admit(breakers: &Arc<Breakers>, step: StepHash) -> Result<Permit, Open> {
        breakers.admit(Target::sample("a"), step, PATIENCE).await
    }

    async fn settle(breakers: &Arc<Breakers>, step: StepHash, verdict: Verdict) {
        admit(breakers, step).await.expect("admitted").settle(verdict);
    }

    async fn opened() -> Arc<Breakers> {
        let breakers = breakers();
        for step in 0..3 {
            settle(&breakers, step, Verdict::Failing).await;
        }
        breakers
    }

    async fn refused_for(breakers: &Arc<Breakers>) -> Option<u64> {
        admit(breakers, 0).await.err().map(|open| open.retry_in.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        let breakers = breakers();
        for (step, verdict) in [
            (1, Verdict::Failing),
            (2, Verdict::Failing),
            (3, Verdict::Healthy),
            (4, Verdict::Failing),
            (5, Verdict::Neither),
            (6, Verdict::Failing),
        ] {
            settle(&breakers, step, verdict).await;
        }
        assert_eq!(refused_for(&breakers).await, None);
        settle(&breakers, 7, Verdict::Failing).await;
        assert_eq!(refused_for(&breakers).await, Some(5));
        let other = breakers.admit(Target::sample("b"), 0, PATIENCE).await;
        assert!(other.is_ok(), "other hosts are not concerned");
    }

    #[tokio::test(start_paused = true)]
    async fn one_step_alone_never_opens_it() {
        let breakers = breakers();
        for _ in 0..100 {
            settle(&breakers, 1, Verdict::Failing).await;
        }
        assert_eq!(refused_for(&breakers).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_goes_out_and_decides() {
        let breakers = opened().await;
        for expected in [10, 15, 15] {
            advance(Duration::from_secs(15)).await;
            let probe = admit(&breakers, 0).await.expect("a probe");
            assert_eq!(refused_for(&breakers).await, Some(5), "while the probe is out");
            probe.settle(Verdict::Failing);
            assert_eq!(refused_for(&breakers).await, Some(expected));
        }
        advance(Duration::from_secs(15)).await;
        settle(&breakers, 0, Verdict::Healthy).await;
        assert_eq!(refused_for(&breakers).await, None);
        assert!(breakers.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_a_probe_is_out_waits_for_its_verdict() {
        for (verdict, is_admitted) in
            [(Verdict::Healthy, true), (Verdict::Failing, false), (Verdict::Neither, true)]
        {
            let breakers = opened().await;
            advance(Duration::from_secs(5)).await;
            let probe = admit(&breakers, 0).await.expect("a probe");
            let waiting = tokio::spawn({
                let breakers = breakers.clone();
                async move { admit(&breakers, 1).await.is_ok() }
            });
            tokio::task::yield_now().await;
            advance(Duration::from_secs(1)).await;
            probe.settle(verdict);
            assert_eq!(waiting.await.unwrap(), is_admitted, "{verdict:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_shortly_before_a_probe_is_it() {
        let breakers = opened().await;
        advance(Duration::from_secs(4)).await;
        let started = Instant::now();
        assert!(admit(&breakers, 0).await.expect("admitted").is_probe);
        assert_eq!(started.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_probe_makes_room_for_another() {
        let breakers = opened().await;
        advance(Duration::from_secs(5)).await;
        drop(admit(&breakers, 0).await);
        assert!(admit(&breakers, 0).await.expect("admitted").is_probe);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_abandoned_at_their_timeout_failed() {
        let breakers = breakers();
        for step in 0..3 {
            let permit = admit(&breakers, step).await;
            advance(PATIENCE).await;
            drop(permit);
        }
        assert_eq!(refused_for(&breakers).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn late_failures_do_not_lengthen_an_outage() {
        let breakers = breakers();
        let mut late = Vec::new();
        for step in 0..9 {
            late.push(admit(&breakers, step).await.unwrap());
        }
        for permit in late {
            permit.settle(Verdict::Failing);
        }
        assert_eq!(refused_for(&breakers).await, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn failing_hosts_are_bounded() {
        let breakers = breakers();
        for n in 0..MAX_HOSTS + 10 {
            let permit = breakers.admit(Target::sample(&n.to_string()), 0, PATIENCE).await;
            permit.unwrap().settle(Verdict::Failing);
            if n < 20 {
                advance(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(breakers.lock().len(), MAX_HOSTS);
        assert!(!breakers.lock().contains_key(&Target::sample("0")));
    }
}
