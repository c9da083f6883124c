//! Reading JSON strictly.
//!
//! serde_json reads the text; a visitor of our own builds the value, so that duplicate members, depth and size are
//! checked while reading and numbers come out in normal form. With the feature `arbitrary_precision`, which any
//! crate in an embedder's build can turn on, serde_json presents a number as an object with a magic key; the visitor
//! recognizes it.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{JsonError, JsonErrorKind};
use super::number_from_f64;

/// What [`parse`] accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonLimits {
    /// How deep arrays and objects may nest: 0 allows scalars only, 1 allows `[]`. Values past
    /// [`JsonLimits::DEPTH_CEILING`] mean that ceiling.
    pub max_depth: usize,
    /// How many values (scalars, arrays and objects, at every level) the document may hold.
    pub max_nodes: Option<usize>,
}

impl JsonLimits {
    /// The deepest nesting that [`parse`] can be asked to accept; it reads this deep within a 2 MiB stack.
    pub const DEPTH_CEILING: usize = 512;

    /// Sets [`JsonLimits::max_depth`].
    #[must_use]
    pub fn with_max_depth(mut self, max_depth: usize) -> Self {
        self.max_depth = max_depth;
        self
    }

    /// Sets [`JsonLimits::max_nodes`].
    #[must_use]
    pub fn with_max_nodes(mut self, max_nodes: usize) -> Self {
        self.max_nodes = Some(max_nodes);
        self
    }
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { max_depth: 128, max_nodes: None }
    }
}

/// Reads one JSON value, strictly, with its numbers in normal form.
///
/// # Errors
///
/// For anything that is not exactly one JSON value in UTF-8 within the limits; see [`JsonErrorKind`].
pub fn parse(bytes: &[u8], limits: &JsonLimits) -> Result<Value, JsonError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            return Err(JsonError::at_offset(
                JsonErrorKind::InvalidUtf8,
                bytes,
                error.valid_up_to(),
                "invalid UTF-8",
            ));
        }
    };
    if text.starts_with('\u{feff}') {
        return Err(JsonError::at_offset(
            JsonErrorKind::ByteOrderMark,
            bytes,
            0,
            "byte order mark before the value",
        ));
    }
    let mut reading = Reading {
        max_depth: limits.max_depth.min(JsonLimits::DEPTH_CEILING),
        depth: 0,
        nodes_left: limits.max_nodes.unwrap_or(usize::MAX),
        refused: None,
        path: Vec::new(),
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.disable_recursion_limit();
    let read = Seed(&mut reading).deserialize(&mut deserializer).map_err(|error| (error, false));
    match read.and_then(|value| deserializer.end().map(|()| value).map_err(|error| (error, true))) {
        Ok(value) => Ok(value),
        Err((error, trailing)) => Err(explain(&error, trailing, bytes, &reading)),
    }
}

/// The keys serde_json uses between its serializers and deserializers.
pub(super) fn is_reserved_key(key: &str) -> bool {
    key.starts_with("$serde_json::private::")
}

/// What is known while a text is being read.
struct Reading {
    max_depth: usize,
    depth: usize,
    nodes_left: usize,
    /// Why the visitor refused a value, since serde's errors carry only text.
    refused: Option<JsonErrorKind>,
    /// The way back up from the value that failed, innermost first.
    path: Vec<Step>,
}

enum Step {
    Index(usize),
    Key(String),
}

impl Reading {
    fn refuse<E: serde::de::Error>(&mut self, kind: JsonErrorKind, message: &str) -> E {
        self.refused = Some(kind);
        E::custom(message)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth == self.max_depth {
            return Err(self.refuse(JsonErrorKind::TooDeep, "nesting is too deep"));
        }
        self.depth += 1;
        Ok(())
    }

    fn number<E: serde::de::Error>(&mut self, number: Option<Number>) -> Result<Value, E> {
        number
            .map(Value::Number)
            .ok_or_else(|| self.refuse(JsonErrorKind::NumberOutOfRange, "number out of range"))
    }
}

struct Seed<'r>(&'r mut Reading);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.nodes_left.checked_sub(1) {
            Some(left) => self.0.nodes_left = left,
            None => return Err(self.0.refuse(JsonErrorKind::TooManyNodes, "too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.number(number_from_f64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.enter()?;
        let mut items = Vec::new();
        loop {
            match access.next_element_seed(Seed(self.0)) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => {
                    self.0.path.push(Step::Index(items.len()));
                    return Err(error);
                }
            }
        }
        self.0.depth -= 1;
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut first = access.next_key::<String>()?;
        if first.as_deref().is_some_and(is_reserved_key) {
            // Under `arbitrary_precision` a number arrives here, its text handed over as an owned string; what is read
            // from a document is never handed over as owned.
            return match access.next_value_seed(NumberText)? {
                Some(text) => self.0.number(number_from_text(&text)),
                None => Err(self.0.refuse(JsonErrorKind::ReservedKey, "member name is reserved")),
            };
        }
        self.0.enter()?;
        let mut members = Map::new();
        while let Some(key) = first.take().map_or_else(|| access.next_key::<String>(), |key| Ok(Some(key)))? {
            if members.contains_key(&key) {
                self.0.path.push(Step::Key(key));
                return Err(self.0.refuse(JsonErrorKind::DuplicateKey, "duplicate member name"));
            }
            if is_reserved_key(&key) {
                return Err(self.0.refuse(JsonErrorKind::ReservedKey, "member name is reserved"));
            }
            match access.next_value_seed(Seed(self.0)) {
                Ok(item) => members.insert(key, item),
                Err(error) => {
                    self.0.path.push(Step::Key(key));
                    return Err(error);
                }
            };
        }
        self.0.depth -= 1;
        Ok(Value::Object(members))
    }
}

/// Takes the text of a number that `arbitrary_precision` presents; `None` for anything read from the document.
struct NumberText;

impl<'de> DeserializeSeed<'de> for NumberText {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of a number")
    }

    fn visit_string<E>(self, text: String) -> Result<Option<String>, E> {
        Ok(Some(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<String>, E> {
        Ok(None)
    }
}

fn number_from_text(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        Some(integer.into())
    } else if let Ok(integer) = text.parse::<u64>() {
        Some(integer.into())
    } else {
        text.parse::<f64>().ok().and_then(number_from_f64)
    }
}

fn explain(error: &serde_json::Error, trailing: bool, bytes: &[u8], reading: &Reading) -> JsonError {
    let text = error.to_string();
    // serde_json appends the position, which we carry apart.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    let kind = match reading.refused {
        Some(kind) => kind,
        None if trailing => JsonErrorKind::TrailingData,
        None if error.is_eof() => JsonErrorKind::UnexpectedEnd,
        None if message == "number out of range" => JsonErrorKind::NumberOutOfRange,
        None if message.contains("surrogate")
            || message.contains("escape")
            || message.contains("unicode") =>
        {
            JsonErrorKind::InvalidEscape
        }
        None => JsonErrorKind::Syntax,
    };
    let mut pointer = String::new();
    for step in reading.path.iter().rev() {
        pointer.push('/');
        match step {
            Step::Index(index) => pointer.push_str(&index.to_string()),
            Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
        }
    }
    let line_start = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let offset = (line_start + error.column().saturating_sub(1)).min(bytes.len());
    JsonError { kind, line: error.line(), column: error.column(), offset, pointer, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::{depth, to_canonical_string};

    fn read(text: &str) -> Result<Value, JsonError> {
        parse(text.as_bytes(), &JsonLimits::default())
    }

    fn nested(depth: usize) -> Vec<u8> {
        [vec![b'['; depth], vec![b']'; depth]].concat()
    }

    #[test]
    fn documents_are_read_with_numbers_in_normal_form() {
        let value = read(r#" {"a": [1.0, 1e2, -0.0, -0, 1.5, 18446744073709551615, 18446744073709551616], "b": {"c": "d\u00e9\n"}, "e": [null, true]} "#).unwrap();
        assert_eq!(
            value,
            json!({"a": [1, 100, 0, 0, 1.5, u64::MAX, 1.8446744073709552e19], "b": {"c": "dé\n"}, "e": [null, true]})
        );
    }

    #[test]
    fn each_defect_has_its_kind() {
        use JsonErrorKind::*;
        for (text, kind) in [
            ("", UnexpectedEnd),
            ("[1", UnexpectedEnd),
            ("[1,]", Syntax),
            ("{'a':1}", Syntax),
            ("nan", Syntax),
            ("01", Syntax),
            ("+1", Syntax),
            ("[1.]", Syntax),
            ("1 2", TrailingData),
            ("{}x", TrailingData),
            ("\u{feff}{}", ByteOrderMark),
            (r#"{"a":1,"a":1}"#, DuplicateKey),
            (r#"{"a":1,"\u0061":1}"#, DuplicateKey),
            (r#""\ud800""#, InvalidEscape),
            (r#""\udc00""#, InvalidEscape),
            (r#""\ud800\ud800""#, InvalidEscape),
            (r#""\x""#, InvalidEscape),
            ("\"a\u{1}\"", Syntax),
            ("1e400", NumberOutOfRange),
            ("[-1e400]", NumberOutOfRange),
            (r#"{"$serde_json::private::Number":"1"}"#, ReservedKey),
            (r#"{"a":1,"$serde_json::private::RawValue":"1"}"#, ReservedKey),
        ] {
            assert_eq!(read(text).map_err(|error| error.kind), Err(kind), "{text:?}");
        }
        assert_eq!(parse(b"\"\xff\"", &JsonLimits::default()).unwrap_err().kind, InvalidUtf8);
    }

    #[test]
    fn an_error_says_where_it_is() {
        let error = read("{\"a\": [1,\n  {\"b/c\": 1, \"b/c\": 2}]}").unwrap_err();
        assert_eq!((error.line, error.pointer.as_str()), (2, "/a/1/b~1c"));
        assert_eq!(error.to_string(), "duplicate member name at line 2 column 18 (in /a/1/b~1c)");
        let error = parse(b"[1,\n\xff]", &JsonLimits::default()).unwrap_err();
        assert_eq!((error.line, error.column, error.offset), (2, 1, 4));
        let error = read("[1, 2, x]").unwrap_err();
        assert_eq!((error.offset, error.pointer.as_str()), (7, "/2"));
    }

    #[test]
    fn depth_at_the_limit_works_and_one_more_does_not() {
        let limits = JsonLimits::default();
        assert_eq!(depth(&parse(&nested(128), &limits).unwrap()), 128);
        assert_eq!(parse(&nested(129), &limits).unwrap_err().kind, JsonErrorKind::TooDeep);
        assert_eq!(parse(b"1", &JsonLimits::default().with_max_depth(0)), Ok(json!(1)));
        assert!(parse(b"[]", &JsonLimits::default().with_max_depth(0)).is_err());
        assert_eq!(
            parse(br#"{"a":{}}"#, &JsonLimits::default().with_max_depth(1)).unwrap_err().pointer,
            "/a"
        );
    }

    #[test]
    fn the_deepest_allowed_nesting_fits_a_two_mebibyte_stack() {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(|| {
                let limits = JsonLimits::default().with_max_depth(usize::MAX);
                assert!(parse(&nested(JsonLimits::DEPTH_CEILING), &limits).is_ok());
                let objects = [r#"{"a":"#.repeat(512), "1".to_owned(), "}".repeat(512)].concat();
                assert!(parse(objects.as_bytes(), &limits).is_ok());
                assert_eq!(parse(&nested(1_000_000), &limits).unwrap_err().kind, JsonErrorKind::TooDeep);
                assert_eq!(parse(&vec![b'['; 1_000_000], &limits).unwrap_err().kind, JsonErrorKind::TooDeep);
            })
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn the_number_of_values_can_be_limited() {
        let limits = JsonLimits::default().with_max_nodes(4);
        assert!(parse(b"[1,2,3]", &limits).is_ok());
        assert_eq!(parse(b"[1,2,3,4]", &limits).unwrap_err().kind, JsonErrorKind::TooManyNodes);
        assert!(parse(br#"{"a":[1,2]}"#, &limits).is_ok());
    }

    #[test]
    fn the_text_of_any_number_is_read_like_the_number() {
        for text in [
            "0",
            "-0",
            "1.0",
            "1e2",
            "1.5",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "1e-400",
        ] {
            assert_eq!(number_from_text(text).map(Value::Number), read(text).ok(), "{text}");
        }
        assert_eq!(number_from_text("1e400"), None);
    }

    proptest::proptest! {
        #[test]
        fn normalized_values_survive_writing_and_reading(value in crate::json::parse::tests::any_value()) {
            let text = to_canonical_string(&value);
            let back = parse(text.as_bytes(), &JsonLimits::default()).unwrap();
            proptest::prop_assert_eq!(&back, &value);
            proptest::prop_assert_eq!(to_canonical_string(&back), text);
        }

        #[test]
        fn any_bytes_are_read_or_refused_like_serde_json_does(text in r#"[\[\]{}:,"\\ua01e.\-+ tn]{0,24}"#) {
            let ours = parse(text.as_bytes(), &JsonLimits::default());
            match (serde_json::from_str::<Value>(&text), ours) {
                (Ok(mut theirs), Ok(ours)) => {
                    crate::json::normalize(&mut theirs).unwrap();
                    proptest::prop_assert_eq!(theirs, ours);
                }
                (Err(_), Err(_)) => {}
                (Ok(_), Err(error)) => proptest::prop_assert_eq!(error.kind, JsonErrorKind::DuplicateKey),
                (Err(error), Ok(_)) => proptest::prop_assert!(false, "accepted {text:?}, serde_json says {error}"),
            }
        }
    }

    /// Values in normal form.
    fn any_value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |double| number_from_f64(double).map(Value::Number)),
            (-100_000_i32..100_000)
                .prop_map(|i| number_from_f64(f64::from(i) / 100.0).map_or(Value::Null, Value::Number)),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
