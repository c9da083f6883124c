//! Canonical text: writing, measuring and hashing it with one loop.

use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use super::{compare_keys, number_from_f64};

/// Returns the canonical text of a value.
///
/// A number outside the range of a double, which only serde_json's `arbitrary_precision` can hold and
/// [`normalize`](super::normalize) refuses, is written as `null`.
pub fn to_canonical_string(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

/// Appends the canonical text of a value.
pub fn write_canonical(value: &Value, text: &mut String) {
    write(value, text);
}

/// Appends a string in canonical form, quotes included.
pub fn write_canonical_str(value: &str, text: &mut String) {
    write_str(value, text);
}

/// Returns the SHA-256 of the canonical text, in lower hex.
pub fn digest(value: &Value) -> String {
    let mut hasher = Sha256::new();
    write(value, &mut hasher);
    hex::encode(hasher.finalize())
}

/// Measures the canonical text without building it: its length in bytes, or `None` as soon as it exceeds `max_bytes`.
pub fn canonical_len_within(value: &Value, max_bytes: usize) -> Option<usize> {
    let mut counter = Counter { len: 0, max: max_bytes };
    write(value, &mut counter).then_some(counter.len)
}

/// Where text goes; `false` means that no more is wanted.
trait Sink {
    /// Whether the order of what comes matters.
    const ORDERED: bool = true;

    fn push(&mut self, text: &str) -> bool;
}

impl Sink for String {
    fn push(&mut self, text: &str) -> bool {
        self.push_str(text);
        true
    }
}

impl Sink for Sha256 {
    fn push(&mut self, text: &str) -> bool {
        self.update(text.as_bytes());
        true
    }
}

struct Counter {
    len: usize,
    max: usize,
}

impl Sink for Counter {
    const ORDERED: bool = false;

    fn push(&mut self, text: &str) -> bool {
        self.len = self.len.saturating_add(text.len());
        self.len <= self.max
    }
}

/// One open array or object.
enum Open<'a> {
    Array(std::slice::Iter<'a, Value>),
    Object(std::vec::IntoIter<(&'a String, &'a Value)>),
}

fn write<S: Sink>(value: &Value, sink: &mut S) -> bool {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut current = value;
    'values: loop {
        let mut first = false;
        let more = match current {
            Value::Null => sink.push("null"),
            Value::Bool(true) => sink.push("true"),
            Value::Bool(false) => sink.push("false"),
            Value::Number(number) => write_number(number, sink),
            Value::String(string) => write_str(string, sink),
            Value::Array(items) => {
                open.push(Open::Array(items.iter()));
                first = true;
                sink.push("[")
            }
            Value::Object(members) => {
                let members = if S::ORDERED { sorted(members) } else { members.iter().collect() };
                open.push(Open::Object(members.into_iter()));
                first = true;
                sink.push("{")
            }
        };
        if !more {
            return false;
        }
        loop {
            let next = match open.last_mut() {
                None => return true,
                Some(Open::Array(items)) => items.next().map(|item| (None, item)),
                Some(Open::Object(members)) => members.next().map(|(key, item)| (Some(key), item)),
            };
            let more = match next {
                Some((key, item)) => {
                    current = item;
                    let more = (first || sink.push(","))
                        && key.is_none_or(|key| write_str(key, sink) && sink.push(":"));
                    if more {
                        continue 'values;
                    }
                    false
                }
                None => match open.pop() {
                    Some(Open::Object(_)) => sink.push("}"),
                    _ => sink.push("]"),
                },
            };
            if !more {
                return false;
            }
            first = false;
        }
    }
}

/// The members in canonical order, whichever order the map of this build keeps.
fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| compare_keys(a, b));
    sorted
}

fn write_number<S: Sink>(number: &Number, sink: &mut S) -> bool {
    if let Some(integer) = number.as_i64() {
        return write_integer(integer.unsigned_abs(), integer < 0, sink);
    }
    if let Some(integer) = number.as_u64() {
        return write_integer(integer, false, sink);
    }
    let Some(double) = number.as_f64().filter(|double| double.is_finite()) else {
        return sink.push("null");
    };
    match number_from_f64(double) {
        Some(normal) if normal.as_i64().is_some() || normal.as_u64().is_some() => write_number(&normal, sink),
        _ => sink.push(ryu_js::Buffer::new().format_finite(double)),
    }
}

fn write_integer<S: Sink>(mut magnitude: u64, negative: bool, sink: &mut S) -> bool {
    // 20 digits of u64::MAX, or a sign and 19 digits of i64::MIN.
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (magnitude % 10) as u8;
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        start -= 1;
        digits[start] = b'-';
    }
    sink.push(std::str::from_utf8(&digits[start..]).expect("digits are ASCII"))
}

fn write_str<S: Sink>(value: &str, sink: &mut S) -> bool {
    if !sink.push("\"") {
        return false;
    }
    let mut written = 0;
    while let Some(index) = next_escaped(value.as_bytes(), written) {
        let byte = value.as_bytes()[index];
        let mut unicode = [b'\\', b'u', b'0', b'0', 0, 0];
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0C => "\\f",
            b'\r' => "\\r",
            _ => {
                unicode[4] = b"0123456789abcdef"[usize::from(byte >> 4)];
                unicode[5] = b"0123456789abcdef"[usize::from(byte & 0xF)];
                std::str::from_utf8(&unicode).expect("the escape is ASCII")
            }
        };
        if !(sink.push(&value[written..index]) && sink.push(escape)) {
            return false;
        }
        written = index + 1;
    }
    sink.push(&value[written..]) && sink.push("\"")
}

/// Where the next byte from `start` on stands that cannot stand for itself.
fn next_escaped(bytes: &[u8], start: usize) -> Option<usize> {
    let (eights, rest) = bytes[start..].as_chunks::<8>();
    for (place, eight) in eights.iter().enumerate() {
        if let Some(at) = first_escaped(*eight) {
            return Some(start + place * 8 + at);
        }
    }
    let mut padded = [b' '; 8];
    padded[..rest.len()].copy_from_slice(rest);
    first_escaped(padded).map(|at| start + eights.len() * 8 + at)
}

/// Which of eight bytes is the first that cannot stand for itself: a control character, a quote or a backslash.
///
/// All are looked at in one go, as in "Determine if a word has a byte less than n" of Sean Eron Anderson's Bit Twiddling
/// Hacks. What is borrowed by a byte that is less marks bytes behind it only, so that the first mark is right.
fn first_escaped(eight: [u8; 8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word;
    let equal = |word: u64, to: u8| less(word ^ (ONES * u64::from(to)), 1);
    let word = u64::from_le_bytes(eight);
    let marks = (less(word, 0x20) | equal(word, b'"') | equal(word, b'\\')) & HIGHS;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_example_of_rfc_8785_comes_out_as_printed_there() {
        // RFC 8785, sections 3.2.2 to 3.2.4.
        let value = json!({
            "numbers": [333333333.3333333, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u{20ac}$\u{000F}\u{000a}A'\u{0042}\u{0022}\u{005c}\\\"/",
            "literals": [null, true, false]
        });
        assert_eq!(
            to_canonical_string(&value),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    #[test]
    fn members_are_sorted_as_in_rfc_8785() {
        let value = json!({"\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"});
        let text = to_canonical_string(&value);
        let names = ["Carriage Return", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let places: Vec<_> = names.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn integers_are_exact_and_doubles_are_as_in_ecmascript() {
        for (value, text) in [
            (json!(u64::MAX), "18446744073709551615"),
            (json!(i64::MIN), "-9223372036854775808"),
            (json!(9_007_199_254_740_993_i64), "9007199254740993"),
            (json!(0), "0"),
            (json!(1.0), "1"),
            (json!(-0.0), "0"),
            (json!(1e21), "1e+21"),
            (json!(1e20), "100000000000000000000"),
            (json!(1.5e-7), "1.5e-7"),
            (json!(0.000001), "0.000001"),
            (json!(5e-324), "5e-324"),
        ] {
            assert_eq!(to_canonical_string(&value), text);
        }
    }

    #[test]
    fn empty_and_nested_containers_are_closed() {
        let value = json!([[], {}, [[1, []], {"a": {"b": []}, "c": 1}], 2]);
        assert_eq!(to_canonical_string(&value), r#"[[],{},[[1,[]],{"a":{"b":[]},"c":1}],2]"#);
    }

    #[test]
    fn every_byte_that_needs_an_escape_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let expected = byte < 0x20 || matches!(byte, b'"' | b'\\');
            for (len, place) in (1..20).flat_map(|len| (0..len).map(move |place| (len, place))) {
                // What stands behind must not matter, least of all what a borrow could reach.
                for behind in [b' ', b'!', b'#', b']', 0x7F, 0x80, 0xFF, 0x00] {
                    let mut bytes = vec![b' '; len];
                    bytes[place] = byte;
                    bytes[place + 1..].fill(behind);
                    let next = (behind == 0 && place + 1 < len).then_some(place + 1);
                    assert_eq!(
                        next_escaped(&bytes, 0),
                        if expected { Some(place) } else { next },
                        "{bytes:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn measuring_stops_past_the_limit() {
        let value = json!({"a": ["x\n", 1.5, true]});
        let len = to_canonical_string(&value).len();
        assert_eq!(canonical_len_within(&value, len), Some(len));
        assert_eq!(canonical_len_within(&value, len - 1), None);
        assert_eq!(canonical_len_within(&value, 0), None);
    }

    #[test]
    fn the_digest_covers_the_canonical_text() {
        // printf '{"a":1,"b":2}' | sha256sum
        assert_eq!(
            digest(&json!({"b": 2.0, "a": 1})),
            "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"
        );
    }
}
