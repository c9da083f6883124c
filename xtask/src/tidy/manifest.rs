//! What the rules need from a `Cargo.toml`: which crates it depends on and which features it has.
//!
//! Read line by line: our manifests put one key on a line, and cargo itself rejects what is malformed.

/// Which table a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[dependencies]` or `[build-dependencies]`: users of the crate get it.
    Normal,
    /// `[dev-dependencies]`: tests and benchmarks only.
    Dev,
}

/// A dependency: its name, its table and its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

/// The keys of a manifest with the table each stands in.
pub(crate) struct Manifest<'a> {
    keys: Vec<(&'a str, &'a str, usize)>,
    package: Option<&'a str>,
    inherits_lints: bool,
}

impl<'a> Manifest<'a> {
    /// Reads the text of a manifest.
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut table = "";
        let mut manifest = Self { keys: Vec::new(), package: None, inherits_lints: false };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix('[') {
                table = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
                // `[dependencies.name]` is a key of `[dependencies]`.
                if let Some((parent, name)) = table.rsplit_once('.')
                    && parent.ends_with("dependencies")
                {
                    manifest.keys.push((parent, name, index + 1));
                }
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let name = key.trim().trim_matches('"').split('.').next().unwrap_or_default();
            let is_key =
                !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
            if is_key {
                manifest.keys.push((table, name, index + 1));
            }
            let is_lints = (table == "lints" && key.trim() == "workspace")
                || (table.is_empty() && key.trim() == "lints.workspace");
            manifest.inherits_lints |= is_lints && value.trim() == "true";
            if table == "package" && name == "name" {
                manifest.package = Some(value.trim().trim_matches('"'));
            }
        }
        manifest
    }

    /// The package's name, where the manifest has a package.
    pub(crate) fn package(&self) -> Option<&'a str> {
        self.package
    }

    /// Whether the package has the lints of its workspace.
    pub(crate) fn inherits_lints(&self) -> bool {
        self.inherits_lints
    }

    /// The package's features, `default` left out.
    pub(crate) fn features(&self) -> impl Iterator<Item = &'a str> {
        self.keys
            .iter()
            .filter(|(table, name, _)| *table == "features" && *name != "default")
            .map(|(_, name, _)| *name)
    }

    /// The package's dependencies, those of single targets included; the workspace's table is none.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = Dependency<'a>> {
        self.keys.iter().filter_map(|(table, name, line)| {
            let last = table.rsplit('.').next().unwrap_or_default();
            let kind = match last {
                _ if *table == "workspace.dependencies" => return None,
                "dependencies" | "build-dependencies" => Kind::Normal,
                "dev-dependencies" => Kind::Dev,
                _ => return None,
            };
            Some(Dependency { name, kind, line: *line })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"
[workspace.dependencies]
zlib = "1"

[package]
name = "sample"

[features]
default = ["a"]
a = ["dep:b"]
c = [
    "a",
]

[dependencies]
b = { version = "1", optional = true }
d.workspace = true

[target.'cfg(unix)'.dependencies]
e = "1"

[dev-dependencies.f]
version = "1"
"#;

    #[test]
    fn features_are_read_without_the_default_set() {
        assert_eq!(Manifest::parse(SAMPLE).features().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn dependencies_are_read_from_every_spelling() {
        let manifest = Manifest::parse(SAMPLE);
        let found: Vec<_> = manifest.dependencies().map(|d| (d.name, d.kind)).collect();
        assert_eq!(found, [("b", Kind::Normal), ("d", Kind::Normal), ("e", Kind::Normal), ("f", Kind::Dev)]);
        assert_eq!(manifest.package(), Some("sample"));
    }
}
