//! Retries: how often, and after which wait.
//!
//! Attempt *n+1* starts `min(max, initial × factor^(n−1))` after attempt *n* failed, jittered. The wait becomes part
//! of the history, so it must come out the same on every machine: everything is integer arithmetic in microseconds,
//! the factor counts in millionths, and each multiplication rounds down.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::id::StepKey;

/// How a wait is spread, so that many failed steps do not come back at once.
///
/// Exhaustive: the definition format names exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Anything from zero to the computed wait.
    Full,
    /// The computed wait.
    None,
}

/// How often a failed attempt is followed by another, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u32,
    /// The wait after the first attempt.
    pub initial: Duration,
    /// What each further wait is multiplied by, in millionths: 2,000,000 doubles it.
    pub factor_millionths: u32,
    /// The longest wait.
    pub max: Duration,
    /// How waits are spread.
    pub jitter: Jitter,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial: Duration::from_secs(1),
            factor_millionths: 2 * MILLION,
            max: Duration::from_secs(60),
            jitter: Jitter::Full,
        }
    }
}

const MILLION: u32 = 1_000_000;

impl RetryPolicy {
    /// Returns the wait after attempt number `attempt` (from 1) failed.
    ///
    /// `random` decides where within the wait the next attempt starts when the policy has jitter; see
    /// [`retry_random`].
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let max = self.max.as_micros();
        let mut micros = self.initial.as_micros().min(max);
        for _ in 1..attempt {
            let next = micros.saturating_mul(u128::from(self.factor_millionths)) / u128::from(MILLION);
            if next.min(max) == micros {
                break;
            }
            micros = next.min(max);
        }
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        match self.jitter {
            Jitter::None => Duration::from_micros(micros),
            // The high half of the product is uniform from 0 to `micros`, exclusive.
            Jitter::Full => {
                let spread = (u128::from(micros) * u128::from(random)) >> 64;
                Duration::from_micros(u64::try_from(spread).unwrap_or(micros))
            }
        }
    }
}

/// Draws the random number for the wait after `attempt`: the same for the same seed, step and attempt, on every machine.
#[must_use]
pub fn retry_random(seed: &[u8], step: &StepKey, attempt: u32) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(b"meshhook retry\0");
    hasher.update(u64::try_from(seed.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(seed);
    hasher.update(attempt.to_be_bytes());
    hasher.update(step.as_str().as_bytes());
    let hash = hasher.finalize();
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(initial_ms: u64, factor_millionths: u32, max_ms: u64) -> RetryPolicy {
        RetryPolicy {
            initial: Duration::from_millis(initial_ms),
            factor_millionths,
            max: Duration::from_millis(max_ms),
            jitter: Jitter::None,
            ..RetryPolicy::default()
        }
    }

    fn waits(policy: &RetryPolicy, attempts: u32) -> Vec<u128> {
        (1..=attempts).map(|attempt| policy.delay(attempt, 0).as_micros()).collect()
    }

    #[test]
    fn waits_grow_by_the_factor_up_to_the_maximum() {
        assert_eq!(
            waits(&policy(1_000, 2_000_000, 5_000), 5),
            [1_000_000, 2_000_000, 4_000_000, 5_000_000, 5_000_000]
        );
        assert_eq!(waits(&policy(1, 1_500_000, 60_000), 5), [1_000, 1_500, 2_250, 3_375, 5_062]);
        assert_eq!(waits(&policy(10, 1_000_000, 60_000), 3), [10_000, 10_000, 10_000]);
        assert_eq!(waits(&policy(10_000, 2_000_000, 1_000), 2), [1_000_000, 1_000_000]);
        assert_eq!(waits(&policy(0, 10_000_000, 1_000), 3), [0, 0, 0]);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let policy = RetryPolicy { max: Duration::MAX, factor_millionths: 10_000_000, ..policy(1_000, 1, 1) };
        assert!(policy.delay(u32::MAX, u64::MAX) >= Duration::from_secs(86_400 * 365));
        assert_eq!(super::RetryPolicy::default().delay(0, 0), Duration::ZERO);
    }

    #[test]
    fn full_jitter_stays_below_the_wait_and_spreads_over_it() {
        let policy = RetryPolicy { jitter: Jitter::Full, ..policy(1_000, 2_000_000, 60_000) };
        assert_eq!(policy.delay(1, 0), Duration::ZERO);
        assert_eq!(policy.delay(1, u64::MAX), Duration::from_micros(999_999));
        assert_eq!(policy.delay(1, 1 << 63), Duration::from_millis(500));
    }

    #[test]
    fn random_numbers_depend_on_seed_step_and_attempt_only() {
        let (a, b): (StepKey, StepKey) = ("a".parse().unwrap(), "b".parse().unwrap());
        let first = retry_random(b"seed", &a, 1);
        assert_eq!(first, retry_random(b"seed", &a, 1));
        // printf 'meshhook retry\0\0\0\0\0\0\0\0\4seed\0\0\0\1a' | sha256sum | cut -c1-16
        assert_eq!(format!("{first:016x}"), "9bdad5609e0c2cfa");
        let others =
            [retry_random(b"seed", &a, 2), retry_random(b"seed", &b, 1), retry_random(b"tree", &a, 1)];
        assert!(!others.contains(&first));
    }
}
