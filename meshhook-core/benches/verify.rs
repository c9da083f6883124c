//! What verifying a webhook costs, by scheme and by the body's size: `cargo bench -p meshhook-core --bench verify`.
//!
//! Every request is a right one, signed here; what divan shows as throughput is bytes of body.

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
        config.verify(divan::black_box(&request), &secrets, now).expect("a request that was signed right")
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
