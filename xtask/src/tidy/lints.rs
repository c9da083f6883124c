//! Lints: every crate inherits those of the workspace, `unsafe_code = "forbid"` among them.

use super::manifest::Manifest;
use super::{File, Problem};

/// Finds a crate that left the workspace's lints out.
pub(crate) fn check(file: &File) -> Option<Problem> {
    let manifest = Manifest::parse(&file.text);
    let is_free = manifest.package().is_some() && !manifest.inherits_lints();
    is_free
        .then(|| Problem::new(&file.path, 0, "the workspace's lints are missing: `[lints] workspace = true`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(text: &str) -> bool {
        check(&File { path: "a/Cargo.toml".into(), text: text.into() }).is_some()
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert!(is_found("[package]\nname = \"a\"\n"));
        assert!(is_found("[package]\nname = \"a\"\n[lints]\nworkspace = false\n"));
        assert!(is_found(
            "[package]\nname = \"a\"\nlicense.workspace = true\n[lints.rust]\nunsafe_code = \"allow\"\n"
        ));
    }

    #[test]
    fn a_crate_with_the_lints_and_a_bare_workspace_are_fine() {
        assert!(!is_found("[package]\nname = \"a\"\n[lints]\nworkspace = true\n"));
        assert!(!is_found("lints.workspace = true\n[package]\nname = \"a\"\n"));
        assert!(!is_found("[workspace]\nmembers = []\n"));
    }
}
