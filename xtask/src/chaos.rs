//! `cargo xtask chaos`: servers on one Postgres under faults of all kinds, and what they promised.
//!
//! The crate `chaos` does it; here it is built, together with the example server that it breaks.

use std::ffi::OsStr;
use std::process::Command;

use crate::postgres;
use crate::shell::{Outcome, cargo, run as shell};

/// Runs chaos; `--release` is for the build, the rest is handed on.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    postgres::provide()?;
    let is_release = arguments.iter().any(|argument| argument == "--release");
    // With the features of `cargo xtask test`, so that nothing is built twice.
    let mut build =
        cargo(&["build", "--workspace", "--all-features", "--bin", "chaos", "--example", "server"]);
    if is_release {
        build.arg("--release");
    }
    shell(build)?;
    let own =
        std::env::current_exe().map_err(|error| format!("could not find the target folder: {error}"))?;
    let target = own.ancestors().nth(2).ok_or("this tool does not lie in a target folder")?;
    let mut chaos = Command::new(target.join(if is_release { "release" } else { "debug" }).join("chaos"));
    chaos.arg("run").args(arguments.iter().filter(|argument| *argument != "--release").map(OsStr::new));
    shell(chaos)
}

/// What CI runs of it: a minute and a half, which finds what is broken but not what is rare.
pub(crate) fn short() -> Outcome {
    run(&["--minutes".into(), "1.5".into()])
}
