//! Licence expressions: whether one can be met with the licences we accept.

/// Licences that ask for attribution at most. No copyleft.
const ACCEPTED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression (or the old form with `/` for `OR`) can be met. Nothing stated is not accepted.
pub(crate) fn is_accepted(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let accepted = any(&mut rest);
    accepted == Some(true) && rest.is_empty()
}

/// `a OR b`; `None` where the text is no expression.
fn any(words: &mut &[&str]) -> Option<bool> {
    let mut accepted = all(words)?;
    while take(words, "OR") {
        accepted |= all(words)?;
    }
    Some(accepted)
}

/// `a AND b`, which binds more tightly.
fn all(words: &mut &[&str]) -> Option<bool> {
    let mut accepted = one(words)?;
    while take(words, "AND") {
        accepted &= one(words)?;
    }
    Some(accepted)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let accepted = any(words)?;
        return take(words, ")").then_some(accepted);
    }
    let (name, rest) = words.split_first()?;
    *words = rest;
    // An exception grants more than the licence it is attached to.
    if take(words, "WITH") {
        *words = words.split_first()?.1;
    }
    Some(ACCEPTED.contains(name))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissive_licences_are_accepted_in_every_spelling() {
        for expression in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 / MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-3.0-only OR MIT",
            "Apache-2.0 WITH LLVM-exception",
            "ISC AND (Apache-2.0 OR ISC)",
        ] {
            assert!(is_accepted(expression), "{expression}");
        }
    }

    #[test]
    fn copyleft_unknown_and_missing_licences_are_not() {
        for expression in [
            "GPL-3.0-only",
            "MIT AND AGPL-3.0-or-later",
            "MIT OR Apache-2.0 AND",
            "MPL-2.0",
            "SSPL-1.0 AND (MIT OR ISC)",
            "(MIT",
            "MIT GPL-2.0",
            "LicenseRef-Proprietary",
            "",
        ] {
            assert!(!is_accepted(expression), "{expression}");
        }
    }
}
