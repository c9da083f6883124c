//! Real bodies under every scheme: each is signed as its scheme says, accepted, and refused with one bit changed.

use ed25519_dalek::Signer as _;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Digest as _;

use super::*;
use crate::webhook::scheme::{TimestampUnit, TokenScheme};
use crate::webhook::signature::{P256_HEAD, URL_SAFE, URL_SAFE_BARE};
use crate::webhook::{BodyLimits, read_body};

const SECONDS: i64 = 1_767_225_600;
const SECRET: &str = "a secret that both sides know";
const PRIVATE: [u8; 32] = [7; 32];

/// Sign members of a body of their own, and nothing of any other.
const OWN_BODIES: [&str; 2] = ["adyen", "mailgun"];

fn time(unit: TimestampUnit) -> String {
    match unit {
        TimestampUnit::Seconds | TimestampUnit::Any => SECONDS.to_string(),
        TimestampUnit::Millis => format!("{SECONDS}000"),
        TimestampUnit::Rfc3339 => "2026-01-01T00:00:00Z".to_owned(),
    }
}

fn hmac_of<M: Mac + KeyInit>(text: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn signature_of(algorithm: Algorithm, text: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::HmacSha1 => hmac_of::<Hmac<sha1::Sha1>>(text),
        Algorithm::HmacSha256 => hmac_of::<Hmac<sha2::Sha256>>(text),
        Algorithm::HmacSha384 => hmac_of::<Hmac<sha2::Sha384>>(text),
        Algorithm::HmacSha512 => hmac_of::<Hmac<sha2::Sha512>>(text),
        Algorithm::KeyedSha256 => sha2::Sha256::digest([SECRET.as_bytes(), text].concat()).to_vec(),
        Algorithm::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&PRIVATE).sign(text).to_bytes().to_vec(),
        Algorithm::EcdsaP256 => {
            let signature: p256::ecdsa::Signature = ecdsa_key().sign(text);
            signature.to_der().as_bytes().to_vec()
        }
        Algorithm::Rsa(..) => panic!("no scheme of signatures has RSA"),
    }
}

fn ecdsa_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&PRIVATE).unwrap()
}

/// What stands in the vault for a form.
fn secret_of(form: &SignatureScheme) -> String {
    let bytes = match form.algorithm {
        Algorithm::Ed25519 => {
            ed25519_dalek::SigningKey::from_bytes(&PRIVATE).verifying_key().as_bytes().to_vec()
        }
        Algorithm::EcdsaP256 => ecdsa_key().verifying_key().to_sec1_point(false).as_bytes().to_vec(),
        _ => SECRET.as_bytes().to_vec(),
    };
    match form.key {
        KeyPreparation::Utf8 => SECRET.to_owned(),
        KeyPreparation::Hex => ::hex::encode(bytes),
        KeyPreparation::Base64 => STANDARD.encode(bytes),
        KeyPreparation::Whsec => format!("whsec_{}", STANDARD.encode(bytes)),
        KeyPreparation::Whpk => format!("whpk_{}", STANDARD.encode(bytes)),
        KeyPreparation::Spki => STANDARD.encode([P256_HEAD, &bytes].concat()),
    }
}

/// What a sender of this form makes of a body.
fn sent(form: &SignatureScheme, body: &[u8]) -> Sent {
    let mut sent = Sent {
        headers: HeaderMap::new(),
        method: "POST".to_owned(),
        url: "https://hooks.example/hooks/default/gh".to_owned(),
        body: body.to_vec(),
        secret: secret_of(form),
        at: SECONDS,
    };
    sent.headers.insert("content-type", HeaderValue::from_static("application/json"));
    let at = form.timestamp.as_ref().map(|rule| (&rule.source, time(rule.unit)));
    match &at {
        Some((Source::Header(name), time)) => _ = sent.headers.insert(name, time.parse().unwrap()),
        Some((Source::Body(pointer), time)) => {
            let member = format!("{{\"{}\":{time},", &pointer[1..]);
            let rest = body.strip_prefix(b"{").expect("deliveries are objects");
            sent.body = [member.as_bytes(), rest].concat();
        }
        Some((Source::Label(_), _)) | None => {}
        Some((other, _)) => panic!("{other:?}"),
    }
    if let Some(Source::Header(name)) = &form.id {
        sent.headers.insert(name, HeaderValue::from_static("msg_1"));
    }
    if form.body_digest.is_some() {
        sent.url += &format!("?bodySHA256={}", ::hex::encode(sha2::Sha256::digest(&sent.body)));
    }
    let time = at.as_ref().map(|(_, time)| time.as_str());
    let mut text = Vec::new();
    for part in form.signed.iter() {
        match part {
            Part::Literal(literal) => text.extend(literal.as_bytes()),
            Part::Body => text.extend(&sent.body),
            Part::Timestamp => text.extend(time.unwrap().as_bytes()),
            Part::Id => text.extend(b"msg_1"),
            // It has no escapes.
            Part::Url | Part::DecodedUrl => text.extend(sent.url.as_bytes()),
            Part::Method => text.extend(sent.method.as_bytes()),
            Part::FormPairs => {}
            Part::From(_) | Part::IfAny(_) => panic!("{part:?}"),
        }
    }
    let signature = signature_of(form.algorithm, &text);
    let signature = match form.encoding {
        SignatureEncoding::Hex(_) => ::hex::encode(signature),
        SignatureEncoding::Base64(_) => STANDARD.encode(signature),
        SignatureEncoding::Base64Url(_) => URL_SAFE.encode(signature),
    };
    let value = match &form.extraction {
        Extraction::Bare => signature,
        Extraction::Prefix(prefix) => format!("{prefix}{signature}"),
        Extraction::List { separator, assign, label } => match &at {
            Some((Source::Label(t), time)) => {
                format!("{t}{assign}{time}{separator}{label}{assign}{signature}")
            }
            _ => format!("{label}{assign}{signature}"),
        },
    };
    let Source::Header(carrier) = &form.carriers[0] else { panic!("{:?}", form.carriers) };
    sent.headers.insert(carrier, value.parse().unwrap());
    sent
}

/// Every scheme that signs a body, presets and a config for each algorithm, encoding and extraction.
fn signing_configs() -> Vec<(String, Value)> {
    let mut configs: Vec<(String, Value)> = PRESETS
        .iter()
        .filter(|name| !forms(name).is_empty() && !OWN_BODIES.contains(name))
        .map(|name| ((*name).to_owned(), json!({"scheme": name, "secret": "s"})))
        .collect();
    for (scheme, algorithm) in [
        ("hmac", "sha1"),
        ("hmac", "sha256"),
        ("hmac", "sha384"),
        ("hmac", "sha512"),
        ("ed25519", ""),
        ("ecdsa", ""),
    ] {
        for encoding in ["hex", "base64", "base64url"] {
            for extraction in ["bare", "prefix", "label"] {
                let mut config = json!({
                    "scheme": scheme, "secret": "s", "header": "x-sig", "encoding": encoding, "signed": "{body}",
                    "key_encoding": "hex",
                });
                if !algorithm.is_empty() {
                    config["algorithm"] = json!(algorithm);
                }
                match extraction {
                    "prefix" => config["prefix"] = json!("v0="),
                    "label" => {
                        config["label"] = json!("v1");
                        config["signed"] = json!("{timestamp}.{body}");
                    }
                    _ => {}
                }
                configs.push((format!("{scheme} {algorithm} {encoding} {extraction}"), config));
            }
        }
    }
    configs
}

/// The requests of schemes that know their sender by a token, each with the place of it.
fn with_tokens(body: &[u8]) -> Vec<(String, Value, Sent, HeaderName)> {
    let claims = URL_SAFE_BARE.encode(format!(r#"{{"exp":{}}}"#, SECONDS + 60));
    let signed = format!("{}.{claims}", URL_SAFE_BARE.encode(r#"{"alg":"HS256"}"#));
    let jwt =
        format!("Bearer {signed}.{}", URL_SAFE_BARE.encode(hmac_of::<Hmac<sha2::Sha256>>(signed.as_bytes())));
    let basic = format!("Basic {}", STANDARD.encode(format!("hook:{SECRET}")));
    let mut all = vec![
        (
            "api_key".to_owned(),
            json!({"scheme": "api_key", "header": "x-key", "secret": "s"}),
            "x-key",
            SECRET.to_owned(),
        ),
        (
            "basic".to_owned(),
            json!({"scheme": "basic", "username": "hook", "password": "s"}),
            "authorization",
            basic,
        ),
        (
            "jwt".to_owned(),
            json!({"scheme": "jwt", "algorithms": ["HS256"], "key": "s"}),
            "authorization",
            jwt,
        ),
    ]
    .into_iter()
    .map(|(name, config, header, value)| (name, config, HeaderName::from_static(header), value))
    .collect::<Vec<_>>();
    for name in PRESETS {
        if let Some(Scheme::Token(TokenScheme { header, .. })) = preset(name) {
            let config = json!({"scheme": name, "secret": "s"});
            all.push(((*name).to_owned(), config, header, SECRET.to_owned()));
        }
    }
    let sent = |header: &HeaderName, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(header, value.parse().unwrap());
        let (method, url) = ("POST".to_owned(), String::new());
        Sent { headers, method, url, body: body.to_vec(), secret: SECRET.to_owned(), at: SECONDS }
    };
    all.into_iter()
        .map(|(name, config, header, value)| {
            let sent = sent(&header, &value);
            (name, config, sent, header)
        })
        .collect()
}

fn parse(config: &Value) -> VerifyConfig {
    VerifyConfig::parse(config, "").unwrap_or_else(|problems| panic!("{config}: {problems:?}"))
}

/// A place for a change that differs from scheme to scheme, and so falls on every part of a body.
fn place_in(length: usize, nth: usize) -> usize {
    (nth * 7_919) % length
}

#[test]
fn real_bodies_verify_under_every_scheme_and_are_refused_when_changed() {
    let Ok(data) = std::env::var("MESHHOOK_TEST_DATA") else {
        println!("skipped: MESHHOOK_TEST_DATA does not name the test data");
        return;
    };
    let entries = std::fs::read_dir(format!("{data}/github")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    assert!(!files.is_empty(), "no deliveries in {data}/github");
    let configs: Vec<_> =
        signing_configs().into_iter().map(|(name, config)| (name, parse(&config))).collect();
    let (mut accepted, mut refused) = (0, 0);
    for path in &files {
        let body = std::fs::read(path).unwrap();
        for (nth, (name, config)) in configs.iter().enumerate() {
            let Scheme::Signature(forms) = config.scheme() else { panic!("{name}") };
            for form in forms {
                let sent = sent(form, &body);
                let verdict = sent.verify_by(config);
                assert!(verdict.is_ok(), "{name} {}: {verdict:?}", path.display());
                let read = read_body(&sent.headers, &sent.body, &BodyLimits::default()).unwrap();
                assert!(read.value.is_object(), "{}", path.display());
                accepted += 1;
                let last = sent.body.len() - 1;
                for at in [0, place_in(last, nth + 1), last] {
                    let verdict = sent.with(|sent| sent.body[at] ^= 1).verify_by(config);
                    assert_eq!(verdict, Err(Refusal::Mismatch), "{name} {} {at}", path.display());
                    refused += 1;
                }
            }
        }
        for (name, config, sent, header) in with_tokens(&body) {
            let config = parse(&config);
            assert!(sent.verify_by(&config).is_ok(), "{name} {}", path.display());
            accepted += 1;
            let token = sent.headers[&header].as_bytes();
            for at in 0..token.len() {
                let mut bent = token.to_vec();
                bent[at] = other(bent[at]);
                let bent = HeaderValue::from_bytes(&bent).unwrap();
                let verdict = sent.with(|sent| _ = sent.headers.insert(&header, bent)).verify_by(&config);
                assert!(verdict.is_err(), "{name} {} {at}", path.display());
                refused += 1;
            }
        }
    }
    let schemes = configs.len() + with_tokens(b"").len();
    println!(
        "{} bodies, {schemes} schemes: {accepted} accepted, {refused} changed ones refused",
        files.len()
    );
}
