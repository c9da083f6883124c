//! Arrows: which crate of the workspace may depend on which.
//!
//! Adapters depend on core and never on each other; core depends on none of ours; only the facade (and what
//! is built on it: examples, tools) knows them all. Tests are held to the same: an adapter is tested alone.

use super::manifest::{Kind, Manifest};
use super::{File, Problem};

/// The crate all arrows point to.
const CORE: &str = "meshhook-core";

/// Finds dependencies of one manifest that point the wrong way.
pub(crate) fn check(file: &File) -> Vec<Problem> {
    let manifest = Manifest::parse(&file.text);
    // An adapter lives in the folder it is named after, so a manifest without a name cannot hide.
    let folder = file.path.strip_suffix("/Cargo.toml").unwrap_or("meshhook");
    let package = manifest.package().unwrap_or(folder);
    let is_ours = |name: &str| name == "meshhook" || name.starts_with("meshhook-");
    let mut problems = Vec::new();
    for dependency in manifest.dependencies().filter(|dependency| is_ours(dependency.name)) {
        // Its own name among a crate's dev-dependencies only switches features on for its tests.
        let is_itself = dependency.name == package && dependency.kind == Kind::Dev;
        let is_restricted = package.starts_with("meshhook-");
        if is_restricted && !is_itself && (package == CORE || dependency.name != CORE) {
            let message =
                format!("{package} must not depend on {}: arrows point to {CORE} only", dependency.name);
            problems.push(Problem::new(&file.path, dependency.line, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(package: &str, table: &str, dependency: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{package}\"\n[{table}]\n{dependency}.workspace = true\n");
        let path = if package == "meshhook" { "Cargo.toml".into() } else { format!("{package}/Cargo.toml") };
        check(&File { path, text }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_adapter_that_depends_on_another_is_found() {
        assert_eq!(
            messages("meshhook-http", "dependencies", "meshhook-axum"),
            ["meshhook-http/Cargo.toml:4: meshhook-http must not depend on meshhook-axum: arrows point to \
              meshhook-core only"]
        );
        assert_eq!(messages("meshhook-axum", "dev-dependencies", "meshhook-sqlite").len(), 1);
        assert_eq!(messages("meshhook-sqlite", "target.'cfg(unix)'.dependencies", "meshhook").len(), 1);
    }

    #[test]
    fn a_core_that_depends_on_an_adapter_or_the_facade_is_found() {
        assert_eq!(messages("meshhook-core", "dependencies", "meshhook-sqlite").len(), 1);
        assert_eq!(messages("meshhook-core", "dev-dependencies", "meshhook").len(), 1);
    }

    #[test]
    fn arrows_to_core_and_from_the_facade_are_fine() {
        for (package, table, dependency) in [
            ("meshhook-http", "dependencies", "meshhook-core"),
            ("meshhook-core", "dev-dependencies", "meshhook-core"),
            ("meshhook-http", "dependencies", "tokio"),
            ("meshhook", "dependencies", "meshhook-axum"),
            ("server", "dependencies", "meshhook"),
        ] {
            assert_eq!(
                messages(package, table, dependency),
                Vec::<String>::new(),
                "{package} -> {dependency}"
            );
        }
    }
}
