//! A response as a value: what a step's output and an `http_status` failure hold.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use encoding_rs::UTF_8;
use http::header::{CONTENT_TYPE, HeaderMap, SET_COOKIE};
use http::{Method, StatusCode};
use meshhook_core::json::{self, JsonLimits};
use serde_json::{Map, Value};

use crate::body::Encoding;
use crate::request::Parse;

/// The most bytes of a body that an `http_status` failure keeps.
pub(crate) const EXCERPT_BYTES: usize = 4 * 1024;

/// The most bytes of headers that an answer may have.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Whether an answer has no body by definition.
pub(crate) fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status.as_u16(), 204 | 205 | 304)
}

/// Makes a body's value.
///
/// # Errors
///
/// Says what is wrong with a body that is not what it should be.
pub(crate) fn body_value(
    parse: Parse,
    headers: &HeaderMap,
    encoding: Encoding,
    bytes: &[u8],
) -> Result<Value, String> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = essence(content_type);
    let parse = match parse {
        // An encoding that nobody can undo here leaves no text to read.
        Parse::Auto if encoding == Encoding::Other => Parse::Base64,
        Parse::Auto if is_json(&essence) && bytes.is_empty() => return Ok(Value::Null),
        Parse::Auto if is_json(&essence) => Parse::Json,
        Parse::Auto if essence.starts_with("text/") => Parse::Text,
        Parse::Auto => Parse::Base64,
        chosen => chosen,
    };
    if encoding == Encoding::Other && parse != Parse::Base64 {
        return Err("the response's content-encoding is not supported".into());
    }
    match parse {
        Parse::Json => {
            // Some servers prefix a byte order mark that RFC 8259 lets readers ignore.
            let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            json::parse(text, &JsonLimits::default())
                .map_err(|error| format!("the response is not valid JSON: {}", describe(&error)))
        }
        Parse::Text => Ok(Value::String(text(content_type, bytes))),
        Parse::Base64 | Parse::Auto => Ok(Value::String(BASE64.encode(bytes))),
    }
}

/// Where and how JSON is wrong, without quoting any of it.
fn describe(error: &json::JsonError) -> String {
    format!("line {} column {}", error.line, error.column)
}

/// A body as text in the charset that its media type names, else UTF-8; what does not fit becomes U+FFFD.
pub(crate) fn text(content_type: &str, bytes: &[u8]) -> String {
    let encoding = charset(content_type)
        .and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()))
        .unwrap_or(UTF_8);
    encoding.decode(bytes).0.into_owned()
}

/// Cuts text to the length that a failure keeps. Mask it before: half a secret is not recognized any more.
pub(crate) fn excerpt(mut text: String) -> String {
    let end = (0..=EXCERPT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
    text
}

/// Headers as an object: names in lower case, repeated ones joined, `set-cookie` an array. Names beyond `max_bytes`
/// are left out.
pub(crate) fn headers_value(headers: &HeaderMap, max_bytes: usize) -> Value {
    let mut object = Map::new();
    let mut size = 0;
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        size += values.iter().map(|value| name.as_str().len() + value.len()).sum::<usize>();
        if size > max_bytes {
            break;
        }
        let value = if name == SET_COOKIE {
            values.iter().map(|value| Value::from(value.as_ref())).collect()
        } else {
            Value::from(values.join(", "))
        };
        object.insert(name.as_str().to_owned(), value);
    }
    Value::Object(object)
}

/// A media type without its parameters, in lower case.
pub(crate) fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether a media type is JSON.
pub(crate) fn is_json(essence: &str) -> bool {
    essence == "application/json"
        || essence == "text/json"
        || (essence.contains('/') && essence.ends_with("+json"))
}

fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn value(parse: Parse, content_type: &str, bytes: &[u8]) -> Result<Value, String> {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        body_value(parse, &headers, Encoding::Identity, bytes)
    }

    #[test]
    fn the_media_type_decides() {
        for (content_type, bytes, expected) in [
            ("application/json", &b"{\"a\": [1, 18446744073709551615]}"[..], json!({"a": [1, u64::MAX]})),
            ("Application/JSON; charset=utf-8", b"1.0", json!(1)),
            ("application/vnd.api+json", b"null", json!(null)),
            ("application/json", b"", json!(null)),
            ("application/json", b"\xEF\xBB\xBF[]", json!([])),
            ("text/plain", b"hi", json!("hi")),
            ("text/html", b"<script>", json!("<script>")),
            ("text/plain; charset=iso-8859-1", b"gr\xfc\xdfe", json!("gr\u{fc}\u{df}e")),
            ("text/plain; charset=\"windows-1252\"", b"\x80", json!("€")),
            ("text/plain; charset=utf-16le", b"h\0i\0", json!("hi")),
            ("text/plain; charset=nonsense", b"a\xff", json!("a\u{fffd}")),
            ("text/csv", b"", json!("")),
            ("application/xml", b"<a/>", json!("PGEvPg==")),
            ("application/octet-stream", b"\0\xff", json!("AP8=")),
            ("", b"{}", json!("e30=")),
            ("json", b"{}", json!("e30=")),
        ] {
            assert_eq!(value(Parse::Auto, content_type, bytes), Ok(expected), "{content_type}");
        }
    }

    #[test]
    fn a_chosen_form_overrules_the_media_type() {
        assert_eq!(value(Parse::Json, "text/plain", b"[1]"), Ok(json!([1])));
        assert_eq!(value(Parse::Text, "application/json", b"[1]"), Ok(json!("[1]")));
        assert_eq!(value(Parse::Base64, "application/json", b"[1]"), Ok(json!("WzFd")));
    }

    #[test]
    fn invalid_json_is_an_error_that_quotes_nothing() {
        for bytes in [
            &b"{\"token\": \"hunter2hunter2\""[..],
            b"",
            b"{\"a\":1,\"a\":2}",
            b"\"\\ud800\"",
            b"\xff",
            b"1 2",
        ] {
            let message = value(Parse::Json, "", bytes).unwrap_err();
            assert!(message.starts_with("the response is not valid JSON"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let deep = "[".repeat(100_000);
        assert!(value(Parse::Auto, "application/json", deep.as_bytes()).is_err());
    }

    #[test]
    fn repeated_headers_are_joined_and_cookies_listed() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-a", "1"), ("x-a", "2"), ("set-cookie", "a=1, b"), ("set-cookie", "c=2"), ("x-b", "")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(
            headers_value(&headers, 1_000),
            json!({"x-a": "1, 2", "set-cookie": ["a=1, b", "c=2"], "x-b": ""})
        );
        assert_eq!(headers_value(&headers, 5), json!({}));
    }

    #[test]
    fn excerpts_end_at_a_character() {
        assert_eq!(excerpt("short".into()), "short");
        assert_eq!(excerpt("é".repeat(4_000)).len(), EXCERPT_BYTES);
        assert_eq!(excerpt(format!("a{}", "é".repeat(4_000))).len(), EXCERPT_BYTES - 1);
    }
}
