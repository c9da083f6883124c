use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::secret::SecretValue;
use crate::time::Timestamp;
use crate::webhook::{RawRequest, Refusal, Verified, VerifyConfig};

/// One signed request of a provider.
struct Vector {
    scheme: &'static str,
    secret: &'static str,
    headers: &'static [(&'static str, &'static str)],
    url: &'static str,
    body: &'static str,
    /// When it was signed, in seconds; zero where nothing says so.
    signed_at: i64,
    delivery_id: Option<&'static str>,
}

const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=\
    G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

const OWN_BODY: &str = r#"{"id":"evt_1","event_id":"ev-1","webhookTimestamp":1767225600123}"#;

/// `published` vectors stand in the provider's documentation; `own` ones were computed with Python's `hmac`
/// from the provider's description, because it publishes none with its key.
const VECTORS: &[Vector] = &[
    // Published: docs.github.com, "Validating webhook deliveries" (the delivery id is ours).
    Vector {
        scheme: "github",
        secret: "It's a Secret to Everybody",
        headers: &[
            (
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ],
        url: "",
        body: "Hello, World!",
        signed_at: 0,
        delivery_id: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    },
    // Published: docs.slack.dev/authentication/verifying-requests-from-slack.
    Vector {
        scheme: "slack",
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        headers: &[
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ("x-slack-request-timestamp", "1531420618"),
        ],
        url: "",
        body: SLACK_BODY,
        signed_at: 1_531_420_618,
        delivery_id: None,
    },
    // Published: docs.svix.com, "Verifying webhooks manually"; the Standard Webhooks libraries test with it too.
    Vector {
        scheme: "standard",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        url: "",
        body: r#"{"test": 2432232314}"#,
        signed_at: 1_614_265_330,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
    },
    // Published: as above, under the names that Svix itself sends.
    Vector {
        scheme: "svix",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        headers: &[
            ("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("svix-timestamp", "1614265330"),
            ("svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ],
        url: "",
        body: r#"{"test": 2432232314}"#,
        signed_at: 1_614_265_330,
        delivery_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
    },
    // Published: developer.squareup.com/docs/webhooks/step3validate.
    Vector {
        scheme: "square",
        secret: "asdf1234",
        headers: &[("x-square-hmacsha256-signature", "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=")],
        url: "https://example.com/webhook",
        body: r#"{"hello":"world"}"#,
        signed_at: 0,
        delivery_id: None,
    },
    // Own.
    Vector {
        scheme: "stripe",
        secret: "whsec_test_key",
        headers: &[(
            "stripe-signature",
            "t=1767225600,v1=0255f7c3cc22fccce525c2ab5511ec53341d874920a2de78f5c53f1dab147489,v0=00",
        )],
        url: "",
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("evt_1"),
    },
    // Own.
    Vector {
        scheme: "shopify",
        secret: "shop_key",
        headers: &[
            ("x-shopify-hmac-sha256", "t64Q8RWJzB/l9rCBNIYXArED5Yd8jzt22OdxnURdP+w="),
            ("x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
        ],
        url: "",
        body: OWN_BODY,
        signed_at: 0,
        delivery_id: Some("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    },
    // Own.
    Vector {
        scheme: "linear",
        secret: "lin_wh_key",
        headers: &[
            ("linear-signature", "d002f777d4330759560eb01c4ffb1af1c1f3734766c516ad668280c94df18785"),
            ("linear-delivery", "234d1a4e-b617-4388-90fe-adc3633d6b72"),
        ],
        url: "",
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("234d1a4e-b617-4388-90fe-adc3633d6b72"),
    },
    // Own.
    Vector {
        scheme: "paddle",
        secret: "pdl_ntfset_key",
        headers: &[(
            "paddle-signature",
            "ts=1767225600;h1=c7dad1a31e9c45fe63946e52f830bd93496551b1c6ab9ae89d25392d6ba121df",
        )],
        url: "",
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: Some("ev-1"),
    },
    // Published: the JSON case of Twilio's own libraries (twilio-python, tests/unit/test_request_validator.py).
    Vector {
        scheme: "twilio",
        secret: "12345",
        headers: &[
            ("x-twilio-signature", "a9nBmqA0ju/hNViExpshrM61xv4="),
            ("content-type", "application/json"),
            ("i-twilio-idempotency-token", "6d8d2a3b-9b8c-4d8e-8d0a-1b9f8e2f7c11"),
        ],
        url: "https://mycompany.com/myapp.php?foo=1&bar=2&bodySHA256=\
              0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        body: r#"{"property": "value", "boolean": true}"#,
        signed_at: 0,
        delivery_id: Some("6d8d2a3b-9b8c-4d8e-8d0a-1b9f8e2f7c11"),
    },
    // Own.
    Vector {
        scheme: "zoom",
        secret: "zoom_key",
        headers: &[
            ("x-zm-signature", "v0=d7771d091e4fa2e2a5404e89eef491c08a1117c46a41dbab4ff190cea51761ad"),
            ("x-zm-request-timestamp", "1767225600"),
        ],
        url: "",
        body: OWN_BODY,
        signed_at: 1_767_225_600,
        delivery_id: None,
    },
    // Own: nothing is computed, the token is the secret.
    Vector {
        scheme: "gitlab",
        secret: "glwh_0123456789",
        headers: &[
            ("x-gitlab-token", "glwh_0123456789"),
            ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
            ("x-gitlab-event-uuid", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
        ],
        url: "",
        body: OWN_BODY,
        signed_at: 0,
        delivery_id: Some("f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
    },
];

impl Vector {
    fn headers(&self) -> HeaderMap {
        self.headers.iter().map(|(name, value)| (header(name), value.parse().unwrap())).collect()
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], secret: &str, at: i64) -> Result<Verified, Refusal> {
        let config = VerifyConfig::parse(&json!({"scheme": self.scheme, "secret": "s"}), "").unwrap();
        let request = RawRequest { method: "POST", url: self.url, query: "", headers, body };
        let now = Timestamp::from_micros(at * 1_000_000);
        config.verify(&request, &[Some(&secret.into())], now)
    }

    fn verify_as_sent(&self) -> Result<Verified, Refusal> {
        self.verify(&self.headers(), self.body.as_bytes(), self.secret, self.signed_at)
    }
}

#[test]
fn every_preset_has_a_vector_and_accepts_it() {
    let mut covered: Vec<&str> = VECTORS.iter().map(|v| v.scheme).collect();
    covered.sort_unstable();
    assert_eq!(covered, PRESETS);
    for vector in VECTORS {
        let verified = vector.verify_as_sent().unwrap_or_else(|r| panic!("{}: {r}", vector.scheme));
        assert_eq!(verified.key_index, Some(0));
        assert_eq!(verified.delivery_id.as_deref(), vector.delivery_id, "{}", vector.scheme);
        assert_eq!(verified.timestamp.is_some(), vector.signed_at != 0, "{}", vector.scheme);
    }
}

#[test]
fn every_flipped_bit_of_the_body_is_refused() {
    for vector in VECTORS.iter().filter(|v| v.scheme != "gitlab") {
        let mut body = vector.body.as_bytes().to_vec();
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            let verdict = vector.verify(&vector.headers(), &body, vector.secret, vector.signed_at);
            assert_eq!(verdict, Err(Refusal::Mismatch), "{} bit {bit}", vector.scheme);
            body[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..body.len() {
            let verdict = vector.verify(&vector.headers(), &body[..length], vector.secret, vector.signed_at);
            assert_eq!(verdict, Err(Refusal::Mismatch), "{} {length}", vector.scheme);
        }
    }
}

#[test]
fn every_change_to_a_header_that_matters_is_refused() {
    for vector in VECTORS {
        for (name, value) in vector.headers {
            let is_unsigned_id =
                vector.delivery_id == Some(*value) && !matches!(*name, "webhook-id" | "svix-id");
            if is_unsigned_id || matches!(*name, "x-gitlab-event-uuid" | "content-type") {
                continue;
            }
            let about = format!("{} {name}", vector.scheme);
            let refused = |headers: &HeaderMap| {
                let verdict = vector.verify(headers, vector.body.as_bytes(), vector.secret, vector.signed_at);
                assert!(verdict.is_err(), "{about}: {headers:?}");
            };
            let mut headers = vector.headers();
            headers.remove(*name);
            refused(&headers);
            headers.insert(*name, "".parse().unwrap());
            refused(&headers);
            let mut headers = vector.headers();
            headers.append(*name, value.parse().unwrap());
            refused(&headers);
            // What stands behind the last entry of Stripe's list is not part of the signature.
            let signed = value.strip_suffix(",v0=00").unwrap_or(value);
            for at in 0..signed.len() {
                let mut bent = value.as_bytes().to_vec();
                bent[at] = if bent[at] == b'0' { b'1' } else { b'0' };
                let mut headers = vector.headers();
                headers.insert(*name, http::HeaderValue::from_bytes(&bent).unwrap());
                refused(&headers);
                headers.insert(*name, value[..at].parse().unwrap());
                refused(&headers);
            }
        }
    }
}

#[test]
fn every_other_key_is_refused() {
    for vector in VECTORS {
        for at in 0..vector.secret.len() {
            let mut bent = vector.secret.to_owned();
            let other = if &bent[at..=at] == "A" { "B" } else { "A" };
            bent.replace_range(at..=at, other);
            let verdict = vector.verify(&vector.headers(), vector.body.as_bytes(), &bent, vector.signed_at);
            assert!(verdict.is_err(), "{} {bent}", vector.scheme);
        }
        let empty = vector.verify(&vector.headers(), vector.body.as_bytes(), "", vector.signed_at);
        assert_eq!(empty, Err(Refusal::NeedsSecret));
    }
}

#[test]
fn five_minutes_are_tolerated_both_ways_and_no_more() {
    for vector in VECTORS.iter().filter(|v| v.signed_at != 0) {
        let at = |offset: i64| {
            let body = vector.body.as_bytes();
            vector.verify(&vector.headers(), body, vector.secret, vector.signed_at + offset).map(drop)
        };
        // Linear's vector is signed 123 ms past the second.
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
        for other in PRESETS.iter().filter(|name| **name != vector.scheme) {
            let config = VerifyConfig::parse(&json!({"scheme": other, "secret": "s"}), "").unwrap();
            let headers = vector.headers();
            let request = RawRequest {
                method: "POST",
                url: vector.url,
                query: "",
                headers: &headers,
                body: vector.body.as_bytes(),
            };
            let now = Timestamp::from_micros(vector.signed_at * 1_000_000);
            let secret = SecretValue::from(vector.secret);
            assert_eq!(
                config.verify(&request, &[Some(&secret)], now),
                Err(Refusal::HeaderMissing),
                "{other}"
            );
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
        for (name, value) in vector.headers {
            let Some(value): Option<String> = upper(value) else { continue };
            let mut headers = vector.headers();
            headers.insert(*name, value.parse().unwrap());
            let verdict = vector.verify(&headers, vector.body.as_bytes(), vector.secret, vector.signed_at);
            assert_eq!(verdict, Err(Refusal::BadEncoding), "{}", vector.scheme);
        }
    }
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
    config.verify(&request, &[Some(&"12345".into())], Timestamp::EPOCH)
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
