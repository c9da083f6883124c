//! Links: a page that points to a file of this repository points to one that exists.

use super::{File, Problem};

/// Finds links from a page to files or folders that are not there. Links to the web are not followed.
pub(crate) fn check(page: &File, files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in page.text.lines().enumerate() {
        for target in targets(line) {
            let path = resolve(&page.path, target);
            let folder = format!("{path}/");
            let exists = files.iter().any(|file| file.path == path || file.path.starts_with(&folder));
            if !exists && !path.is_empty() {
                problems.push(Problem::new(&page.path, number + 1, format!("`{target}` does not exist")));
            }
        }
    }
    problems
}

/// The targets of a line's inline links that are files: no address of the web, no place on the same page.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let links = line
        .match_indices("](")
        .filter_map(|(position, mark)| line[position + mark.len()..].split(')').next());
    let files = links.filter(|target| !target.contains(':') && !target.starts_with('#'));
    files.map(|target| target.split(['#', ' ']).next().unwrap_or_default())
}

/// The path from the root of a target that is relative to a page.
fn resolve(page: &str, target: &str) -> String {
    let mut path: Vec<&str> = page.split('/').collect();
    path.pop();
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(path: &str, text: &str, missing: &[&str]) {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [file("LICENSE", ""), file("docs/how-to/rotate.md", ""), file(path, text)];
        let found: Vec<String> =
            check(&files[2], &files).into_iter().map(|problem| problem.message).collect();
        let expected: Vec<String> =
            missing.iter().map(|target| format!("`{target}` does not exist")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_link_to_a_file_that_is_not_there_is_found() {
        check_page(
            "docs/README.md",
            "[a](how-to/gone.md) [b](LICENSE)\n[c](../NO)",
            &["how-to/gone.md", "LICENSE", "../NO"],
        );
    }

    #[test]
    fn links_to_files_folders_places_and_the_web_are_fine() {
        let text = "[a](how-to/rotate.md#keys) [b](../LICENSE) [c](how-to/) [d](#here) [e](https://example.com/x) [f](..)";
        check_page("docs/README.md", text, &[]);
    }
}
