//! Verification: whether a request comes from who it says, decided on raw bytes.
//!
//! The order is fixed. First everything that costs little and says nothing about a secret: the header is there
//! once, holds no more signatures than are tried, and they are well formed. Then the signatures, each
//! against each key, compared in constant time by the MAC itself. Then the time, which only means something once
//! it is known who wrote it. A sender learns from none of this more than "refused", and by none sooner: where no
//! signature was computed, the same work is done for nothing (`decoy.rs`).
//!
//! **Residual risk, by scheme.** Without a signed timestamp (GitHub, Shopify, Square, Twilio, every token) a captured
//! request stays valid for as long as the key; without a signed delivery id (all whose id stands in a header,
//! Standard Webhooks and Twitch apart) the repeated delivery can claim to be a new one. Where only some members of
//! the body are signed (Adyen, Mailgun), the others are whatever the sender says. Use HTTPS, and make what follows
//! idempotent by something that is signed.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::body::{BodyKind, MediaType};
use super::config::VerifyConfig;
use super::decoy::Spared;
use super::found::{Found, at_most_one, needed_header};
use super::refusal::{Refusal, Refused, place};
use super::scheme::{Part, Scheme, SignatureScheme, Source, Text, TimestampRule, TimestampUnit, TokenScheme};
use super::signature::{Key, STANDARD, same, without_padding};
use crate::secret::{SecretName, SecretValue};
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
    /// A refusal costs as much as computing the signature whatever its reason, so that its time does not tell it: a pass
    /// over what is signed for each secret. Whoever calls this bounds the body first.
    ///
    /// # Errors
    ///
    /// The reason, for the record. The sender is only told that the request was refused.
    pub fn verify(
        &self,
        request: &RawRequest<'_>,
        secrets: &[Option<&SecretValue>],
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let (verdict, spared) = self.judge(request, secrets, now);
        if let Some(spared) = spared {
            spared.make_up_for(request, self.signed_url(request));
        }
        verdict
    }

    /// The verdict, and where that is a refusal, the work that it was spared.
    fn judge(
        &self,
        request: &RawRequest<'_>,
        secrets: &[Option<&SecretValue>],
        now: Timestamp,
    ) -> (Result<Verified, Refused>, Option<Spared<'_>>) {
        if matches!(self.scheme, Scheme::None) {
            return (Ok(Verified::default()), None);
        }
        let valued = |secret: &Option<&SecretValue>| secret.is_some_and(|secret| !secret.is_empty());
        let named = self.secret_names().iter().zip(secrets).enumerate();
        let present: Vec<Secret<'_>> = named
            .filter_map(|(index, (name, secret))| {
                Some(Secret { index, name, text: secret.filter(|secret| !secret.is_empty())?.expose() })
            })
            .collect();
        let missing = || -> Vec<&SecretName> {
            let named = self.secret_names().iter().zip(secrets);
            named.filter(|(_, secret)| !valued(secret)).map(|(name, _)| name).collect()
        };
        let mut spared = None;
        // Without any secret as well: nothing matches then, and the request is looked at in the same way.
        let verdict = match &self.scheme {
            Scheme::None => Ok(Verified::default()),
            Scheme::Signature(schemes) => self.verify_any(schemes, request, &present, now, &mut spared),
            Scheme::Jwt(scheme) => scheme.verify(request, &present, now),
            Scheme::Token(scheme) => verify_token(scheme, request, &present),
            Scheme::Basic { username } => verify_basic(username, request, &present),
        };
        let verdict = if present.is_empty() && !self.secrets_stand_elsewhere() {
            Err(Refused::needs_secret(&missing()))
        } else {
            verdict.map_err(|refused| match refused.refusal {
                Refusal::Mismatch | Refusal::BadKey => refused.without(&missing()),
                _ => refused,
            })
        };
        (verdict, spared)
    }

    /// The URL that the sender was given.
    fn signed_url<'a>(&'a self, request: &RawRequest<'a>) -> &'a str {
        self.url.as_deref().unwrap_or(request.url)
    }

    /// What the request says of itself where the scheme looks for it, verified or not: for people who look at what was
    /// refused, and for what somebody else vouches for.
    #[must_use]
    pub fn claims(&self, request: &RawRequest<'_>) -> Claims {
        match &self.scheme {
            Scheme::Signature(schemes) => {
                let of_each = schemes.iter().map(|scheme| {
                    let found = Found::new(scheme, request, &mut false);
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

    /// Tries each form; of several refusals, the reason is that of the form that the request came as.
    fn verify_any<'a>(
        &self,
        schemes: &'a [SignatureScheme],
        request: &RawRequest<'_>,
        secrets: &[Secret<'_>],
        now: Timestamp,
        spared: &mut Option<Spared<'a>>,
    ) -> Result<Verified, Refused> {
        let mut reason: Option<(Reached, &'a SignatureScheme, Refused)> = None;
        let mut passes = self.secret_names().len();
        for scheme in schemes {
            let mut reached = Reached::default();
            match self.verify_signature(scheme, request, secrets, now, &mut reached) {
                Err(refused) => {
                    // Who knows a key may know the rest.
                    passes = if reached.matched { 0 } else { passes.saturating_sub(reached.keys_tried) };
                    if reason.as_ref().is_none_or(|(known, ..)| reached > *known) {
                        reason = Some((reached, scheme, refused));
                    }
                }
                accepted => return accepted,
            }
        }
        let (_, form, refused) = reason.ok_or(Refusal::HeaderMissing)?;
        *spared = Some(Spared { form, passes });
        Err(refused)
    }

    fn verify_signature(
        &self,
        scheme: &SignatureScheme,
        request: &RawRequest<'_>,
        secrets: &[Secret<'_>],
        now: Timestamp,
        reached: &mut Reached,
    ) -> Result<Verified, Refused> {
        let key = |secret: &Secret<'_>| Key::prepare(scheme.key, scheme.algorithm, secret.text);
        let keys: Vec<(&Secret<'_>, Key)> =
            secrets.iter().filter_map(|secret| Some((secret, key(secret)?))).collect();
        reached.keyed = !keys.is_empty();
        let found = Found::new(scheme, request, &mut reached.carried)?;
        if keys.is_empty() {
            return Err(Refused::bad_key(scheme.key, scheme.algorithm, &names_of(secrets)));
        }
        let time =
            |rule: &TimestampRule| found.get(&rule.source)?.ok_or_else(|| Refused::no_time(&rule.source));
        let timestamp = match &scheme.timestamp {
            Some(rule) if scheme.signs(&Part::Timestamp) => Some(time(rule)?),
            _ => None,
        };
        let id = match &scheme.id {
            Some(source) if scheme.signs(&Part::Id) => Some(signed_id(&found, source, &scheme.signed)?),
            _ => None,
        };
        let url = self.signed_url(request);
        let mut signed: Vec<Cow<'_, [u8]>> = Vec::with_capacity(scheme.signed.len());
        for part in scheme.signed.iter() {
            signed.push(match part {
                Part::Timestamp => bytes_of(timestamp.clone().ok_or(Refusal::BadTimestamp)?),
                Part::Id => bytes_of(id.clone().ok_or(Refusal::BadId)?),
                Part::From(source) => bytes_of(found.get(source)?.ok_or_else(|| Refused::missing(source))?),
                Part::IfAny(source) => bytes_of(found.get(source)?.unwrap_or_default()),
                part => unsearched(part, request, url)?,
            });
        }
        let matched =
            keys.iter().find(|(_, key)| key.matches_any(scheme.algorithm, &signed, &found.signatures));
        reached.matched = matched.is_some();
        reached.keys_tried = keys.len();
        let Some((secret, _)) = matched else {
            let bytes = signed.iter().map(|part| part.len()).sum();
            let tried: Vec<&SecretName> = keys.iter().map(|(secret, _)| secret.name).collect();
            return Err(Refused::mismatch(scheme, url, bytes, &tried));
        };
        if let Some(name) = &scheme.body_digest {
            check_body_digest(url, name, request)?;
        }
        let is_there = |pointer: &&Text| found.json().is_some_and(|json| json.pointer(pointer).is_some());
        if let Some(pointer) = scheme.absent.iter().find(is_there) {
            let detail = format!("`{pointer}` in the body would change what is signed, and must be absent");
            return Err(Refusal::Ambiguous.because(detail));
        }
        let timestamp = match &scheme.timestamp {
            Some(rule) => {
                let at = parse_timestamp(&time(rule)?, rule.unit);
                let at = at.ok_or_else(|| Refused::bad_time(&rule.source, rule.unit))?;
                let (before, after) = (now.since(at), at.since(now));
                if before.max(after) > self.tolerance {
                    return Err(Refused::stale(&rule.source, (before, after), self.tolerance));
                }
                Some(at)
            }
            None => None,
        };
        let key_index = Some(secret.index);
        Ok(Verified { key_index, delivery_id: delivery_id(&found, &scheme.delivery_id)?, timestamp })
    }
}

/// How far a request came in one form of a scheme. Of several forms, the one where it came farthest is the one that it
/// came as: what decides first is that a signature of the form is there at all, then that the hook has a key of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Reached {
    /// A signature of this form is there, whatever is wrong with it.
    carried: bool,
    /// A secret is a key of this form.
    keyed: bool,
    /// A signature is that of a key.
    matched: bool,
    /// How many keys the signatures were held against.
    keys_tried: usize,
}

/// A secret that has a value.
#[derive(Clone, Copy)]
pub(super) struct Secret<'a> {
    /// Which of the configured names.
    pub(super) index: usize,
    pub(super) name: &'a SecretName,
    pub(super) text: &'a str,
}

pub(super) fn names_of<'a>(secrets: &[Secret<'a>]) -> Vec<&'a SecretName> {
    secrets.iter().map(|secret| secret.name).collect()
}

fn verify_token(
    scheme: &TokenScheme,
    request: &RawRequest<'_>,
    secrets: &[Secret<'_>],
) -> Result<Verified, Refused> {
    let header = needed_header(request.headers, &scheme.header)?;
    let stands = || place(&Source::Header(scheme.header.clone()));
    let token = header.strip_prefix(scheme.prefix.as_bytes()).ok_or_else(|| {
        Refusal::BadEncoding.because(format!("{} does not begin with `{}`", stands(), scheme.prefix))
    })?;
    let matched = secrets.iter().find(|secret| same(token, secret.text.as_bytes()));
    let matched = matched
        .ok_or_else(|| Refused::other_token(&format!("the token in {}", stands()), &names_of(secrets)))?;
    let found = Found::without_signature(request);
    let delivery_id = delivery_id(&found, &scheme.delivery_id)?;
    Ok(Verified { key_index: Some(matched.index), delivery_id, timestamp: None })
}

fn verify_basic(
    username: &str,
    request: &RawRequest<'_>,
    secrets: &[Secret<'_>],
) -> Result<Verified, Refused> {
    let header = needed_header(request.headers, &AUTHORIZATION)?;
    let malformed = || {
        let detail =
            "the header `authorization` is not `Basic ` and the base64 of a user name, `:` and a password";
        Refusal::BadEncoding.because(detail)
    };
    let (scheme, credentials) = header.split_at_checked("Basic ".len()).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(credentials).map(Zeroizing::new).map_err(|_| malformed())?;
    let colon = decoded.iter().position(|b| *b == b':').ok_or_else(malformed)?;
    let is_user = same(&decoded[..colon], username.as_bytes());
    let password = &decoded[colon + 1..];
    // The password is compared whether or not the user name is right, so that time does not tell them apart.
    let matched = secrets.iter().find(|secret| same(password, secret.text.as_bytes()));
    match matched {
        Some(secret) if is_user => {
            Ok(Verified { key_index: Some(secret.index), delivery_id: None, timestamp: None })
        }
        Some(_) => Err(Refusal::Mismatch.because(format!("the user name is not `{username}`"))),
        None => {
            let beside = if is_user { "" } else { ", beside another user name," };
            let what = format!("the password in the header `authorization`{beside}");
            Err(Refused::other_token(&what, &names_of(secrets)))
        }
    }
}

/// A part of the signed text that nothing has to be looked for; of others, nothing.
pub(super) fn unsearched<'a>(
    part: &'a Part,
    request: &RawRequest<'a>,
    url: &'a str,
) -> Result<Cow<'a, [u8]>, Refused> {
    Ok(match part {
        Part::Literal(text) => Cow::Borrowed(text.as_bytes()),
        Part::Body => Cow::Borrowed(request.body),
        Part::Url => Cow::Borrowed(url.as_bytes()),
        Part::DecodedUrl => decoded_url(url),
        Part::Method => Cow::Borrowed(request.method.as_bytes()),
        Part::FormPairs if is_form(request.headers) => Cow::Owned(form_pairs(request.body)?),
        Part::FormPairs | Part::Timestamp | Part::Id | Part::From(_) | Part::IfAny(_) => Cow::Borrowed(&[]),
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    matches!(MediaType::of(headers).map(|media| media.kind()), Ok(BodyKind::Form))
}

/// The pairs of a form as [`Part::FormPairs`] says. A form that is crowded beyond reason matches nothing, so that
/// nobody has it sorted before it is known who sent it.
fn form_pairs(body: &[u8]) -> Result<Vec<u8>, Refused> {
    if body.split(|b| *b == b'&').count() > MAX_FORM_PAIRS {
        return Err(Refusal::Mismatch.because(format!("the form has more than {MAX_FORM_PAIRS} pairs")));
    }
    let pairs: BTreeSet<_> = form_urlencoded::parse(body).collect();
    Ok(pairs
        .into_iter()
        .flat_map(|(name, value)| [name.into_owned(), value.into_owned()])
        .collect::<String>()
        .into())
}

/// A URL as [`Part::DecodedUrl`] says. What was decoded is not read again: `%253A` stays.
fn decoded_url(url: &str) -> Cow<'_, [u8]> {
    let mut rest = url.as_bytes();
    if !rest.contains(&b'%') {
        return Cow::Borrowed(rest);
    }
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| first == b'%');
        let escaped = escaped.and_then(|digits| hex::decode(digits).ok()?.first().copied());
        let (byte, behind) = match escaped.filter(|byte| b":/?@!$'()*,;".contains(byte)) {
            Some(byte) => (byte, &behind[2..]),
            None => (first, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    Cow::Owned(decoded)
}

/// A digest in the signed URL must be the body's; without one, the body must be empty or a form.
fn check_body_digest(url: &str, name: &str, request: &RawRequest<'_>) -> Result<(), Refused> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let digests = form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name);
    let repeated = || Refusal::Ambiguous.because(format!("`{name}` is in the URL more than once"));
    match at_most_one(digests.map(|(_, digest)| digest)).ok_or_else(repeated)? {
        Some(digest) if digest.eq_ignore_ascii_case(&hex::encode(Sha256::digest(request.body))) => Ok(()),
        Some(_) => {
            Err(Refusal::Mismatch
                .because(format!("`{name}` in the URL is not the SHA-256 of the body in hex")))
        }
        None if request.body.is_empty() || is_form(request.headers) => Ok(()),
        None => {
            let detail = format!(
                "the body is neither empty nor a form, and the URL has no `{name}` that vouches for it"
            );
            Err(Refusal::Mismatch.because(detail))
        }
    }
}

/// The first source that the request has. An id that no honest sender makes is refused.
fn delivery_id(found: &Found<'_>, sources: &[Source]) -> Result<Option<String>, Refused> {
    for source in sources {
        if let Some(id) = found.get(source)? {
            let is_plain =
                (1..=MAX_DELIVERY_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
            let what = "must be 1 to 256 visible ASCII characters";
            return if is_plain { Ok(Some(id.into_owned())) } else { Err(Refused::bad_id(source, what)) };
        }
    }
    Ok(None)
}

/// The delivery's id where it is signed.
fn signed_id<'a>(found: &Found<'a>, source: &Source, signed: &[Part]) -> Result<Cow<'a, str>, Refused> {
    let id = found.get(source)?.ok_or_else(|| Refused::bad_id(source, "is missing"))?;
    // Where no `=` can follow, it is still clear where an id ends that has some: Twitch's may be base64.
    let is_padded = signed.windows(2).filter(|parts| parts[0] == Part::Id).all(|parts| match &parts[1] {
        Part::Literal(text) => !text.starts_with('='),
        Part::Timestamp => true,
        _ => false,
    });
    let plain = if is_padded { without_padding(id.as_bytes()) } else { id.as_bytes() };
    let what = "must be 1 to 128 of `A-Z a-z 0-9 _ -`, since it is signed";
    if is_signed_id(plain) { Ok(id) } else { Err(Refused::bad_id(source, what)) }
}

pub(super) fn is_signed_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(b))
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

/// The most pairs of a form that are signed one by one.
const MAX_FORM_PAIRS: usize = 1_000;
/// The longest delivery id, in bytes.
const MAX_DELIVERY_ID: usize = 256;

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
