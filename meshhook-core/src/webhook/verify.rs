//! Verification: whether a request comes from who it says, decided on raw bytes.
//!
//! The order is fixed. First everything that costs little and says nothing about a secret: the header is there
//! once, holds at most [`MAX_CANDIDATES`] signatures, and they are well formed. Then the signatures, each
//! against each key, compared in constant time by the MAC itself. Then the time, which only means something once
//! it is known who wrote it. A sender learns from none of this more than "refused".
//!
//! **Residual risk, by scheme.** Without a signed timestamp (GitHub, Shopify, Square, Twilio, every token) a captured
//! request stays valid for as long as the key; without a signed delivery id (all whose id stands in a header,
//! Standard Webhooks and Twitch apart) the repeated delivery can claim to be a new one. Where only some members of
//! the body are signed (Adyen, Mailgun), the others are whatever the sender says. Use HTTPS, and make what follows
//! idempotent by something that is signed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use base64::Engine as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::body::{BodyKind, MediaType};
use super::config::VerifyConfig;
use super::refusal::Refusal;
use super::scheme::{Extraction, Part, Scheme, SignatureScheme, Source, TimestampUnit, TokenScheme};
use super::signature::{Key, STANDARD, decode, same};
use crate::json::JsonLimits;
use crate::secret::SecretValue;
use crate::time::Timestamp;

/// A request as it came, before anything was parsed.
#[derive(Debug, Clone, Copy)]
pub struct RawRequest<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The public URL, as the server rebuilt it; a URL in the hook's config takes its place.
    pub url: &'a str,
    /// The query string as sent, without its `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body's bytes on the wire.
    pub body: &'a [u8],
}

/// A request whose sender is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verified {
    /// Which of the hook's secrets matched, as an index into [`VerifyConfig::secret_names`]; `None` when the
    /// scheme has none. A hook whose traffic all matches the newer secret no longer needs the older.
    pub key_index: Option<usize>,
    /// The delivery's identity by the scheme: the default key for recognizing duplicates.
    pub delivery_id: Option<String>,
    /// When the request was signed.
    pub timestamp: Option<Timestamp>,
}

/// What a request says of itself, whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The delivery's identity by the scheme.
    pub delivery_id: Option<String>,
    /// When the request was signed.
    pub timestamp: Option<Timestamp>,
}

impl VerifyConfig {
    /// Decides whether the request comes from somebody who knows a secret.
    ///
    /// `secrets` has one entry for each of [`secret_names`](Self::secret_names), in that order: `None` where the
    /// vault lacks it.
    ///
    /// # Errors
    ///
    /// The reason, for the record. The sender is only told that the request was refused.
    pub fn verify(
        &self,
        request: &RawRequest<'_>,
        secrets: &[Option<&SecretValue>],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        if matches!(self.scheme, Scheme::None) {
            return Ok(Verified::default());
        }
        let secrets: Vec<Secret<'_>> = secrets
            .iter()
            .enumerate()
            .filter_map(|(index, secret)| Some((index, secret.filter(|s| !s.is_empty())?.expose())))
            .collect();
        if secrets.is_empty() && !self.secrets_stand_elsewhere() {
            return Err(Refusal::NeedsSecret);
        }
        match &self.scheme {
            Scheme::None => Ok(Verified::default()),
            Scheme::Signature(schemes) => self.verify_any(schemes, request, &secrets, now),
            Scheme::Jwt(scheme) => scheme.verify(request, &secrets, now),
            Scheme::Token(scheme) => verify_token(scheme, request, &secrets),
            Scheme::Basic { username } => verify_basic(username, request, &secrets),
        }
    }

    /// What the request says of itself where the scheme looks for it, verified or not: for people who look at what was
    /// refused, and for what somebody else vouches for.
    #[must_use]
    pub fn claims(&self, request: &RawRequest<'_>) -> Claims {
        match &self.scheme {
            Scheme::Signature(schemes) => {
                let of_each = schemes.iter().map(|scheme| {
                    let found = Found::new(scheme, request);
                    let found = found.unwrap_or_else(|_| Found::without_signature(request));
                    let timestamp = scheme.timestamp.as_ref().and_then(|rule| {
                        parse_timestamp(&found.get(&rule.source).ok().flatten()?, rule.unit)
                    });
                    let delivery_id = delivery_id(&found, &scheme.delivery_id).ok().flatten();
                    Claims { delivery_id, timestamp }
                });
                let some = |claims: &Claims| claims.delivery_id.is_some() || claims.timestamp.is_some();
                of_each.into_iter().find(some).unwrap_or_default()
            }
            Scheme::Token(scheme) => {
                let found = Found::without_signature(request);
                let delivery_id = delivery_id(&found, &scheme.delivery_id).ok().flatten();
                Claims { delivery_id, timestamp: None }
            }
            Scheme::None | Scheme::Jwt(_) | Scheme::Basic { .. } => Claims::default(),
        }
    }

    /// Whether the keys are part of the config.
    fn secrets_stand_elsewhere(&self) -> bool {
        matches!(&self.scheme, Scheme::Jwt(scheme) if scheme.keys.is_some())
    }

    /// Tries each form; of several refusals, the one that came closest is the reason.
    fn verify_any(
        &self,
        schemes: &[SignatureScheme],
        request: &RawRequest<'_>,
        secrets: &[Secret<'_>],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let mut reason = Refusal::HeaderMissing;
        for (nth, scheme) in schemes.iter().enumerate() {
            match self.verify_signature(scheme, request, secrets, now) {
                Err(refusal) if nth == 0 || refusal.depth() > reason.depth() => reason = refusal,
                Err(_) => {}
                accepted => return accepted,
            }
        }
        Err(reason)
    }

    fn verify_signature(
        &self,
        scheme: &SignatureScheme,
        request: &RawRequest<'_>,
        secrets: &[Secret<'_>],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let found = Found::new(scheme, request)?;
        let keys: Vec<(usize, Key)> = secrets
            .iter()
            .filter_map(|(index, secret)| Some((*index, Key::prepare(scheme.key, scheme.algorithm, secret)?)))
            .collect();
        if keys.is_empty() {
            return Err(Refusal::BadKey);
        }
        let timestamp = match &scheme.timestamp {
            Some(rule) if scheme.signs(&Part::Timestamp) => {
                Some(found.get(&rule.source)?.ok_or(Refusal::BadTimestamp)?)
            }
            _ => None,
        };
        let id = match &scheme.id {
            Some(source) if scheme.signs(&Part::Id) => {
                Some(found.get(source)?.filter(|id| is_signed_id(id)).ok_or(Refusal::BadId)?)
            }
            _ => None,
        };
        let url = self.url.as_deref().unwrap_or(request.url);
        let mut signed: Vec<Cow<'_, [u8]>> = Vec::with_capacity(scheme.signed.len());
        for part in scheme.signed.iter() {
            signed.push(match part {
                Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
                Part::Body => Cow::Borrowed(request.body),
                Part::Timestamp => bytes_of(timestamp.clone().ok_or(Refusal::BadTimestamp)?),
                Part::Id => bytes_of(id.clone().ok_or(Refusal::BadId)?),
                Part::Url => Cow::Borrowed(url.as_bytes()),
                Part::Method => Cow::Borrowed(request.method.as_bytes()),
                Part::FormPairs if is_form(request.headers) => Cow::Owned(form_pairs(request.body)?),
                Part::FormPairs => Cow::Borrowed(&[]),
                Part::From(source) => bytes_of(found.get(source)?.ok_or(Refusal::HeaderMissing)?),
                Part::IfAny(source) => bytes_of(found.get(source)?.unwrap_or_default()),
            });
        }
        let matched =
            keys.iter().find(|(_, key)| key.matches_any(scheme.algorithm, &signed, &found.signatures));
        let key_index = Some(matched.ok_or(Refusal::Mismatch)?.0);
        if let Some(name) = &scheme.body_digest {
            check_body_digest(url, name, request)?;
        }
        if scheme
            .absent
            .iter()
            .any(|pointer| found.json().is_some_and(|json| json.pointer(pointer).is_some()))
        {
            return Err(Refusal::Ambiguous);
        }
        let timestamp = match &scheme.timestamp {
            Some(rule) => {
                let text = found.get(&rule.source)?.ok_or(Refusal::BadTimestamp)?;
                let at = parse_timestamp(&text, rule.unit).ok_or(Refusal::BadTimestamp)?;
                if at.since(now).max(now.since(at)) > self.tolerance {
                    return Err(Refusal::Stale);
                }
                Some(at)
            }
            None => None,
        };
        Ok(Verified { key_index, delivery_id: delivery_id(&found, &scheme.delivery_id)?, timestamp })
    }
}

/// A secret's plaintext and its index among the configured names.
type Secret<'a> = (usize, &'a str);

fn verify_token(
    scheme: &TokenScheme,
    request: &RawRequest<'_>,
    secrets: &[Secret<'_>],
) -> Result<Verified, Refusal> {
    let header = one_header(request.headers, &scheme.header)?.ok_or(Refusal::HeaderMissing)?;
    let token = header.strip_prefix(scheme.prefix.as_bytes()).ok_or(Refusal::BadEncoding)?;
    let matched = secrets.iter().find(|(_, secret)| same(token, secret.as_bytes()));
    let key_index = Some(matched.ok_or(Refusal::Mismatch)?.0);
    let found = Found::without_signature(request);
    Ok(Verified { key_index, delivery_id: delivery_id(&found, &scheme.delivery_id)?, timestamp: None })
}

fn verify_basic(
    username: &str,
    request: &RawRequest<'_>,
    secrets: &[Secret<'_>],
) -> Result<Verified, Refusal> {
    let header = one_header(request.headers, &AUTHORIZATION)?.ok_or(Refusal::HeaderMissing)?;
    let (scheme, credentials) = header.split_at_checked("Basic ".len()).ok_or(Refusal::BadEncoding)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Err(Refusal::BadEncoding);
    }
    let decoded = STANDARD.decode(credentials).map(Zeroizing::new).map_err(|_| Refusal::BadEncoding)?;
    let colon = decoded.iter().position(|b| *b == b':').ok_or(Refusal::BadEncoding)?;
    let is_user = same(&decoded[..colon], username.as_bytes());
    let password = &decoded[colon + 1..];
    // The password is compared whether or not the user name is right, so that time does not tell them apart.
    let matched = secrets.iter().find(|(_, secret)| same(password, secret.as_bytes()));
    match matched {
        Some((index, _)) if is_user => {
            Ok(Verified { key_index: Some(*index), delivery_id: None, timestamp: None })
        }
        _ => Err(Refusal::Mismatch),
    }
}

/// What was taken out of a request.
pub(super) struct Found<'a> {
    request: &'a RawRequest<'a>,
    /// The entries of the signature's list, when it is one.
    entries: Vec<(String, String)>,
    signatures: Vec<Vec<u8>>,
    json: OnceCell<Option<Value>>,
}

impl<'a> Found<'a> {
    pub(super) fn without_signature(request: &'a RawRequest<'a>) -> Self {
        Self { request, entries: Vec::new(), signatures: Vec::new(), json: OnceCell::new() }
    }

    fn new(scheme: &SignatureScheme, request: &'a RawRequest<'a>) -> Result<Self, Refusal> {
        let mut found = Self::without_signature(request);
        let mut candidates: Vec<Cow<'a, str>> = Vec::new();
        let mut is_there = false;
        for carrier in scheme.carriers.iter() {
            let Some(text) = found.get(carrier)? else { continue };
            is_there = true;
            if text.len() > MAX_SIGNATURE_HEADER {
                return Err(Refusal::TooManySignatures);
            }
            match &scheme.extraction {
                Extraction::Bare => candidates.push(text),
                Extraction::Prefix(prefix) => {
                    let rest = text.strip_prefix(prefix.as_ref());
                    candidates.extend(rest.map(|rest| Cow::Owned(rest.to_owned())));
                }
                Extraction::List { separator, assign, label } => {
                    let entries = text.split(*separator).filter_map(|entry| entry.split_once(*assign));
                    let entries = entries.map(|(label, value)| (label.to_owned(), value.to_owned()));
                    found.entries.extend(entries);
                    let tried = found.entries.iter().filter(|(l, _)| l == label);
                    candidates = tried.map(|(_, value)| Cow::Owned(value.clone())).collect();
                }
            }
        }
        if !is_there {
            return Err(Refusal::HeaderMissing);
        }
        if candidates.len() > MAX_CANDIDATES {
            return Err(Refusal::TooManySignatures);
        }
        let decoded = candidates.iter().filter_map(|text| decode(scheme.encoding, text));
        found.signatures =
            decoded.filter(|bytes| scheme.algorithm.takes_signature_len(bytes.len())).collect();
        if found.signatures.is_empty() { Err(Refusal::BadEncoding) } else { Ok(found) }
    }

    /// The body as JSON, where it is some; parsed once.
    pub(super) fn json(&self) -> Option<&Value> {
        let parse = || crate::json::parse(self.request.body, &JsonLimits::default()).ok();
        self.json.get_or_init(parse).as_ref()
    }

    /// The text at a source; `None` when it is not there.
    pub(super) fn get(&self, source: &Source) -> Result<Option<Cow<'a, str>>, Refusal> {
        match source {
            Source::Header(name) => match one_header(self.request.headers, name)? {
                Some(bytes) => {
                    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::BadEncoding)?;
                    Ok(Some(Cow::Borrowed(text)))
                }
                None => Ok(None),
            },
            Source::Query(name) => {
                let pairs = form_urlencoded::parse(self.request.query.as_bytes());
                at_most_one(pairs.filter(|(n, _)| n == name).map(|(_, value)| value))
            }
            Source::Label(label) => {
                let entries = self.entries.iter().filter(|(l, _)| l == label);
                at_most_one(entries.map(|(_, value)| Cow::Owned(value.clone())))
            }
            Source::Body(pointer) => Ok(match self.json().and_then(|json| json.pointer(pointer)) {
                Some(Value::String(text)) => Some(Cow::Owned(text.clone())),
                Some(Value::Number(number)) => Some(Cow::Owned(number.to_string())),
                Some(Value::Bool(truth)) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
                _ => None,
            }),
        }
    }
}

fn at_most_one<'a>(mut values: impl Iterator<Item = Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, Refusal> {
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(Refusal::Ambiguous),
    }
}

pub(super) fn one_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(http::HeaderValue::as_bytes)),
        (_, Some(_)) => Err(Refusal::Ambiguous),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    matches!(MediaType::of(headers).map(|media| media.kind()), Ok(BodyKind::Form))
}

/// The pairs of a form as [`Part::FormPairs`] says. A form that is crowded beyond reason matches nothing, so that
/// nobody has it sorted before it is known who sent it.
fn form_pairs(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    if body.split(|b| *b == b'&').count() > MAX_FORM_PAIRS {
        return Err(Refusal::Mismatch);
    }
    let pairs: BTreeSet<_> = form_urlencoded::parse(body).collect();
    Ok(pairs
        .into_iter()
        .flat_map(|(name, value)| [name.into_owned(), value.into_owned()])
        .collect::<String>()
        .into())
}

/// A digest in the signed URL must be the body's; without one, the body must be empty or a form.
fn check_body_digest(url: &str, name: &str, request: &RawRequest<'_>) -> Result<(), Refusal> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let digests = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name);
    let vouched_for = match at_most_one(digests.map(|(_, digest)| digest))? {
        Some(digest) => digest.eq_ignore_ascii_case(&hex::encode(Sha256::digest(request.body))),
        None => request.body.is_empty() || is_form(request.headers),
    };
    if vouched_for { Ok(()) } else { Err(Refusal::Mismatch) }
}

/// The first source that the request has. An id that no honest sender makes is refused.
fn delivery_id(found: &Found<'_>, sources: &[Source]) -> Result<Option<String>, Refusal> {
    for source in sources {
        if let Some(id) = found.get(source)? {
            let is_plain =
                (1..=MAX_DELIVERY_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
            return if is_plain { Ok(Some(id.into_owned())) } else { Err(Refusal::BadId) };
        }
    }
    Ok(None)
}

pub(super) fn is_signed_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn parse_timestamp(text: &str, unit: TimestampUnit) -> Option<Timestamp> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = |max_digits: usize| {
        (is_number && text.len() <= max_digits).then(|| text.parse::<i64>().ok()).flatten()
    };
    let seconds = || number(11).map(|s| Timestamp::from_micros(s.saturating_mul(1_000_000)));
    let millis = || number(14).map(|ms| Timestamp::from_micros(ms.saturating_mul(1_000)));
    let written = || (!is_number && text.len() <= 64).then(|| text.parse().ok()).flatten();
    match unit {
        TimestampUnit::Seconds => seconds(),
        TimestampUnit::Millis => millis(),
        TimestampUnit::Rfc3339 => written(),
        TimestampUnit::Any => seconds().or_else(millis).or_else(written),
    }
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The most signatures in one header that are tried.
const MAX_CANDIDATES: usize = 16;
/// The longest signature header, in bytes.
const MAX_SIGNATURE_HEADER: usize = 8 * 1024;
/// The most pairs of a form that are signed one by one.
const MAX_FORM_PAIRS: usize = 1_000;
/// The longest delivery id, in bytes.
const MAX_DELIVERY_ID: usize = 256;

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
