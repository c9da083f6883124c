//! What is taken out of a request to verify it: signatures, and the texts at the places of a scheme.
//!
//! Each stands at its place once or is refused, because two readers could choose differently.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::body::BodyLimits;
use super::refusal::{Refusal, Refused, place};
use super::scheme::{Extraction, SignatureScheme, Source};
use super::signature::decode;
use super::verify::RawRequest;

/// What was taken out of a request.
pub(super) struct Found<'a> {
    request: &'a RawRequest<'a>,
    /// The entries of the signature's list, when it is one.
    entries: Vec<(String, String)>,
    pub(super) signatures: Vec<Vec<u8>>,
    json: OnceCell<Option<Value>>,
}

impl<'a> Found<'a> {
    pub(super) fn without_signature(request: &'a RawRequest<'a>) -> Self {
        Self { request, entries: Vec::new(), signatures: Vec::new(), json: OnceCell::new() }
    }

    /// Finds the signatures, or says why there is none; `carried` becomes whether there is one in whatever state.
    pub(super) fn new(
        scheme: &SignatureScheme,
        request: &'a RawRequest<'a>,
        carried: &mut bool,
    ) -> Result<Self, Refused> {
        let mut found = Self::without_signature(request);
        let mut candidates: Vec<Cow<'a, str>> = Vec::new();
        let mut carriers: Vec<&Source> = Vec::new();
        for carrier in scheme.carriers.iter() {
            let Some(text) = found.get(carrier)? else { continue };
            carriers.push(carrier);
            if text.len() > MAX_SIGNATURE_HEADER {
                let detail = format!("{} is longer than {MAX_SIGNATURE_HEADER} bytes", place(carrier));
                return Err(Refusal::TooManySignatures.because(detail));
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
        if carriers.is_empty() {
            return Err(Refused::no_signature(&scheme.carriers));
        }
        *carried = !candidates.is_empty();
        if candidates.len() > MAX_CANDIDATES {
            let detail =
                format!("there are {} signatures; at most {MAX_CANDIDATES} are tried", candidates.len());
            return Err(Refusal::TooManySignatures.because(detail));
        }
        let decoded = candidates.iter().filter_map(|text| decode(scheme.encoding, text));
        found.signatures =
            decoded.filter(|bytes| scheme.algorithm.takes_signature_len(bytes.len())).collect();
        if found.signatures.is_empty() {
            let len = candidates.iter().find_map(|text| Some(decode(scheme.encoding, text)?.len()));
            return Err(Refused::unreadable(scheme, &carriers, candidates.len(), len));
        }
        Ok(found)
    }

    /// The body as JSON, where it is some; parsed once.
    pub(super) fn json(&self) -> Option<&Value> {
        let parse = || crate::json::parse(self.request.body, &BodyLimits::default().json).ok();
        self.json.get_or_init(parse).as_ref()
    }

    /// The text at a source; `None` when it is not there.
    pub(super) fn get(&self, source: &Source) -> Result<Option<Cow<'a, str>>, Refused> {
        match source {
            Source::Header(name) => match one_header(self.request.headers, name)? {
                Some(bytes) => {
                    let text = std::str::from_utf8(bytes).map_err(|_| {
                        Refusal::BadEncoding.because(format!("{} is no UTF-8", place(source)))
                    })?;
                    Ok(Some(Cow::Borrowed(text)))
                }
                None => Ok(None),
            },
            Source::Query(name) => {
                let pairs = form_urlencoded::parse(self.request.query.as_bytes());
                let values = pairs.filter(|(n, _)| n == name).map(|(_, value)| value);
                at_most_one(values).ok_or_else(|| Refused::repeated(source))
            }
            Source::Label(label) => {
                let entries = self.entries.iter().filter(|(l, _)| l == label);
                let values = entries.map(|(_, value)| Cow::Owned(value.clone()));
                at_most_one(values).ok_or_else(|| Refused::repeated(source))
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

/// The only one, if there is one; nothing where there are several.
pub(super) fn at_most_one<T>(mut values: impl Iterator<Item = T>) -> Option<Option<T>> {
    let first = values.next();
    values.next().is_none().then_some(first)
}

fn one_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Refused> {
    let values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    at_most_one(values).ok_or_else(|| Refused::repeated(&Source::Header(name.clone())))
}

/// A header that must be there, once.
pub(super) fn needed_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a [u8], Refused> {
    one_header(headers, name)?.ok_or_else(|| Refused::missing(&Source::Header(name.clone())))
}

/// The most signatures in one header that are tried.
const MAX_CANDIDATES: usize = 16;
/// The longest signature header, in bytes.
const MAX_SIGNATURE_HEADER: usize = 8 * 1024;
