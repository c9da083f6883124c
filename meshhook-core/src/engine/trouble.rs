//! Trouble that lasts: told when it begins, then once a minute, and when it is over.
//!
//! ```text
//!   met ──► warn, with all causes ──► met … met: debug ──► a minute later: warn, with how often ──► over: info
//! ```
//!
//! A store that cannot be reached fails every look and the commits of all held runs, many times a second. Whoever reads
//! the log needs to know that it does, why, and when that ended.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Something that cannot be done for a while.
#[derive(Debug)]
pub(super) struct Trouble {
    what: &'static str,
    over: &'static str,
    lasting: Mutex<Option<Lasting>>,
}

#[derive(Debug)]
struct Lasting {
    since: Instant,
    told: Instant,
    /// How often it was met.
    times: u64,
}

/// How often lasting trouble is told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl Trouble {
    /// Trouble by what is said of it while it lasts, and when it is over.
    pub(super) const fn new(what: &'static str, over: &'static str) -> Self {
        Self { what, over, lasting: Mutex::new(None) }
    }

    /// Notes that it is there.
    pub(super) fn met(&self, error: &(dyn Error + 'static)) {
        let now = Instant::now();
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Lasting { since, told, times }) = &mut *lasting else {
            *lasting = Some(Lasting { since: now, told: now, times: 1 });
            drop(lasting);
            tracing::warn!(error, "{}", self.what);
            return;
        };
        *times += 1;
        let (since, times) = (*since, *times);
        let is_due = now.duration_since(*told) >= TELL_EVERY;
        if is_due {
            *told = now;
        }
        drop(lasting);
        if is_due {
            tracing::warn!(error, times, lasts = ?now.duration_since(since), "{}", self.what);
        } else {
            tracing::debug!(error, times, "{}", self.what);
        }
    }

    /// Notes that what could not be done was done.
    pub(super) fn over(&self) {
        let ended = self.lasting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Lasting { since, times, .. }) = ended {
            tracing::info!(times, lasted = ?since.elapsed(), "{}", self.over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Trouble {
        fn told_at(&self) -> Option<Instant> {
            self.lasting.lock().unwrap().as_ref().map(|lasting| lasting.told)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lasting_trouble_is_told_at_once_and_then_every_minute() {
        let trouble = Trouble::new("cannot", "can again");
        let error = std::io::Error::other("no");
        let began = Instant::now();
        for _ in 0..59 {
            trouble.met(&error);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(trouble.told_at(), Some(began));
        tokio::time::sleep(Duration::from_secs(1)).await;
        trouble.met(&error);
        assert_eq!(trouble.told_at(), Some(began + TELL_EVERY));
        trouble.over();
        assert_eq!(trouble.told_at(), None);
        trouble.met(&error);
        assert_eq!(trouble.told_at(), Some(Instant::now()));
    }
}
