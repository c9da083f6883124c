//! Headers and query strings as expressions see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::handshake::{HANDSHAKES, handshake};
use super::preset::{PRESETS, preset};
use crate::secret::MASK;

/// The most header lines that a delivery may have.
pub const MAX_HEADERS: usize = 256;

/// The most `name=value` pairs that a query string may have.
pub const MAX_QUERY_PAIRS: usize = 1_000;

/// The headers as an object: names in lower case, repeated ones joined by `, `.
///
/// Bytes outside ASCII are read as ISO 8859-1, the one reading that loses nothing.
///
/// # Errors
///
/// When there are more than [`MAX_HEADERS`].
pub fn headers_value(headers: &HeaderMap) -> Result<Value, HeadError> {
    if headers.len() > MAX_HEADERS {
        return Err(HeadError::TooManyHeaders);
    }
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        let text = joined.entry(name.as_str()).or_default();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.extend(value.as_bytes().iter().copied().map(char::from));
    }
    Ok(Value::Object(joined.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text))).collect()))
}

/// A query string (without its `?`) as an object: percent-decoded, repeated names as arrays in their order.
///
/// Bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
///
/// When there are more than [`MAX_QUERY_PAIRS`], or a name is one that cannot be stored.
pub fn query_value(query: &str) -> Result<Value, HeadError> {
    if query.split('&').count() > MAX_QUERY_PAIRS {
        return Err(HeadError::TooManyQueryPairs);
    }
    let mut value = pairs_value(query.as_bytes());
    crate::json::normalize(&mut value).map_err(|_| HeadError::ReservedName)?;
    Ok(value)
}

/// `application/x-www-form-urlencoded` as an object; a name that occurs more than once holds an array.
pub(super) fn pairs_value(encoded: &[u8]) -> Value {
    let mut members: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        members.entry(name.into_owned()).or_default().push(Value::String(value.into_owned()));
    }
    let single = |mut values: Vec<Value>| match values.len() {
        1 => values.remove(0),
        _ => Value::Array(values),
    };
    Value::Object(members.into_iter().map(|(name, values)| (name, single(values))).collect::<Map<_, _>>())
}

/// Replaces the values of headers that carry a credential, in an object made by [`headers_value`].
///
/// Filters and keys are evaluated on the headers as they came; what is stored (a run's trigger, a delivery) is
/// redacted first, since it may be read by many and for long:
///
/// - `authorization`, `proxy-authorization` and `cookie`;
/// - the header that is the token of a preset, or the secret of a handshake, whatever scheme the hook has now: a sender
///   does not know what its hook was changed to, and what was refused under one scheme may be replayed under another;
/// - those in `also`, which for a hook are [`VerifyConfig::credential_headers`](super::VerifyConfig::credential_headers).
///
/// All others are what workflows work with, whatever their names: Twilio's `i-twilio-idempotency-token` is an id.
/// Signatures stay: they prove one body and open nothing.
pub fn redact_headers(headers: &mut Value, also: &[&str]) {
    let Value::Object(members) = headers else { return };
    for name in STANDARD.iter().copied().chain(KNOWN.iter().map(String::as_str)).chain(also.iter().copied()) {
        if let Some(value) = members.get_mut(name) {
            *value = Value::String(MASK.to_owned());
        }
    }
}

const STANDARD: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// The headers that are a credential at any of the known providers.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let schemes = PRESETS.iter().filter_map(|name| preset(name));
    let tokens = schemes.filter_map(|scheme| scheme.credential_header().map(str::to_owned));
    let handshakes = HANDSHAKES.iter().flat_map(|name| handshake(name));
    let secrets = handshakes.filter_map(|rule| rule.credential_header().map(str::to_owned));
    tokens.chain(secrets).collect()
});

/// Why a request's head was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// More than [`MAX_HEADERS`] header lines.
    #[error("more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// More than [`MAX_QUERY_PAIRS`] pairs in the query string.
    #[error("more than {MAX_QUERY_PAIRS} names in the query")]
    TooManyQueryPairs,
    /// A name that the JSON library keeps for itself.
    #[error("a name in the query is reserved")]
    ReservedName,
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    #[test]
    fn header_names_are_lower_case_and_repeated_ones_joined() {
        let mut headers = HeaderMap::new();
        headers.append("X-B", "2".parse().unwrap());
        headers.append("Accept", "a".parse().unwrap());
        headers.append("accept", "b, c".parse().unwrap());
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        headers.append("x-empty", HeaderValue::from_static(""));
        let expected = json!({"accept": "a, b, c", "x-b": "2", "x-empty": "", "x-latin": "café"});
        assert_eq!(headers_value(&headers), Ok(expected));
    }

    #[test]
    fn too_many_headers_are_refused() {
        let mut headers = HeaderMap::new();
        for i in 0..MAX_HEADERS {
            headers
                .append(HeaderName::from_bytes(format!("x-{i}").as_bytes()).unwrap(), "1".parse().unwrap());
        }
        assert!(headers_value(&headers).is_ok());
        headers.append("x-0", "again".parse().unwrap());
        assert_eq!(headers_value(&headers), Err(HeadError::TooManyHeaders));
    }

    #[test]
    fn queries_decode_and_collect_repeated_names() {
        let check = |query: &str, expected: Value| assert_eq!(query_value(query), Ok(expected), "{query}");
        check("", json!({}));
        check("a=1&b=two+words&c=%C3%A9", json!({"a": "1", "b": "two words", "c": "é"}));
        check("a=1&b=x&a=2&a=", json!({"a": ["1", "2", ""], "b": "x"}));
        check("flag&=v&a[]=1", json!({"flag": "", "": "v", "a[]": "1"}));
        check("x=%FF%zz", json!({"x": "\u{fffd}%zz"}));
        check("__proto__=1&$ref=2", json!({"__proto__": "1", "$ref": "2"}));
    }

    #[test]
    fn long_queries_and_reserved_names_are_refused() {
        let pairs = |n: usize| vec!["a=1"; n].join("&");
        assert!(query_value(&pairs(MAX_QUERY_PAIRS)).is_ok());
        assert_eq!(query_value(&pairs(MAX_QUERY_PAIRS + 1)), Err(HeadError::TooManyQueryPairs));
        assert_eq!(query_value("$serde_json::private::Number=1"), Err(HeadError::ReservedName));
    }

    #[test]
    fn credentials_are_redacted_and_the_rest_is_kept() {
        let mut headers = json!({"authorization": "Bearer x", "cookie": "s=1", "x-key": "t", "x-a": "1"});
        redact_headers(&mut headers, &["x-key", "x-absent"]);
        let expected = json!({"authorization": "***", "cookie": "***", "x-key": "***", "x-a": "1"});
        assert_eq!(headers, expected);
    }

    #[test]
    fn what_is_a_credential_at_a_known_provider_is_redacted_under_any_scheme() {
        let known: Vec<&str> = KNOWN.iter().map(String::as_str).collect();
        assert_eq!(known, ["x-gitlab-token", "x-hook-secret", "x-telegram-bot-api-secret-token"]);
        let mut headers = json!({"x-gitlab-token": "t", "x-gitlab-event": "Push Hook"});
        redact_headers(&mut headers, &[]);
        assert_eq!(headers, json!({"x-gitlab-token": "***", "x-gitlab-event": "Push Hook"}));
    }

    #[test]
    fn signatures_and_ids_are_kept_also_where_their_names_speak_of_tokens() {
        let kept = json!({"x-hub-signature-256": "sha256=00", "i-twilio-idempotency-token": "i", "x-csrf-token": "c"});
        let mut headers = kept.clone();
        redact_headers(&mut headers, &[]);
        assert_eq!(headers, kept);
    }
}
