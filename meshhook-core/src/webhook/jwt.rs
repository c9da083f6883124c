//! JSON Web Tokens in `Authorization: Bearer` (RFC 7519, RFC 7515), read as strictly as they can be.
//!
//! A token vouches for its sender, not for the request it came with: it signs no body, and whoever sees one can use it until
//! it expires. What a token says of itself decides nothing:
//!
//! - The algorithms are the config's, all shared or all public, and each key is a key of one of them. So there is no `none`,
//!   no public key is ever the secret of a MAC, and no key of RSA is used with a padding that it is not for.
//! - `kid` is looked up among the config's keys. `jku`, `jwk`, `x5u` and `x5c` are not looked at; a token with `crit` is
//!   refused, because it demands something that is not done here.
//! - `exp` must be there. Times are whole seconds and numbers: a text, a fraction or a negative number is no time.

use base64::Engine as _;
use http::header::AUTHORIZATION;
use p256::ecdsa::signature::Verifier as _;
use serde_json::{Map, Value};

use super::found::needed_header;
use super::refusal::{Refusal, Refused, secrets as named};
use super::scheme::{Algorithm, KeyPreparation, RsaHash, RsaPadding};
use super::signature::{Key, URL_SAFE_BARE, rsa_spki};
use super::verify::{RawRequest, Secret, Verified, names_of};
use crate::json::{self, JsonLimits};
use crate::time::{Timestamp, format_duration};

/// How tokens are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtScheme {
    /// The algorithms that are accepted; all shared, or all public.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The keys, where they are not the hook's secrets.
    pub keys: Option<Vec<Jwk>>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What `aud` must be, or contain.
    pub audience: Option<String>,
}

/// An algorithm of RFC 7518 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

/// A public key of a set (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jwk {
    /// The name by which tokens refer to it.
    pub kid: Option<String>,
    /// The only algorithm that it is a key of.
    pub algorithm: JwtAlgorithm,
    /// A point in SEC1, the 32 bytes of Ed25519, or RSA's `SubjectPublicKeyInfo`.
    bytes: Vec<u8>,
}

impl JwtAlgorithm {
    pub(super) const NAMES: [(&'static str, Self); 11] = [
        ("ES256", Self::Es256),
        ("EdDSA", Self::EdDsa),
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
    ];

    /// Whether the key is known to both sides and to nobody else.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Whether its keys are RSA's, which do not say by themselves which algorithm they are for.
    pub(super) fn is_rsa(self) -> bool {
        matches!(self.algorithm(), Algorithm::Rsa(..))
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HmacSha256,
            Self::Hs384 => Algorithm::HmacSha384,
            Self::Hs512 => Algorithm::HmacSha512,
            Self::Es256 => Algorithm::EcdsaP256,
            Self::EdDsa => Algorithm::Ed25519,
            Self::Rs256 => Algorithm::Rsa(RsaPadding::Pkcs1, RsaHash::Sha256),
            Self::Rs384 => Algorithm::Rsa(RsaPadding::Pkcs1, RsaHash::Sha384),
            Self::Rs512 => Algorithm::Rsa(RsaPadding::Pkcs1, RsaHash::Sha512),
            Self::Ps256 => Algorithm::Rsa(RsaPadding::Pss, RsaHash::Sha256),
            Self::Ps384 => Algorithm::Rsa(RsaPadding::Pss, RsaHash::Sha384),
            Self::Ps512 => Algorithm::Rsa(RsaPadding::Pss, RsaHash::Sha512),
        }
    }
}

impl Jwk {
    /// Reads the keys of a set that are of these algorithms and meant for signatures; others are left out, as RFC 7517
    /// demands.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn read_set(set: &Value, algorithms: &[JwtAlgorithm]) -> Result<Vec<Self>, &'static str> {
        let keys =
            set.get("keys").and_then(Value::as_array).ok_or("must be an object with `keys`, an array")?;
        if keys.len() > MAX_KEYS {
            return Err("must have at most 64 keys");
        }
        let mut read = Vec::new();
        for key in keys {
            let is_private = PRIVATE_MEMBERS.iter().any(|name| key.get(name).is_some());
            if is_private || key.get("kty").and_then(Value::as_str) == Some("oct") {
                return Err("must have public keys only: a definition is no place for private ones");
            }
            let key = Self::read(key, algorithms)?.filter(|key| algorithms.contains(&key.algorithm));
            read.extend(key);
        }
        if read.is_empty() {
            Err("has no key of these algorithms (of RSA: with 2048 to 8192 bits)")
        } else {
            Ok(read)
        }
    }

    fn read(key: &Value, algorithms: &[JwtAlgorithm]) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let operations = key.get("key_ops").map(|it| it.as_array().map_or(&[][..], Vec::as_slice));
        let are_texts = ["kty", "crv", "use", "alg", "kid"]
            .iter()
            .all(|name| key.get(*name).is_none_or(Value::is_string));
        let is_for_signatures = text("use").is_none_or(|it| it == "sig")
            && operations.is_none_or(|it| it.iter().any(|it| it == "verify"));
        if !are_texts || !is_for_signatures {
            return Ok(None);
        }
        let algorithm = match (text("kty"), text("crv"), text("alg")) {
            (Some("EC"), Some("P-256"), None | Some("ES256")) => Some(JwtAlgorithm::Es256),
            (Some("OKP"), Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => Some(JwtAlgorithm::EdDsa),
            (Some("RSA"), None, Some(alg)) => JwtAlgorithm::named(alg).filter(|it| it.is_rsa()),
            (Some("RSA"), None, None) => {
                let mut accepted = algorithms.iter().filter(|it| it.is_rsa());
                match (accepted.next(), accepted.next()) {
                    (_, Some(_)) => {
                        return Err(
                            "has a key of RSA without `alg`, and several algorithms that it could be for",
                        );
                    }
                    (only, None) => only.copied(),
                }
            }
            _ => None,
        };
        // A key that is damaged would refuse everything; better to say so before that.
        Ok(algorithm.and_then(|algorithm| {
            let bytes = Self::material(key, algorithm)?;
            Key::from_bytes(algorithm.algorithm(), &bytes)?;
            Some(Self { kid: text("kid").map(str::to_owned), algorithm, bytes })
        }))
    }

    fn material(key: &Value, algorithm: JwtAlgorithm) -> Option<Vec<u8>> {
        let bytes = |name: &str| {
            let text = key.get(name)?.as_str().filter(|text| text.len() <= MAX_MEMBER)?;
            URL_SAFE_BARE.decode(text).ok()
        };
        let coordinate = |name: &str| bytes(name).filter(|bytes| bytes.len() == 32);
        match algorithm {
            JwtAlgorithm::Es256 => Some([&[4_u8][..], &coordinate("x")?, &coordinate("y")?].concat()),
            JwtAlgorithm::EdDsa => coordinate("x"),
            _ => rsa_spki(&bytes("n")?, &bytes("e")?),
        }
    }
}

impl JwtScheme {
    pub(super) fn verify(
        &self,
        request: &RawRequest<'_>,
        secrets: &[Secret<'_>],
        now: Timestamp,
    ) -> Result<Verified, Refused> {
        let header = needed_header(request.headers, &AUTHORIZATION)?;
        let token = bearer(header).ok_or_else(|| {
            let detail = "the header `authorization` is not `Bearer` and a token of at most 8 KiB";
            Refusal::BadEncoding.because(detail)
        })?;
        let token = Token::read(token).map_err(|what| Refusal::BadEncoding.because(what))?;
        let algorithm = token.algorithm().filter(|it| self.algorithms.contains(it));
        let algorithm = algorithm.ok_or_else(|| {
            let accepted: Vec<&str> = self.algorithms.iter().map(|it| it.name()).collect();
            Refusal::BadAlgorithm.because(format!("the token's `alg` is none of {}", accepted.join(", ")))
        })?;
        let not_signed = |by: &str| {
            let detail = format!("the token's signature is not one of {} with {by}", algorithm.name());
            Refusal::Mismatch.because(detail)
        };
        let key_index = match &self.keys {
            Some(keys) => {
                let keys = keys.iter().filter(|key| key.algorithm == algorithm);
                let keys: Vec<&Jwk> = match token.header.get("kid") {
                    Some(Value::String(kid)) => keys.filter(|key| key.kid.as_ref() == Some(kid)).collect(),
                    Some(_) => return Err(Refusal::BadEncoding.because("the token's `kid` is no text")),
                    None => keys.collect(),
                };
                let key = |key: &&Jwk| Key::from_bytes(algorithm.algorithm(), &key.bytes);
                match (token.header.contains_key("kid"), keys.len()) {
                    (true, 0) => {
                        let detail =
                            format!("no key of the set for {} has the token's `kid`", algorithm.name());
                        return Err(Refusal::Mismatch.because(detail));
                    }
                    // Without a name there must be no choice.
                    (false, count) if count != 1 => {
                        let name = algorithm.name();
                        let detail =
                            format!("the token has no `kid`, and the set has {count} keys for {name}");
                        return Err(Refusal::Mismatch.because(detail));
                    }
                    _ if keys.iter().filter_map(key).any(|key| token.is_signed_by(algorithm, &key)) => None,
                    _ => return Err(not_signed("the key of the set")),
                }
            }
            None => {
                let preparation =
                    if algorithm.is_shared() { KeyPreparation::Utf8 } else { KeyPreparation::Spki };
                let prepare =
                    |secret: &Secret<'_>| Key::prepare(preparation, algorithm.algorithm(), secret.text);
                let keys = secrets.iter().filter_map(|secret| Some((*secret, prepare(secret)?)));
                let keys: Vec<(Secret<'_>, Key)> = keys.collect();
                if keys.is_empty() {
                    return Err(Refused::bad_key(preparation, algorithm.algorithm(), &names_of(secrets)));
                }
                let matched = keys.iter().find(|(_, key)| token.is_signed_by(algorithm, key));
                let tried = || named(&keys.iter().map(|(it, _)| it.name).collect::<Vec<_>>());
                Some(matched.ok_or_else(|| not_signed(&tried()))?.0.index)
            }
        };
        self.check_claims(&token.claims, now)?;
        Ok(Verified { key_index, delivery_id: None, timestamp: None })
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Refused> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_i64().filter(|seconds| (0..=MAX_SECONDS).contains(seconds));
                let at = seconds.map(|seconds| Timestamp::from_micros(seconds * 1_000_000));
                at.map(Some).ok_or_else(|| {
                    Refusal::BadTimestamp
                        .because(format!("the token's `{name}` is no whole number of seconds"))
                })
            }
        };
        let unending = || Refusal::BadTimestamp.because("the token has no `exp`");
        let expires = time("exp")?.ok_or_else(unending)?;
        let (not_before, _issued) = (time("nbf")?, time("iat")?);
        let leeway = format_duration(LEEWAY);
        if expires.after(LEEWAY) <= now {
            let ago = format_duration(now.since(expires));
            let detail = format!("the token expired {ago} before it came; the leeway is {leeway}");
            return Err(Refusal::Stale.because(detail));
        }
        if let Some(from) = not_before.filter(|from| now.after(LEEWAY) < *from) {
            let early = format_duration(from.since(now));
            let detail = format!("the token came {early} before its `nbf`; the leeway is {leeway}");
            return Err(Refusal::Stale.because(detail));
        }
        let is_it = |name: &str, wanted: &Option<String>, many: bool| match (claims.get(name), wanted) {
            (Some(Value::String(text)), Some(wanted)) => text == wanted,
            (Some(Value::Array(texts)), Some(wanted)) if many => {
                texts.iter().all(Value::is_string) && texts.iter().any(|text| text == wanted.as_str())
            }
            (_, Some(_)) => false,
            (None | Some(Value::String(_)), None) => true,
            (Some(Value::Array(texts)), None) => many && texts.iter().all(Value::is_string),
            (Some(_), None) => false,
        };
        for (name, wanted, many) in [("iss", &self.issuer, false), ("aud", &self.audience, true)] {
            if !is_it(name, wanted, many) {
                let detail = match wanted {
                    Some(wanted) => format!("the token's `{name}` is not `{wanted}`"),
                    None => format!("the token's `{name}` is no text"),
                };
                return Err(Refusal::BadClaims.because(detail));
            }
        }
        Ok(())
    }
}

fn bearer(header: &[u8]) -> Option<&str> {
    let header = std::str::from_utf8(header).ok().filter(|header| header.len() <= MAX_TOKEN)?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A token in its three parts, decoded.
struct Token<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads a token; or says what is wrong with it.
    fn read(text: &'a str) -> Result<Self, &'static str> {
        let parts = || {
            let (signed, signature) = text.rsplit_once('.')?;
            let (header, claims) = signed.split_once('.')?;
            Some((signed, header, claims, signature))
        };
        let (signed, header, claims, signature) = parts().ok_or("the token has not three parts")?;
        let object = |part: &str| {
            let bytes = URL_SAFE_BARE.decode(part).ok()?;
            match json::parse(&bytes, &JsonLimits::default().with_max_depth(16)).ok()? {
                Value::Object(object) => Some(object),
                _ => None,
            }
        };
        let header = object(header).ok_or("the token's header is no JSON object in base64url")?;
        // A dot in the claims is no base64, so more than three parts are refused here as well.
        let claims = object(claims).ok_or("the token's claims are no JSON object in base64url")?;
        let signature =
            URL_SAFE_BARE.decode(signature).map_err(|_| "the token's signature is no base64url")?;
        if ["crit", "b64", "enc", "zip", "cty"].iter().any(|name| header.contains_key(*name)) {
            return Err("the token's header has one of `crit`, `b64`, `enc`, `zip` and `cty`");
        }
        Ok(Self { header, claims, signed, signature })
    }

    fn algorithm(&self) -> Option<JwtAlgorithm> {
        let name = self.header.get("alg")?.as_str()?;
        JwtAlgorithm::named(name)
    }

    fn is_signed_by(&self, algorithm: JwtAlgorithm, key: &Key) -> bool {
        if let Key::P256(key) = key {
            // Not DER here, but the two numbers one after the other.
            let signature = p256::ecdsa::Signature::from_slice(&self.signature);
            return signature.is_ok_and(|signature| key.verify(self.signed.as_bytes(), &signature).is_ok());
        }
        let algorithm = algorithm.algorithm();
        algorithm.takes_signature_len(self.signature.len())
            && key.matches_any(
                algorithm,
                &[self.signed.as_bytes().into()],
                std::slice::from_ref(&self.signature),
            )
    }
}

/// How far clocks may differ.
const LEEWAY: std::time::Duration = std::time::Duration::from_secs(60);
/// The longest header with a token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// The most keys of a set.
const MAX_KEYS: usize = 64;
/// The longest member of a key: a modulus of 8192 bits in base64url.
const MAX_MEMBER: usize = 1366;
/// What only private keys have (RFC 7518, sections 6.2.2 and 6.3.2; RFC 8037).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];
/// The latest time of a token: the year 9999, as dates go.
const MAX_SECONDS: i64 = 253_402_300_799;

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
