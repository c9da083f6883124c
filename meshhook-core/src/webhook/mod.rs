//! Webhooks: who sent a request, and what it says.
//!
//! Everything between the bytes on the wire and the start of a run that is a pure function lives here:
//!
//! ```text
//!   request ──► HookPath ──► VerifyConfig::verify ──► read_body ──► headers_value, query_value ──► filter, run
//!               which hook    raw bytes                decoded,       what expressions see
//!                                                      bounded
//! ```
//!
//! - A signature scheme is data ([`SignatureScheme`]); the presets are values of it (`preset.rs`), and the
//!   generic `hmac` scheme is the same type filled from a trigger's config.
//! - Verification takes the time, the secrets and the raw request as arguments. What it refuses, it refuses with
//!   a [`Refusal`] that is recorded for the hook's owner, [in words](Refused) as well, and never shown to the sender.
//! - So is a provider's question whether the hook is there ([`HandshakeRule`]): it is answered and starts no run.
//! - What became of a request is a [`Verdict`], of a closed list.
//! - Bodies are read for the workflow only after the signature was accepted. What a scheme or a handshake looks for in a body is
//!   parsed out of it before, as JSON. Every step is bounded.

mod body;
mod config;
mod decoy;
mod fingerprint;
mod found;
mod handshake;
mod head;
mod jwt;
mod notation;
mod path;
mod preset;
mod refusal;
mod scheme;
mod sign;
mod signature;
mod verdict;
mod verify;

pub use body::{Body, BodyError, BodyKind, BodyLimits, read_body};
pub use config::VerifyConfig;
pub use handshake::{
    Answer, Condition, HANDSHAKES, HandshakeAnswer, HandshakeRule, Member, SecretUse, Trust, handshake,
    handshake_secret,
};
pub use head::{HeadError, MAX_HEADERS, MAX_QUERY_PAIRS, headers_value, query_value, redact_headers};
pub use jwt::{Jwk, JwtAlgorithm, JwtScheme};
pub use path::{HookPath, InvalidHookPath};
pub use preset::{PRESETS, preset};
pub use refusal::{Refusal, Refused};
pub use scheme::{
    Algorithm, Extraction, HexCase, KeyPreparation, Padding, Part, RsaHash, RsaPadding, Scheme,
    SignatureEncoding, SignatureScheme, Source, Text, TimestampRule, TimestampUnit, TokenScheme,
};
pub use sign::{SignError, StandardSigner};
pub use verdict::{RecordedVerdict, Verdict};
pub use verify::{Claims, RawRequest, Verified};
