//! `cargo xtask`: everything CI runs, runnable locally.
//!
//! It uses the standard library only, and a crate of this workspace that does, so that the first `cargo xtask` on a fresh clone compiles in a second.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod chaos;
mod check;
mod ci;
mod postgres;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [args]          every test of the workspace, doc tests included; args go to `cargo test`
  check                formatting, tidy rules, lints, documentation, every feature alone, advisories
  ci                   check, bench --gate, test, a short chaos: what CI runs, with the time of each stage
  tidy                 only the tidy rules (arrows, purity, biased selects, dependencies, licences)
  fmt                  formats the workspace
  bench [name] [args]  benchmarks by target or crate name (`bench sqlite`); without a name, lists them
  bench --gate         what runs cost in transactions and bytes, held against benches/gate.json
  chaos [args]         breaks servers and their Postgres, and checks what they promised (`chaos --help`)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let outcome = match (command, rest) {
        ("test", rest) => test::run(rest),
        ("check", []) => check::run(),
        ("ci", []) => ci::run(),
        ("tidy", []) => tidy::run(),
        ("fmt", []) => shell::run(shell::cargo(&["fmt", "--all"])),
        ("bench", rest) => bench::run(rest),
        ("chaos", rest) => chaos::run(rest),
        ("help" | "--help" | "-h", []) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown command: {}\n\n{USAGE}", arguments.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
