//! `cargo xtask check`: everything that can be said about the code without running it.

use std::process::{Command, Stdio};

use crate::shell::{Outcome, cargo, root, run as shell};
use crate::tidy;
use crate::tidy::manifest::Manifest;

/// One named part of the check.
pub(crate) type Stage = (&'static str, fn() -> Outcome);

/// The parts, cheapest first.
pub(crate) const STAGES: &[Stage] = &[
    ("formatting", formatting),
    ("tidy", tidy::run),
    ("lints", lints),
    ("documentation", documentation),
    ("features", features),
    ("advisories", advisories),
];

/// Runs every part, up to the first that fails.
pub(crate) fn run() -> Outcome {
    crate::ci::run_stages(STAGES)
}

fn formatting() -> Outcome {
    shell(cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Outcome {
    let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--all-features"]);
    command.args(["--", "-D", "warnings"]);
    shell(command)
}

fn documentation() -> Outcome {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    shell(command)
}

/// Builds the facade as its users may ask for it: bare, and with each feature alone.
fn features() -> Outcome {
    let text = std::fs::read_to_string(root().join("Cargo.toml"))
        .map_err(|error| format!("could not read Cargo.toml: {error}"))?;
    let facade = ["check", "--package", "meshhook", "--lib", "--no-default-features"];
    shell(cargo(&facade))?;
    for feature in Manifest::parse(&text).features() {
        shell(cargo(&[&facade[..], &["--features", feature]].concat()))?;
    }
    Ok(())
}

/// Known vulnerabilities, licences and bans by `deny.toml`, where cargo-deny is installed.
fn advisories() -> Outcome {
    let mut probe = Command::new("cargo-deny");
    let installed = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        println!("cargo-deny is not installed: deny.toml was not checked (cargo install cargo-deny)");
        return Ok(());
    }
    let mut command = Command::new("cargo-deny");
    command.current_dir(root()).args(["--locked", "check"]);
    shell(command)
}
