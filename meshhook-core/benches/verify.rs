//! What verifying a webhook costs, by scheme and by the body's size: `cargo bench -p meshhook-core --bench verify`.
//!
//! Requests are right ones, signed here; what divan shows as throughput is bytes of body. What is wrong about those of
//! `refused` differs, to see what its time tells: nothing about a secret, since all with a signature of the right form cost
//! the same, whatever else is wrong.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use divan::counter::BytesCount;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderValue};
use meshhook_core::secret::SecretValue;
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::{RawRequest, VerifyConfig};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "it-is-a-secret-to-everybody";
const NOW: &str = "1760000000";
/// From what Stripe sends to what GitHub does, and the largest body that a hook takes unless it says more.
const SIZES: [usize; 4] = [1 << 10, 8 << 10, 30 << 10, 1 << 20];

fn main() {
    divan::main();
}

fn mac(parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    parts.iter().for_each(|part| mac.update(part));
    hex::encode(mac.finalize().into_bytes())
}

fn verify(
    bencher: divan::Bencher<'_, '_>,
    config: &Value,
    secret: &str,
    size: usize,
    headers: &[(&'static str, String)],
) {
    judge(bencher, config, secret, size, headers, true);
}

/// Verifies a request again and again, which is accepted or not.
fn judge(
    bencher: divan::Bencher<'_, '_>,
    config: &Value,
    secret: &str,
    size: usize,
    headers: &[(&'static str, String)],
    is_right: bool,
) {
    let config = VerifyConfig::parse(config, "").expect("the bench's config is valid");
    let body = vec![b'x'; size];
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).expect("a header's text"));
    }
    let secret = SecretValue::new(secret.to_owned());
    let secrets = [Some(&secret)];
    let now = Timestamp::from_micros(NOW.parse::<i64>().expect("a number") * 1_000_000);
    let request = RawRequest {
        method: "POST",
        url: "https://example.com/hooks/default/x",
        query: "",
        headers: &map,
        body: &body,
    };
    bencher.counter(BytesCount::new(size)).bench(|| {
        let verified = config.verify(divan::black_box(&request), &secrets, now);
        assert_eq!(verified.is_ok(), is_right, "{verified:?}");
        verified
    });
}

#[divan::bench(args = SIZES)]
fn github(bencher: divan::Bencher<'_, '_>, size: usize) {
    let signature = format!("sha256={}", mac(&[&vec![b'x'; size]]));
    let config = json!({ "scheme": "github", "secret": "s" });
    verify(bencher, &config, SECRET, size, &[("x-hub-signature-256", signature)]);
}

#[divan::bench(args = SIZES)]
fn stripe(bencher: divan::Bencher<'_, '_>, size: usize) {
    let signature = mac(&[NOW.as_bytes(), b".", &vec![b'x'; size]]);
    let config = json!({ "scheme": "stripe", "secret": "s" });
    verify(bencher, &config, SECRET, size, &[("stripe-signature", format!("t={NOW},v1={signature}"))]);
}

#[divan::bench(args = SIZES)]
fn discord(bencher: divan::Bencher<'_, '_>, size: usize) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let signature = key.sign(&[NOW.as_bytes(), &vec![b'x'; size]].concat());
    let public = hex::encode(key.verifying_key().as_bytes());
    let config = json!({ "scheme": "discord", "secret": "s" });
    let headers = [
        ("x-signature-ed25519", hex::encode(signature.to_bytes())),
        ("x-signature-timestamp", NOW.to_owned()),
    ];
    verify(bencher, &config, &public, size, &headers);
}

/// The body's size means nothing here: a token vouches for its sender alone.
#[divan::bench(args = SIZES)]
fn jwt_rs256(bencher: divan::Bencher<'_, '_>, size: usize) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let claims = json!({ "exp": NOW.parse::<i64>().expect("a number") + 60 }).to_string();
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .expect("a signature as long as the key");
    let public = key.public_key().as_der().expect("a public key has a DER");
    let config = json!({ "scheme": "jwt", "algorithms": ["RS256"], "key": "s" });
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    verify(bencher, &config, &STANDARD.encode(public.as_ref()), size, &[("authorization", token)]);
}

const WRONG: [&str; 6] =
    ["no header", "no list", "no hex", "wrong signature", "wrong key and stale", "right and stale"];

#[divan::bench(args = WRONG)]
fn refused(bencher: divan::Bencher<'_, '_>, what: &str) {
    let size = 8 << 10;
    let signature = |time: &str| mac(&[time.as_bytes(), b".", &vec![b'x'; size]]);
    let value = match what {
        "no header" => None,
        "no list" => Some(signature(NOW)),
        "no hex" => Some(format!("t={NOW},v1={}", "z".repeat(64))),
        "wrong signature" => Some(format!("t={NOW},v1={}", "0".repeat(64))),
        "wrong key and stale" => Some(format!("t=1,v1={}", "0".repeat(64))),
        _ => Some(format!("t=1,v1={}", signature("1"))),
    };
    let headers: Vec<_> = value.map(|value| ("stripe-signature", value)).into_iter().collect();
    let config = json!({ "scheme": "stripe", "secret": "s" });
    judge(bencher, &config, SECRET, size, &headers, false);
}
