//! Simulated runs of the whole engine: see `meshhook_core::testing::simulation`.
//!
//! `MESHHOOK_SIM_SEEDS` (2,000) and `MESHHOOK_SIM_FROM` (0) choose which seeds run, for longer runs elsewhere.

mod transitions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshhook_core::testing::simulation::{Coverage, Report, simulate};

use crate::transitions::REQUIRED;

/// How many seeds CI runs.
const SEEDS: u64 = 2_000;
const THREADS: usize = 2;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn kept(seed: u64) -> Report {
    simulate(seed).unwrap_or_else(|violation| panic!("{violation}"))
}

#[derive(Default)]
struct Sum {
    runs: u64,
    ended: u64,
    acked: u64,
    refused: u64,
    indeterminate: u64,
    kills: u64,
    freezes: u64,
    shutdowns: u64,
    faults: u64,
    effects: u64,
    repeated: u64,
    late: u64,
    simulated: Duration,
    coverage: Coverage,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.runs += report.runs;
        self.ended += report.ended;
        self.acked += report.acked;
        self.refused += report.refused;
        self.indeterminate += report.indeterminate;
        self.kills += report.kills;
        self.freezes += report.freezes;
        self.shutdowns += report.shutdowns;
        self.faults += report.faults;
        self.effects += report.effects;
        self.repeated += report.repeated;
        self.late += report.late;
        self.simulated += report.simulated;
        self.coverage.add(&report.coverage);
    }

    fn text(&self, seeds: u64) -> String {
        format!(
            "{}\n\
             {seeds} seeds, {:.1} simulated hours: {} runs ({} ended), {} effects ({} repeated, {} late)\n\
             requests: {} acked, {} refused, {} indeterminate; {} kills, {} freezes, {} shutdowns, {} store faults\n\
             0 violations in {seeds} seeds: at 95 % fewer than {:.3} % of seeds break a promise",
            self.coverage,
            self.simulated.as_secs_f64() / 3_600.0,
            self.runs,
            self.ended,
            self.effects,
            self.repeated,
            self.late,
            self.acked,
            self.refused,
            self.indeterminate,
            self.kills,
            self.freezes,
            self.shutdowns,
            self.faults,
            300.0 / seeds as f64,
        )
    }
}

#[test]
fn simulated_seeds_keep_every_promise() {
    let from = env("MESHHOOK_SIM_FROM").unwrap_or(0);
    let seeds = env("MESHHOOK_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(from);
    let sum = Mutex::new(Sum::default());
    let broken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || broken.lock().unwrap().len() >= 5 {
                        return;
                    }
                    match simulate(seed) {
                        Ok(report) => sum.lock().unwrap().add(&report),
                        Err(violation) => broken.lock().unwrap().push(violation),
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    for violation in &broken {
        println!("{violation}\n");
    }
    assert!(broken.is_empty(), "{} seeds broke a promise", broken.len());
    let sum = sum.into_inner().unwrap();
    println!("{}", sum.text(seeds));
    if seeds >= SEEDS {
        let taken = sum.coverage.taken();
        let missing: Vec<_> = REQUIRED.iter().filter(|name| !taken.contains(**name)).collect();
        assert!(missing.is_empty(), "transitions that were not taken: {missing:#?}");
    }
}

#[test]
fn a_seed_gives_the_same_histories_again() {
    for seed in 0..12 {
        let (first, again) = (kept(seed), kept(seed));
        assert_eq!(first.fingerprint, again.fingerprint, "seed {seed}");
        assert_eq!(first.coverage, again.coverage, "seed {seed}");
    }
}

#[test]
fn seed_0_a_retry_after_past_the_deadline_replayed_as_another_attempt() {
    kept(0);
}

#[test]
fn seed_50_a_paused_run_started_an_attempt_that_waited_for_a_permit() {
    kept(50);
}

#[test]
fn seed_495_a_run_that_was_claimed_while_its_old_owner_left_had_no_owner() {
    kept(495);
}

#[test]
fn seed_680_a_retried_run_ran_the_steps_of_an_exhausted_loop_again() {
    kept(680);
}
