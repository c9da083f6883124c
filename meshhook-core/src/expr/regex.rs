//! Regular expressions that cannot run away: linear time, bounded size.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern that a definition names: room for `\w{1,64}`, as names and slugs are checked.
const MAX_LITERAL_BYTES: usize = 4 << 20;
/// Bytes of a compiled pattern that was computed, and of the cache of a lazily built automaton. Whether a computed
/// pattern is too large decides how runs go on, so this stays what it is.
const MAX_COMPUTED_BYTES: usize = 1 << 20;
const MAX_NESTING: u32 = 64;
/// How many patterns that are not literal an evaluation remembers.
const REMEMBERED: usize = 8;

/// Compiles a pattern that a definition names.
///
/// # Errors
///
/// With a message, when it is malformed or too large.
pub(super) fn compile_literal(pattern: &str) -> Result<Regex, String> {
    compile(pattern, MAX_LITERAL_BYTES)
}

fn compile(pattern: &str, max_bytes: usize) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(max_bytes)
        .dfa_size_limit(MAX_COMPUTED_BYTES)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "pattern is too large when compiled".to_owned(),
            _ => "pattern is not a valid regular expression".to_owned(),
        })
}

/// The patterns that one evaluation compiled, so that a pattern used on every item is compiled once.
#[derive(Debug, Default)]
pub(super) struct Patterns(Vec<Regex>);

impl Patterns {
    pub(super) fn get(&self, pattern: &str) -> Option<Regex> {
        self.0.iter().find(|regex| regex.as_str() == pattern).cloned()
    }

    pub(super) fn compile(&mut self, pattern: &str) -> Result<Regex, String> {
        let regex = compile(pattern, MAX_COMPUTED_BYTES)?;
        if self.0.len() == REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(regex.clone());
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_pattern_may_repeat_a_class_of_all_scripts_as_often_as_names_are_long() {
        for pattern in [r"^\w{1,64}$", r"\w{50}", r"^[\p{L}\p{N}_.-]{1,64}$"] {
            assert!(compile_literal(pattern).is_ok(), "{pattern}");
            assert!(Patterns::default().compile(pattern).is_err(), "{pattern}");
        }
        assert!(compile_literal(r"\w{1,255}").is_err());
    }
}
