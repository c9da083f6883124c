//! What a run has shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use meshhook_core::failure::code;

use crate::Options;
use crate::check::{Figures, Story, Violation};
use crate::client::{FORGED, Ledger};
use crate::fault::{Count, Fault};

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) seed: u64,
    /// How long there were faults.
    pub(crate) phase: Duration,
    pub(crate) lease: Duration,
    pub(crate) counts: BTreeMap<Fault, Count>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) figures: Figures,
    /// From a blow to the takeover of the runs that it hit.
    pub(crate) resumes: [(Fault, Vec<Duration>); 2],
    /// From the return of the database to the next decision.
    pub(crate) progress: Vec<Duration>,
    pub(crate) settled_in: Option<Duration>,
    /// Runs that waited for a worker that may take suspects, when all others were at home.
    pub(crate) suspects_left: usize,
    pub(crate) verified: usize,
    pub(crate) violations: Vec<Violation>,
}

/// How many hits of a kind cannot all miss the work by chance: until one has met some, two of five do or more.
const MANY: u64 = 20;
/// Of how many hits of all kinds a fifth cannot miss the work by chance: about half of them meet some.
const MANY_OF_ALL: u64 = 100;
/// Of how many batches one is sent again, since about half are; and one is torn, and found again, since one of 25 is.
const MANY_BATCHES: usize = 100;
const MANY_TO_TEAR: usize = 500;
/// The most violations that are shown.
const SHOWN: usize = 30;

impl Report<'_> {
    /// Whether nothing was violated, and the run showed something.
    pub(crate) fn is_well(&self) -> bool {
        self.violations.is_empty() && self.trivial().is_empty()
    }

    /// The run with the shortest history among those with a violation.
    pub(crate) fn smallest(&self, stories: &BTreeMap<String, Story>) -> Option<String> {
        let runs = self.violations.iter().filter_map(|violation| violation.run.as_ref());
        let lengths = runs.filter_map(|run| Some((stories.get(run)?.events, run)));
        lengths.min().map(|(_, run)| run.clone())
    }

    /// Why the run shows too little (INV-15).
    fn trivial(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for (fault, count) in &self.counts {
            let least = fault.least(self.phase);
            if count.hits < least {
                reasons.push(format!("{fault}: {} hits, {least} would show something", count.hits));
            }
            // A few may miss by chance.
            if count.touched == 0 && count.hits >= MANY {
                reasons.push(format!("{fault}: met no work in flight"));
            }
        }
        let all = self.all();
        if all.hits >= MANY_OF_ALL && all.touched * 5 < all.hits {
            reasons.push(format!("only {} of {} hits met work in flight", all.touched, all.hits));
        }
        let (attempted, acked) = (self.ledger.attempted(), self.ledger.acked());
        if attempted * 10 < self.ledger.intended * 9 {
            reasons.push(format!("only {attempted} of {} webhooks were sent", self.ledger.intended));
        }
        if acked * 2 < self.ledger.intended {
            reasons.push(format!("only {acked} of {} webhooks were accepted", self.ledger.intended));
        }
        let batches = &self.figures.batches;
        for (count, of, what) in [
            (batches.repeated, MANY_BATCHES, "was sent again"),
            (batches.torn, MANY_TO_TEAR, "was torn"),
            (batches.found_again, MANY_TO_TEAR, "that was torn was found again"),
        ] {
            if batches.sent >= of && count == 0 {
                reasons.push(format!("batches: none {what}"));
            }
        }
        reasons
    }

    /// How often all faults together were brought about.
    fn all(&self) -> Count {
        self.counts.values().fold(Count::default(), |all, count| Count {
            hits: all.hits + count.hits,
            touched: all.touched + count.touched,
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options;
        writeln!(
            f,
            "chaos: seed {}, {} s of faults, {} servers, lease {:?}, {} webhooks/s\n",
            self.seed,
            self.phase.as_secs(),
            options.workers,
            self.lease,
            options.rate
        )?;
        writeln!(f, "{:<14}{:>8}{:>12}{:>10}", "fault", "hits", "in flight", "3/N")?;
        for (fault, count) in &self.counts {
            writeln!(f, "{fault:<14}{:>8}{:>12}{:>10}", count.hits, count.touched, bound(count.touched))?;
        }
        let Count { hits, touched } = self.all();
        writeln!(f, "{:<14}{hits:>8}{touched:>12}{:>10}\n", "all", bound(touched))?;
        self.write_deliveries(f)?;
        self.write_batches(f)?;
        self.write_figures(f)?;
        for (fault, resumes) in self.resumes.iter().filter(|(_, resumes)| !resumes.is_empty()) {
            writeln!(f, "taken over     {} after {fault}", quantiles(resumes))?;
        }
        if !self.progress.is_empty() {
            writeln!(f, "progress       {} after restart", quantiles(&self.progress))?;
        }
        writeln!(f, "timers         {} late", quantiles(&self.figures.lateness))?;
        match self.settled_in {
            Some(took) => writeln!(
                f,
                "settled        {:.1} s after the faults; {} suspects waited longer than a lease and two looks",
                took.as_secs_f64(),
                self.suspects_left
            )?,
            None => writeln!(f, "settled        never")?,
        }
        writeln!(f, "violations     {}", self.violations.len())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "  {violation}")?;
        }
        if self.violations.len() > SHOWN {
            writeln!(f, "  … and {} more", self.violations.len() - SHOWN)?;
        }
        for reason in self.trivial() {
            writeln!(f, "  INV-15: {reason}")?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn write_deliveries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deliveries = &self.ledger.deliveries;
        let refused =
            |status: u16| deliveries.iter().filter(|delivery| delivery.refusal() == Some(status)).count();
        let forged = refused(FORGED);
        let busy = refused(503) + refused(429);
        let open = deliveries.len() - deliveries.iter().filter(|delivery| delivery.is_known()).count();
        let lost: u32 = deliveries.iter().map(|delivery| delivery.lost).sum();
        let resent = deliveries.iter().filter(|delivery| delivery.lost > 0).count();
        writeln!(
            f,
            "webhooks       {} of {} sent, {} accepted\n\
             deliveries     {}: {} accepted, {} refused (503: {}, 401: {}), {open} indeterminate in the end; \
             {lost} answers were lost, of {resent} deliveries",
            self.ledger.attempted(),
            self.ledger.intended,
            self.ledger.acked(),
            deliveries.len(),
            deliveries.iter().filter(|delivery| !delivery.runs.is_empty()).count(),
            busy + forged,
            busy,
            forged,
        )
    }

    fn write_batches(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batches = &self.figures.batches;
        let open = batches.sent.saturating_sub(batches.accepted + batches.given_up + batches.forged);
        writeln!(
            f,
            "batches        {}: {} accepted, {} given up, {} forged, {open} indeterminate in the end; {} requests, {} \
             batches were sent more than once",
            batches.sent,
            batches.accepted,
            batches.given_up,
            batches.forged,
            batches.requests,
            batches.repeated,
        )?;
        writeln!(
            f,
            "torn           {} of the requests ({}) left runs without a 202, {} of them ({}) not all; 3/N {}",
            batches.torn,
            share(batches.torn, batches.requests),
            batches.halfway,
            share(batches.halfway, batches.torn),
            bound(batches.torn as u64),
        )?;
        writeln!(
            f,
            "items          {} have runs; {} of {} answers ({}) named an earlier one, {} times ({}) what was torn",
            batches.runs,
            batches.duplicates,
            batches.told,
            share(batches.duplicates, batches.told),
            batches.found_again,
            share(batches.found_again, batches.duplicates),
        )?;
        writeln!(
            f,
            "rows           {} of deliveries, {} of them refused and with the runs of items",
            self.figures.rows, self.figures.halfway_rows
        )
    }

    fn write_figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        writeln!(
            f,
            "runs           {}, {} events, {} verified again",
            figures.runs, figures.events, self.verified
        )?;
        for (failure, count) in &figures.failed {
            let why = match failure.as_str() {
                code::QUARANTINED => " (no violation: hit three times in a row, like runs that kill)",
                _ => "",
            };
            writeln!(f, "failed         {count} as {failure}{why}")?;
        }
        writeln!(
            f,
            "effects        {}, {} repeated with the same key, at most {} for one step; {} came after a takeover had \
             finished their step",
            figures.effects, figures.repeated, figures.most_of_a_step, figures.late_after_takeover
        )?;
        writeln!(f, "takeovers      {}", figures.takeovers)
    }
}

/// What no violation in so many trials says of the rate.
fn bound(trials: u64) -> String {
    if trials == 0 { "-".to_owned() } else { format!("{:.4}", 3.0 / trials as f64) }
}

fn share(part: usize, whole: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn quantiles(sorted: &[Duration]) -> String {
    let at = |quantile: f64| {
        let place = ((sorted.len() as f64 - 1.0) * quantile) as usize;
        sorted.get(place).copied().unwrap_or_default().as_secs_f64()
    };
    format!("p50 {:.2} s, p99 {:.2} s, max {:.2} s ({})", at(0.5), at(0.99), at(1.0), sorted.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::BatchFigures;

    fn report<'a>(options: &'a Options, ledger: &'a Ledger) -> Report<'a> {
        Report {
            options,
            seed: 7,
            phase: Duration::from_secs(40),
            lease: Duration::from_secs(3),
            counts: [(Fault::Kill, Count { hits: 9, touched: 6 })].into(),
            ledger,
            figures: Figures::default(),
            resumes: [(Fault::Kill, vec![Duration::from_secs(2)]), (Fault::Stop, Vec::new())],
            progress: Vec::new(),
            settled_in: Some(Duration::from_secs(5)),
            suspects_left: 0,
            verified: 0,
            violations: Vec::new(),
        }
    }

    fn options() -> Options {
        Options { minutes: 1.0, seed: None, workers: 3, rate: 15, faults: Vec::new(), keep: false }
    }

    #[test]
    fn a_run_that_touched_work_and_violated_nothing_is_well() {
        let (options, ledger) = (options(), Ledger::default());
        let report = report(&options, &ledger);
        assert!(report.is_well());
        let text = report.to_string();
        assert!(text.contains("kill                 9           6    0.5000"), "{text}");
        assert!(text.contains("violations     0"), "{text}");
    }

    #[test]
    fn a_run_that_shows_nothing_is_not_well() {
        let (options, ledger) = (options(), Ledger { intended: 10, ..Ledger::default() });
        assert!(!report(&options, &ledger).is_well());
        let ledger = Ledger::default();
        let mut report = report(&options, &ledger);
        report.counts = [(Fault::Kill, Count { hits: 19, touched: 0 })].into();
        assert!(report.is_well(), "by chance");
        report.counts = [(Fault::Kill, Count { hits: 20, touched: 0 })].into();
        assert!(report.to_string().contains("INV-15: kill: met no work"));
        report.counts = [(Fault::Kill, Count { hits: 100, touched: 19 })].into();
        assert!(report.to_string().contains("INV-15: only 19 of 100 hits"));
        report.counts = [(Fault::Kill, Count { hits: 0, touched: 0 })].into();
        assert!(report.to_string().contains("INV-15: kill: 0 hits"));
    }

    #[test]
    fn a_run_whose_batches_all_came_through_shows_nothing_of_batches() {
        let (options, ledger) = (options(), Ledger::default());
        let mut report = report(&options, &ledger);
        report.figures.batches =
            BatchFigures { sent: 500, repeated: 9, torn: 3, found_again: 5, ..BatchFigures::default() };
        assert!(report.is_well());
        report.figures.batches.torn = 0;
        assert!(report.to_string().contains("INV-15: batches: none was torn"));
        report.figures.batches.sent = 499;
        assert!(report.is_well(), "by chance");
        report.figures.batches.repeated = 0;
        assert!(report.to_string().contains("INV-15: batches: none was sent again"));
    }
}
