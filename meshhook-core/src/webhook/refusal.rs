//! Why a request is refused: in one word, by which people filter, and in words, for the hook's owner.
//!
//! The words name places, secrets, counts and times: what somebody needs who looks for the mistake. They never have a
//! secret, a signature or what it should have been, so that whoever may look at deliveries can sign none. They are made
//! where the refusal is, which costs a refused request less than a microsecond and an accepted one nothing.

use std::time::Duration;

use super::notation::write_template;
use super::scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, SignatureEncoding, SignatureScheme, Source,
    TimestampUnit,
};
use crate::secret::SecretName;
use crate::time::format_duration;

/// A refusal, and in words what it is about. Recorded for the hook's owner, never sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Why, in one word.
    pub refusal: Refusal,
    /// What is wrong, in words.
    pub detail: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        refusal.because(refusal.to_string())
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        refused.refusal
    }
}

/// Why a request was refused. Recorded for the hook's owner by its [`code`](Refusal::code), never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// None of the secrets that the scheme needs exists, or they are empty.
    #[error("no secret to verify with")]
    NeedsSecret,
    /// No secret is in the form that the scheme prepares keys from.
    #[error("the secret is not in the form that the scheme needs")]
    BadKey,
    /// A header that the scheme needs is missing, or what it needs from another place.
    #[error("a header that the scheme needs is missing")]
    HeaderMissing,
    /// A header, label or name in the query stands there more than once, or something is there that must be absent.
    #[error("a header or label is repeated")]
    Ambiguous,
    /// The signature is not in the scheme's form: prefix, label, encoding or length.
    #[error("the signature is not in the form of the scheme")]
    BadEncoding,
    /// More signatures than are tried.
    #[error("too many signatures")]
    TooManySignatures,
    /// The delivery's id is missing where it is signed, or has characters that ids do not have.
    #[error("the delivery's id is missing or malformed")]
    BadId,
    /// What a handshake wants to see again is missing, or could be something else.
    #[error("the challenge is missing or malformed")]
    BadChallenge,
    /// A token's algorithm is none of those that are accepted.
    #[error("the token's algorithm is not accepted")]
    BadAlgorithm,
    /// A token is by or for somebody else.
    #[error("the token is by or for somebody else")]
    BadClaims,
    /// No signature, token or password matches a secret.
    #[error("no signature matches")]
    Mismatch,
    /// The timestamp is missing, or not in the scheme's form.
    #[error("the timestamp is missing or malformed")]
    BadTimestamp,
    /// The timestamp is further from now than the tolerance, in the past or in the future.
    #[error("the timestamp is outside the tolerance")]
    Stale,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NeedsSecret => "needs_secret",
            Self::BadKey => "bad_key",
            Self::HeaderMissing => "header_missing",
            Self::Ambiguous => "ambiguous",
            Self::BadEncoding => "bad_encoding",
            Self::TooManySignatures => "too_many_signatures",
            Self::BadId => "bad_id",
            Self::BadChallenge => "bad_challenge",
            Self::BadAlgorithm => "bad_algorithm",
            Self::BadClaims => "bad_claims",
            Self::Mismatch => "mismatch",
            Self::BadTimestamp => "bad_timestamp",
            Self::Stale => "stale",
        }
    }

    /// The same, with what it is about.
    pub(super) fn because(self, detail: impl Into<String>) -> Refused {
        Refused::new(self, detail)
    }
}

impl Refused {
    /// A refusal and what it is about.
    #[must_use]
    pub fn new(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into() }
    }

    /// The same, of whose secrets only some have a value.
    pub(super) fn without(mut self, missing: &[&SecretName]) -> Self {
        if !missing.is_empty() {
            self.detail = format!("{}; without a value in the vault: {}", self.detail, listed(missing));
        }
        self
    }

    pub(super) fn missing(source: &Source) -> Self {
        Refusal::HeaderMissing.because(format!("{} is missing", place(source)))
    }

    pub(super) fn no_signature(carriers: &[Source]) -> Self {
        let stands = carriers.iter().map(place).collect::<Vec<_>>().join(" or ");
        Refusal::HeaderMissing.because(format!("{stands}, the signature, is missing"))
    }

    pub(super) fn repeated(source: &Source) -> Self {
        Refusal::Ambiguous.because(format!("{} is there more than once", place(source)))
    }

    pub(super) fn needs_secret(names: &[&SecretName]) -> Self {
        let detail = match names {
            [one] => format!("the secret `{one}` has no value in the vault"),
            names => format!("none of these secrets has a value in the vault: {}", listed(names)),
        };
        Refusal::NeedsSecret.because(detail)
    }

    pub(super) fn bad_key(preparation: KeyPreparation, algorithm: Algorithm, names: &[&SecretName]) -> Self {
        let form = match preparation {
            KeyPreparation::Utf8 => "text",
            KeyPreparation::Hex => "hexadecimal",
            KeyPreparation::Base64 => "base64",
            KeyPreparation::Whsec => "base64, behind `whsec_` or alone",
            KeyPreparation::Whpk => "base64 behind `whpk_`",
            KeyPreparation::Spki => "PEM (`-----BEGIN PUBLIC KEY-----`), or the base64 of a DER",
        };
        let detail = format!(
            "the secret is no key of {} in the form of the scheme, {form}: {}",
            algorithm_name(algorithm),
            listed(names)
        );
        Refusal::BadKey.because(detail)
    }

    /// No signature in these texts is in the scheme's form.
    pub(super) fn unreadable(
        scheme: &SignatureScheme,
        carriers: &[&Source],
        texts: usize,
        len: Option<usize>,
    ) -> Self {
        let stands = carriers.iter().map(|source| place(source)).collect::<Vec<_>>().join(" or ");
        let behind = match &scheme.extraction {
            Extraction::Prefix(prefix) => format!(" after `{prefix}`"),
            Extraction::List { assign, label, .. } => format!(" after `{label}{assign}`"),
            Extraction::Bare => String::new(),
        };
        let detail = match (&scheme.extraction, len) {
            (Extraction::Prefix(prefix), _) if texts == 0 => {
                format!("the signature in {stands} does not begin with `{prefix}`")
            }
            (Extraction::List { separator, assign, label }, _) if texts == 0 => {
                format!("the list in {stands} (entries between `{separator}`) has no `{label}{assign}…`")
            }
            (_, Some(len)) => {
                let algorithm = algorithm_name(scheme.algorithm);
                format!("the signature in {stands} has {len} bytes{behind}, which {algorithm} makes none of")
            }
            (_, None) => {
                format!("the signature in {stands} is not {}{behind}", encoding_name(scheme.encoding))
            }
        };
        Refusal::BadEncoding.because(detail)
    }

    /// No signature matches: what was signed by which keys, should the sender be who may send.
    pub(super) fn mismatch(scheme: &SignatureScheme, url: &str, bytes: usize, tried: &[&SecretName]) -> Self {
        let mut detail = format!(
            "no signature is {} of `{}` ({bytes} bytes) with {}",
            algorithm_name(scheme.algorithm),
            write_template(&scheme.signed),
            secrets(tried),
        );
        if scheme.signs_url() {
            // What stands behind `?` may be a credential.
            let (shown, more) = url.split_once('?').map_or((url, ""), |(shown, _)| (shown, "?…"));
            detail.push_str(&format!("; the URL was taken to be {shown}{more}"));
        }
        Refusal::Mismatch.because(detail)
    }

    /// What was sent is not the secret.
    pub(super) fn other_token(what: &str, tried: &[&SecretName]) -> Self {
        Refusal::Mismatch.because(format!("{what} is not {}", secrets(tried)))
    }

    pub(super) fn no_time(source: &Source) -> Self {
        Refusal::BadTimestamp.because(format!("{}, the time of signing, is missing", place(source)))
    }

    pub(super) fn bad_time(source: &Source, unit: TimestampUnit) -> Self {
        let form = match unit {
            TimestampUnit::Seconds => "whole seconds since 1970, of at most 11 digits",
            TimestampUnit::Millis => "whole milliseconds since 1970, of at most 14 digits",
            TimestampUnit::Rfc3339 => "RFC 3339",
            TimestampUnit::Any => "seconds or milliseconds since 1970, or RFC 3339",
        };
        Refusal::BadTimestamp.because(format!("{}, the time of signing, is not {form}", place(source)))
    }

    /// The time of signing was too long before or after that of receiving.
    pub(super) fn stale(source: &Source, (before, after): (Duration, Duration), tolerance: Duration) -> Self {
        let (by, side) = if before > after { (before, "before") } else { (after, "after") };
        let (by, tolerance) = (format_duration(by), format_duration(tolerance));
        let stands = place(source);
        Refusal::Stale
            .because(format!("signed {by} {side} it came, as {stands} says; the tolerance is {tolerance}"))
    }

    pub(super) fn bad_id(source: &Source, what: &str) -> Self {
        Refusal::BadId.because(format!("{}, the delivery's id, {what}", place(source)))
    }
}

/// A place, as it is called in a sentence.
pub(super) fn place(source: &Source) -> String {
    match source {
        Source::Header(name) => format!("the header `{name}`"),
        Source::Query(name) => format!("`{name}` in the query"),
        Source::Label(label) => format!("`{label}` in the signature's list"),
        Source::Body(pointer) => format!("`{pointer}` in the body"),
    }
}

/// The secrets that were tried, as they are called in a sentence.
pub(super) fn secrets(tried: &[&SecretName]) -> String {
    match tried {
        [one] => format!("the secret `{one}`"),
        many => format!("any of the secrets {}", listed(many)),
    }
}

fn listed(names: &[&SecretName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacSha1 => "HMAC-SHA-1",
        Algorithm::HmacSha256 => "HMAC-SHA-256",
        Algorithm::HmacSha384 => "HMAC-SHA-384",
        Algorithm::HmacSha512 => "HMAC-SHA-512",
        Algorithm::KeyedSha256 => "SHA-256 of the key and the text",
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256 => "ECDSA over P-256",
        Algorithm::Rsa(..) => "RSA",
    }
}

fn encoding_name(encoding: SignatureEncoding) -> &'static str {
    match encoding {
        SignatureEncoding::Hex(HexCase::Any) => "hex",
        SignatureEncoding::Hex(HexCase::Lower) => "hex in lower case",
        SignatureEncoding::Base64(Padding::Required) => "base64 with its padding",
        SignatureEncoding::Base64(Padding::Optional) => "base64",
        SignatureEncoding::Base64Url(Padding::Required) => "base64url with its padding",
        SignatureEncoding::Base64Url(Padding::Optional) => "base64url",
    }
}
