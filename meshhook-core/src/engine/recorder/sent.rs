//! What was sent, and the form in which it is sealed.

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::note::{MAX_METHOD, cut};
use crate::json;
use crate::webhook::RawRequest;

/// What was sent.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Sent {
    pub(in crate::engine) method: String,
    pub(in crate::engine) url: String,
    pub(in crate::engine) query: String,
    pub(in crate::engine) headers: HeaderMap,
    /// Its body, or the first part of it.
    pub(in crate::engine) body: Vec<u8>,
    /// Whether all of the body is here.
    pub(in crate::engine) is_whole: bool,
}

impl Sent {
    /// A request with this part of its body.
    pub(super) fn of(request: &RawRequest<'_>, body: &[u8]) -> Self {
        Self {
            method: cut(request.method, MAX_METHOD),
            url: request.url.to_owned(),
            query: request.query.to_owned(),
            headers: request.headers.clone(),
            body: body.to_vec(),
            is_whole: body.len() == request.body.len(),
        }
    }

    /// As bytes to be sealed.
    pub(super) fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let head = Head {
            method: self.method.clone(),
            url: self.url.clone(),
            query: self.query.clone(),
            headers: headers.collect(),
        };
        let head = serde_json::to_value(&head).unwrap_or_default();
        let mut bytes = json::to_canonical_string(&head).into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads back what was sealed; `None` when it is something else.
    pub(in crate::engine) fn decode(bytes: &[u8], is_whole: bool) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let Head { method, url, query, headers: pairs } = serde_json::from_slice(&bytes[..end]).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value: Vec<u8> = value.chars().map(u8::try_from).collect::<Result<_, _>>().ok()?;
            let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, http::HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self { method, url, query, headers, body: bytes[end + 1..].to_vec(), is_whole })
    }

    pub(in crate::engine) fn request(&self) -> RawRequest<'_> {
        let Self { method, url, query, headers, body, .. } = self;
        RawRequest { method, url, query, headers, body }
    }
}

/// The head of a sealed request; its body follows after a line feed, which canonical JSON has none of.
#[derive(Serialize, Deserialize)]
struct Head {
    method: String,
    url: String,
    query: String,
    /// Names and values, each byte of a value as one character.
    headers: Vec<(String, String)>,
}
