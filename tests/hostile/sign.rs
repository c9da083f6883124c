//! Signatures as the providers make them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use meshhook::clock::{Clock as _, SystemClock};
use serde_json::Value;
use sha2::Sha256;

use crate::wire::Request;

/// What all hooks are keyed with.
pub(crate) const SECRET: &str = "the-secret-of-the-hostile-test";

/// The same, as Standard Webhooks write it.
pub(crate) fn whsec() -> String {
    format!("whsec_{}", STANDARD.encode(SECRET))
}

pub(crate) fn mac(signed: impl AsRef<[u8]>) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_ref());
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemClock.now().as_micros() / 1_000_000
}

/// GitHub's header for a body.
pub(crate) fn github(body: &str) -> String {
    format!("sha256={}", hex::encode(mac(body)))
}

/// Stripe's signature, in hexadecimal, at what is said to be a time.
pub(crate) fn stripe(time: &str, body: &str) -> String {
    hex::encode(mac(format!("{time}.{body}")))
}

/// A delivery by Standard Webhooks, signed as it stands.
pub(crate) fn standard(id: &str, time: &str, body: &str) -> Request {
    let signature = format!("v1,{}", base64(mac(format!("{id}.{time}.{body}"))));
    standard_with(id, time, body, &signature)
}

pub(crate) fn standard_with(id: &str, time: &str, body: &str, signature: &str) -> Request {
    Request::json("standard", body)
        .header("webhook-id", id)
        .header("webhook-timestamp", time)
        .header("webhook-signature", signature)
}

/// A delivery by Slack.
pub(crate) fn slack(body: &str) -> Request {
    let time = now().to_string();
    let signature = format!("v0={}", hex::encode(mac(format!("v0:{time}:{body}"))));
    Request::json("slack", body)
        .header("x-slack-request-timestamp", time)
        .header("x-slack-signature", signature)
}

/// A token that says what it says, signed by HS256 whatever its header says.
pub(crate) fn token(header: &Value, claims: &str) -> String {
    let signed = format!("{}.{}", base64url(header.to_string()), base64url(claims));
    format!("{signed}.{}", base64url(mac(&signed)))
}
