//! Signature schemes as data.
//!
//! Providers sign webhooks in a hundred ways that differ along a few axes: where each part comes from, what text
//! is signed, with which algorithm and encoding, how the signature is taken out of its header, how the key is
//! prepared, and where time and identity stand. A [`SignatureScheme`] has one field per axis and no code, so a
//! provider is a value, and every rule of `verify.rs` holds for all of them:
//!
//! - Each part has exactly one place and one form. A header or label that occurs twice is refused, because two
//!   readers could choose differently; so is a signature in another encoding than the scheme's.
//! - The signed text is put together from the template in one pass: what is substituted is never read again.
//! - A signature has its full length. There is no prefix match and no empty signature.

use std::borrow::Cow;

use http::HeaderName;

use super::jwt::JwtScheme;

/// Text that is a constant in a preset and owned when it comes from a trigger's config.
pub type Text = Cow<'static, str>;

/// How a hook knows its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// It does not: anybody may send.
    None,
    /// By a signature over the request, in any of these forms. Each secret is a key in one of them at most, so that
    /// what is public in one is never the secret of another.
    Signature(Vec<SignatureScheme>),
    /// By a shared token.
    Token(TokenScheme),
    /// By a signed token (RFC 7519).
    Jwt(Box<JwtScheme>),
    /// By a user name and password (RFC 7617).
    Basic {
        /// The user name; the password is the secret.
        username: String,
    },
}

impl Scheme {
    /// The header whose value is itself the credential.
    pub(super) fn credential_header(&self) -> Option<&str> {
        match self {
            Self::Token(scheme) => Some(scheme.header.as_str()),
            Self::Basic { .. } | Self::Jwt(_) => Some("authorization"),
            Self::None | Self::Signature(_) => None,
        }
    }
}

/// A signature over parts of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignatureScheme {
    /// What carries the signature, or a list with the signature in it; where it is several, at least one of them.
    pub carriers: Cow<'static, [Source]>,
    /// How the signature stands there.
    pub extraction: Extraction,
    /// What computes it.
    pub algorithm: Algorithm,
    /// How its bytes are written.
    pub encoding: SignatureEncoding,
    /// How the secret becomes a key.
    pub key: KeyPreparation,
    /// What is signed, in order.
    pub signed: Cow<'static, [Part]>,
    /// The name in the signed URL's query that holds the body's SHA-256 in hexadecimal. Where it is absent, the
    /// body must be empty or a form.
    pub body_digest: Option<Text>,
    /// JSON pointers into the body that must lead nowhere: what stands there would not be signed.
    pub absent: Cow<'static, [Text]>,
    /// When it was signed; checked after the signature.
    pub timestamp: Option<TimestampRule>,
    /// What [`Part::Id`] stands for.
    pub id: Option<Source>,
    /// Where the delivery's identity is found; the first of these that the request has.
    pub delivery_id: Cow<'static, [Source]>,
    /// JSON pointers to members of the body that are others each time that the same delivery is sent.
    pub varying: Cow<'static, [Text]>,
}

/// A shared token. It signs nothing: whoever sees one request can send others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenScheme {
    /// The header that carries the token.
    pub header: HeaderName,
    /// What stands in front of the token, such as `Bearer `.
    pub prefix: Text,
    /// Where the delivery's identity is found; the first of these that the request has.
    pub delivery_id: Cow<'static, [Source]>,
    /// JSON pointers to members of the body that are others each time that the same delivery is sent.
    pub varying: Cow<'static, [Text]>,
}

/// Where a part of a request is found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// In a header, which must not be repeated.
    Header(HeaderName),
    /// In the query string, under a name that must not be repeated.
    Query(Text),
    /// In the signature's own list, under a label that must not be repeated.
    Label(Text),
    /// In the JSON body, at an RFC 6901 pointer: a string, a number or a boolean.
    Body(Text),
}

/// One part of the signed text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// These characters.
    Literal(Text),
    /// The body's bytes as they came.
    Body,
    /// The timestamp, character by character as it came.
    Timestamp,
    /// The id, of `[A-Za-z0-9_-]{1,128}`: no other character, so that it cannot pose as a separator. In front of a time or
    /// of characters other than `=` it may end as base64 does, in `=` or `==`.
    Id,
    /// The public URL that the sender was given.
    Url,
    /// The same with the escapes of `: / ? @ ! $ ' ( ) * , ;` decoded, once and in either case of their digits, and no
    /// others: none of these characters separates anything in a query, so that what is read from it stays the same.
    DecodedUrl,
    /// The request's method.
    Method,
    /// The pairs of a form body, decoded, sorted, without repetitions, and written one after the other without
    /// anything between. Of a body that is no form: nothing; the scheme needs a [`SignatureScheme::body_digest`].
    FormPairs,
    /// Something else from the request.
    From(Source),
    /// The same, or nothing where the request does not have it.
    IfAny(Source),
}

/// How the signature stands in its carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extraction {
    /// It is the signature.
    Bare,
    /// It is these characters, then the signature.
    Prefix(Text),
    /// It is a list of labelled entries; each entry with this label is a signature that is tried.
    List {
        /// Between entries.
        separator: char,
        /// Between a label and its value.
        assign: char,
        /// The label of signatures. Entries with other labels are ignored.
        label: Text,
    },
}

/// What computes a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-1: still sound as a MAC, offered because providers use it.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
    /// SHA-256 of the key and then the text. Who has one signature can make that of a longer text, with bytes in
    /// between that no JSON has; offered because one provider's older webhooks use it.
    KeyedSha256,
    /// Ed25519 (RFC 8032), verified strictly: the secret is the public key.
    Ed25519,
    /// ECDSA over P-256 with SHA-256, the signature in DER: the secret is the public key.
    EcdsaP256,
    /// RSA of 2048 to 8192 bits (RFC 8017): the secret is the public key.
    Rsa(RsaPadding, RsaHash),
}

/// How a text is made as long as an RSA key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaPadding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS, with a salt as long as the hash and the same hash in its mask.
    Pss,
}

/// The hash of a text that RSA signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaHash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Whether a signature can have this many bytes.
    #[must_use]
    pub fn takes_signature_len(self, bytes: usize) -> bool {
        match self {
            Self::HmacSha1 => bytes == 20,
            Self::HmacSha256 | Self::KeyedSha256 => bytes == 32,
            Self::HmacSha384 => bytes == 48,
            Self::HmacSha512 | Self::Ed25519 => bytes == 64,
            // Two integers of 1 to 33 bytes in a sequence.
            Self::EcdsaP256 => (8..=72).contains(&bytes),
            // As many as the key has, which is seen when it is verified.
            Self::Rsa(..) => (256..=1024).contains(&bytes),
        }
    }
}

/// How a signature's bytes are written: in exactly one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureEncoding {
    /// Hexadecimal.
    Hex(HexCase),
    /// Base64 in the standard alphabet (RFC 4648 §4).
    Base64(Padding),
    /// Base64 in the URL alphabet (RFC 4648 §5).
    Base64Url(Padding),
}

/// Which hexadecimal digits are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HexCase {
    /// Lower case only.
    Lower,
    /// Lower and upper case.
    Any,
}

/// What is said about `=` at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// It must be there.
    Required,
    /// It may be there, complete, or not.
    Optional,
}

/// How a secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyPreparation {
    /// Its characters in UTF-8.
    Utf8,
    /// It is hexadecimal.
    Hex,
    /// It is base64 in the standard alphabet, padded or not.
    Base64,
    /// It is base64 with `whsec_` in front, or without (Standard Webhooks).
    Whsec,
    /// It is base64 with `whpk_` in front (Standard Webhooks): a public key.
    Whpk,
    /// It is a public key in PEM, or the base64 of its DER (RFC 5280 `SubjectPublicKeyInfo`), of the algorithm's kind.
    Spki,
}

/// Where the time of signing is found, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimestampRule {
    /// Where it is found.
    pub source: Source,
    /// How it is written.
    pub unit: TimestampUnit,
}

/// How a timestamp is written. Digits are `0` to `9`, without sign or space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimestampUnit {
    /// Seconds since the Unix epoch, at most 11 digits.
    Seconds,
    /// Milliseconds since the Unix epoch, at most 14 digits.
    Millis,
    /// RFC 3339.
    Rfc3339,
    /// Seconds up to 11 digits, milliseconds from 12 to 14 digits, or RFC 3339.
    Any,
}

impl TimestampRule {
    pub(super) fn new(source: Source, unit: TimestampUnit) -> Self {
        Self { source, unit }
    }
}

impl SignatureScheme {
    /// A scheme with the signature alone in a header, over the body, as HMAC-SHA-256 of a text key.
    pub(super) fn over_body(header: HeaderName, encoding: SignatureEncoding) -> Self {
        Self {
            carriers: Cow::Owned(vec![Source::Header(header)]),
            extraction: Extraction::Bare,
            algorithm: Algorithm::HmacSha256,
            encoding,
            key: KeyPreparation::Utf8,
            signed: Cow::Borrowed(&[Part::Body]),
            body_digest: None,
            absent: Cow::Borrowed(&[]),
            timestamp: None,
            id: None,
            delivery_id: Cow::Borrowed(&[]),
            varying: Cow::Borrowed(&[]),
        }
    }

    /// Whether the signed text contains the URL, in whatever form.
    pub(super) fn signs_url(&self) -> bool {
        self.signs(&Part::Url) || self.signs(&Part::DecodedUrl)
    }

    /// Whether the signed text contains this part.
    pub(super) fn signs(&self, part: &Part) -> bool {
        self.signed.contains(part)
    }
}
