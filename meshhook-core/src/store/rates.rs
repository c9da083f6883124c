//! Rates: how much more is let in, whatever process asks.
//!
//! A bucket that is full has no row, and a row says nothing but when its bucket will be full: see [`Bucket`].

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::id::ProjectId;
use crate::policy::Bucket;
use crate::time::Timestamp;

/// Keeps token buckets.
#[async_trait]
pub trait RateStore: Send + Sync + 'static {
    /// Takes from buckets, of any projects, in order; answers what each was given. By the store's clock.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; all of the batch took place or nothing.
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Admitted>, StoreError>;
}

/// What is to be taken from a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admit {
    /// The project.
    pub project: ProjectId,
    /// Which bucket: a hash of what has one of its own.
    pub key: [u8; 32],
    /// How it is filled.
    pub bucket: Bucket,
    /// How many tokens are wanted; fewer are taken if there are not so many.
    pub wanted: u32,
}

/// What was taken from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// How many tokens.
    pub tokens: u32,
    /// How long it takes until there is another one.
    pub wait: Duration,
}

impl Admit {
    /// Takes from a bucket that will be full at `full_at` (`None`: it is full); answers what it gave and when it will be
    /// full then. Every store does the same.
    #[must_use]
    pub fn take(&self, full_at: Option<Timestamp>, now: Timestamp) -> (Admitted, Timestamp) {
        let (tokens, then) = self.bucket.take_up_to(full_at, now, self.wanted);
        (Admitted { tokens, wait: self.bucket.wait(then, now) }, then)
    }

    /// Until when a bucket is kept that will be full at that time: a while longer, so that this changes less often.
    #[must_use]
    pub fn expiry(full_at: Timestamp) -> Timestamp {
        Timestamp::from_micros(
            (full_at.as_micros() / KEPT_MICROS).saturating_add(1).saturating_mul(KEPT_MICROS),
        )
    }
}

/// Ten minutes.
const KEPT_MICROS: i64 = 600_000_000;
