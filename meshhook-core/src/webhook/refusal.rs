//! Why a request is refused.

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

    /// How far the request came.
    pub(super) fn depth(self) -> u8 {
        match self {
            Self::NeedsSecret
            | Self::HeaderMissing
            | Self::Ambiguous
            | Self::BadEncoding
            | Self::TooManySignatures => 0,
            Self::BadAlgorithm | Self::BadKey => 1,
            Self::BadId | Self::BadChallenge | Self::BadTimestamp => 2,
            Self::Mismatch => 3,
            Self::BadClaims | Self::Stale => 4,
        }
    }
}
