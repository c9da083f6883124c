//! A node's rendered config as a request.
//!
//! What stands in the definition was checked when it was published; what templates put in was not. So everything
//! is checked again here, and a config that makes no request is a permanent failure. Its message names the
//! member, never a value: values may hold secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, Entry, HeaderMap, HeaderName, HeaderValue};
use meshhook_core::exec::Attempt;
use meshhook_core::failure::{Failure, code};
use meshhook_core::json;
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::StandardSigner;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::guard::{Guard, GuardError, MAX_URL_BYTES};
use crate::header;
use crate::message::Message;

/// What a node asks for, checked.
pub(crate) struct Request {
    pub(crate) message: Message,
    /// What it is signed with, as the last thing before it is sent.
    pub(crate) signing: Option<Signing>,
    pub(crate) redirects: Redirects,
    pub(crate) success: Success,
    pub(crate) parse: Parse,
    pub(crate) max_response_bytes: usize,
}

/// What the host allows.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) guard: &'a Guard,
    pub(crate) max_body_bytes: usize,
}

/// A signature to be made, as Standard Webhooks describes it.
pub(crate) struct Signing {
    signer: StandardSigner,
    id: String,
}

impl Signing {
    /// Signs the bytes that are sent, at this time. A header of the node's cannot take the place of a signature's.
    pub(crate) fn apply(&self, message: &mut Message, now: Timestamp) -> Result<(), Failure> {
        let body = message.body.as_deref().unwrap_or_default();
        let values = self.signer.sign(&self.id, now, body);
        let values = values.map_err(|error| invalid("the idempotency key", &error.to_string()))?;
        for (name, value) in StandardSigner::HEADERS.into_iter().zip(values) {
            message.headers.insert(name, value);
        }
        Ok(())
    }
}

/// What to do with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirects {
    Follow,
    /// Take it as the answer.
    Keep,
}

/// How a response body becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parse {
    /// By media type.
    Auto,
    Json,
    Text,
    Base64,
}

/// The statuses that count as success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Success {
    classes: Vec<u16>,
    statuses: Vec<u16>,
}

impl Success {
    pub(crate) fn includes(&self, status: u16) -> bool {
        self.classes.contains(&(status / 100)) || self.statuses.contains(&status)
    }
}

impl Request {
    /// Reads an attempt's rendered config.
    pub(crate) fn parse(attempt: &mut Attempt, rules: Rules<'_>) -> Result<Self, Failure> {
        let Rules { guard, max_body_bytes } = rules;
        let Value::Object(mut config) = std::mem::take(&mut attempt.config) else {
            return Err(invalid("config", "is not an object"));
        };
        config.retain(|_, value| !value.is_null());

        let method = parse_method(config.remove("method"))?;
        let mut url = parse_url(config.remove("url"), guard)?;
        let mut headers = parse_headers(config.remove("headers"))?;
        let query =
            config.remove("query").map(|query| pairs(query, "query")).transpose()?.unwrap_or_default();
        append_query(&mut url, &query)?;
        if let Some(auth) = config.remove("auth") {
            apply_auth(auth, &mut url, &mut headers)?;
        }
        let body = parse_body(&mut config, &mut headers)?;
        if body.as_ref().is_some_and(|body| body.len() > max_body_bytes) {
            let message = format!("the request body is larger than {max_body_bytes} bytes");
            return Err(Failure::permanent(code::LIMIT_EXCEEDED, message));
        }
        let (parse, max_response_bytes) = parse_response(config.remove("response"))?;
        if let Some(name) = parse_idempotency_header(config.remove("idempotency_header"))? {
            // Last, so that no header of the node's can blank it.
            let value = header::value(&attempt.idempotency_key);
            headers.insert(name, value.map_err(|problem| invalid("the idempotency key", problem))?);
        }
        // A node that says which trace it belongs to knows better.
        if let (Some(trace), Entry::Vacant(entry)) = (attempt.trace, headers.entry(TRACEPARENT)) {
            let value = header::value(&trace.to_string());
            entry.insert(value.map_err(|problem| invalid("the trace", problem))?);
        }
        let request = Self {
            message: Message { method, url, headers, body },
            signing: parse_sign(config.remove("sign"), attempt)?,
            redirects: match config.remove("follow_redirects") {
                None | Some(Value::Bool(false)) => Redirects::Keep,
                Some(Value::Bool(true)) => Redirects::Follow,
                Some(_) => return Err(invalid("follow_redirects", "is neither true nor false")),
            },
            success: parse_success(config.remove("success"))?,
            parse,
            max_response_bytes,
        };
        match config.keys().min() {
            Some(unknown) => Err(invalid(unknown, "is not a member that http_call knows")),
            None => Ok(request),
        }
    }
}

/// The trace that a request belongs to (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The default of `response.max_bytes`.
const DEFAULT_MAX_RESPONSE_BYTES: usize = 1024 * 1024;

fn invalid(member: &str, problem: &str) -> Failure {
    let member: String = member.chars().take(128).collect();
    Failure::permanent(code::INVALID_CONFIG, format!("{member} {problem}"))
}

fn parse_method(value: Option<Value>) -> Result<Method, Failure> {
    let Some(Value::String(text)) = value else {
        return Err(invalid("method", "is missing or not a string"));
    };
    let text = text.to_ascii_uppercase();
    let is_plain =
        !text.is_empty() && text.len() <= 32 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if !is_plain || matches!(text.as_str(), "CONNECT" | "TRACE") {
        return Err(invalid("method", "is not one that can be sent"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| invalid("method", "is not one that can be sent"))
}

fn parse_url(value: Option<Value>, guard: &Guard) -> Result<Url, Failure> {
    let Some(Value::String(text)) = value else {
        return Err(Failure::permanent(code::INVALID_URL, "the URL is missing or not a string"));
    };
    let mut url = guard.parse(&text).map_err(|error| guard_failure(&error))?;
    url.set_fragment(None);
    Ok(url)
}

/// A guard's refusal as a step's failure.
pub(crate) fn guard_failure(error: &GuardError) -> Failure {
    match error {
        GuardError::InvalidUrl(message) => Failure::permanent(code::INVALID_URL, *message),
        GuardError::Blocked(message) => Failure::permanent(code::ADDRESS_BLOCKED, message.as_str()),
        GuardError::Unresolved(message) => Failure::retryable(code::HTTP_CONNECT, message.as_str()),
    }
}

fn append_query(url: &mut Url, pairs: &[(String, String)]) -> Result<(), Failure> {
    if pairs.is_empty() {
        return Ok(());
    }
    url.query_pairs_mut().extend_pairs(pairs);
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(Failure::permanent(code::INVALID_URL, "the URL with its query is longer than 16 KiB"));
    }
    Ok(())
}

fn parse_headers(value: Option<Value>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (text, value) in members(value, "headers")? {
        let member = format!("headers.{text}");
        let name = header::name(&text).map_err(|problem| invalid(&member, problem))?;
        let Some(value) = scalar(value, &member)? else { continue };
        let value = header::value(&value).map_err(|problem| invalid(&member, problem))?;
        if headers.insert(name, value).is_some() {
            return Err(invalid(&member, "is given twice, in different cases"));
        }
    }
    if headers.len() > header::MAX_HEADERS {
        return Err(invalid("headers", "are more than 64"));
    }
    if header::size(&headers) > header::MAX_HEADER_BYTES {
        return Err(invalid("headers", "are larger than 32 KiB"));
    }
    Ok(headers)
}

fn apply_auth(auth: Value, url: &mut Url, headers: &mut HeaderMap) -> Result<(), Failure> {
    let Value::Object(mut auth) = auth else { return Err(invalid("auth", "is not an object")) };
    let kind = auth.remove("type");
    let mut text = |member: &str| -> Result<String, Failure> {
        let path = format!("auth.{member}");
        let value = auth.remove(member).unwrap_or(Value::Null);
        scalar(value, &path)?.ok_or_else(|| invalid(&path, "is missing"))
    };
    let header_value =
        |text: &str, member: &str| header::value(text).map_err(|problem| invalid(member, problem));
    match kind.as_ref().and_then(Value::as_str) {
        Some("bearer") => {
            let token = header_value(&format!("Bearer {}", text("token")?), "auth.token")?;
            headers.insert(AUTHORIZATION, token);
        }
        Some("basic") => {
            let username = text("username")?;
            if username.contains(':') {
                return Err(invalid("auth.username", "contains a colon"));
            }
            let credentials = BASE64.encode(format!("{username}:{}", text("password")?));
            headers.insert(AUTHORIZATION, header_value(&format!("Basic {credentials}"), "auth")?);
        }
        Some("header") => {
            let name = header::name(&text("name")?).map_err(|problem| invalid("auth.name", problem))?;
            headers.insert(name, header_value(&text("value")?, "auth.value")?);
        }
        Some("query") => {
            let pair = (text("name")?, text("value")?);
            append_query(url, &[pair])?;
        }
        _ => return Err(invalid("auth.type", "is not bearer, basic, header or query")),
    }
    auth.retain(|_, value| !value.is_null());
    match auth.keys().min() {
        Some(unknown) => Err(invalid(&format!("auth.{unknown}"), "does not belong to this type of auth")),
        None => Ok(()),
    }
}

fn parse_body(config: &mut Map<String, Value>, headers: &mut HeaderMap) -> Result<Option<Bytes>, Failure> {
    let (body, text, form) = (config.remove("body"), config.remove("body_text"), config.remove("form"));
    let (bytes, media_type) = match (body, text, form) {
        (None, None, None) => return Ok(None),
        (Some(body), None, None) => (json::to_canonical_string(&body), "application/json"),
        (None, Some(text), None) => {
            let text = scalar(text, "body_text")?.unwrap_or_default();
            let is_json = headers.get(CONTENT_TYPE).is_some_and(|value| {
                value.to_str().is_ok_and(|text| crate::response::is_json(&crate::response::essence(text)))
            });
            if is_json && json::parse(text.as_bytes(), &json::JsonLimits::default()).is_err() {
                return Err(invalid("body_text", "is not the JSON that its content-type promises"));
            }
            (text, "text/plain; charset=utf-8")
        }
        (None, None, Some(form)) => {
            let encoded =
                form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(form, "form")?).finish();
            (encoded, "application/x-www-form-urlencoded")
        }
        _ => return Err(invalid("body", "and body_text and form exclude each other")),
    };
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(media_type));
    Ok(Some(bytes.into()))
}

fn parse_response(value: Option<Value>) -> Result<(Parse, usize), Failure> {
    let mut parse = Parse::Auto;
    let mut max_bytes = DEFAULT_MAX_RESPONSE_BYTES;
    for (name, value) in members(value, "response")? {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("parse", value) => {
                parse = match value.as_str() {
                    Some("auto") => Parse::Auto,
                    Some("json") => Parse::Json,
                    Some("text") => Parse::Text,
                    Some("base64") => Parse::Base64,
                    _ => return Err(invalid("response.parse", "is not auto, json, text or base64")),
                };
            }
            ("max_bytes", value) => {
                let bytes = value.as_u64().ok_or_else(|| invalid("response.max_bytes", "is not a size"))?;
                max_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            (name, _) => return Err(invalid(&format!("response.{name}"), "is not a member of response")),
        }
    }
    Ok((parse, max_bytes))
}

fn parse_idempotency_header(value: Option<Value>) -> Result<Option<HeaderName>, Failure> {
    match value {
        None | Some(Value::Bool(true)) => Ok(Some(HeaderName::from_static("idempotency-key"))),
        Some(Value::Bool(false)) => Ok(None),
        Some(Value::String(text)) => {
            header::name(&text).map(Some).map_err(|problem| invalid("idempotency_header", problem))
        }
        Some(_) => Err(invalid("idempotency_header", "is neither a header name nor false")),
    }
}

fn parse_sign(value: Option<Value>, attempt: &Attempt) -> Result<Option<Signing>, Failure> {
    let Some(value) = value else { return Ok(None) };
    let Value::Object(sign) = &value else { return Err(invalid("sign", "is not an object")) };
    if sign.get("scheme").and_then(Value::as_str) != Some("standard") {
        return Err(invalid("sign.scheme", "is not standard"));
    }
    let keys: Option<Vec<&str>> = match sign.get("secret") {
        Some(Value::Array(keys)) => keys.iter().map(Value::as_str).collect(),
        key => key.and_then(Value::as_str).map(|key| vec![key]),
    };
    let keys = keys.ok_or_else(|| invalid("sign.secret", "is not text, or a list of texts"))?;
    let signer = StandardSigner::new(keys).map_err(|error| invalid("sign.secret", &error.to_string()))?;
    Ok(Some(Signing { signer, id: attempt.idempotency_key.clone() }))
}

fn parse_success(value: Option<Value>) -> Result<Success, Failure> {
    let refused = || invalid("success", "is not a list of statuses and classes such as \"2xx\"");
    let entries = match value {
        None => return Ok(Success { classes: vec![2], statuses: Vec::new() }),
        Some(Value::Array(entries)) if entries.len() <= 500 => entries,
        Some(_) => return Err(refused()),
    };
    let mut success = Success { classes: Vec::new(), statuses: Vec::new() };
    for entry in entries {
        match (entry.as_u64(), entry.as_str().map(str::as_bytes)) {
            (Some(status @ 100..=999), _) => success.statuses.push(status as u16),
            (_, Some([class @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'])) => {
                success.classes.push(u16::from(class - b'0'));
            }
            _ => return Err(refused()),
        }
    }
    Ok(success)
}

/// The members of an object in canonical order, so that a request has the same bytes at every attempt.
fn members(value: Option<Value>, member: &str) -> Result<Vec<(String, Value)>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(object)) => {
            let mut members: Vec<_> = object.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| json::compare_keys(a, b));
            Ok(members)
        }
        Some(_) => Err(invalid(member, "is not an object")),
    }
}

/// The names and values of a query or form; arrays repeat their name, null is left out.
fn pairs(value: Value, member: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = Vec::new();
    for (name, value) in members(Some(value), member)? {
        let path = format!("{member}.{name}");
        let values = match value {
            Value::Array(values) => values,
            single => vec![single],
        };
        for value in values {
            if let Some(text) = scalar(value, &path)? {
                pairs.push((name.clone(), text));
            }
        }
    }
    Ok(pairs)
}

/// A scalar as text, `None` for null.
fn scalar(value: Value, member: &str) -> Result<Option<String>, Failure> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) => Ok(Some(json::to_canonical_string(&value))),
        Value::Array(_) | Value::Object(_) => Err(invalid(member, "is not a string, number or boolean")),
    }
}
