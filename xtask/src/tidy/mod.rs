//! Tidy: the rules of this repository that no compiler knows.
//!
//! Files are read as text with comments and literals blanked out ([`code`]); crates are read from the
//! manifests and from `cargo tree`. Every rule is a function from text to problems, so that its tests can show
//! it a sample that breaks it.

mod arrows;
mod code;
mod dependencies;
mod licence;
mod links;
mod lints;
pub(crate) mod manifest;
mod paths;
mod purity;
mod source;

use std::fmt;
use std::path::Path;

use crate::shell::{Outcome, root};

/// A file as the rules see it: its path from the root with `/`, and its text.
struct File {
    path: String,
    text: String,
}

/// A rule broken at a place. Line 0 means the whole file.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Runs every rule on this repository and prints what it found.
pub(crate) fn run() -> Outcome {
    let files = read_repository()?;
    for file in &files {
        if let Some(warning) = source::nearly_too_long(file) {
            println!("warning: {warning}");
        }
    }
    let mut problems = check_files(&files);
    problems.extend(dependencies::check()?);
    problems.iter().for_each(|problem| println!("{problem}"));
    match problems.len() {
        0 => {
            println!("{} files keep the rules", files.len());
            Ok(())
        }
        count => Err(format!("{count} places break the rules of this repository")),
    }
}

/// The rules that look at files alone.
fn check_files(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        problems.extend(source::check_text(file));
        if file.path.ends_with(".rs") {
            problems.extend(source::check_code(file));
            problems.extend(purity::check(file));
        }
        if file.path.ends_with("Cargo.toml") {
            problems.extend(arrows::check(file));
            problems.extend(lints::check(file));
        }
        if file.path.ends_with(".md") {
            problems.extend(links::check(file, files));
        }
    }
    problems
}

fn read_repository() -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    read_folder(&root(), "", &mut files)
        .map_err(|error| format!("could not read the repository: {error}"))?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Reads all text below a folder, without what is built, fetched or hidden.
fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> std::io::Result<()> {
    const SKIPPED: [&str; 3] = ["target", "node_modules", "dist"];
    const SHOWN: [&str; 5] = [".cargo", ".ci", ".config", ".github", ".gitignore"];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !SHOWN.contains(&name.as_str());
        if hidden || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_folder(&entry.path(), &path, files)?;
        } else if kind.is_file() {
            // What is no UTF-8 (an image, a database) is no text to judge.
            if let Ok(text) = String::from_utf8(std::fs::read(entry.path())?) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_keeps_its_rules() {
        let files = read_repository().unwrap();
        assert!(
            files.iter().any(|file| file.path == "meshhook-core/src/lib.rs"),
            "the repository was not read"
        );
        let problems: Vec<String> = check_files(&files).iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    #[test]
    fn every_kind_of_file_meets_its_rules() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let problems = check_files(&[
            file("meshhook-core/src/run/mod.rs", "use tokio::time::sleep;\nfn f() { todo!() }\n"),
            file(
                "meshhook-http/Cargo.toml",
                "[package]\nname = \"meshhook-http\"\n[dependencies]\nmeshhook-axum = \"1\"\n",
            ),
            file("README.md", "[gone](gone.md)"),
        ]);
        assert_eq!(problems.len(), 5, "{problems:?}");
    }

    #[test]
    fn a_problem_is_shown_with_its_place() {
        assert_eq!(Problem::new("a.rs", 7, "is wrong").to_string(), "a.rs:7: is wrong");
        assert_eq!(Problem::new("a.rs", 0, "is wrong").to_string(), "a.rs: is wrong");
    }
}
