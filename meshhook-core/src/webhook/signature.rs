//! Keys and signatures: from the text in a vault and in a header to a yes or no.
//!
//! Nothing here says why something is refused: a secret that is no key is none, and a text that is no signature in the
//! scheme's own encoding is none either.

use std::borrow::Cow;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ParsedPublicKey, RsaParameters};
use aws_lc_rs::{rsa, signature as aws_lc};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier as _;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::scheme::{Algorithm, HexCase, KeyPreparation, Padding, RsaHash, RsaPadding, SignatureEncoding};

/// What signatures are held against.
pub(super) enum Key {
    /// Known to both sides.
    Shared(Zeroizing<Vec<u8>>),
    /// Known to everybody.
    Ed25519(ed25519_dalek::VerifyingKey),
    /// Known to everybody.
    P256(p256::ecdsa::VerifyingKey),
    /// Known to everybody, and for one padding and hash.
    Rsa(ParsedPublicKey),
}

impl Key {
    /// The key that a secret is, or nothing where it is not in the form that the scheme needs.
    pub(super) fn prepare(preparation: KeyPreparation, algorithm: Algorithm, secret: &str) -> Option<Self> {
        let bytes = Zeroizing::new(match preparation {
            KeyPreparation::Utf8 => secret.as_bytes().to_vec(),
            KeyPreparation::Hex => hex::decode(secret).ok()?,
            KeyPreparation::Base64 => STANDARD_LENIENT.decode(secret).ok()?,
            KeyPreparation::Whsec => {
                STANDARD_LENIENT.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?
            }
            KeyPreparation::Whpk => STANDARD_LENIENT.decode(secret.strip_prefix("whpk_")?).ok()?,
            KeyPreparation::Spki => spki(algorithm, secret)?,
        });
        Self::from_bytes(algorithm, &bytes)
    }

    /// The key that these bytes are: of a public one, the 32 bytes of Ed25519, a point of P-256 in SEC1, or RSA's
    /// `SubjectPublicKeyInfo`.
    pub(super) fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Ed25519 => {
                let bytes: &[u8; 32] = bytes.try_into().ok()?;
                ed25519_dalek::VerifyingKey::from_bytes(bytes).ok().map(Self::Ed25519)
            }
            Algorithm::EcdsaP256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok().map(Self::P256),
            Algorithm::Rsa(padding, hash) => rsa_key(rsa_parameters(padding, hash), bytes).map(Self::Rsa),
            // An empty key is known to everybody.
            _ => (!bytes.is_empty()).then(|| Self::Shared(Zeroizing::new(bytes.to_vec()))),
        }
    }

    /// Whether any of the signatures is one of the text with this key.
    pub(super) fn matches_any(
        &self,
        algorithm: Algorithm,
        signed: &[Cow<'_, [u8]>],
        signatures: &[Vec<u8>],
    ) -> bool {
        match self {
            Self::Shared(key) => match algorithm {
                Algorithm::HmacSha1 => hmac_matches::<Hmac<Sha1>>(key, signed, signatures),
                Algorithm::HmacSha256 => hmac_matches::<Hmac<Sha256>>(key, signed, signatures),
                Algorithm::HmacSha384 => hmac_matches::<Hmac<Sha384>>(key, signed, signatures),
                Algorithm::HmacSha512 => hmac_matches::<Hmac<Sha512>>(key, signed, signatures),
                Algorithm::KeyedSha256 => {
                    let mut hash = Sha256::new_with_prefix(key.as_slice());
                    signed.iter().for_each(|part| hash.update(part));
                    let hash = hash.finalize();
                    signatures.iter().any(|signature| hash.as_slice().ct_eq(signature).into())
                }
                // A shared key is never made for these.
                Algorithm::Ed25519 | Algorithm::EcdsaP256 | Algorithm::Rsa(..) => false,
            },
            Self::Ed25519(key) => {
                let text = signed.concat();
                let parse = |bytes: &Vec<u8>| ed25519_dalek::Signature::from_slice(bytes).ok();
                signatures
                    .iter()
                    .filter_map(parse)
                    .any(|signature| key.verify_strict(&text, &signature).is_ok())
            }
            Self::P256(key) => {
                let text = signed.concat();
                let parse = |bytes: &Vec<u8>| p256::ecdsa::Signature::from_der(bytes).ok();
                signatures.iter().filter_map(parse).any(|signature| key.verify(&text, &signature).is_ok())
            }
            Self::Rsa(key) => {
                let text = signed.concat();
                signatures.iter().any(|signature| key.verify_sig(&text, signature).is_ok())
            }
        }
    }
}

fn hmac_matches<M: Mac + KeyInit + Clone>(
    key: &[u8],
    signed: &[Cow<'_, [u8]>],
    signatures: &[Vec<u8>],
) -> bool {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in signed {
        mac.update(part);
    }
    signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
}

/// HMAC-SHA-256 of a text.
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Compares without telling by its time where, or at which length, the two differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice()).into()
}

fn rsa_parameters(padding: RsaPadding, hash: RsaHash) -> &'static RsaParameters {
    match (padding, hash) {
        (RsaPadding::Pkcs1, RsaHash::Sha256) => &aws_lc::RSA_PKCS1_2048_8192_SHA256,
        (RsaPadding::Pkcs1, RsaHash::Sha384) => &aws_lc::RSA_PKCS1_2048_8192_SHA384,
        (RsaPadding::Pkcs1, RsaHash::Sha512) => &aws_lc::RSA_PKCS1_2048_8192_SHA512,
        (RsaPadding::Pss, RsaHash::Sha256) => &aws_lc::RSA_PSS_2048_8192_SHA256,
        (RsaPadding::Pss, RsaHash::Sha384) => &aws_lc::RSA_PSS_2048_8192_SHA384,
        (RsaPadding::Pss, RsaHash::Sha512) => &aws_lc::RSA_PSS_2048_8192_SHA512,
    }
}

fn rsa_key(parameters: &'static RsaParameters, der: &[u8]) -> Option<ParsedPublicKey> {
    let bits = rsa::PublicEncryptingKey::from_der(der).ok()?.key_size_bits();
    let sizes = parameters.min_modulus_len() as usize..=parameters.max_modulus_len() as usize;
    let key = ParsedPublicKey::new(parameters, der).ok().filter(|_| sizes.contains(&bits))?;
    // Written in one way, with nothing behind it.
    (key.as_der().ok()?.as_ref() == der).then_some(key)
}

/// The `SubjectPublicKeyInfo` of an RSA key with this modulus and exponent, both without leading zeros.
pub(super) fn rsa_spki(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    let der = aws_lc::RsaPublicKeyComponents { n, e }.as_der().ok()?;
    Some(der.as_ref().to_vec())
}

/// The key in a `SubjectPublicKeyInfo`. All that precedes it is the same for all keys of an algorithm, RSA's apart, which
/// stays as it is.
fn spki(algorithm: Algorithm, text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let text = match text.strip_prefix("-----BEGIN PUBLIC KEY-----") {
        Some(rest) => rest.strip_suffix("-----END PUBLIC KEY-----")?,
        None => text,
    };
    let text: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(text).ok()?;
    let (head, length) = match algorithm {
        Algorithm::Ed25519 => (ED25519_HEAD, 32),
        Algorithm::EcdsaP256 => (P256_HEAD, 65),
        Algorithm::Rsa(..) => return Some(der),
        _ => return None,
    };
    der.strip_prefix(head).filter(|key| key.len() == length).map(<[u8]>::to_vec)
}

/// What stands in front of the padding of base64: `=`, `==` or none.
pub(super) fn without_padding(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text)
}

/// The bytes of a signature, or nothing where it is written in another way than this.
pub(super) fn decode(encoding: SignatureEncoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        SignatureEncoding::Hex(HexCase::Lower) if text.bytes().any(|b| b.is_ascii_uppercase()) => None,
        SignatureEncoding::Hex(_) => hex::decode(text).ok(),
        SignatureEncoding::Base64(Padding::Required) => STANDARD.decode(text).ok(),
        SignatureEncoding::Base64(Padding::Optional) => STANDARD_LENIENT.decode(text).ok(),
        SignatureEncoding::Base64Url(Padding::Required) => URL_SAFE.decode(text).ok(),
        SignatureEncoding::Base64Url(Padding::Optional) => URL_SAFE_LENIENT.decode(text).ok(),
    }
}

/// RFC 8410: a sequence of the algorithm's name and a bit string of 32 bytes.
const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// RFC 5480: a sequence of the algorithm's and the curve's names, and a bit string of an uncompressed point.
pub(super) const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const STRICT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
const BARE: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
pub(super) const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, STRICT);
pub(super) const STANDARD_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
pub(super) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, STRICT);
pub(super) const URL_SAFE_BARE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BARE);
const URL_SAFE_LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
