//! Choices that a seed repeats.

use std::hash::Hasher as _;
use std::ops::Range;
use std::time::Duration;

/// A source of choices.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each purpose, so that one more choice here changes none there.
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325 ^ seed);
        hasher.write(purpose.as_bytes());
        let mut random = Self(hasher.finish() ^ seed.rotate_left(32));
        random.next();
        random
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 where there is none.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub(crate) fn within(&mut self, range: Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start).as_micros().max(1);
        range.start + Duration::from_micros((u128::from(self.next()) % span) as u64)
    }

    /// A pause between events that come independently of each other, so many apart on average.
    pub(crate) fn pause(&mut self, mean: Duration) -> Duration {
        let uniform = ((self.next() >> 11) as f64 + 1.0) / ((1u64 << 53) as f64 + 1.0);
        mean.mul_f64((-uniform.ln()).clamp(0.05, 4.0))
    }
}

/// FNV-1a.
struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_purposes_do_not_share_them() {
        let draw = |seed, purpose| {
            let mut random = Random::of(seed, purpose);
            (0..4).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "kill"), draw(7, "kill"));
        assert_ne!(draw(7, "kill"), draw(8, "kill"));
        assert_ne!(draw(7, "kill"), draw(7, "cut"));
    }

    #[test]
    fn pauses_have_the_mean_that_was_asked_for() {
        let mut random = Random::of(1, "pause");
        let sum: Duration = (0..10_000).map(|_| random.pause(Duration::from_millis(100))).sum();
        assert!((90..110).contains(&(sum.as_millis() / 10_000)), "{sum:?}");
    }
}
