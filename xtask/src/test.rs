//! `cargo xtask test`: every test of the workspace in one build, then one line that sums them up.
//!
//! All crates are built together with all their features, so that features unify once and nothing is compiled
//! twice. The command is plain `cargo test`: unit tests, whole-system tests, examples that build, doc tests.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::postgres;
use crate::shell::{Outcome, announce, cargo};

/// Environment variable that names the folder of external test data.
const TEST_DATA: &str = "MESHHOOK_TEST_DATA";

/// How long a build or a test may print nothing. The longest silence of a sound run is the simulator's, a few minutes on
/// a busy machine; a hung test would otherwise hold CI until its own limit, without a word about which one it was.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Runs all tests and sums them up in the last line; `arguments` are handed to `cargo test`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    count(arguments)?.conclude()
}

/// Runs all tests and counts them.
pub(crate) fn count(arguments: &[String]) -> Result<Totals, String> {
    match std::env::var_os(TEST_DATA) {
        Some(folder) => println!("{TEST_DATA}={}", folder.display()),
        None => println!("{TEST_DATA} is not set: suites that need external data say so and pass"),
    }
    postgres::provide()?;
    postgres::provide_pooler()?;
    let mut command = cargo(&["test", "--all-features", "--no-fail-fast"]);
    // Cargo would ignore a package named beside `--workspace`.
    if !arguments.iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package")) {
        command.arg("--workspace");
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    announce(&command);
    // At a terminal, an interrupt must reach the tests too; elsewhere they are a group, to be ended together.
    let is_grouped = !std::io::stdin().is_terminal();
    if is_grouped {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(|error| format!("could not start cargo: {error}"))?;
    let lines = read_lines(child.stdout.take().expect("standard output is piped"));
    let mut totals = Totals { passed: 0, failed: 0, complete: true };
    let mut out = std::io::stdout();
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line.map_err(|error| format!("could not read the output of cargo test: {error}"))?,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!(
                    "\nno output for {} minutes: a test hangs, so the tests are ended",
                    SILENCE.as_secs() / 60
                );
                if is_grouped {
                    let group = format!("-{}", child.id());
                    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                }
                let _ = child.kill();
                break;
            }
        };
        totals.add(&String::from_utf8_lossy(&line));
        let shown = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        shown.map_err(|error| format!("could not write the output of cargo test: {error}"))?;
    }
    let status = child.wait().map_err(|error| format!("could not wait for cargo test: {error}"))?;
    totals.complete &= status.success();
    Ok(totals)
}

/// Reads lines on a thread of its own, so that whoever waits for one can stop waiting.
fn read_lines(from: ChildStdout) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What the test binaries reported, added up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    passed: u64,
    failed: u64,
    /// Whether cargo says that every binary was built, reported and succeeded.
    complete: bool,
}

impl Totals {
    /// Counts a line when it is the closing line of a test binary.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let (_, counts) = result.split_once(". ").unwrap_or(("", result));
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }

    /// Counts something that is no test of cargo's.
    pub(crate) fn note(&mut self, has_passed: bool) {
        if has_passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Prints the sum as the last line, or makes it the last line of the error. What did not even report (it did
    /// not build, or its process died) counts as one failure.
    pub(crate) fn conclude(self) -> Outcome {
        let Self { passed, failed, complete } = self;
        if failed > 0 {
            return Err(format!("tests failed\n{passed} passed, {failed} failed"));
        }
        if !complete {
            return Err(format!("a test did not build, or died without a report\n{passed} passed, 1 failed"));
        }
        if passed == 0 {
            return Err("no test ran\n0 passed, 0 failed".into());
        }
        println!("\n{passed} passed, 0 failed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Totals = Totals { passed: 0, failed: 0, complete: true };

    fn totals(lines: &[&str]) -> Totals {
        let mut totals = NONE;
        lines.iter().for_each(|line| totals.add(line));
        totals
    }

    #[test]
    fn the_reports_of_all_binaries_are_added_up() {
        let sum = totals(&[
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 9 filtered out; finished in 1.50s",
        ]);
        assert_eq!(sum, Totals { passed: 4, failed: 2, complete: true });
    }

    #[test]
    fn text_of_a_test_is_no_report() {
        assert_eq!(totals(&["test a::test result: ok. 3 passed ... ok", "3 passed"]), NONE);
    }

    #[test]
    fn the_last_line_of_an_error_is_the_sum() {
        let failed = Totals { passed: 4, failed: 2, complete: false };
        assert_eq!(failed.conclude(), Err("tests failed\n4 passed, 2 failed".into()));
        assert_eq!(Totals { passed: 4, ..NONE }.conclude(), Ok(()));
    }

    #[test]
    fn a_binary_that_died_without_a_report_is_a_failure() {
        let message = Totals { passed: 4, complete: false, ..NONE }.conclude().expect_err("incomplete");
        assert!(message.ends_with("\n4 passed, 1 failed"), "{message}");
    }

    #[test]
    fn running_no_test_at_all_fails_the_command() {
        assert!(NONE.conclude().is_err());
    }
}
