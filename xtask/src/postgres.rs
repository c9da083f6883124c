//! Postgres for the tests: found, or installed where that is easy.
//!
//! Suites start a throwaway server by themselves; all they need is its programs, or a server that is named in the
//! environment. Missing both they fail and say so: a suite that skips its database shows nothing. The same holds for the
//! pooler that some suites work through, unless a variable says to do without.

use std::process::{Command, Stdio};

use throwaway_postgres::{URL_VARIABLE, WITHOUT_POOLER_VARIABLE, find, find_pooler};

use crate::shell::{Outcome, run};

/// Makes sure that there is a Postgres to test with. On Debian and its kin, as root, a missing one is installed.
pub(crate) fn provide() -> Outcome {
    if std::env::var_os(URL_VARIABLE).is_some() {
        println!("{URL_VARIABLE} is set: tests use that server");
        return Ok(());
    }
    match find() {
        Ok(programs) => println!("Postgres of {}", programs.folder().display()),
        Err(missing) if !can_install() => return Err(missing),
        // The package would start a cluster of its own, which nobody here needs.
        Err(_) => {
            install("postgresql")?;
            find().map(drop)?;
        }
    }
    Ok(())
}

/// Makes sure that there is a pooler to test with, or that it is to be done without.
pub(crate) fn provide_pooler() -> Outcome {
    if std::env::var_os(WITHOUT_POOLER_VARIABLE).is_some() {
        println!("{WITHOUT_POOLER_VARIABLE} is set: nothing is tested through a pooler");
        return Ok(());
    }
    let pooler = match find_pooler() {
        Err(_) if can_install() => install("pgbouncer").and_then(|()| find_pooler()),
        found => found,
    };
    let program =
        pooler.map_err(|missing| format!("{missing}; or set {WITHOUT_POOLER_VARIABLE} to do without"))?;
    println!("pooler {}", program.display());
    Ok(())
}

fn install(package: &str) -> Outcome {
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    run(update)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    run(install)
}

/// Whether there is `apt-get`, and it may be used.
fn can_install() -> bool {
    let is_root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut probe = Command::new("apt-get");
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    is_root && probe.status().is_ok_and(|status| status.success())
}
