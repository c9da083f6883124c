//! Rules for single files: selects in a fixed order, nothing left undone, finishable length, no machine's paths.

use super::code::{blank, line_of};
use super::{File, Problem};

/// A file past this many lines is no longer one mechanism.
const MOST_LINES: usize = 800;

/// Past this many lines one thinks about splitting.
const MANY_LINES: usize = 500;

/// Macros that mean unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Beginnings of paths that exist on one machine only. Spelled in two halves: this file keeps its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("../sha", "red")];

/// The one file that may name a folder outside the checkout: it finds the external test data.
const KNOWS_THE_MACHINE: &str = ".ci/run";

/// Rules for any text.
pub(crate) fn check_text(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    if file.path != KNOWS_THE_MACHINE {
        for (number, line) in file.text.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| line.contains(**path)) {
                problems.push(Problem::new(
                    &file.path,
                    number + 1,
                    format!("`{path}` exists on one machine only"),
                ));
            }
        }
    }
    problems.extend(check_registry(file));
    problems
}

/// Rules for Rust source.
pub(crate) fn check_code(file: &File) -> Vec<Problem> {
    let code = blank(&file.text);
    let mut problems = Vec::new();
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        problems.push(Problem::new(
            &file.path,
            0,
            format!("{lines} lines, at most {MOST_LINES}: split it by mechanism"),
        ));
    }
    for (position, _) in macros(&code, "select") {
        let body = code[position..].split_once('{').map_or("", |(_, body)| body);
        let first: String = body.split(';').next().unwrap_or_default().split_whitespace().collect();
        if first != "biased" {
            let message = "`select!` must start with `biased;`: its order is random otherwise";
            problems.push(Problem::new(&file.path, line_of(&code, position), message));
        }
    }
    for name in UNFINISHED {
        for (position, _) in macros(&code, name) {
            let message = format!("`{name}!` is unfinished work");
            problems.push(Problem::new(&file.path, line_of(&code, position), message));
        }
    }
    for (position, found) in code.match_indices("#[ignore") {
        if code[position + found.len()..].starts_with([']', ' ', '=']) {
            let message = "an ignored test tests nothing: run it or remove it";
            problems.push(Problem::new(&file.path, line_of(&code, position), message));
        }
    }
    problems
}

/// What to say about a file that is long, but not yet too long.
pub(crate) fn nearly_too_long(file: &File) -> Option<Problem> {
    let lines = file.text.lines().count();
    let is_long = file.path.ends_with(".rs") && lines > MANY_LINES && lines <= MOST_LINES;
    is_long.then(|| Problem::new(&file.path, 0, format!("{lines} lines: think about splitting")))
}

/// Packages come from crates.io, and no file of ours says by which road.
fn check_registry(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_config = file.path.ends_with(".cargo/config.toml");
    let is_manifest = file.path.ends_with("Cargo.toml");
    let is_lock = file.path.ends_with("Cargo.lock");
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim();
        let key = line.split('=').next().unwrap_or_default().trim();
        let foreign = (is_config && (line.starts_with("[source") || line.starts_with("[registr")))
            || ((is_config || is_manifest)
                && matches!(key, "registry" | "registry-index" | "index" | "replace-with"))
            || (is_lock
                && key == "source"
                && line != r#"source = "registry+https://github.com/rust-lang/crates.io-index""#);
        if foreign {
            problems.push(Problem::new(&file.path, number + 1, "packages come from crates.io only"));
        }
    }
    problems
}

/// Where a macro is called, by its name.
fn macros<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(name).filter(move |(position, _)| {
        let before = code[..*position].chars().next_back();
        let after = code[position + name.len()..].trim_start();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && after.strip_prefix('!').is_some_and(|rest| rest.trim_start().starts_with(['{', '(', '[']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn lines(problems: &[Problem]) -> Vec<usize> {
        problems.iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn a_select_that_is_not_biased_is_found() {
        let text = "fn f() {\n    tokio::select! {\n        a = b => {}\n    }\n    select! { c = d => { biased; } }\n}\n";
        assert_eq!(lines(&check_code(&file("a.rs", text))), [2, 5]);
    }

    #[test]
    fn a_biased_select_is_fine() {
        let text =
            "tokio::select! {\n    // in this order\n    biased;\n    a = b => {}\n}\nlet select = 1;\n";
        assert_eq!(check_code(&file("a.rs", text)), []);
    }

    #[test]
    fn unfinished_work_is_found() {
        for name in UNFINISHED {
            let text = format!("fn f() {{\n    {name}!(\"later\")\n}}\n// {name}!()\nfn {name}() {{}}\n");
            assert_eq!(lines(&check_code(&file("a.rs", &text))), [2], "{name}");
        }
    }

    #[test]
    fn an_ignored_test_is_found() {
        assert_eq!(lines(&check_code(&file("a.rs", "#[test]\n#[ignore]\nfn a() {}"))), [2]);
        assert_eq!(lines(&check_code(&file("a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}"))), [2]);
        assert_eq!(check_code(&file("a.rs", "#[ignored_by_us]\nfn a() {}")), []);
    }

    #[test]
    fn a_file_is_warned_about_before_it_is_too_long() {
        let long = |lines: usize| file("a.rs", &"\n".repeat(lines));
        assert!(nearly_too_long(&long(500)).is_none() && check_code(&long(500)).is_empty());
        assert!(nearly_too_long(&long(501)).is_some() && nearly_too_long(&long(800)).is_some());
        assert!(check_code(&long(800)).is_empty());
        assert!(nearly_too_long(&long(801)).is_none() && check_code(&long(801)).len() == 1);
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_text() {
        for path in MACHINE_PATHS {
            let text = format!("see\n{path}data\n");
            assert_eq!(lines(&check_text(&file("docs/README.md", &text))), [2], "{path}");
            assert_eq!(check_text(&file(KNOWS_THE_MACHINE, &text)), []);
        }
    }

    #[test]
    fn another_registry_is_found() {
        let config = "[source.crates-io]\nreplace-with = \"mirror\"\n[registries.mirror]\nindex = \"sparse+https://a/\"\n";
        assert_eq!(lines(&check_text(&file(".cargo/config.toml", config))), [1, 2, 3, 4]);
        assert_eq!(lines(&check_text(&file("a/Cargo.toml", "[package]\nregistry = \"mirror\"\n"))), [2]);
        let lock = "[[package]]\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                    [[package]]\nsource = \"git+https://example.com/a\"\n";
        assert_eq!(lines(&check_text(&file("Cargo.lock", lock))), [4]);
    }
}
