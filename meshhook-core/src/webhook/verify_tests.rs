use std::time::Duration;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;
use crate::webhook::signature::URL_SAFE;

const NOW: i64 = 1_767_225_600;
const BODY: &[u8] = br#"{"a":1}"#;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn signed(key: &str, text: &str) -> String {
    hex::encode(mac(key.as_bytes(), text.as_bytes()))
}

/// A hook and a request to it.
struct Case {
    config: Value,
    headers: HeaderMap,
    body: Vec<u8>,
    secrets: Vec<Option<&'static str>>,
    url: &'static str,
    query: &'static str,
}

impl Case {
    fn new(config: Value) -> Self {
        Self {
            config,
            headers: HeaderMap::new(),
            body: BODY.to_vec(),
            secrets: vec![Some("key")],
            url: "https://hooks.example/a",
            query: "",
        }
    }

    fn hmac(extra: Value) -> Self {
        let mut config = json!({
            "scheme": "hmac", "secret": "s", "header": "x-sig", "algorithm": "sha256", "encoding": "hex",
            "signed": "{body}",
        });
        let Value::Object(extra) = extra else { unreachable!() };
        config.as_object_mut().unwrap().extend(extra);
        Self::new(config)
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    fn secrets(mut self, secrets: &[Option<&'static str>]) -> Self {
        let names: Vec<String> = (0..secrets.len()).map(|i| format!("s{i}")).collect();
        self.config["secret"] = json!(names);
        self.secrets = secrets.to_vec();
        self
    }

    fn verify(&self) -> Result<Verified, Refusal> {
        Ok(self.told()?)
    }

    fn told(&self) -> Result<Verified, Refused> {
        self.with(|config, request, secrets| config.verify(request, secrets, now()))
    }

    /// What is done with the config, the request and the secrets.
    fn with<T>(&self, act: impl FnOnce(&VerifyConfig, &RawRequest<'_>, &[Option<&SecretValue>]) -> T) -> T {
        let config = VerifyConfig::parse(&self.config, "").unwrap();
        let secrets: Vec<Option<SecretValue>> =
            self.secrets.iter().map(|s| s.map(SecretValue::from)).collect();
        let secrets: Vec<Option<&SecretValue>> = secrets.iter().map(Option::as_ref).collect();
        let request = RawRequest {
            method: "POST",
            url: self.url,
            query: self.query,
            headers: &self.headers,
            body: &self.body,
        };
        act(&config, &request, &secrets)
    }

    #[track_caller]
    fn accepted(&self) -> Verified {
        self.verify().unwrap_or_else(|refusal| panic!("refused: {refusal}"))
    }

    #[track_caller]
    fn refused(&self, refusal: Refusal) {
        assert_eq!(self.verify(), Err(refusal));
    }
}

#[test]
fn none_accepts_anything() {
    let case = Case::new(json!({"scheme": "none"}));
    assert_eq!(case.accepted(), Verified::default());
}

#[test]
fn every_algorithm_and_encoding_verifies() {
    // Computed with Python's hmac over the body with the key `key`.
    let cases = [
        ("sha1", "hex", "b5557a4b8f3cc308d19eb4f69f336392a31eef7b"),
        ("sha384", "base64url", "7Usa-9x_G_DLufyqlY-u6RR2JlFFtbP0Nob7tJ4tZoI7GemOPYZqeSt-SER87QqT"),
        (
            "sha512",
            "base64",
            "3H2KankmBZ6YaX71SmX3Rdkk/D4TwRdoedzchOrEgLrjd/oG0evMb6sTdc2b1hGhiZaUzEyn3A9inYuBM8XIPQ==",
        ),
    ];
    for (algorithm, encoding, signature) in cases {
        let config = json!({"algorithm": algorithm, "encoding": encoding});
        Case::hmac(config.clone()).header("x-sig", signature).accepted();
        let mut case = Case::hmac(config).header("x-sig", signature);
        case.body.push(b' ');
        case.refused(Refusal::Mismatch);
    }
}

#[test]
fn one_encoding_is_accepted_and_no_other() {
    let bytes = mac(b"key", BODY);
    let hex_text = hex::encode(&bytes);
    let base64 = STANDARD.encode(&bytes);
    let url = URL_SAFE.encode(&bytes);
    let bare = |text: &str| text.trim_end_matches('=').to_owned();
    let check = |encoding: &str, accepted: &[&str], refused: &[&str]| {
        for text in accepted {
            Case::hmac(json!({"encoding": encoding})).header("x-sig", text).accepted();
        }
        for text in refused {
            Case::hmac(json!({"encoding": encoding})).header("x-sig", text).refused(Refusal::BadEncoding);
        }
    };
    assert!(base64.contains(['+', '/']) && url.contains(['-', '_']), "a telling vector: {base64}");
    check("hex", &[&hex_text, &hex_text.to_uppercase()], &[&base64, &url]);
    check("base64", &[&base64], &[&hex_text, &bare(&base64), &url]);
    check("base64url", &[&url, &bare(&url)], &[&hex_text, &base64]);
}

#[test]
fn empty_short_and_long_signatures_are_refused() {
    let good = signed("key", r#"{"a":1}"#);
    for bad in
        ["", " ", "0", "00", &good[..62], &good[..63], &format!("{good}00"), &format!("{good}\t{good}")]
    {
        Case::hmac(json!({})).header("x-sig", bad).refused(Refusal::BadEncoding);
    }
    let standard = || {
        Case::new(json!({"scheme": "standard", "secret": "s"}))
            .secrets(&[Some("whsec_AAAA")])
            .header("webhook-id", "a")
            .header("webhook-timestamp", "1767225600")
    };
    for empty in ["v1,", "v1", ",", "v1, v1,", "v2,AAAA", ""] {
        standard().header("webhook-signature", empty).refused(Refusal::BadEncoding);
    }
}

#[test]
fn the_prefix_must_be_there_exactly() {
    let good = signed("key", r#"{"a":1}"#);
    let case = |value: String| Case::hmac(json!({"prefix": "sha256="})).header("x-sig", &value);
    case(format!("sha256={good}")).accepted();
    for bad in
        [good.clone(), format!("SHA256={good}"), format!("sha256= {good}"), format!("sha256=sha256={good}")]
    {
        case(bad).refused(Refusal::BadEncoding);
    }
}

#[test]
fn a_missing_or_repeated_signature_is_refused() {
    let good = signed("key", r#"{"a":1}"#);
    Case::hmac(json!({})).refused(Refusal::HeaderMissing);
    Case::hmac(json!({})).header("x-sig", &good).header("x-sig", &good).refused(Refusal::Ambiguous);
    Case::hmac(json!({})).header("x-sig", "00").header("x-sig", &good).refused(Refusal::Ambiguous);
    Case::hmac(json!({})).header("x-sig", &format!("{good}, {good}")).refused(Refusal::BadEncoding);
}

#[test]
fn only_the_raw_bytes_count() {
    let good = signed("key", r#"{"a":1}"#);
    for same_meaning in [&br#"{"a": 1}"#[..], br#"{"\u0061":1}"#, b"{\"a\":1}\n", br#"{"a":1.0}"#] {
        let mut case = Case::hmac(json!({})).header("x-sig", &good);
        case.body = same_meaning.to_vec();
        case.refused(Refusal::Mismatch);
    }
}

fn list(value: &str) -> Case {
    Case::hmac(json!({"label": "v1", "signed": "{timestamp}.{body}"})).header("x-sig", value)
}

#[test]
fn every_entry_with_the_label_is_tried() {
    let good = signed("key", r#"1767225600.{"a":1}"#);
    let zero = "0".repeat(64);
    list(&format!("t=1767225600,v1={good}")).accepted();
    list(&format!("v1={good},t=1767225600")).accepted();
    list(&format!("t=1767225600,v1={zero},v0=x,v1={good},other")).accepted();
    list(&format!("t=1767225600,v1=junk,v1={good}")).accepted();
    list(&format!("t=1767225600,v1={zero}")).refused(Refusal::Mismatch);
    list(&format!("t=1767225600,v0={good}")).refused(Refusal::BadEncoding);
    list(&format!("t=1767225600, v1={good}")).refused(Refusal::BadEncoding);
    list(&format!("v1={good}")).refused(Refusal::BadTimestamp);
    list(&format!("t=1767225600,t=1767225600,v1={good}")).refused(Refusal::Ambiguous);
    list(&format!("t=1767225601,v1={good}")).refused(Refusal::Mismatch);
}

#[test]
fn sixteen_signatures_are_tried_and_more_are_refused_unread() {
    let good = signed("key", r#"1767225600.{"a":1}"#);
    let with = |before: usize| {
        let zeros = format!("v1={},", "0".repeat(64)).repeat(before);
        list(&format!("t=1767225600,{zeros}v1={good}"))
    };
    with(15).accepted();
    with(16).refused(Refusal::TooManySignatures);
    with(10_000).refused(Refusal::TooManySignatures);
    list(&format!("t=1767225600,{}v1={good}", "v1=,".repeat(16))).refused(Refusal::TooManySignatures);
}

#[test]
fn several_secrets_are_valid_at_once_and_the_match_is_named() {
    let by = |key: &str| Case::hmac(json!({})).header("x-sig", &signed(key, r#"{"a":1}"#));
    let index =
        |case: Case, secrets: &[Option<&'static str>]| case.secrets(secrets).verify().map(|v| v.key_index);
    assert_eq!(index(by("new"), &[Some("new"), Some("old")]), Ok(Some(0)));
    assert_eq!(index(by("old"), &[Some("new"), Some("old")]), Ok(Some(1)));
    assert_eq!(index(by("old"), &[None, Some("old")]), Ok(Some(1)));
    assert_eq!(index(by("other"), &[Some("new"), Some("old")]), Err(Refusal::Mismatch));
}

#[test]
fn without_its_secret_a_scheme_refuses_everything() {
    for config in [
        json!({"scheme": "github", "secret": "s"}),
        json!({"scheme": "gitlab", "secret": "s"}),
        json!({"scheme": "basic", "username": "u", "password": "s"}),
        json!({"scheme": "api_key", "header": "x-key", "secret": "s"}),
    ] {
        for secret in [None, Some("")] {
            let mut case = Case::new(config.clone())
                .header("x-hub-signature-256", &format!("sha256={}", signed("", r#"{"a":1}"#)))
                .header("x-gitlab-token", "")
                .header("x-key", "")
                .header("authorization", "Basic dTo=");
            case.secrets = vec![secret];
            case.refused(Refusal::NeedsSecret);
        }
    }
    let mut none_configured = Case::new(json!({"scheme": "github", "secret": "s"}));
    none_configured.secrets = vec![];
    none_configured.refused(Refusal::NeedsSecret);
}

#[test]
fn keys_are_prepared_as_declared() {
    let check = |encoding: &str, secret: &'static str, key: &[u8]| {
        let text = hex::encode(mac(key, BODY));
        let mut case = Case::hmac(json!({"key_encoding": encoding})).header("x-sig", &text);
        case.secrets = vec![Some(secret)];
        case.verify().map(drop)
    };
    assert_eq!(check("utf8", "6b6579", b"6b6579"), Ok(()));
    assert_eq!(check("hex", "6b6579", b"key"), Ok(()));
    assert_eq!(check("hex", "6B6579", b"key"), Ok(()));
    assert_eq!(check("base64", "a2V5MQ==", b"key1"), Ok(()));
    assert_eq!(check("base64", "a2V5MQ", b"key1"), Ok(()));
    assert_eq!(check("hex", "not hex", b"not hex"), Err(Refusal::BadKey));
    assert_eq!(check("base64", "*", b"*"), Err(Refusal::BadKey));
}

#[test]
fn a_key_that_is_only_a_prefix_is_no_key() {
    let text = format!("v1,{}", STANDARD.encode(mac(b"", br#"a.1767225600.{"a":1}"#)));
    let mut case = Case::new(json!({"scheme": "standard", "secret": "s"}))
        .header("webhook-id", "a")
        .header("webhook-timestamp", "1767225600")
        .header("webhook-signature", &text);
    case.secrets = vec![Some("whsec_")];
    case.refused(Refusal::BadKey);
}

#[test]
fn the_timestamp_is_signed_as_it_came_and_read_afterwards() {
    let at = |text: &str| {
        Case::hmac(json!({"signed": "{timestamp}.{body}", "timestamp_header": "x-t"}))
            .header("x-t", text)
            .header("x-sig", &signed("key", &format!("{text}.{}", r#"{"a":1}"#)))
    };
    for good in [
        "1767225600",
        "1767225600000",
        "01767225600",
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "2026-01-01T00:00:00.123456789Z",
    ] {
        at(good).accepted();
    }
    for malformed in [
        "",
        "-1",
        "1e9",
        "+1767225600",
        "1767225600.0",
        "9223372036854775808",
        "176722560000000",
        "١٧٦٧٢٢٥٦٠٠",
        "0x6955b900",
        "2026-01-01",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "now",
    ] {
        at(malformed).refused(Refusal::BadTimestamp);
    }
    for stale in
        ["0", "1", "1767225299", "1767225901", "99999999999", "1767225299000", "2025-12-31T23:54:59Z"]
    {
        at(stale).refused(Refusal::Stale);
    }
    at("1767225300").accepted();
    at("1767225900").accepted();
}

#[test]
fn a_preset_in_seconds_takes_no_milliseconds() {
    let text = r#"1767225600000.{"a":1}"#;
    Case::new(json!({"scheme": "stripe", "secret": "s"}))
        .header("stripe-signature", &format!("t=1767225600000,v1={}", signed("key", text)))
        .refused(Refusal::BadTimestamp);
}

#[test]
fn a_wrong_signature_is_a_mismatch_however_old_it_is() {
    Case::hmac(json!({"signed": "{timestamp}.{body}", "timestamp_header": "x-t"}))
        .header("x-t", "1")
        .header("x-sig", &"0".repeat(64))
        .refused(Refusal::Mismatch);
}

#[test]
fn tolerance_is_configurable() {
    let case = |tolerance: &str| {
        Case::hmac(json!({"signed": "{timestamp}{body}", "timestamp_header": "x-t", "tolerance": tolerance}))
            .header("x-t", "1767222000")
            .header("x-sig", &signed("key", &format!("1767222000{}", r#"{"a":1}"#)))
    };
    case("1h").accepted();
    case("59m59s").refused(Refusal::Stale);
    assert_eq!(VerifyConfig::parse(&case("1h").config, "").unwrap().tolerance, Duration::from_secs(3600));
}

#[test]
fn a_signed_id_cannot_move_the_boundary() {
    let standard = |id: &str| {
        let text = format!("{id}.1767225600.{}", r#"{"a":1}"#);
        let mut case = Case::new(json!({"scheme": "standard", "secret": "s"}))
            .header("webhook-id", id)
            .header("webhook-timestamp", "1767225600")
            .header("webhook-signature", &format!("v1,{}", STANDARD.encode(mac(b"key", text.as_bytes()))));
        case.secrets = vec![Some("a2V5")];
        case
    };
    for good in ["msg_1-A", "YQ==", "YWI="] {
        assert_eq!(standard(good).accepted().delivery_id.as_deref(), Some(good));
    }
    for bad in ["", "a.1700000000.x", "a b", "é", "=", "a=b", "a===", &"a".repeat(129)] {
        standard(bad).refused(Refusal::BadId);
    }
    let mut missing = standard("a");
    missing.headers.remove("webhook-id");
    missing.refused(Refusal::BadId);
    // What follows could begin with the end of the id.
    let joined = |id: &str| {
        let config = json!({"scheme": "hmac", "algorithm": "sha256", "secret": "s", "header": "x-signature",
            "encoding": "hex", "id_header": "x-id", "signed": "{id}{body}"});
        Case::new(config)
            .header("x-id", id)
            .header("x-signature", &hex::encode(mac(b"key", format!("{id}{}", r#"{"a":1}"#).as_bytes())))
    };
    joined("a").accepted();
    joined("YQ==").refused(Refusal::BadId);
}

#[test]
fn substituted_text_is_not_substituted_again() {
    let body = r#"{"a":1}"#;
    let mut case = Case::hmac(json!({"signed": "{id}|{method}|{url}|{body}", "id_header": "x-id"}))
        .header("x-id", "id-1")
        .header("x-sig", &signed("key", &format!("id-1|POST|https://x.example/{{body}}?a={{id}}|{body}")));
    case.url = "https://x.example/{body}?a={id}";
    assert_eq!(case.accepted().delivery_id.as_deref(), Some("id-1"));
}

#[test]
fn a_configured_url_takes_the_place_of_the_requests() {
    let body = r#"{"a":1}"#;
    let text = signed("key", &format!("https://public.example/h{body}"));
    let with = |url: Value| Case::hmac(json!({"signed": "{url}{body}", "url": url})).header("x-sig", &text);
    with(json!("https://public.example/h")).accepted();
    with(Value::Null).refused(Refusal::Mismatch);
}

#[test]
fn delivery_ids_come_from_where_the_scheme_says() {
    let good = format!("sha256={}", signed("key", r#"{"a":1}"#));
    let github = |ids: &[&str]| {
        let mut case =
            Case::new(json!({"scheme": "github", "secret": "s"})).header("x-hub-signature-256", &good);
        for id in ids {
            case = case.header("x-github-delivery", id);
        }
        case
    };
    assert_eq!(github(&["d-1"]).accepted().delivery_id.as_deref(), Some("d-1"));
    assert_eq!(github(&[]).accepted().delivery_id, None);
    github(&["d-1", "d-1"]).refused(Refusal::Ambiguous);
    for bad in ["", "a b", &"x".repeat(257)] {
        github(&[bad]).refused(Refusal::BadId);
    }

    let square = |body: &str| {
        let signature = STANDARD.encode(mac(b"key", format!("https://hooks.example/a{body}").as_bytes()));
        let mut case = Case::new(json!({"scheme": "square", "secret": "s"}))
            .header("x-square-hmacsha256-signature", &signature);
        case.body = body.into();
        case.accepted().delivery_id
    };
    assert_eq!(square(r#"{"event_id":"e-1"}"#).as_deref(), Some("e-1"));
    assert_eq!(square(r#"{"event_id":17}"#).as_deref(), Some("17"));
    for without in [r#"{"event_id":null}"#, r#"{"event_id":{}}"#, "{}", "not json", ""] {
        assert_eq!(square(without), None, "{without}");
    }
}

#[test]
fn tokens_match_whole_or_not_at_all() {
    let with = |token: &str| {
        let mut case = Case::new(json!({"scheme": "api_key", "header": "X-Key", "secret": "s"}));
        case.secrets = vec![Some("t0ken-value")];
        case.header("x-key", token)
    };
    assert_eq!(with("t0ken-value").accepted().key_index, Some(0));
    for bad in ["", "t0ken-valu", "t0ken-value1", "T0KEN-VALUE", "t0ken-value, t0ken-value"] {
        with(bad).refused(Refusal::Mismatch);
    }
    with("t0ken-value").header("x-key", "t0ken-value").refused(Refusal::Ambiguous);
}

#[test]
fn a_token_may_stand_behind_a_prefix() {
    let with = |value: &str| {
        let config =
            json!({"scheme": "api_key", "header": "authorization", "prefix": "Bearer ", "secret": "s"});
        Case::new(config).header("authorization", value)
    };
    with("Bearer key").accepted();
    with("Bearer kez").refused(Refusal::Mismatch);
    with("Bearer ").refused(Refusal::Mismatch);
    for bad in ["key", "bearer key", "Basic key", "Bearer"] {
        with(bad).refused(Refusal::BadEncoding);
    }
}

#[test]
fn public_keys_are_read_as_declared_and_only_so() {
    // Made with Python's cryptography from the private key of the bytes 0 to 31, over `1767225600{"a":1}`.
    let signature =
        "TCwc6ifWreEW6Vf0xgFI2Xusaqhpo2oXPlWD+VWNnUpL/U6hS7qY4K36N1fBhnQ0f07K3M2J8YF3z3iNm34YBg==";
    let raw = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
    let der = "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----\n";
    let bare = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    let with = |scheme: &str, key_encoding: Value, key: &'static str, signature: &str| {
        let mut case = Case::new(json!({
            "scheme": scheme, "secret": "s", "header": "x-sig", "encoding": "base64", "key_encoding": key_encoding,
            "signed": "{timestamp}{body}", "timestamp_header": "x-t",
        }));
        case.secrets = vec![Some(key)];
        case.header("x-sig", signature).header("x-t", "1767225600")
    };
    for (encoding, key) in
        [(Value::Null, pem), (json!("pem"), der), (json!("hex"), raw), (json!("base64"), bare)]
    {
        with("ed25519", encoding.clone(), key, signature).accepted();
        let mut changed = with("ed25519", encoding, key, signature);
        changed.body.push(b' ');
        changed.refused(Refusal::Mismatch);
    }
    for (encoding, key) in [("pem", bare), ("pem", raw), ("hex", bare), ("base64", der), ("pem", EC_DER)] {
        with("ed25519", json!(encoding), key, signature).refused(Refusal::BadKey);
    }
    with("ecdsa", json!("pem"), EC_DER, EC_SIGNATURE).accepted();
    with("ecdsa", json!("pem"), der, EC_SIGNATURE).refused(Refusal::BadKey);
    with("ecdsa", json!("pem"), EC_DER, signature).refused(Refusal::Mismatch);
    // Every zero that a signature can be made of.
    with("ecdsa", json!("pem"), EC_DER, "MAYCAQACAQA=").refused(Refusal::Mismatch);
    with("ed25519", json!("hex"), raw, &STANDARD.encode([0; 64])).refused(Refusal::Mismatch);
    // A key of small order would make one signature good for many texts.
    with("ed25519", json!("hex"), ZERO_KEY, &STANDARD.encode([0; 64])).refused(Refusal::Mismatch);
}

const ZERO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const EC_DER: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUVw9brnjlrkE0/7Kf1T9zQzB6Ze/N13KUVrQpsO0A19FNr46UPMY+/mlR1kCoiFQK+8NV+CMU7LMClbxfZ+TVA==";
const EC_SIGNATURE: &str =
    "MEYCIQCEfy7v4W+zAiui+MArEat+LmZhKa7K2TSMRkMnzse+4QIhAOl0L6g9R1+/JFhjMYGQDavzXWYOB0XsNuG2+sZI2BFJ";

#[test]
fn basic_needs_both_the_name_and_the_password() {
    let with = |authorization: &str| {
        let mut case = Case::new(json!({"scheme": "basic", "username": "hook", "password": "s"}));
        case.secrets = vec![Some("pa:ss")];
        case.header("authorization", authorization)
    };
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    with(&basic("hook:pa:ss")).accepted();
    with(&basic("hook:pa:ss").replace("Basic", "basic")).accepted();
    for bad in ["hook:pa:s", "Hook:pa:ss", "hook:", ":pa:ss", "hook:pa:ss "] {
        with(&basic(bad)).refused(Refusal::Mismatch);
    }
    for bad in ["Bearer x", "Basic", "Basic ", "Basic ****", &basic("hook")] {
        with(bad).refused(Refusal::BadEncoding);
    }
}

#[test]
fn codes_are_stable() {
    let all = [
        (Refusal::NeedsSecret, "needs_secret"),
        (Refusal::BadKey, "bad_key"),
        (Refusal::HeaderMissing, "header_missing"),
        (Refusal::Ambiguous, "ambiguous"),
        (Refusal::BadEncoding, "bad_encoding"),
        (Refusal::TooManySignatures, "too_many_signatures"),
        (Refusal::BadId, "bad_id"),
        (Refusal::BadChallenge, "bad_challenge"),
        (Refusal::BadAlgorithm, "bad_algorithm"),
        (Refusal::BadClaims, "bad_claims"),
        (Refusal::Mismatch, "mismatch"),
        (Refusal::BadTimestamp, "bad_timestamp"),
        (Refusal::Stale, "stale"),
    ];
    for (refusal, code) in all {
        assert_eq!(refusal.code(), code);
    }
}

#[path = "verify_place_tests.rs"]
mod place;
#[path = "verify_property_tests.rs"]
mod property;
#[path = "verify_spared_tests.rs"]
mod spared;
#[path = "verify_told_tests.rs"]
mod told;
