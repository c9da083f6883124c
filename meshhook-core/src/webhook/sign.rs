//! Signing what is sent, as Standard Webhooks describes it (github.com/standard-webhooks/standard-webhooks).
//!
//! The other end of the preset `standard`: whoever receives such a request verifies it with any library for Standard
//! Webhooks. Several keys sign side by side, so that a receiver can change from one to the next when it likes.

use base64::Engine as _;
use ed25519_dalek::Signer as _;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::signature::{STANDARD, STANDARD_LENIENT, hmac_sha256};
use super::verify::is_signed_id;
use crate::time::Timestamp;

/// The keys that requests are signed with.
pub struct StandardSigner {
    keys: Vec<Key>,
}

enum Key {
    /// `v1`: HMAC-SHA-256, a key that the receiver has as well.
    Shared(Zeroizing<Vec<u8>>),
    /// `v1a`: Ed25519, of which the receiver has the public half.
    Private(Box<ed25519_dalek::SigningKey>),
}

/// Why nothing can be signed. Says nothing about a secret but that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A secret is no key.
    #[error("is not a key of Standard Webhooks: base64, with `whsec_`, or with `whsk_` for Ed25519")]
    BadKey,
    /// There are none, or too many.
    #[error("must be 1 to 4 keys")]
    KeyCount,
    /// The id has characters that ids do not have.
    #[error("is not 1 to 128 letters, digits, `_` or `-`")]
    BadId,
}

impl StandardSigner {
    /// The headers of a signature, in the order of the signed text: id, time, signatures.
    pub const HEADERS: [HeaderName; 3] = [
        HeaderName::from_static("webhook-id"),
        HeaderName::from_static("webhook-timestamp"),
        HeaderName::from_static("webhook-signature"),
    ];

    /// The most keys that sign side by side.
    pub const MAX_KEYS: usize = 4;

    /// Reads keys: base64 with `whsec_` in front or nothing for a shared key, with `whsk_` for a private one of Ed25519 (its
    /// 32 bytes, or 64 with the public key behind them).
    ///
    /// # Errors
    ///
    /// When one is no key, or there are none or more than [`Self::MAX_KEYS`].
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SignError> {
        let keys = secrets.into_iter().map(Key::read).collect::<Option<Vec<_>>>().ok_or(SignError::BadKey)?;
        if (1..=Self::MAX_KEYS).contains(&keys.len()) { Ok(Self { keys }) } else { Err(SignError::KeyCount) }
    }

    /// The values of [`Self::HEADERS`] for a request.
    ///
    /// # Errors
    ///
    /// When the id could be taken for more than an id.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> Result<[HeaderValue; 3], SignError> {
        if !is_signed_id(id.as_bytes()) {
            return Err(SignError::BadId);
        }
        let seconds = at.as_micros().div_euclid(1_000_000).to_string();
        let text = [id.as_bytes(), b".", seconds.as_bytes(), b".", body].concat();
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| match key {
                Key::Shared(key) => format!("v1,{}", STANDARD.encode(hmac_sha256(key, &text))),
                Key::Private(key) => format!("v1a,{}", STANDARD.encode(key.sign(&text).to_bytes())),
            })
            .collect();
        let value =
            |text: &str| HeaderValue::from_str(text).expect("ids, digits and base64 are visible ASCII");
        Ok([value(id), value(&seconds), value(&signatures.join(" "))])
    }
}

impl Key {
    fn read(secret: &str) -> Option<Self> {
        let Some(private) = secret.strip_prefix("whsk_") else {
            let shared = STANDARD_LENIENT.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
            // An empty key is known to everybody.
            return (!shared.is_empty()).then(|| Self::Shared(Zeroizing::new(shared)));
        };
        let bytes = Zeroizing::new(STANDARD_LENIENT.decode(private).ok()?);
        let key = match bytes.len() {
            32 => ed25519_dalek::SigningKey::from_bytes(bytes.as_slice().try_into().ok()?),
            64 => ed25519_dalek::SigningKey::from_keypair_bytes(bytes.as_slice().try_into().ok()?).ok()?,
            _ => return None,
        };
        Some(Self::Private(Box::new(key)))
    }
}

impl std::fmt::Debug for StandardSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandardSigner").field("keys", &self.keys.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;
    use crate::webhook::{RawRequest, Refusal, VerifyConfig};

    const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OLDER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    /// The bytes 0 to 31, and the public key to it.
    const PRIVATE: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn at() -> Timestamp {
        Timestamp::from_micros(1_614_265_330_999_999)
    }

    fn verified_by(keys: &[&str], secret: &str, body: &[u8]) -> Result<(), Refusal> {
        let signer = StandardSigner::new(keys.iter().copied()).unwrap();
        let values = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at(), BODY).unwrap();
        let headers: HeaderMap = StandardSigner::HEADERS.into_iter().zip(values).collect();
        let config = VerifyConfig::parse(&json!({"scheme": "standard", "secret": "s"}), "").unwrap();
        let request = RawRequest { method: "POST", url: "", query: "", headers: &headers, body };
        config.verify(&request, &[Some(&secret.into())], at())?;
        Ok(())
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        // docs.svix.com, "Verifying webhooks manually".
        let [id, time, signature] =
            StandardSigner::new([SHARED]).unwrap().sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at(), BODY).unwrap();
        assert_eq!(id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(time, "1614265330");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_key_signs_and_each_receiver_verifies_with_its_own() {
        for secret in [SHARED, OLDER, PUBLIC] {
            assert_eq!(verified_by(&[SHARED, OLDER, PRIVATE], secret, BODY), Ok(()), "{secret}");
            assert_eq!(verified_by(&[SHARED, OLDER, PRIVATE], secret, b"{}"), Err(Refusal::Mismatch));
        }
        assert_eq!(verified_by(&[SHARED], OLDER, BODY), Err(Refusal::Mismatch));
    }

    #[test]
    fn a_private_key_may_carry_its_public_one() {
        let mut pair: Vec<u8> = (0..32).collect();
        pair.extend(STANDARD.decode(&PUBLIC[5..]).unwrap());
        let with = |pair: &[u8]| format!("whsk_{}", STANDARD.encode(pair));
        assert_eq!(verified_by(&[&with(&pair)], PUBLIC, BODY), Ok(()));
        pair[40] ^= 1;
        assert_eq!(StandardSigner::new([with(&pair).as_str()]).unwrap_err(), SignError::BadKey);
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        for bad in ["", "whsec_", "whsec_*", "whsk_", "whsk_AAAA", PUBLIC, "not base64!"] {
            assert_eq!(StandardSigner::new([SHARED, bad]).unwrap_err(), SignError::BadKey, "{bad}");
        }
        assert_eq!(StandardSigner::new([]).unwrap_err(), SignError::KeyCount);
        assert_eq!(StandardSigner::new([SHARED; 5]).unwrap_err(), SignError::KeyCount);
    }

    #[test]
    fn ids_that_could_move_the_boundary_are_refused() {
        let signer = StandardSigner::new([SHARED]).unwrap();
        for bad in ["", "a.1", "a b", "a\n", &"a".repeat(129)] {
            assert_eq!(signer.sign(bad, at(), BODY).unwrap_err(), SignError::BadId, "{bad}");
        }
    }

    #[test]
    fn a_signer_prints_no_key() {
        assert_eq!(format!("{:?}", StandardSigner::new([SHARED]).unwrap()), "StandardSigner { keys: 1 }");
    }
}
