//! The work that a refusal was spared, done for nothing.
//!
//! A request that is refused before its signature was computed would be answered sooner than one whose signature is wrong:
//! by a millisecond or more where the body is large. From that a sender could learn that a hook has no secret, or in which
//! form it expects signatures. So the text is signed all the same, with a key that is nobody's, once for each of the hook's
//! secrets that the request was not held against, and the result is thrown away.
//!
//! **What it costs.** The cheapest refusal becomes as dear as a mismatch: at most four passes over a body that is no larger
//! than the hook takes. No sender could be kept from that before, since anybody can write a signature that is wrong.
//!
//! **What remains.** The passes are over all that is as large as a body. Smaller things stay: a header more to read, a list
//! to take apart, a key in base64 that was none. Where there is a public key, a signature that is no point or number of its
//! curve is put away before the text is hashed. Tokens, passwords and JWTs sign nothing of a body, and have no passes.

use std::borrow::Cow;
use std::hint::black_box;

use super::found::Found;
use super::scheme::{Algorithm, Part, SignatureScheme, Source};
use super::signature::Key;
use super::verify::{RawRequest, unsearched};

/// What a refused request was not put to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spared<'a> {
    /// The form that the request came as.
    pub(super) form: &'a SignatureScheme,
    /// How many of the hook's secrets it was not held against.
    pub(super) passes: usize,
}

impl Spared<'_> {
    /// Does that work, for nothing.
    pub(super) fn make_up_for(&self, request: &RawRequest<'_>, url: &str) {
        let Some(nobody) = Nobody::of(self.form.algorithm) else { return };
        for _ in 0..self.passes {
            black_box(nobody.signed(black_box(self.form), request, url));
        }
    }
}

/// A key that belongs to nobody, and a signature that is none but looks like one.
pub(super) struct Nobody {
    pub(super) key: Key,
    pub(super) signature: Vec<u8>,
}

impl Nobody {
    /// One for the algorithm; none for RSA, with which only tokens are signed.
    pub(super) fn of(algorithm: Algorithm) -> Option<Self> {
        let (key, signature) = match algorithm {
            Algorithm::HmacSha1 => (vec![1; 32], vec![1; 20]),
            Algorithm::HmacSha256 | Algorithm::KeyedSha256 => (vec![1; 32], vec![1; 32]),
            Algorithm::HmacSha384 => (vec![1; 32], vec![1; 48]),
            Algorithm::HmacSha512 => (vec![1; 32], vec![1; 64]),
            // Two points of the curve and a number below its order.
            Algorithm::Ed25519 => (ED25519_BASE.to_vec(), [ED25519_BASE, [0x0a; 32]].concat()),
            // Two numbers of 32 bytes below the curve's order, as a sequence in DER.
            Algorithm::EcdsaP256 => {
                let number = [&[0x02, 0x20][..], &[0x55; 32]].concat();
                (P256_BASE.to_vec(), [&[0x30, 0x44][..], &number, &number].concat())
            }
            Algorithm::Rsa(..) => return None,
        };
        Key::from_bytes(algorithm, &key).map(|key| Self { key, signature })
    }

    /// Whether the signature is one of what the form signs of this request.
    pub(super) fn signed(&self, form: &SignatureScheme, request: &RawRequest<'_>, url: &str) -> bool {
        let found = Found::without_signature(request);
        // Who looks for a signature in the body has parsed it already, and once is enough.
        let is_parsed = form.carriers.iter().any(|source| matches!(source, Source::Body(_)));
        let text = |source: Option<&Source>| {
            let text = source.filter(|_| !is_parsed).and_then(|source| found.get(source).ok()?);
            Cow::Owned(text.unwrap_or_default().into_owned().into_bytes())
        };
        let signed = form.signed.iter().map(|part| match part {
            Part::Timestamp => text(form.timestamp.as_ref().map(|rule| &rule.source)),
            Part::Id => text(form.id.as_ref()),
            Part::From(source) | Part::IfAny(source) => text(Some(source)),
            part => unsearched(part, request, url).unwrap_or_default(),
        });
        let signed: Vec<Cow<'_, [u8]>> = signed.collect();
        self.key.matches_any(form.algorithm, &signed, std::slice::from_ref(&self.signature))
    }
}

/// The base point (RFC 8032, section 5.1), whose private key is 1.
const ED25519_BASE: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

/// The base point (SEC 2, section 2.4.2), uncompressed.
const P256_BASE: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f,
    0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce,
    0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];
