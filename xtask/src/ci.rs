//! `cargo xtask ci`: the check, the gate of the benches, the tests, then a short chaos, with the time of each stage.

use std::time::Duration;

use crate::chaos;
use crate::check::{self, Stage};
use crate::shell::{Outcome, timed};
use crate::{bench, test};

/// Runs what CI runs. The last line sums up the tests; the chaos counts as one of them.
pub(crate) fn run() -> Outcome {
    run_stages(check::STAGES)?;
    run_stages(&[("gate", bench::gate)])?;
    let (totals, tests_took) = timed("tests", || test::count(&[]));
    let mut totals = totals?;
    let (chaos, chaos_took) = timed("chaos", chaos::short);
    totals.note(chaos.is_ok());
    if let Err(message) = chaos {
        println!("chaos: {message}");
    }
    println!("\n{}\n{}", line("tests", tests_took), line("chaos", chaos_took));
    totals.conclude()
}

/// Runs stages in order up to the first that fails, and shows how long each took.
pub(crate) fn run_stages(stages: &[Stage]) -> Outcome {
    let mut times = Vec::new();
    let mut outcome = Ok(());
    for (name, stage) in stages {
        let (result, took) = timed(name, stage);
        times.push(line(name, took));
        if let Err(message) = result {
            outcome = Err(format!("{name}: {message}"));
            break;
        }
    }
    println!("\n{}", times.join("\n"));
    outcome
}

fn line(name: &str, took: Duration) -> String {
    format!("{name:<16}{:>8.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Outcome {
        Ok(())
    }

    fn broken() -> Outcome {
        Err("it broke".into())
    }

    fn unreachable() -> Outcome {
        panic!("a stage after a failed one was run")
    }

    #[test]
    fn the_first_failed_stage_ends_the_run_and_is_named() {
        let stages: &[Stage] = &[("first", fine), ("second", broken), ("third", unreachable)];
        assert_eq!(run_stages(stages), Err("second: it broke".into()));
    }

    #[test]
    fn stages_that_all_succeed_succeed() {
        assert_eq!(run_stages(&[("first", fine), ("second", fine)]), Ok(()));
    }

    #[test]
    fn times_are_shown_in_seconds() {
        assert_eq!(line("lints", Duration::from_millis(12_340)), "lints               12.3 s");
    }
}
