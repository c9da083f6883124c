//! Reading definitions written in YAML.
//!
//! Only what JSON can say is read: YAML 1.2 with its core schema, one document, keys that are strings. Anchors,
//! aliases, tags and directives are refused, so a document means what stands in it and grows nowhere. The value is
//! built from the parser's events in a loop, which neither recurses nor reads a scalar in two ways.

use serde_json::{Map, Number, Value};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::json::{JsonLimits, normalize, number_from_f64};

/// Why a text is no document that MeshHook reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
#[non_exhaustive]
pub struct YamlError {
    /// What is wrong.
    pub message: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// Whether the text is YAML, but past a limit.
    pub is_limit: bool,
}

/// Reads one YAML document as a JSON value with its numbers in normal form.
///
/// ```
/// use meshhook_core::definition::parse_yaml;
/// use meshhook_core::json::JsonLimits;
///
/// let yaml = b"name: Hello\nnodes:\n  - {id: a, type: terminate}\n";
/// let value = parse_yaml(yaml, &JsonLimits::default())?;
/// assert_eq!(value, serde_json::json!({"name": "Hello", "nodes": [{"id": "a", "type": "terminate"}]}));
/// # Ok::<(), meshhook_core::definition::YamlError>(())
/// ```
///
/// # Errors
///
/// For text that is not exactly one such document within the limits.
pub fn parse_yaml(bytes: &[u8], limits: &JsonLimits) -> Result<Value, YamlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        YamlError { message: "invalid UTF-8".to_owned(), line, column: 1, is_limit: false }
    })?;
    let max_depth = limits.max_depth.min(JsonLimits::DEPTH_CEILING);
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: max_depth + 1,
        block_nesting_limit: max_depth + 1,
    };
    let mut composer = Composer {
        open: Vec::new(),
        root: None,
        max_depth,
        nodes_left: limits.max_nodes.unwrap_or(usize::MAX),
    };
    let mut end = Span::empty(granit_parser::Marker::new(0, 1, 0));
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| malformed(&error))?;
        composer.take(event, span)?;
        end = span;
    }
    let mut value = composer.root.ok_or_else(|| at(end, "there is no document"))?;
    normalize(&mut value).map_err(|error| at(end, &error.to_string()))?;
    Ok(value)
}

fn at(span: Span, message: &str) -> YamlError {
    let (line, column) = (span.start.line(), span.start.col() + 1);
    YamlError { message: message.to_owned(), line, column, is_limit: false }
}

fn past(span: Span, message: &str) -> YamlError {
    YamlError { is_limit: true, ..at(span, message) }
}

fn malformed(error: &ScanError) -> YamlError {
    let marker = error.marker();
    let message: String = error.info().chars().take(200).collect();
    YamlError { message, line: marker.line(), column: marker.col() + 1, is_limit: false }
}

/// Puts a value together from events.
struct Composer {
    open: Vec<Open>,
    root: Option<Value>,
    max_depth: usize,
    nodes_left: usize,
}

/// An array or object that is not closed yet.
enum Open {
    Array(Vec<Value>),
    /// The members so far, and the key whose value comes next.
    Object(Map<String, Value>, Option<String>),
}

impl Composer {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => Err(at(span, "there is a second document")),
            Event::Alias(_) => Err(at(span, "aliases are not supported")),
            Event::Scalar(text, style, anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                self.scalar(&text, style, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                self.open(Open::Array(Vec::new()), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                self.open(Open::Object(Map::new(), None), span)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::Array(items)) => self.put(Value::Array(items), span),
                Some(Open::Object(members, _)) => self.put(Value::Object(members), span),
                None => Err(at(span, "something is closed that was not opened")),
            },
            // The start and end of the stream and of its document; comments where the parser is built with them.
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, span: Span) -> Result<(), YamlError> {
        if let Some(Open::Object(_, None)) = self.open.last() {
            return Err(at(span, "a key must be a string"));
        }
        if self.open.len() >= self.max_depth {
            return Err(past(span, "arrays and objects nest too deep"));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<(), YamlError> {
        let value = match style {
            ScalarStyle::Plain => resolve(text).ok_or_else(|| at(span, "not a number that JSON has"))?,
            _ => Value::from(text),
        };
        if let Some(Open::Object(members, key @ None)) = self.open.last_mut() {
            let Value::String(name) = value else {
                return Err(at(span, "a key must be a string; put it in quotes"));
            };
            if members.contains_key(&name) {
                return Err(at(span, "this key is there twice"));
            }
            *key = Some(name);
            return Ok(());
        }
        self.put(value, span)
    }

    fn put(&mut self, value: Value, span: Span) -> Result<(), YamlError> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or_else(|| past(span, "too many values"))?;
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::Array(items)) => items.push(value),
            Some(Open::Object(members, key)) => {
                let key = key.take().ok_or_else(|| at(span, "a value without a key"))?;
                members.insert(key, value);
            }
        }
        Ok(())
    }
}

fn refuse(anchor: usize, has_tag: bool, span: Span) -> Result<(), YamlError> {
    if anchor != 0 {
        return Err(at(span, "anchors are not supported"));
    }
    if has_tag {
        return Err(at(span, "tags are not supported"));
    }
    Ok(())
}

/// What a plain scalar means in the core schema (YAML 1.2.2, section 10.3.2); `None` for infinities and NaN, and for
/// numbers outside of what a double holds.
fn resolve(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return None;
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|rest| is_digits(rest, radix)) {
            return u64::from_str_radix(digits, radix).ok().map(Value::from);
        }
    }
    if is_digits(unsigned, 10) {
        let exact = text.strip_prefix('+').unwrap_or(text);
        let integer =
            exact.parse::<i64>().map(Number::from).or_else(|_| exact.parse::<u64>().map(Number::from));
        return integer.ok().or_else(|| exact.parse().ok().and_then(number_from_f64)).map(Value::Number);
    }
    if is_float(unsigned) {
        return text.parse().ok().and_then(number_from_f64).map(Value::Number);
    }
    Some(Value::from(text))
}

fn is_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_digit(radix))
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_good =
        exponent.is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent), 10));
    exponent_good
        && match mantissa.split_once('.') {
            Some(("", decimals)) => is_digits(decimals, 10),
            Some((whole, decimals)) => {
                is_digits(whole, 10) && (decimals.is_empty() || is_digits(decimals, 10))
            }
            None => is_digits(mantissa, 10),
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, YamlError> {
        parse_yaml(text.as_bytes(), &JsonLimits::default())
    }

    #[test]
    fn a_definition_reads_as_the_same_document_in_json() {
        let yaml = "
# a comment
name: Star to chat
vars: {room: '#releases', \"n\": 1.0}
nodes:
  - id: shape
    type: transform
    config:
      template: |
        two
        lines
  - id: done
    type: terminate
edges:
- {from: shape, to: done, port: 'out'}
";
        assert_eq!(
            read(yaml),
            Ok(json!({
                "name": "Star to chat", "vars": {"room": "#releases", "n": 1},
                "nodes": [{"id": "shape", "type": "transform", "config": {"template": "two\nlines\n"}}, {"id": "done", "type": "terminate"}],
                "edges": [{"from": "shape", "to": "done", "port": "out"}]
            }))
        );
        let json = r#"{"a": [1, -2.5e3, "x\u0041\n", true, null, {"b": []}], "c": {}}"#;
        assert_eq!(read(json), Ok(crate::json::parse(json.as_bytes(), &JsonLimits::default()).unwrap()));
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("~", json!(null)),
            ("null", json!(null)),
            ("True", json!(true)),
            ("FALSE", json!(false)),
            ("yes", json!("yes")),
            ("on", json!("on")),
            ("nULL", json!("nULL")),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-0", json!(0)),
            ("007", json!(7)),
            ("0o17", json!(15)),
            ("0xFf", json!(255)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("100000000000000000000", json!(1e20)),
            ("1.0", json!(1)),
            ("-.5", json!(-0.5)),
            ("1.", json!(1)),
            ("1e3", json!(1000)),
            ("1_000", json!("1_000")),
            ("1:30", json!("1:30")),
            ("0b1", json!("0b1")),
            ("1e", json!("1e")),
            (".", json!(".")),
            ("2026-01-02", json!("2026-01-02")),
            ("0x", json!("0x")),
            ("-0x1", json!("-0x1")),
            ("\"12\"", json!("12")),
            ("'true'", json!("true")),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
        for text in [".inf", "-.INF", ".nan", "1e400", "0xFFFFFFFFFFFFFFFFF"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for (text, message) in [
            ("a: &x 1", "anchors"),
            ("a: &x [1]\nb: *x", "anchors"),
            ("&a a: 1", "anchors"),
            ("a: !!str 1", "tags"),
            ("a: !local 1", "tags"),
            ("!!map {a: 1}", "tags"),
            ("a: 1\na: 2", "twice"),
            ("{a: 1, \"a\": 2}", "twice"),
            ("1: a", "key must be a string"),
            ("true: a", "key must be a string"),
            ("? [a]\n: b", "key must be a string"),
            ("? {a: 1}\n: b", "key must be a string"),
            ("a\n---\nb", "second document"),
            ("", "no document"),
            ("# only a comment", "no document"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.message.contains(message) && !error.is_limit, "{text}: {error}");
            assert!(error.line >= 1 && error.column >= 1);
        }
        for text in [
            "%YAML 1.1\n---\na",
            "*x",
            "{a: 1",
            "a: b: c",
            "{\"$serde_json::private::Number\": \"1\"}",
            "\"\\x\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(parse_yaml(b"a: \xff", &JsonLimits::default()).is_err());
    }

    #[test]
    fn merge_keys_are_ordinary_keys() {
        assert_eq!(read("<<: {a: 1}\nb: 2"), Ok(json!({"<<": {"a": 1}, "b": 2})));
    }

    #[test]
    fn nesting_and_size_are_bounded_without_using_the_stack() {
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(|| {
            let flow = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
            let block = |depth: usize| "- ".repeat(depth - 1) + "[]";
            for nested in [flow as fn(usize) -> String, block] {
                assert!(read(&nested(128)).is_ok());
                assert!(read(&nested(129)).is_err());
                assert!(read(&nested(100_000)).is_err());
            }
        });
        thread.unwrap().join().unwrap();
        let limits = JsonLimits::default().with_max_nodes(3);
        assert!(parse_yaml(b"[1, 2]", &limits).is_ok());
        assert!(parse_yaml(b"[1, 2, 3]", &limits).unwrap_err().is_limit);
    }

    #[test]
    fn laughs_do_not_multiply() {
        let mut text = "a: &a [x, x, x, x]\n".to_owned();
        for (this, last) in ('b'..='z').zip('a'..) {
            text.push_str(&format!("{this}: &{this} [*{last}, *{last}, *{last}, *{last}]\n"));
        }
        assert!(read(&text).unwrap_err().message.contains("anchors"));
    }
}
