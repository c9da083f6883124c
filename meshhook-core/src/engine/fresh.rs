//! What was read from the store and is believed for a while.
//!
//! ```text
//!   begin ──► read the store ──► keep ──► believed until its time is over, counted from `begin`
//!                   │
//!                   └── forget meanwhile: what was read may be old, so it is used once and not kept
//! ```
//!
//! What this process changes is forgotten at once, and so is everything whose reading was under way then. What another
//! process changes is seen when the time is over. Time is tokio's, so that simulated engines forget at simulated times.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A cache whose entries are believed for a fixed time.
#[derive(Debug)]
pub(super) struct Fresh<K, V> {
    entries: Mutex<Entries<K, V>>,
    time: Duration,
    max_entries: usize,
}

#[derive(Debug)]
struct Entries<K, V> {
    known: HashMap<K, (Instant, V)>,
    /// How often something was forgotten.
    generation: u64,
}

/// Where a reading began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    began: Instant,
    generation: u64,
}

impl<K: Eq + Hash, V: Clone> Fresh<K, V> {
    /// A cache that believes its entries for `time`.
    pub(super) fn new(time: Duration, max_entries: usize) -> Self {
        let entries = Mutex::new(Entries { known: HashMap::new(), generation: 0 });
        Self { entries, time, max_entries }
    }

    /// What is known, unless it is too old.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = entries.known.get(key)?;
        (at.elapsed() < self.time).then(|| value.clone())
    }

    /// Begins to read: to be called before the store is asked.
    pub(super) fn begin(&self) -> Reading {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Reading { began: Instant::now(), generation: entries.generation }
    }

    /// Keeps what was read, if nothing was forgotten meanwhile and there is room.
    pub(super) fn keep(&self, reading: Reading, key: K, value: V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.generation != reading.generation {
            return;
        }
        if entries.known.len() >= self.max_entries {
            entries.known.retain(|_, (at, _)| at.elapsed() < self.time);
        }
        if entries.known.len() < self.max_entries {
            entries.known.insert(key, (reading.began, value));
        }
    }

    /// Forgets the entries for which this holds. To be called after the store was changed.
    pub(super) fn forget(&self, is_it: impl Fn(&K) -> bool) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.generation += 1;
        entries.known.retain(|key, _| !is_it(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_believed_from_the_beginning_of_its_reading() {
        let cache = Fresh::new(TIME, 10);
        let reading = cache.begin();
        tokio::time::sleep(TIME / 2).await;
        cache.keep(reading, "k", 1);
        assert_eq!(cache.get(&"k"), Some(1));
        tokio::time::sleep(TIME / 2).await;
        assert_eq!(cache.get(&"k"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_something_was_forgotten_is_not_kept() {
        let cache = Fresh::new(TIME, 10);
        let reading = cache.begin();
        cache.forget(|_| true);
        cache.keep(reading, "k", "old");
        assert_eq!(cache.get(&"k"), None);
        cache.keep(cache.begin(), "k", "new");
        assert_eq!(cache.get(&"k"), Some("new"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_drops_what_is_too_old_and_refuses_the_rest() {
        let cache = Fresh::new(TIME, 2);
        cache.keep(cache.begin(), 1, ());
        tokio::time::sleep(TIME / 2).await;
        cache.keep(cache.begin(), 2, ());
        cache.keep(cache.begin(), 3, ());
        assert_eq!([1, 2, 3].map(|key| cache.get(&key).is_some()), [true, true, false]);
        tokio::time::sleep(TIME / 2).await;
        cache.keep(cache.begin(), 3, ());
        assert_eq!([1, 2, 3].map(|key| cache.get(&key).is_some()), [false, true, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_meant_is_forgotten() {
        let cache = Fresh::new(TIME, 10);
        cache.keep(cache.begin(), 1, ());
        cache.keep(cache.begin(), 2, ());
        cache.forget(|key| *key == 1);
        assert_eq!([1, 2].map(|key| cache.get(&key).is_some()), [false, true]);
    }
}
