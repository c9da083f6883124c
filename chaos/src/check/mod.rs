//! The checker: what clients were told, what the outside world was asked and what the database remembers, held against
//! each other.
//!
//! | | invariant |
//! | --- | --- |
//! | 1 | every accepted delivery has exactly one run, and every run has a delivery that was accepted or may have been; the same holds for each item of a batch, whatever requests it came in, and `duplicate` names the run that it has. The runs that a delivery's row names are there |
//! | 2 | every run ends with exactly one terminal event, and nothing follows it; none fails, but that one which was hit three times in a row may be `quarantined`: it is counted and shown |
//! | 3 | positions have no gaps, and the chain of hashes is whole |
//! | 4 | deciding a history again, in another process, gives the same history |
//! | 5 | all effects of a step carry one key and one body; they have an intent; none comes after the step's end; those for an item come from one run, which has had all of them when it ends |
//! | 6 | epochs only grow |
//! | 7 | no timer fires before its time, and none long after it |
//! | 11 | once the faults have stopped, nothing is left without somebody who will go on with it |
//! | 15 | the run showed something: faults met work in flight, and most of the work was done |
//!
//! Nothing here changes the database, and what is loaded is loaded past the proxy.

mod client;
mod effects;
mod history;
mod items;
mod load;
mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use meshhook_core::failure::code;
use meshhook_core::time::Timestamp;

pub(crate) use self::history::Story;
pub(crate) use self::items::BatchFigures;
pub(crate) use self::load::{Left, left, live_runs, load, recorded, show, verify};
use self::recorded::Recorded;
use crate::client::Ledger;
use crate::effect::Entry;
use crate::nemesis::Strike;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) invariant: u8,
    pub(crate) run: Option<String>,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(invariant: u8, what: impl Into<String>) -> Self {
        Self { invariant, run: None, what: what.into() }
    }

    pub(crate) fn of(invariant: u8, run: &str, what: impl Into<String>) -> Self {
        Self { invariant, run: Some(run.to_owned()), what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{}: ", self.invariant)?;
        if let Some(run) = &self.run {
            write!(f, "run {run}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What was counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) runs: usize,
    pub(crate) events: usize,
    pub(crate) effects: usize,
    /// Effects beyond the attempts that histories know of: somebody died, or was cut off, in the middle.
    pub(crate) repeated: usize,
    /// The most effects of one step.
    pub(crate) most_of_a_step: usize,
    /// Effects after their step had been recorded by the next owner.
    pub(crate) late_after_takeover: usize,
    /// How often runs changed hands.
    pub(crate) takeovers: usize,
    /// How runs ended that did not succeed, by code.
    pub(crate) failed: BTreeMap<String, usize>,
    /// How late timers fired.
    pub(crate) lateness: Vec<Duration>,
    pub(crate) batches: BatchFigures,
    /// Deliveries that have a row, and of these those that were refused and name runs.
    pub(crate) rows: usize,
    pub(crate) halfway_rows: usize,
}

/// Checks what is known offline.
pub(crate) fn check(
    stories: &BTreeMap<String, Story>,
    ledger: &Ledger,
    recorded: &[Recorded],
    effects: &[Entry],
    kills: u64,
) -> (Figures, Vec<Violation>) {
    let mut figures = Figures { runs: stories.len(), effects: effects.len(), ..Figures::default() };
    let mut violations = Vec::new();
    for story in stories.values() {
        figures.events += story.events;
        figures.takeovers += story.takeovers.len();
        figures.lateness.extend(&story.lateness);
        if let Some(failed_with) = &story.failed_with {
            *figures.failed.entry(failed_with.clone()).or_default() += 1;
            // None of these runs harms its worker, but whoever is hit three times in a row cannot be told from one that does.
            if failed_with != code::QUARANTINED {
                violations.push(Violation::of(2, &story.run, format!("failed with {failed_with}")));
            }
        }
    }
    figures.lateness.sort();
    violations.extend(client::check(stories, ledger));
    violations.extend(effects::check(stories, effects, kills, &mut figures));
    let (batches, found) = items::check(stories, &ledger.batches, effects);
    figures.batches = batches;
    figures.rows = recorded.len();
    figures.halfway_rows = recorded::check(stories, recorded, &mut violations);
    violations.extend(found);
    (figures, violations)
}

/// How long it took from a blow to the takeover of the runs that it hit.
pub(crate) fn resumes(stories: &BTreeMap<String, Story>, strikes: &[&Strike]) -> Vec<Duration> {
    let mut resumes = Vec::new();
    for strike in strikes {
        for story in strike.runs.iter().filter_map(|run| stories.get(run)) {
            // A run that its old owner had brought to its end meanwhile was never taken over.
            let taken = story.takeovers.iter().find(|taken| **taken >= strike.at);
            resumes.extend(taken.map(|taken| taken.since(strike.at)));
        }
    }
    resumes.sort();
    resumes
}

/// How long it took from these times to the next decision about any run.
pub(crate) fn progress(stories: &BTreeMap<String, Story>, strikes: &[&Strike]) -> Vec<Duration> {
    let decided: BTreeSet<Timestamp> =
        stories.values().flat_map(|story| story.decided.iter().copied()).collect();
    let next = |strike: &&Strike| decided.range(strike.at..).next().map(|decided| decided.since(strike.at));
    let mut progress: Vec<Duration> = strikes.iter().filter_map(next).collect();
    progress.sort();
    progress
}
