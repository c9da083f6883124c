//! JSON the way MeshHook reads, writes, hashes and compares it.
//!
//! Replay must give the same bytes on any machine and under any set of Cargo features an embedder unifies, so
//! everything that stores, hashes or compares JSON goes through this module and never through
//! `Value::to_string()`:
//!
//! - [`parse`] is strict: duplicate members, a byte order mark, lone surrogates, numbers outside the range of a
//!   double and nesting past a limit are errors.
//! - **Number normal form**: a number whose value is an integer within `i64` or `u64` is that integer (`1.0` is `1`,
//!   `1e2` is `100`, `-0.0` is `0`); every other number is a double. [`parse`] and [`normalize`] produce it,
//!   [`number_from_f64`] keeps computed numbers in it.
//! - **Canonical text** ([`to_canonical_string`]) is RFC 8785: members ordered by the UTF-16 code units of their keys,
//!   JSON.stringify's escapes and number form; except that integers within `i64` and `u64` are written exactly,
//!   where RFC 8785 would round them to a double.
//!
//! For a value in normal form `parse(to_canonical_string(v)) == v`. Nothing here recurses on the nesting of a value
//! except [`parse`], which is bounded by [`JsonLimits::max_depth`], so a hostile value cannot overflow the stack.
//!
//! Two object keys are refused by [`parse`] and [`normalize`]: the ones serde_json uses to smuggle numbers and raw
//! text through serde when `arbitrary_precision` or `raw_value` is on. A document that carried one would mean
//! something else in a process with other features.

mod canonical;
mod error;
mod number;
mod parse;

use std::cmp::Ordering;

use serde_json::Value;

pub use canonical::{
    canonical_len_within, digest, to_canonical_string, write_canonical, write_canonical_str,
};
pub use error::{JsonError, JsonErrorKind};
pub use number::{normalize, normalize_number, number_from_f64};
pub use parse::{JsonLimits, parse};

/// One token of a JSON pointer (RFC 6901, section 4) as it is meant: the name of a member, or the place of an item.
#[must_use]
pub fn pointer_token(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Compares two object keys by their UTF-16 code units, the order of members everywhere in MeshHook.
///
/// It differs from the order of Rust's strings only between characters past U+FFFF and those from U+E000 to U+FFFF.
pub fn compare_keys(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    for (x, y) in a.iter().zip(b) {
        if x != y {
            // Where two valid UTF-8 strings first differ, both bytes are leads or both are continuations. A lead from
            // 0xF0 up is a surrogate pair in UTF-16, which sorts before the private use area that 0xEE opens.
            return match (*x >= 0xF0, *y >= 0xF0) {
                (true, false) if *y >= 0xEE => Ordering::Less,
                (false, true) if *x >= 0xEE => Ordering::Greater,
                _ => x.cmp(y),
            };
        }
    }
    a.len().cmp(&b.len())
}

/// Returns how deep arrays and objects nest: 0 for a scalar, 1 for `[]`.
pub fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut pending = vec![(value, 0_usize)];
    while let Some((value, level)) = pending.pop() {
        match value {
            Value::Array(items) => {
                deepest = deepest.max(level + 1);
                pending.extend(items.iter().map(|item| (item, level + 1)));
            }
            Value::Object(members) => {
                deepest = deepest.max(level + 1);
                pending.extend(members.values().map(|item| (item, level + 1)));
            }
            _ => {}
        }
    }
    deepest
}

/// What is wrong with the serde_json this process was built with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("serde_json was built in a way that changes values: {problem}")]
pub struct SelfCheckError {
    problem: &'static str,
}

/// What kind of value something is, with its article, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Checks that this build reads and writes JSON exactly; meant to be called once at start.
///
/// # Errors
///
/// When a double does not survive being written and read (`serde_json/float_roundtrip` is missing), or integers,
/// nesting or member order do not behave as this module promises.
pub fn self_check() -> Result<(), SelfCheckError> {
    let fail = |problem| Err(SelfCheckError { problem });
    let limits = JsonLimits::default();
    // Doubles that serde_json's fast path is known to read one unit off, and a spread of others.
    let spread = (1..2_000_u32).map(|i| f64::from(i) * 0.01);
    for double in [5e-324, 2.225_073_858_507_201_4e-308, 31.245_270_191_439_438, 1.797_693_134_862_315_7e308]
        .into_iter()
        .chain(spread)
    {
        let Some(number) = number_from_f64(double) else { return fail("a finite double is no number") };
        let value = Value::Number(number);
        if parse(to_canonical_string(&value).as_bytes(), &limits).as_ref() != Ok(&value) {
            return fail("a double changes when it is written and read (is the feature float_roundtrip on?)");
        }
    }
    for text in ["9007199254740993", "18446744073709551615", "-9223372036854775808"] {
        match parse(text.as_bytes(), &limits) {
            Ok(value) if to_canonical_string(&value) == text => {}
            _ => return fail("an integer changes when it is read and written"),
        }
    }
    match parse(br#"{"b":1.0,"a":[-0.0,1e2]}"#, &limits) {
        Ok(value) if to_canonical_string(&value) == r#"{"a":[0,100],"b":1}"# => {}
        _ => return fail("canonical text differs"),
    }
    let nested = [vec![b'['; limits.max_depth], vec![b']'; limits.max_depth]].concat();
    if parse(&nested, &limits).is_err() {
        return fail("nesting within the limit is refused (is the feature unbounded_depth on?)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_passes_the_self_check() {
        assert_eq!(self_check(), Ok(()));
    }

    #[test]
    fn escapes_of_a_pointers_token_are_read_once() {
        for (token, meant) in [("a", "a"), ("a~1b", "a/b"), ("a~0b", "a~b"), ("~01", "~1"), ("", "")] {
            assert_eq!(pointer_token(token), meant, "{token}");
        }
    }

    #[test]
    fn keys_are_ordered_by_utf16_code_units() {
        let keys = [
            "",
            "1",
            "\u{80}",
            "a",
            "aa",
            "b",
            "\u{d7ff}",
            "\u{e000}",
            "\u{fb33}",
            "\u{ffff}",
            "\u{10000}",
            "\u{1f600}",
            "a\u{1f600}",
            "a\u{fb33}",
        ];
        for a in keys {
            for b in keys {
                assert_eq!(compare_keys(a, b), a.encode_utf16().cmp(b.encode_utf16()), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn depth_counts_from_zero_and_survives_deep_values() {
        assert_eq!(depth(&serde_json::json!(1)), 0);
        assert_eq!(depth(&serde_json::json!([])), 1);
        assert_eq!(depth(&serde_json::json!({"a": [1, {"b": []}], "c": {}})), 4);
        let mut deep = Value::Null;
        for _ in 0..1_000 {
            deep = Value::Array(vec![deep]);
        }
        assert_eq!(depth(&deep), 1_000);
    }
}
