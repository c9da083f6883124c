//! `cargo xtask bench`: benchmarks by name.
//!
//! Every file in a crate's `benches` folder is a benchmark. It is started by its own name (`bench expr`), or
//! together with the rest of its crate (`bench sqlite`). A new file needs no entry here.

use std::path::Path;

use crate::postgres;
use crate::shell::{Outcome, cargo, root, run as shell};

/// One benchmark target of one crate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bench {
    package: String,
    target: String,
}

impl Bench {
    /// Whether the name means this benchmark: its own, or its crate's with or without the common prefix.
    fn is_called(&self, name: &str) -> bool {
        self.target == name || self.package == name || self.package.strip_prefix("meshhook-") == Some(name)
    }
}

/// Holds what runs cost, in what can be counted, against committed bounds. Nothing of it depends on how well the code is
/// optimized, so it is built as the tests are.
pub(crate) fn gate() -> Outcome {
    postgres::provide()?;
    let build = ["bench", "--profile", "dev", "--workspace", "--all-features", "--bench", "pg"];
    let mut command = cargo(&build);
    command.args(["--", "--gate"]);
    shell(command)
}

/// Runs the benchmarks that the first argument names; the rest goes to them. Lists all without a name.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    if arguments == ["--gate"] {
        return gate();
    }
    let benches = find(&root()).map_err(|error| format!("could not look for benchmarks: {error}"))?;
    let Some((name, rest)) = arguments.split_first() else {
        benches.iter().for_each(|bench| println!("{:<20} {}", bench.target, bench.package));
        return Ok(());
    };
    let chosen: Vec<&Bench> = benches.iter().filter(|bench| bench.is_called(name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = benches.iter().map(|bench| bench.target.as_str()).collect();
        return Err(format!("no benchmark is called {name}; there are: {}", known.join(", ")));
    }
    for bench in chosen {
        let mut command =
            cargo(&["bench", "--all-features", "--package", &bench.package, "--bench", &bench.target]);
        command.arg("--").args(rest);
        shell(command)?;
    }
    Ok(())
}

/// Finds the benchmarks of the root package and of every crate beside it, in a fixed order.
fn find(root: &Path) -> std::io::Result<Vec<Bench>> {
    let mut folders = vec![("meshhook".to_owned(), root.join("benches"))];
    for entry in std::fs::read_dir(root)? {
        let folder = entry?.path();
        if let (true, Some(name)) = (folder.join("Cargo.toml").is_file(), folder.file_name()) {
            folders.push((name.to_string_lossy().into_owned(), folder.join("benches")));
        }
    }
    let mut benches = Vec::new();
    for (package, folder) in folders.into_iter().filter(|(_, folder)| folder.is_dir()) {
        for entry in std::fs::read_dir(folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "rs") {
                let target = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                benches.push(Bench { package: package.clone(), target });
            }
        }
    }
    benches.sort();
    Ok(benches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(package: &str, target: &str) -> Bench {
        Bench { package: package.into(), target: target.into() }
    }

    #[test]
    fn a_benchmark_answers_to_its_name_and_to_its_crate() {
        let commit = bench("meshhook-sqlite", "commit");
        assert!(
            commit.is_called("commit") && commit.is_called("sqlite") && commit.is_called("meshhook-sqlite")
        );
        assert!(!commit.is_called("core") && !commit.is_called("comm"));
    }

    #[test]
    fn benchmarks_are_found_in_the_root_package_and_in_its_crates() {
        let folder = std::env::temp_dir().join(format!("meshhook-xtask-bench-{}", std::process::id()));
        for file in [
            "benches/intake.rs",
            "meshhook-core/benches/expr.rs",
            "meshhook-core/benches/data.json",
            "docs/benches/no.rs",
        ] {
            let file = folder.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        std::fs::write(folder.join("meshhook-core/Cargo.toml"), "").unwrap();
        let found = find(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [bench("meshhook", "intake"), bench("meshhook-core", "expr")]);
    }
}
