//! Runs that others shall take first.
//!
//! A process that does not know the key of a secret cannot start an attempt that needs it; another one may. All of them
//! learn from the store when a run is due, so who cannot help must not be the first to get up for it:
//!
//! ```text
//!   cannot open a secret ─► released until `at`, longer each time ─► at `at` the others look, a moment later this one
//! ```
//!
//! Nothing else of this process is held up: what is due beside such a run is looked at that moment later at most, and what
//! is due at other times when it is. A process that looks just then for another reason takes the run, and puts it off
//! again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::id::RunId;
use crate::time::Timestamp;

/// The runs that this process stands back from.
#[derive(Debug, Default)]
pub(super) struct StandBack(Mutex<BTreeMap<RunId, PutOff>>);

#[derive(Debug, Clone, Copy)]
struct PutOff {
    until: Timestamp,
    times: u32,
}

/// How long others have before this process looks.
const A_MOMENT: Duration = Duration::from_millis(250);
/// How long a run is put off the first time.
const FIRST: Duration = Duration::from_secs(1);
/// How long it is put off at most.
const LONGEST: Duration = Duration::from_secs(32);
/// How long it is known how often a run was put off.
const KNOWN: Duration = Duration::from_secs(300);
/// The most runs of which that is known.
const MAX_KNOWN: usize = 10_000;

impl StandBack {
    /// Until when to put a run off, from a time on.
    pub(super) fn put_off(&self, run: RunId, from: Timestamp) -> Timestamp {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= MAX_KNOWN {
            runs.retain(|_, known| known.until.after(KNOWN) > from);
        }
        let before = runs.get(&run).filter(|known| known.until.after(KNOWN) > from);
        let times = before.map_or(0, |known| known.times.saturating_add(1));
        let until = from.after(FIRST.saturating_mul(1 << times.min(16)).min(LONGEST));
        if runs.len() < MAX_KNOWN || runs.contains_key(&run) {
            runs.insert(run, PutOff { until, times });
        }
        until
    }

    /// When to look that was to look at a time: later, where a run was put off until just then.
    pub(super) fn get_up(&self, at: Timestamp) -> Timestamp {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others_look = runs.values().map(|known| (known.until, known.until.after(A_MOMENT)));
        others_look.filter(|(from, to)| *from <= at && at < *to).map(|(_, to)| to).max().unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u8) -> RunId {
        RunId::new(Timestamp::EPOCH, [number; 8])
    }

    #[test]
    fn a_run_is_put_off_longer_each_time_until_it_was_left_alone_for_long() {
        let back = StandBack::default();
        let mut now = Timestamp::EPOCH;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let until = back.put_off(run(1), now);
            pauses.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32]);
        assert_eq!(back.put_off(run(2), now).since(now), FIRST);
        now = now.after(KNOWN);
        assert_eq!(back.put_off(run(1), now).since(now), FIRST);
    }

    #[test]
    fn only_what_was_put_off_is_got_up_for_later() {
        let back = StandBack::default();
        let until = back.put_off(run(1), Timestamp::EPOCH);
        let (just_before, just_after) =
            (Timestamp::from_micros(until.as_micros() - 1), until.after(A_MOMENT / 2));
        for (at, expected) in [
            (just_before, just_before),
            (until, until.after(A_MOMENT)),
            (just_after, until.after(A_MOMENT)),
            (until.after(A_MOMENT), until.after(A_MOMENT)),
        ] {
            assert_eq!(back.get_up(at), expected);
        }
    }
}
