//! Bodies: from bytes on the wire to the value that a workflow sees.
//!
//! | declared as | value |
//! | --- | --- |
//! | `application/json`, `+json` | the JSON value; an empty body is `null` |
//! | `application/x-www-form-urlencoded` | an object; repeated names are arrays |
//! | `text/*`, `application/xml`, `+xml` | a string, decoded by the declared charset |
//! | anything else, `multipart/*` | `{"raw": base64}` |
//! | nothing, and the body is empty | `null` |
//!
//! A body may come as `gzip`: exactly one member and nothing after it, decoded piece by piece and never past
//! the limit, so that a small bomb costs no more than a large honest body.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8};
use flate2::bufread::GzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::{Value, json};

use super::head::pairs_value;
use crate::json::{JsonError, JsonErrorKind, JsonLimits};

/// What [`read_body`] accepts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BodyLimits {
    /// Bytes, on the wire and after decoding.
    pub max_bytes: usize,
    /// Depth and number of values of a JSON body.
    pub json: JsonLimits,
    /// Pairs in a form.
    pub max_form_pairs: usize,
}

impl BodyLimits {
    /// The default limits, with another size.
    #[must_use]
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024,
            json: JsonLimits::default().with_max_nodes(100_000),
            max_form_pairs: 10_000,
        }
    }
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Body {
    /// What a workflow sees.
    pub value: Value,
    /// How the body was declared.
    pub kind: BodyKind,
    /// Its length in bytes, without what packed it.
    pub bytes: usize,
}

/// How a body was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyKind {
    /// JSON: the only kind that a schema can apply to.
    Json,
    /// A form in URL encoding.
    Form,
    /// Text or XML.
    Text,
    /// Anything else.
    Raw,
}

impl BodyKind {
    /// What the headers declare, before the body is looked at.
    ///
    /// # Errors
    ///
    /// [`BodyError::AmbiguousType`] when they declare more than one type.
    pub fn of(headers: &HeaderMap) -> Result<Self, BodyError> {
        Ok(MediaType::of(headers)?.kind())
    }
}

/// Reads a body as its headers declare it.
///
/// # Errors
///
/// See [`BodyError`]; [`BodyError::status`] is the answer that the sender gets.
pub fn read_body(headers: &HeaderMap, bytes: &[u8], limits: &BodyLimits) -> Result<Body, BodyError> {
    let media = MediaType::of(headers)?;
    if bytes.len() > limits.max_bytes {
        return Err(BodyError::TooLarge { max_bytes: limits.max_bytes });
    }
    let unzipped;
    let bytes = if is_gzip(headers)? && !bytes.is_empty() {
        unzipped = gunzip(bytes, limits.max_bytes)?;
        &unzipped
    } else {
        bytes
    };
    let kind = media.kind();
    let value = match kind {
        BodyKind::Json if bytes.is_empty() => Value::Null,
        BodyKind::Json => {
            crate::json::parse(bytes, &limits.json).map_err(|error| json_error(error, limits))?
        }
        BodyKind::Form => form(bytes, limits)?,
        BodyKind::Text => Value::String(text(bytes, &media)?),
        BodyKind::Raw if media.essence.is_empty() && bytes.is_empty() => Value::Null,
        BodyKind::Raw => json!({ "raw": STANDARD.encode(bytes) }),
    };
    Ok(Body { value, kind, bytes: bytes.len() })
}

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Larger than the limit, on the wire or decoded.
    #[error("the body may not be larger than {max_bytes} bytes, also when it is decoded")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// Arrays and objects nest deeper than the limit.
    #[error("the body may not nest deeper than {max_depth}")]
    TooDeep {
        /// The limit.
        max_depth: usize,
    },
    /// More JSON values than the limit.
    #[error("the body may not hold more than {max_values} JSON values")]
    TooManyValues {
        /// The limit.
        max_values: usize,
    },
    /// More pairs in a form than the limit.
    #[error("a form may not have more than {max_pairs} pairs")]
    TooManyPairs {
        /// The limit.
        max_pairs: usize,
    },
    /// A `Content-Encoding` other than `gzip` and `identity`, or several.
    #[error("the content encoding is not supported")]
    UnsupportedEncoding,
    /// A charset that is unknown, or unsafe to decode.
    #[error("the charset is not supported")]
    UnsupportedCharset,
    /// More than one `Content-Type`.
    #[error("the content type is declared more than once")]
    AmbiguousType,
    /// The gzip data is damaged, cut short, or followed by something else.
    #[error("the gzip data is malformed")]
    MalformedGzip,
    /// Declared as JSON, but not the JSON we accept.
    #[error("the body is not valid JSON: {0}")]
    Json(#[source] JsonError),
    /// The text does not follow its charset.
    #[error("the text does not follow its charset")]
    MalformedText,
    /// A form has a name that cannot be stored.
    #[error("a name in the form is reserved")]
    ReservedName,
}

impl BodyError {
    /// The HTTP status that the sender gets: 400, 413 or 415.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. }
            | Self::TooDeep { .. }
            | Self::TooManyValues { .. }
            | Self::TooManyPairs { .. } => 413,
            Self::UnsupportedEncoding | Self::UnsupportedCharset => 415,
            Self::AmbiguousType
            | Self::MalformedGzip
            | Self::Json(_)
            | Self::MalformedText
            | Self::ReservedName => 400,
        }
    }
}

fn json_error(error: JsonError, limits: &BodyLimits) -> BodyError {
    match (error.kind, limits.json.max_nodes) {
        (JsonErrorKind::TooDeep, _) => BodyError::TooDeep { max_depth: limits.json.max_depth },
        (JsonErrorKind::TooManyNodes, Some(max_values)) => BodyError::TooManyValues { max_values },
        _ => BodyError::Json(error),
    }
}

/// The declared media type, in lower case and without parameters, and its charset.
pub(super) struct MediaType {
    essence: String,
    charset: Option<String>,
}

impl MediaType {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, BodyError> {
        let mut declared = headers.get_all(CONTENT_TYPE).iter();
        let text = match (declared.next(), declared.next()) {
            (None, _) => String::new(),
            (Some(value), None) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            (Some(_), Some(_)) => return Err(BodyError::AmbiguousType),
        };
        let mut parts = text.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let charset = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
            .map(|(_, value)| value.trim().trim_matches('"').to_owned());
        Ok(Self { essence, charset })
    }

    pub(super) fn kind(&self) -> BodyKind {
        match self.essence.split_once('/') {
            Some(("application", "x-www-form-urlencoded")) => BodyKind::Form,
            Some(("application", "json")) => BodyKind::Json,
            Some((_, subtype)) if subtype.ends_with("+json") => BodyKind::Json,
            Some(("text", _)) => BodyKind::Text,
            Some(_) if self.is_xml() => BodyKind::Text,
            _ => BodyKind::Raw,
        }
    }

    fn is_xml(&self) -> bool {
        matches!(self.essence.as_str(), "application/xml" | "text/xml") || self.essence.ends_with("+xml")
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, BodyError> {
    let mut codings = 0;
    for value in headers.get_all(CONTENT_ENCODING) {
        for coding in value.to_str().map_err(|_| BodyError::UnsupportedEncoding)?.split(',') {
            match coding.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => codings += 1,
                _ => return Err(BodyError::UnsupportedEncoding),
            }
        }
    }
    if codings > 1 { Err(BodyError::UnsupportedEncoding) } else { Ok(codings == 1) }
}

fn gunzip(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let mut decoder = GzDecoder::new(bytes);
    let mut decoded = Vec::new();
    let mut piece = [0; 8 * 1024];
    loop {
        let read = decoder.read(&mut piece).map_err(|_| BodyError::MalformedGzip)?;
        if read == 0 {
            break;
        }
        if decoded.len() + read > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        decoded.extend_from_slice(&piece[..read]);
    }
    if decoder.into_inner().is_empty() { Ok(decoded) } else { Err(BodyError::MalformedGzip) }
}

fn form(bytes: &[u8], limits: &BodyLimits) -> Result<Value, BodyError> {
    if bytes.split(|b| *b == b'&').count() > limits.max_form_pairs {
        return Err(BodyError::TooManyPairs { max_pairs: limits.max_form_pairs });
    }
    let mut value = pairs_value(bytes);
    crate::json::normalize(&mut value).map_err(|_| BodyError::ReservedName)?;
    Ok(value)
}

/// A byte order mark decides, then the declared charset, then (in XML) the declaration; else it is UTF-8.
fn text(bytes: &[u8], media: &MediaType) -> Result<String, BodyError> {
    let (encoding, bytes) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => (encoding, &bytes[mark..]),
        None => {
            let label = match &media.charset {
                Some(charset) => Some(charset.as_bytes()),
                None if media.is_xml() => xml_declared_encoding(bytes),
                None => None,
            };
            let encoding = match label {
                Some(label) => Encoding::for_label(label).ok_or(BodyError::UnsupportedCharset)?,
                None => UTF_8,
            };
            (encoding, bytes)
        }
    };
    if encoding == REPLACEMENT {
        return Err(BodyError::UnsupportedCharset);
    }
    let decoded = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    decoded.map(std::borrow::Cow::into_owned).ok_or(BodyError::MalformedText)
}

/// The value of `encoding` in `<?xml … ?>`.
fn xml_declared_encoding(bytes: &[u8]) -> Option<&[u8]> {
    let head = &bytes[..bytes.len().min(256)];
    let declaration = head.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|pair| pair == b"?>")?;
    let declaration = &declaration[..end];
    let name = b"encoding=";
    let at = declaration.windows(name.len()).position(|window| window == name)? + name.len();
    let quote = *declaration.get(at).filter(|b| matches!(**b, b'"' | b'\''))?;
    let value = &declaration[at + 1..];
    Some(&value[..value.iter().position(|b| *b == quote)?])
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
