//! The path of a hook below its project.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Segments `[A-Za-z0-9_-]{1,128}` joined by `/`, at most [`HookPath::MAX_BYTES`] together.
///
/// Paths are compared byte for byte: neither case nor a trailing slash is forgiven, so one hook has one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPath(Arc<str>);

impl HookPath {
    /// The longest path, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// The configured path that stands for "make one that nobody can guess"; never the path of a hook itself.
    pub const RANDOM: &'static str = "random";

    /// Checks a path.
    ///
    /// # Errors
    ///
    /// When the text does not follow the grammar.
    pub fn new(text: &str) -> Result<Self, InvalidHookPath> {
        let is_segment = |segment: &str| {
            (1..=128).contains(&segment.len())
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if text.len() <= Self::MAX_BYTES && text.split('/').all(is_segment) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidHookPath)
        }
    }

    /// A path that nobody can guess, of 128 random bits.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(hex::encode(random).into())
    }

    /// The path as text, without a slash at either end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HookPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HookPath {
    type Err = InvalidHookPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

/// The text is not the path of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a hook's path is segments of 1 to 128 letters, digits, `_` or `-`, joined by `/`, at most 1024 bytes"
)]
pub struct InvalidHookPath;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain_segments() {
        let longest = "a".repeat(128);
        for good in ["a", "gh-star", "A/b_c/9", "random", &longest, &format!("{longest}/{longest}")] {
            assert_eq!(HookPath::new(good).map(|p| p.as_str().to_owned()), Ok(good.to_owned()));
        }
        let long_segment = "a".repeat(129);
        let long_path = vec!["a"; 513].join("/");
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "a/../b",
            "a b",
            "é",
            "a%2fb",
            "a.b",
            "a\n",
            "a?b",
            &long_segment,
            &long_path,
        ] {
            assert_eq!(HookPath::new(bad), Err(InvalidHookPath), "{bad}");
        }
    }

    #[test]
    fn a_random_path_has_128_bits_and_is_a_path() {
        let path = HookPath::from_random([0xAB; 16]);
        assert_eq!(path.as_str(), "ab".repeat(16));
        assert_eq!(HookPath::new(path.as_str()), Ok(path));
    }
}
