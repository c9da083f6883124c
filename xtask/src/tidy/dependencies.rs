//! Dependencies: licences we accept, crates we refuse, features that would hurt the applications we live in.
//!
//! Features unify across a whole build, so a feature that a library of ours switches on is on for its host
//! too. What `cargo tree` says is what a build really gets; `cargo deny` (see `deny.toml`) adds advisories.

use super::Problem;
use super::licence::is_accepted;
use crate::shell::{cargo, output};

/// Where a problem with the graph is reported: the file that pins it.
const PLACE: &str = "Cargo.lock";

/// Crates that must not reach our users, with the reason.
const REFUSED_CRATES: &[(&str, &str)] = &[
    ("jmespath", "aborts the process on deep expressions; an oracle in tests only"),
    ("jpx-core", "aborts the process on nested calls; an oracle in tests only"),
    ("native-tls", "one TLS stack, rustls"),
    ("openssl", "one TLS stack, rustls"),
    ("openssl-sys", "one TLS stack, rustls"),
    ("rsa", "timing attack without a fix (RUSTSEC-2023-0071)"),
    ("serde_yaml", "archived"),
    ("serde_yml", "unsound and unmaintained"),
];

/// Features that must be off in what reaches our users, with the reason.
const REFUSED_FEATURES: &[(&str, &str, &str)] = &[
    ("reqwest", "rustls-no-provider", "the host's own clients would panic when built"),
    ("reqwest", "system-proxy", "outbound requests must not follow the environment"),
    ("serde_json", "arbitrary_precision", "changes what a number is for the host"),
    ("serde_json", "preserve_order", "changes the order of members for the host"),
    ("sqlx", "any", "keeps the host from resolving with rusqlite"),
    ("sqlx", "chrono", "keeps the host from resolving with rusqlite"),
    ("sqlx", "json", "keeps the host from resolving with rusqlite"),
    ("sqlx", "macros", "reads the host's DATABASE_URL at build time"),
    ("sqlx", "migrate", "keeps the host from resolving with rusqlite"),
    ("sqlx", "time", "keeps the host from resolving with rusqlite"),
    ("sqlx", "uuid", "keeps the host from resolving with rusqlite"),
    ("tokio", "full", "tokio features are listed one by one"),
];

/// Features that correct behavior rests on.
const DEMANDED_FEATURES: &[(&str, &str, &str)] =
    &[("serde_json", "float_roundtrip", "a number must print as it was read")];

/// Checks the graph as cargo resolves it on this machine.
pub(crate) fn check() -> Result<Vec<Problem>, String> {
    let mut problems = check_licences(&graph("normal,build,dev")?);
    problems.extend(check_shipped(&graph("normal,build")?));
    Ok(problems)
}

/// All packages along the given kinds of edges, one a line: `name version|licence|features`.
fn graph(edges: &str) -> Result<String, String> {
    let arguments = ["tree", "--workspace", "--all-features", "--prefix", "none", "--format", "{p}|{l}|{f}"];
    output(cargo(&[&arguments[..], &["--edges", edges]].concat()))
}

/// Every package, tests' own included, has a licence we accept.
fn check_licences(graph: &str) -> Vec<Problem> {
    let refused = packages(graph).into_iter().filter(|package| !is_accepted(package.licence));
    refused
        .map(|package| problem(format!("{}: licence not accepted: `{}`", package.name, package.licence)))
        .collect()
}

/// What our users get has neither refused crates nor refused features.
fn check_shipped(graph: &str) -> Vec<Problem> {
    let packages = packages(graph);
    let mut problems = Vec::new();
    for package in &packages {
        for (_, reason) in REFUSED_CRATES.iter().filter(|(name, _)| *name == package.name) {
            problems.push(problem(format!("{} is refused: {reason}", package.name)));
        }
        for (_, feature, reason) in REFUSED_FEATURES.iter().filter(|(name, ..)| *name == package.name) {
            if package.features.contains(feature) {
                problems.push(problem(format!("{}/{feature} is refused: {reason}", package.name)));
            }
        }
        for (_, feature, reason) in DEMANDED_FEATURES.iter().filter(|(name, ..)| *name == package.name) {
            if !package.features.contains(feature) {
                problems.push(problem(format!("{}/{feature} is missing: {reason}", package.name)));
            }
        }
    }
    problems
}

fn problem(message: String) -> Problem {
    Problem::new(PLACE, 0, message)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package<'a> {
    name: &'a str,
    licence: &'a str,
    features: Vec<&'a str>,
}

/// Reads the lines of `cargo tree`, each package once (it marks repetitions with `(*)`).
fn packages(graph: &str) -> Vec<Package<'_>> {
    let mut packages: Vec<Package<'_>> = graph.lines().filter_map(package).collect();
    packages.sort();
    packages.dedup();
    packages
}

fn package(line: &str) -> Option<Package<'_>> {
    let line = line.trim().trim_end_matches("(*)").trim_end();
    let mut parts = line.split('|');
    let name = parts.next()?.split(' ').next().filter(|name| !name.is_empty())?;
    let licence = parts.next()?.trim();
    let features = parts.next()?.split(',').filter(|feature| !feature.is_empty()).collect();
    Some(Package { name, licence, features })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_under_copyleft_or_without_a_licence_is_found() {
        let graph = "a v1.0.0|MIT|std\nb v1.0.0|GPL-3.0-only|\nc v1.0.0||\nb v1.0.0|GPL-3.0-only| (*)\n\n";
        let names: Vec<String> = check_licences(graph).into_iter().map(|problem| problem.message).collect();
        assert_eq!(names, ["b: licence not accepted: `GPL-3.0-only`", "c: licence not accepted: ``"]);
    }

    #[test]
    fn every_refused_crate_is_found() {
        for (name, _) in REFUSED_CRATES {
            assert_eq!(check_shipped(&format!("{name} v1.0.0|MIT|default")).len(), 1, "{name}");
        }
    }

    #[test]
    fn every_refused_feature_is_found() {
        for (name, feature, _) in REFUSED_FEATURES {
            let line = format!("{name} v1.0.0 (proc-macro)|MIT|default,float_roundtrip,{feature},std (*)");
            assert_eq!(check_shipped(&line).len(), 1, "{name}/{feature}");
        }
    }

    #[test]
    fn a_missing_feature_that_we_rest_on_is_found() {
        assert_eq!(check_shipped("serde_json v1.0.0|MIT|default,std").len(), 1);
        assert_eq!(check_shipped("serde_json v1.0.0|MIT|default,float_roundtrip"), []);
    }

    #[test]
    fn a_name_that_only_looks_alike_is_fine() {
        assert_eq!(check_shipped("rsakit v1.0.0|MIT|full\nreqwest v0.13.5|MIT|rustls"), []);
    }
}
