//! The kinds of faults, and how often each was brought about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A server is killed, and started again at once.
    Kill,
    /// A server is stopped until its lease has ended, and then goes on as if nothing had happened.
    Stop,
    /// Postgres crashes and recovers.
    Restart,
    /// A session of Postgres is terminated.
    Backend,
    /// A connection breaks, in the middle of a message where it comes so.
    Cut,
    /// A connection breaks around a commit: before it arrives, or before its reply does.
    DropCommit,
    /// What a server and its database say to each other takes time.
    Delay,
    /// A server and its database do not hear from each other, and nobody tells them.
    Partition,
    /// The next two commits of a server take longer than anything should, on the way there or on the way back.
    SlowCommit,
    /// The database has no room for what it is to keep.
    Full,
    /// The database takes hardly any connections, and those of a server break.
    Connections,
}

impl Fault {
    pub(crate) const ALL: [Fault; 11] = [
        Self::Kill,
        Self::Stop,
        Self::Restart,
        Self::Backend,
        Self::Cut,
        Self::DropCommit,
        Self::Delay,
        Self::Partition,
        Self::SlowCommit,
        Self::Full,
        Self::Connections,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Backend => "backend",
            Self::Cut => "cut",
            Self::DropCommit => "drop-commit",
            Self::Delay => "delay",
            Self::Partition => "partition",
            Self::SlowCommit => "slow-commit",
            Self::Full => "full",
            Self::Connections => "connections",
        }
    }

    /// How long it is on average from the end of such a fault to the next one, when all kinds come: each comes some thirty times in
    /// five minutes, or more often.
    pub(crate) fn mean(self) -> Duration {
        Duration::from_millis(match self {
            Self::Kill => 3_500,
            Self::Stop | Self::Partition => 3_500,
            Self::Restart => 6_000,
            Self::Delay | Self::SlowCommit | Self::Full | Self::Connections => 5_000,
            Self::Backend | Self::Cut | Self::DropCommit => 1_500,
        })
    }

    /// The share of that time to which it may shrink where fewer kinds come. What lasts would leave no time for anything
    /// else, and a server that is killed must have lived for a while before it takes what others have died with.
    pub(crate) fn haste(self) -> f64 {
        match self {
            Self::Backend | Self::Cut | Self::DropCommit => 0.2,
            Self::Kill => 0.5,
            _ => 1.0,
        }
    }

    /// How often it must come at least in a phase that long for the run to show anything: a third of what is to be
    /// expected, and no more than thirty times.
    pub(crate) fn least(self, phase: Duration) -> u64 {
        const LASTS: Duration = Duration::from_secs(6);
        let expected = phase.as_secs_f64() / (self.mean() + LASTS).as_secs_f64();
        ((expected / 3.0) as u64).clamp(1, 30)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| format!("a fault is one of {}", names.join(", ")))
    }
}

/// How often a fault was brought about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) hits: u64,
    /// Of these, how many met work in flight.
    pub(crate) touched: u64,
}

/// How often each fault was brought about.
#[derive(Debug)]
pub(crate) struct Hits(Mutex<BTreeMap<Fault, Count>>);

impl Hits {
    pub(crate) fn new(faults: &BTreeSet<Fault>) -> Self {
        Self(Mutex::new(faults.iter().map(|fault| (*fault, Count::default())).collect()))
    }

    pub(crate) fn note(&self, fault: Fault, touched: bool) {
        let mut hits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hits.entry(fault).or_default();
        count.hits += 1;
        count.touched += u64::from(touched);
    }

    /// Whether a fault of this kind has met work in flight.
    pub(crate) fn has_met(&self, fault: Fault) -> bool {
        self.counts().get(&fault).is_some_and(|count| count.touched > 0)
    }

    pub(crate) fn counts(&self) -> BTreeMap<Fault, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("flood".parse::<Fault>().is_err());
    }
}
