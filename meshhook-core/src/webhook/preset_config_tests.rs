//! Presets are data that a config can say as well.

use serde_json::Value;

use super::*;
use crate::webhook::scheme::{TimestampUnit, TokenScheme};

/// What a config cannot say: a form's pairs with a digest in the URL, and a hash of the secret in front of the text.
const UNSAYABLE: [&str; 3] = ["hubspot_v1", "hubspot_v2", "twilio"];

fn place(source: &Source) -> String {
    match source {
        Source::Header(name) => format!("header:{name}"),
        Source::Query(name) => format!("query:{name}"),
        Source::Label(label) => format!("label:{label}"),
        Source::Body(pointer) => format!("body:{pointer}"),
    }
}

fn places(sources: &[Source]) -> Value {
    sources.iter().map(place).collect()
}

fn template(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Literal(text) => text.to_string(),
        Part::Body => "{body}".to_owned(),
        Part::Timestamp => "{timestamp}".to_owned(),
        Part::Id => "{id}".to_owned(),
        Part::Url => "{url}".to_owned(),
        Part::DecodedUrl => "{decoded_url}".to_owned(),
        Part::Method => "{method}".to_owned(),
        Part::From(source) => format!("{{{}}}", place(source)),
        Part::IfAny(source) => format!("{{{}?}}", place(source)),
        Part::FormPairs => panic!("no config says this"),
    };
    parts.iter().map(part).collect()
}

/// The config that says what a form says.
pub(super) fn config_of(form: &SignatureScheme) -> Value {
    let (scheme, algorithm) = match form.algorithm {
        Algorithm::HmacSha1 => ("hmac", Some("sha1")),
        Algorithm::HmacSha256 => ("hmac", Some("sha256")),
        Algorithm::HmacSha384 => ("hmac", Some("sha384")),
        Algorithm::HmacSha512 => ("hmac", Some("sha512")),
        Algorithm::Ed25519 => ("ed25519", None),
        Algorithm::EcdsaP256 => ("ecdsa", None),
        other => panic!("no config says {other:?}"),
    };
    let encoding = match form.encoding {
        SignatureEncoding::Hex(_) => "hex",
        SignatureEncoding::Base64(_) => "base64",
        SignatureEncoding::Base64Url(_) => "base64url",
    };
    let key = match form.key {
        KeyPreparation::Utf8 => "utf8",
        KeyPreparation::Hex => "hex",
        KeyPreparation::Base64 => "base64",
        KeyPreparation::Whsec => "whsec",
        KeyPreparation::Whpk => "whpk",
        KeyPreparation::Spki => "pem",
    };
    let mut config = json!({
        "scheme": scheme, "secret": "s", "algorithm": algorithm, "signature": places(&form.carriers), "encoding": encoding,
        "key_encoding": key, "signed": template(&form.signed),
    });
    if algorithm.is_none() {
        config.as_object_mut().unwrap().remove("algorithm");
    }
    match &form.extraction {
        Extraction::Bare => {}
        Extraction::Prefix(prefix) => config["prefix"] = json!(prefix),
        Extraction::List { separator, assign, label } => {
            config["label"] = json!(label);
            config["separator"] = json!(separator);
            config["assign"] = json!(assign);
        }
    }
    if let Some(rule) = &form.timestamp {
        config["timestamp"] = json!(place(&rule.source));
        config["timestamp_unit"] = match rule.unit {
            TimestampUnit::Seconds => json!("seconds"),
            TimestampUnit::Millis => json!("milliseconds"),
            TimestampUnit::Rfc3339 => json!("rfc3339"),
            TimestampUnit::Any => Value::Null,
        };
    }
    if !form.delivery_id.is_empty() {
        config["id"] = places(&form.delivery_id);
    }
    if !form.absent.is_empty() {
        config["absent"] = json!(form.absent);
    }
    if !form.varying.is_empty() {
        config["varying"] = json!(form.varying);
    }
    config
}

fn parse(config: &Value) -> VerifyConfig {
    VerifyConfig::parse(config, "").unwrap_or_else(|problems| panic!("{config}: {problems:?}"))
}

#[test]
fn a_config_says_what_the_presets_say() {
    for name in PRESETS.iter().filter(|name| !UNSAYABLE.contains(name)) {
        match preset(name).unwrap() {
            Scheme::Signature(forms) => {
                for form in forms {
                    let config = config_of(&form);
                    // Configs take hexadecimal in either case.
                    let encoding = match form.encoding {
                        SignatureEncoding::Hex(_) => SignatureEncoding::Hex(HexCase::Any),
                        other => other,
                    };
                    let expected = Scheme::Signature(vec![SignatureScheme { encoding, ..form }]);
                    assert_eq!(parse(&config).scheme(), &expected, "{name}");
                }
            }
            Scheme::Token(form) => {
                let TokenScheme { header, delivery_id, .. } = &form;
                let id = places(delivery_id);
                let config = json!({"scheme": "api_key", "secret": "s", "header": header.as_str(), "id": id});
                assert_eq!(parse(&config).scheme(), &Scheme::Token(form), "{name}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_config_like_a_preset_accepts_its_vectors_and_refuses_what_is_changed() {
    let mut changed = 0;
    for vector in VECTORS.iter().filter(|vector| !UNSAYABLE.contains(&vector.scheme)) {
        let sent = Sent::of(vector);
        let configs: Vec<VerifyConfig> =
            forms(vector.scheme).iter().map(|form| parse(&config_of(form))).collect();
        // A token has no form, and each secret of the standard fits one of two.
        let Some(config) = configs.iter().find(|config| sent.verify_by(config).is_ok()) else {
            assert!(configs.is_empty(), "{}", vector.scheme);
            continue;
        };
        assert_eq!(sent.verify_by(config), sent.verify(vector.scheme), "{}", vector.scheme);
        for (what, sent) in mutations(vector) {
            assert!(sent.verify_by(config).is_err(), "{} accepts a changed {what}", vector.scheme);
            changed += 1;
        }
    }
    println!("{changed} changes, none accepted");
}
