use std::collections::BTreeMap;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::vectors::{Covered, VECTORS, Vector};
use super::*;
use crate::secret::SecretValue;
use crate::time::Timestamp;
use crate::webhook::signature::{STANDARD, hmac_sha256};
use crate::webhook::{RawRequest, Refusal, Verified, VerifyConfig};

/// A vector's request, to be changed.
#[derive(Clone)]
struct Sent {
    headers: HeaderMap,
    method: String,
    url: String,
    body: Vec<u8>,
    secret: String,
    at: i64,
}

impl Sent {
    fn of(vector: &Vector) -> Self {
        let headers = vector.headers.iter().map(|(name, value)| (header(name), value.parse().unwrap()));
        Self {
            headers: headers.collect(),
            method: vector.method.into(),
            url: vector.url.into(),
            body: vector.body.into(),
            secret: vector.secret.into(),
            at: vector.signed_at,
        }
    }

    fn verify(&self, scheme: &str) -> Result<Verified, Refusal> {
        self.verify_by(&VerifyConfig::parse(&json!({"scheme": scheme, "secret": "s"}), "").unwrap())
    }

    fn verify_by(&self, config: &VerifyConfig) -> Result<Verified, Refusal> {
        let Self { headers, method, url, body, .. } = self;
        let request = RawRequest { method, url, query: "", headers, body };
        let now = Timestamp::from_micros(self.at * 1_000_000);
        Ok(config.verify(&request, &[Some(&SecretValue::from(self.secret.as_str()))], now)?)
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn with_header(&self, name: &'static str, value: &[u8]) -> Self {
        self.with(|sent| {
            sent.headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        })
    }
}

/// The scheme's only form, for those that have one.
fn forms(name: &str) -> Vec<SignatureScheme> {
    match preset(name) {
        Some(Scheme::Signature(forms)) => forms,
        _ => Vec::new(),
    }
}

/// Another character that is as good where hexadecimal, base64 or digits are expected.
fn other(byte: u8) -> u8 {
    if byte == b'1' { b'2' } else { b'1' }
}

/// Every request that differs from the vector's in something that its scheme covers, with what was changed.
fn mutations(vector: &Vector) -> Vec<(&'static str, Sent)> {
    let sent = Sent::of(vector);
    let mut all = Vec::new();
    for &(name, value) in vector.headers.iter().filter(|(name, _)| !vector.unsigned.contains(name)) {
        all.push(("header", sent.with(|sent| drop(sent.headers.remove(name)))));
        all.push(("header", sent.with(|sent| _ = sent.headers.append(name, value.parse().unwrap()))));
        // What stands behind the last entry of Stripe's list is not part of the signature.
        let signed = value.strip_suffix(",v0=00").unwrap_or(value);
        for at in 0..signed.len() {
            let mut bent = value.as_bytes().to_vec();
            bent[at] = other(bent[at]);
            all.push(("header", sent.with_header(name, &bent)));
            all.push(("header", sent.with_header(name, &value.as_bytes()[..at])));
        }
    }
    let body = vector.body.as_bytes();
    match vector.covered {
        Covered::All => {
            // Of long bodies one bit of each byte.
            let step = if body.len() > 300 {
                33
            } else if body.len() > 60 {
                9
            } else {
                1
            };
            for bit in (0..body.len() * 8).step_by(step) {
                all.push(("body", sent.with(|sent| sent.body[bit / 8] ^= 1 << (bit % 8))));
            }
            for length in (0..body.len()).step_by(step) {
                all.push(("body", sent.with(|sent| sent.body.truncate(length))));
            }
            all.push(("body", sent.with(|sent| sent.body.push(b' '))));
        }
        Covered::Texts(texts) => {
            for text in texts {
                let start = vector.body.find(text).unwrap();
                for at in start..start + text.len() {
                    all.push(("body", sent.with(|sent| sent.body[at] = other(sent.body[at]))));
                }
                all.push(("body", sent.with(|sent| drop(sent.body.drain(start..start + text.len())))));
            }
        }
    }
    for at in 0..vector.secret.len() {
        let mut bent = vector.secret.as_bytes().to_vec();
        bent[at] = other(bent[at]);
        all.push(("key", sent.with(|sent| sent.secret = String::from_utf8(bent).unwrap())));
        // Without its padding a key in base64 is the same.
        if at < vector.secret.trim_end_matches('=').len() {
            all.push(("key", sent.with(|sent| sent.secret.truncate(at))));
        }
    }
    if vector.signed_at != 0 {
        for offset in [-86_400, -302, 301, 86_400] {
            all.push(("time", sent.with(|sent| sent.at += offset)));
        }
    }
    let forms = forms(vector.scheme);
    if forms.iter().any(SignatureScheme::signs_url) {
        for at in 0..vector.url.len() {
            let mut bent = vector.url.as_bytes().to_vec();
            bent[at] = other(bent[at]);
            all.push(("url", sent.with(|sent| sent.url = String::from_utf8(bent).unwrap())));
        }
    }
    if forms.iter().any(|form| form.signs(&Part::Method)) {
        all.push(("method", sent.with(|sent| sent.method = "PUT".into())));
    }
    all
}

#[test]
fn every_preset_has_a_vector_and_accepts_it() {
    let mut covered: Vec<&str> = VECTORS.iter().map(|v| v.scheme).collect();
    covered.sort_unstable();
    covered.dedup();
    assert_eq!(covered, PRESETS);
    for vector in VECTORS {
        let verified =
            Sent::of(vector).verify(vector.scheme).unwrap_or_else(|r| panic!("{}: {r}", vector.scheme));
        assert_eq!(verified.key_index, Some(0));
        assert_eq!(verified.delivery_id.as_deref(), vector.delivery_id, "{}", vector.scheme);
        assert_eq!(verified.timestamp.is_some(), vector.signed_at != 0, "{}", vector.scheme);
    }
}

#[test]
fn every_change_to_what_is_covered_is_refused() {
    println!(
        "{:<15} {:>6} {:>6} {:>5} {:>5} {:>5}  vector",
        "preset", "header", "body", "key", "time", "url"
    );
    let mut total = 0;
    for vector in VECTORS {
        let mut counts = BTreeMap::new();
        let config = VerifyConfig::parse(&json!({"scheme": vector.scheme, "secret": "s"}), "").unwrap();
        for (what, sent) in mutations(vector) {
            if let Ok(verified) = sent.verify_by(&config) {
                let Sent { headers, body, secret, .. } = sent;
                let body = String::from_utf8_lossy(&body);
                panic!(
                    "{} accepts a changed {what}: {headers:?} {body} {secret} {verified:?}",
                    vector.scheme
                );
            }
            *counts.entry(what).or_insert(0) += 1;
            total += 1;
        }
        let [header, body, key, time, url] =
            ["header", "body", "key", "time", "url"].map(|what| counts.get(what).copied().unwrap_or(0));
        let Vector { scheme, source, .. } = vector;
        println!("{scheme:<15} {header:>6} {body:>6} {key:>5} {time:>5} {url:>5}  {source}");
    }
    println!("{} presets, {} vectors, {total} changes, none accepted", PRESETS.len(), VECTORS.len());
}

#[test]
fn every_other_key_is_refused() {
    for vector in VECTORS {
        let sent = Sent::of(vector);
        let empty = sent.with(|sent| sent.secret.clear());
        assert_eq!(empty.verify(vector.scheme), Err(Refusal::NeedsSecret));
    }
}

#[test]
fn a_signature_that_is_empty_or_cut_is_none() {
    for vector in VECTORS.iter().filter(|v| !forms(v.scheme).is_empty()) {
        for &(name, value) in vector.headers.iter().filter(|(name, _)| name.contains("signature")) {
            let sent = Sent::of(vector);
            let is_time = name.contains("timestamp");
            for cut in ["", " ", &value[..value.len() - 1], &value[..value.len() / 2]] {
                let verdict = sent.with_header(name, cut.as_bytes()).verify(vector.scheme);
                let reasons: &[_] = if is_time {
                    &[Refusal::Mismatch, Refusal::BadTimestamp]
                } else if vector.scheme == "sendgrid" {
                    // The length of a signature in DER is its own.
                    &[Refusal::BadEncoding, Refusal::Mismatch]
                } else if value.ends_with(",v0=00") {
                    &[Refusal::BadEncoding, Refusal::BadTimestamp, Refusal::Mismatch]
                } else {
                    &[Refusal::BadEncoding]
                };
                let is_good = value.ends_with(",v0=00") && verdict.is_ok();
                assert!(
                    is_good || reasons.iter().any(|reason| verdict == Err(*reason)),
                    "{} {name} {cut}: {verdict:?}",
                    vector.scheme
                );
            }
        }
    }
}

#[test]
fn five_minutes_are_tolerated_both_ways_and_no_more() {
    for vector in VECTORS.iter().filter(|v| v.signed_at != 0) {
        let at =
            |offset: i64| Sent::of(vector).with(|sent| sent.at += offset).verify(vector.scheme).map(drop);
        // Some vectors are signed a part of a second past the second.
        for good in [-299, -1, 0, 1, 300] {
            assert_eq!(at(good), Ok(()), "{} {good}", vector.scheme);
        }
        for stale in [-302, 301, 86_400, -86_400] {
            assert_eq!(at(stale), Err(Refusal::Stale), "{} {stale}", vector.scheme);
        }
    }
}

#[test]
fn a_request_of_one_provider_opens_no_other_providers_hook() {
    for vector in VECTORS {
        let carriers = |name: &str| forms(name).first().map(|form| form.carriers.clone());
        for other in PRESETS.iter().filter(|name| **name != vector.scheme) {
            let verdict = Sent::of(vector).verify(other);
            if carriers(other).is_some() && carriers(other) == carriers(vector.scheme) {
                // Providers that send the same header differ in what follows, or are one scheme with the same key.
                let is_one = |a: &str, b: &str| {
                    let bare = |name| {
                        let bare = |form| SignatureScheme { delivery_id: Cow::Borrowed(&[]), ..form };
                        forms(name).into_iter().map(bare).collect::<Vec<_>>()
                    };
                    bare(a) == bare(b)
                };
                assert!(verdict.is_err() || is_one(vector.scheme, other), "{} {other}", vector.scheme);
                continue;
            }
            assert_eq!(verdict, Err(Refusal::HeaderMissing), "{} {other}", vector.scheme);
        }
    }
}

#[test]
fn upper_case_hex_is_refused_by_every_preset() {
    for vector in VECTORS {
        let upper = |value: &str| {
            match value.rsplit_once('=') {
                Some((before, hex)) if hex.len() == 64 => format!("{before}={}", hex.to_ascii_uppercase()),
                None if value.len() == 64 => value.to_ascii_uppercase(),
                _ => return None,
            }
            .into()
        };
        for &(name, value) in vector.headers {
            let Some(value): Option<String> = upper(value) else { continue };
            let verdict = Sent::of(vector).with_header(name, value.as_bytes()).verify(vector.scheme);
            assert_eq!(verdict, Err(Refusal::BadEncoding), "{}", vector.scheme);
        }
    }
}

#[test]
fn a_second_item_of_an_adyen_notification_is_refused() {
    let vector = VECTORS.iter().find(|v| v.scheme == "adyen").unwrap();
    let second = vector.body.replace("}}]}", r#"}},{"NotificationRequestItem":{"success":"true"}}]}"#);
    assert_ne!(second, vector.body);
    let verdict = Sent::of(vector).with(|sent| sent.body = second.into()).verify("adyen");
    assert_eq!(verdict, Err(Refusal::Ambiguous));
}

#[test]
fn a_public_key_is_never_a_shared_one() {
    // Whoever knows the public key, which is everybody, signs with it as if it were the secret.
    let vector = VECTORS.iter().find(|v| v.scheme == "standard" && v.secret.starts_with("whpk_")).unwrap();
    let (id, time) = (vector.headers[0].1, vector.headers[1].1);
    let text = format!("{id}.{time}.{}", vector.body);
    for key in [vector.secret.as_bytes().to_vec(), STANDARD.decode(&vector.secret[5..]).unwrap()] {
        let forged = format!("v1,{}", STANDARD.encode(hmac_sha256(&key, text.as_bytes())));
        let verdict = Sent::of(vector).with_header("webhook-signature", forged.as_bytes()).verify("standard");
        assert_eq!(verdict, Err(Refusal::BadKey));
    }
    let both = format!("{} v1,AAAA", vector.headers[2].1);
    assert!(Sent::of(vector).with_header("webhook-signature", both.as_bytes()).verify("standard").is_ok());
}

/// Twilio's published form case: docs, "Security", and the tests of its libraries.
fn twilio(
    body: &str,
    signature: &str,
    content_type: &'static str,
    url: &'static str,
) -> Result<Verified, Refusal> {
    let headers: HeaderMap = [("x-twilio-signature", signature), ("content-type", content_type)]
        .map(|(name, value)| (header(name), value.parse().unwrap()))
        .into_iter()
        .collect();
    let config = VerifyConfig::parse(&json!({"scheme": "twilio", "secret": "s"}), "").unwrap();
    let request = RawRequest { method: "POST", url, query: "", headers: &headers, body: body.as_bytes() };
    Ok(config.verify(&request, &[Some(&"12345".into())], Timestamp::EPOCH)?)
}

const FORM: &str = "application/x-www-form-urlencoded";
const TWILIO_URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

#[test]
fn twilio_signs_the_pairs_of_a_form_in_any_order() {
    let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    let pairs = [
        "Digits=1234",
        "To=%2B18005551212",
        "From=%2B14158675309",
        "Caller=%2B14158675309",
        "CallSid=CA1234567890ABCDE",
    ];
    let body = pairs.join("&");
    assert!(twilio(&body, signature, FORM, TWILIO_URL).is_ok());
    assert!(twilio(&body, signature, "Application/X-WWW-Form-Urlencoded; charset=UTF-8", TWILIO_URL).is_ok());
    for without in 0..pairs.len() {
        let mut fewer = pairs.to_vec();
        fewer.remove(without);
        assert_eq!(twilio(&fewer.join("&"), signature, FORM, TWILIO_URL), Err(Refusal::Mismatch));
    }
    assert_eq!(twilio(&format!("{body}&A=1"), signature, FORM, TWILIO_URL), Err(Refusal::Mismatch));
    assert_eq!(twilio(&body, signature, "text/plain", TWILIO_URL), Err(Refusal::Mismatch));
    assert_eq!(twilio(&body, signature, FORM, "https://mycompany.com/myapp.php"), Err(Refusal::Mismatch));

    let repeated = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    assert!(twilio(repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", FORM, TWILIO_URL).is_ok());
    assert_eq!(twilio(&"a&".repeat(2_000), signature, FORM, TWILIO_URL), Err(Refusal::Mismatch));
}

#[test]
fn twilio_signs_other_bodies_by_their_digest_in_the_url_or_not_at_all() {
    // Signed is the URL alone: its signature is right, yet nothing vouches for the body.
    let url_only = "https://example.com/myapp";
    assert!(twilio("", "XqNa/0zb23Pa5OkAE2d03kJM920=", "application/json", url_only).is_ok());
    assert_eq!(
        twilio("{}", "XqNa/0zb23Pa5OkAE2d03kJM920=", "application/json", url_only),
        Err(Refusal::Mismatch)
    );
}

#[test]
fn hubspot_signs_its_url_with_twelve_escapes_decoded_and_no_others() {
    let vector = VECTORS.iter().find(|v| v.scheme == "hubspot" && v.url.contains('%')).unwrap();
    let with = |url: String| Sent::of(vector).with(|sent| sent.url = url).verify("hubspot").map(drop);
    let escapes = ["%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B"];
    for (escape, plain) in escapes.into_iter().zip(":/?@!$'()*,;".chars()) {
        // The digits of an escape mean the same in either case (RFC 3986, section 2.1).
        for same in [escape.to_lowercase(), plain.to_string()] {
            assert_eq!(with(vector.url.replacen(escape, &same, 1)), Ok(()), "{escape} {same}");
        }
        for other in ["", "%", &escape[..2], &escape[1..], &escape.replace('%', "%25")] {
            let url = vector.url.replacen(escape, other, 1);
            assert_eq!(with(url), Err(Refusal::Mismatch), "{escape} {other}");
        }
    }
    for (kept, plain) in ["%20", "%26", "%3D", "%25", "%2B", "%23"].into_iter().zip(" &=%+#".chars()) {
        let url = vector.url.replacen(kept, &plain.to_string(), 1);
        assert_ne!(url, vector.url);
        assert_eq!(with(url), Err(Refusal::Mismatch), "{kept}");
    }
    assert_eq!(with(format!("{}%", vector.url)), Err(Refusal::Mismatch));
}

#[path = "preset_config_tests.rs"]
mod config;
#[path = "real_input_tests.rs"]
mod real_input;
