//! Regular expressions that cannot run away: linear time, bounded size.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern, and of the cache of its lazily built automaton.
const SIZE_LIMIT: usize = 1 << 20;
const MAX_NESTING: u32 = 64;
/// How many patterns that are not literal an evaluation remembers.
const REMEMBERED: usize = 8;

/// Compiles a pattern.
///
/// # Errors
///
/// With a message, when it is malformed or too large.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
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
        let regex = compile(pattern)?;
        if self.0.len() == REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(regex.clone());
        Ok(regex)
    }
}
