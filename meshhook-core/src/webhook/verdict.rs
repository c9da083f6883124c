//! Verdicts: what became of a request to a hook, in one word.
//!
//! The names are frozen: they stand in stored deliveries, in logs and in metrics, and people filter by them. Names are
//! added, never changed.

use std::fmt;

use super::refusal::Refusal;

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $status:literal;)*) => {
        /// What became of a request to a hook.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Verdict {
            $($(#[$doc])* $variant,)*
        }

        impl Verdict {
            /// All of them, in the order of the checks.
            pub const ALL: &'static [Verdict] = &[$(Verdict::$variant,)*];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Verdict::$variant => $name,)*
                }
            }

            /// The verdict of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Verdict::$variant),)*
                    _ => None,
                }
            }

            /// The HTTP status that the sender is answered with, where the answer is not a run's or a handshake's own.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Verdict::$variant => $status,)*
                }
            }
        }
    };
}

verdicts! {
    /// No hook that is live listens at the path.
    UnknownPath, "unknown_path", 404;
    /// It was a provider's question whether the hook is there, and was answered.
    Handshake, "handshake", 200;
    /// The hook does not take that method.
    MethodNotAllowed, "method_not_allowed", 405;
    /// The body is larger, deeper or has more parts than the hook takes.
    TooLarge, "too_large", 413;
    /// The body did not come to its end, or took too long; or the sender went away before it was answered.
    Incomplete, "incomplete", 408;
    /// None of the secrets that the scheme needs exists, or they are empty.
    NeedsSecret, "needs_secret", 401;
    /// No secret is in the form that the scheme prepares keys from.
    BadKey, "bad_key", 401;
    /// A header that the scheme needs is missing.
    HeaderMissing, "header_missing", 401;
    /// A header or label stands there more than once.
    Ambiguous, "ambiguous", 401;
    /// The signature is not in the scheme's form: prefix, label, encoding or length.
    BadEncoding, "bad_encoding", 401;
    /// More signatures than are tried.
    TooManySignatures, "too_many_signatures", 401;
    /// The delivery's id is missing where it is signed, or has characters that ids do not have.
    BadId, "bad_id", 401;
    /// What a handshake wants to see again is missing, or could be something else.
    BadChallenge, "bad_challenge", 401;
    /// A token's algorithm is none of those that are accepted.
    BadAlgorithm, "bad_algorithm", 401;
    /// A token is by or for somebody else.
    BadClaims, "bad_claims", 401;
    /// No signature, token or password matches a secret.
    Mismatch, "mismatch", 401;
    /// The timestamp is missing, or not in the scheme's form.
    BadTimestamp, "bad_timestamp", 401;
    /// The timestamp is outside the tolerance.
    Stale, "stale", 401;
    /// The body's encoding, or its type where JSON is needed, is not supported.
    UnsupportedMedia, "unsupported_media", 415;
    /// The request does not parse as what it says it is.
    Malformed, "malformed", 400;
    /// The filter does not want it.
    Filtered, "filtered", 200;
    /// An earlier delivery has its key.
    Duplicate, "duplicate", 202;
    /// An earlier delivery has its key, and had another body.
    KeyReused, "key_reused", 409;
    /// The body does not match the hook's schema, or that of the workflow's input.
    InvalidSchema, "invalid_schema", 422;
    /// More came than the hook's rate limit lets in.
    RateLimited, "rate_limited", 429;
    /// There was too much to do, or the store or a secret could not be reached.
    Overloaded, "overloaded", 503;
    /// Something went wrong inside.
    Internal, "internal", 500;
    /// A run was committed.
    Accepted, "accepted", 202;
}

impl Verdict {
    /// Whether the request was turned away: no run, no answer to a handshake, no repetition.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        !matches!(self, Verdict::Accepted | Verdict::Duplicate | Verdict::Filtered | Verdict::Handshake)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict as it was recorded. While processes of two releases work together, the older one reads names that the newer one
/// has written: it cannot tell what they mean, and shows them as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedVerdict {
    /// One of this release.
    Known(Verdict),
    /// One of a newer release, by its name.
    Newer(Box<str>),
}

impl RecordedVerdict {
    /// What a name stands for.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Verdict::from_name(name).map_or_else(|| Self::Newer(name.into()), Self::Known)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(verdict) => verdict.as_str(),
            Self::Newer(name) => name,
        }
    }

    /// The verdict, where this release knows it.
    #[must_use]
    pub fn known(&self) -> Option<Verdict> {
        match self {
            Self::Known(verdict) => Some(*verdict),
            Self::Newer(_) => None,
        }
    }
}

impl From<Verdict> for RecordedVerdict {
    fn from(verdict: Verdict) -> Self {
        Self::Known(verdict)
    }
}

impl PartialEq<Verdict> for RecordedVerdict {
    fn eq(&self, verdict: &Verdict) -> bool {
        self.known() == Some(*verdict)
    }
}

impl fmt::Display for RecordedVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NeedsSecret => Verdict::NeedsSecret,
            Refusal::BadKey => Verdict::BadKey,
            Refusal::HeaderMissing => Verdict::HeaderMissing,
            Refusal::Ambiguous => Verdict::Ambiguous,
            Refusal::BadEncoding => Verdict::BadEncoding,
            Refusal::TooManySignatures => Verdict::TooManySignatures,
            Refusal::BadId => Verdict::BadId,
            Refusal::BadChallenge => Verdict::BadChallenge,
            Refusal::BadAlgorithm => Verdict::BadAlgorithm,
            Refusal::BadClaims => Verdict::BadClaims,
            Refusal::Mismatch => Verdict::Mismatch,
            Refusal::BadTimestamp => Verdict::BadTimestamp,
            Refusal::Stale => Verdict::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_frozen() {
        let names: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        let frozen = "unknown_path handshake method_not_allowed too_large incomplete needs_secret bad_key \
             header_missing ambiguous bad_encoding too_many_signatures bad_id bad_challenge bad_algorithm bad_claims \
             mismatch bad_timestamp stale unsupported_media malformed filtered duplicate key_reused invalid_schema \
             rate_limited overloaded internal accepted";
        assert_eq!(names.join(" "), frozen.split_whitespace().collect::<Vec<_>>().join(" "));
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_name(verdict.as_str()), Some(*verdict));
        }
        assert_eq!(Verdict::from_name("Accepted"), None);
    }

    #[test]
    fn a_refusals_verdict_has_its_name_and_tells_the_sender_nothing() {
        for refusal in [
            Refusal::NeedsSecret,
            Refusal::BadKey,
            Refusal::HeaderMissing,
            Refusal::Ambiguous,
            Refusal::BadEncoding,
            Refusal::TooManySignatures,
            Refusal::BadId,
            Refusal::BadChallenge,
            Refusal::BadAlgorithm,
            Refusal::BadClaims,
            Refusal::Mismatch,
            Refusal::BadTimestamp,
            Refusal::Stale,
        ] {
            let verdict = Verdict::from(refusal);
            assert_eq!((verdict.as_str(), verdict.status()), (refusal.code(), 401));
            assert!(verdict.is_refusal());
        }
    }
}
