//! Token buckets: how much of something is let in.
//!
//! A bucket holds `burst` tokens and is filled by one token every `every`. It is kept as one time, the moment at which it
//! will be full again (the generic cell rate algorithm of ATM, "virtual scheduling"): a full bucket needs no row and no
//! memory, and taking from one is one comparison and one addition.
//!
//! ```text
//!   now ──────────────┬───────────── full_at          tokens left = burst − (full_at − now) / every
//!                     └ what is missing until it is full
//! ```

use std::time::Duration;

use crate::time::Timestamp;

/// A bucket's size and how fast it is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bucket {
    /// Microseconds after which a token comes back; at least 1.
    pub every_micros: u64,
    /// The most tokens.
    pub burst: u32,
}

impl Bucket {
    /// A bucket of at least one token, into which one comes at least every microsecond.
    #[must_use]
    pub fn new(every_micros: u64, burst: u32) -> Self {
        Self { every_micros: every_micros.max(1), burst: burst.max(1) }
    }

    /// A bucket that is filled by so many tokens in 1,000 s, to the microsecond per token.
    #[must_use]
    pub fn per_kilosecond(tokens: u64, burst: u32) -> Self {
        Self::new(1_000_000_000_u64.div_ceil(tokens.max(1)), burst)
    }

    /// Takes tokens from a bucket that will be full at `full_at` (`None`: it is full); answers when it will be full then.
    ///
    /// # Errors
    ///
    /// How long to wait for the tokens, when they are not there; nothing is taken. More than `burst` are never there.
    pub fn take(
        self,
        full_at: Option<Timestamp>,
        now: Timestamp,
        tokens: u32,
    ) -> Result<Timestamp, Duration> {
        let room = self.time_of(self.burst);
        let then = self.within(full_at, now).after(self.time_of(tokens));
        let earliest = then.before(room);
        if earliest <= now { Ok(then) } else { Err(earliest.since(now)) }
    }

    /// Takes as many tokens as there are, but not more than so many; answers how many, and when the bucket will be full
    /// then.
    #[must_use]
    pub fn take_up_to(self, full_at: Option<Timestamp>, now: Timestamp, most: u32) -> (u32, Timestamp) {
        let full_at = self.within(full_at, now);
        let left =
            now.after(self.time_of(self.burst)).since(full_at).as_micros() / u128::from(self.every_micros);
        let tokens = u32::try_from(left).unwrap_or(u32::MAX).min(most);
        (tokens, full_at.after(self.time_of(tokens)))
    }

    /// How long it takes until there is a token in a bucket that will be full at `full_at`.
    #[must_use]
    pub fn wait(self, full_at: Timestamp, now: Timestamp) -> Duration {
        self.take(Some(full_at), now, 1).err().unwrap_or_default()
    }

    /// What is fuller than full is full; and what is emptier than empty, by a clock that was set or a bucket that was larger
    /// before, is empty.
    fn within(self, full_at: Option<Timestamp>, now: Timestamp) -> Timestamp {
        full_at.unwrap_or(now).max(now).min(now.after(self.time_of(self.burst)))
    }

    fn time_of(self, tokens: u32) -> Duration {
        Duration::from_micros(self.every_micros.saturating_mul(u64::from(tokens)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    /// Takes one token at each of these times (in milliseconds); answers which were there, and else the wait.
    fn taken(bucket: Bucket, times: &[i64]) -> Vec<Result<(), u128>> {
        let mut full_at = None;
        let mut take = |time: &i64| match bucket.take(full_at, at(*time), 1) {
            Ok(then) => {
                full_at = Some(then);
                Ok(())
            }
            Err(wait) => Err(wait.as_millis()),
        };
        times.iter().map(&mut take).collect()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_what_comes_back() {
        let bucket = Bucket::per_kilosecond(2_000, 3);
        let times = [0, 0, 0, 0, 100, 499, 500, 500, 1_000, 9_000, 9_000, 9_000, 9_000];
        let ok = Ok(());
        let expected = [ok, ok, ok, Err(500), Err(400), Err(1), ok, Err(500), ok, ok, ok, ok, Err(500)];
        assert_eq!(taken(bucket, &times), expected);
    }

    #[test]
    fn several_tokens_are_taken_as_one_or_not_at_all() {
        let bucket = Bucket::new(1_000, 10);
        let full_at = bucket.take(None, at(0), 8).unwrap();
        assert_eq!(bucket.take(Some(full_at), at(0), 3), Err(Duration::from_millis(1)));
        assert!(bucket.take(Some(full_at), at(0), 2).is_ok());
        assert!(bucket.take(None, at(0), 11).is_err());
    }

    #[test]
    fn a_clock_that_was_set_back_empties_a_bucket_at_most() {
        let bucket = Bucket::new(1_000_000, 5);
        assert_eq!(bucket.take(Some(at(999_999_999)), at(0), 1), Err(Duration::from_secs(1)));
        assert!(bucket.take(Some(at(-999_999_999)), at(0), 5).is_ok());
    }

    #[test]
    fn rates_are_exact_to_the_microsecond() {
        for (tokens, every) in [(1, 1_000_000_000), (1_000, 1_000_000), (3_000, 333_334), (1_000_000_000, 1)]
        {
            assert_eq!(Bucket::per_kilosecond(tokens, 1).every_micros, every);
        }
    }
}
