//! Postgres for the tests: found, or installed where that is easy.
//!
//! Suites start a throwaway server by themselves; all they need is its programs, or a server that is named in the
//! environment. Missing both they fail and say so: a suite that skips its database shows nothing.

use std::process::{Command, Stdio};

use throwaway_postgres::{URL_VARIABLE, find};

use crate::shell::{Outcome, run};

/// Makes sure that there is a Postgres to test with. On Debian and its kin, as root, a missing one is installed.
pub(crate) fn provide() -> Outcome {
    if std::env::var_os(URL_VARIABLE).is_some() {
        println!("{URL_VARIABLE} is set: tests use that server");
        return Ok(());
    }
    let missing = match find() {
        Ok(programs) => {
            println!("Postgres of {}", programs.folder().display());
            return Ok(());
        }
        Err(missing) => missing,
    };
    if !can_install() {
        return Err(missing);
    }
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    run(update)?;
    let mut install = Command::new("apt-get");
    // The package would start a cluster of its own, which nobody here needs.
    install.args(["install", "--yes", "--quiet", "--no-install-recommends", "postgresql"]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install)?;
    find().map(drop)
}

/// Whether there is `apt-get`, and it may be used.
fn can_install() -> bool {
    let is_root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut probe = Command::new("apt-get");
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    is_root && probe.status().is_ok_and(|status| status.success())
}
