//! What refusals cost that need no signature, in passes over what is signed.

use super::*;
use crate::webhook::PRESETS;
use crate::webhook::decoy::Nobody;
use crate::webhook::scheme::{Algorithm, KeyPreparation};

/// The verdict, and with which algorithm how many passes are made up for.
fn judged(case: &Case) -> (Result<(), Refusal>, Option<(Algorithm, usize)>) {
    case.with(|config, request, secrets| {
        let (verdict, spared) = config.judge(request, secrets, now());
        let verdict = verdict.map(drop).map_err(Refusal::from);
        (verdict, spared.map(|spared| (spared.form.algorithm, spared.passes)))
    })
}

#[track_caller]
fn spares(case: &Case, refusal: Refusal, passes: usize) {
    assert_eq!(judged(case), (Err(refusal), Some((Algorithm::HmacSha256, passes))));
}

#[test]
fn every_refusal_has_one_pass_for_each_secret_whether_or_not_it_needed_it() {
    let good = signed("key", &format!("i.{NOW}.{}", String::from_utf8_lossy(BODY)));
    let hook = || {
        Case::hmac(json!({
            "label": "v1", "signed": "{id}.{timestamp}.{body}", "timestamp_header": "x-t", "id_header": "x-id",
        }))
    };
    let sent = |signatures: &str| {
        hook().header("x-id", "i").header("x-t", &NOW.to_string()).header("x-sig", signatures)
    };
    let wrong = format!("v1={}", "0".repeat(64));
    let without = |name: &str| {
        let mut case = sent(&wrong);
        case.headers.remove(name);
        case
    };
    let secrets: [(&[Option<&str>], usize); 4] = [
        (&[Some("key")], 0),
        (&[Some("key"), Some("other")], 0),
        (&[None, Some("key"), Some("")], 2),
        (&[Some("a"), None, Some("key"), None], 2),
    ];
    for (secrets, missing) in secrets {
        let all = secrets.len();
        let spares = |case: Case, refusal, passes| spares(&case.secrets(secrets), refusal, passes);
        spares(without("x-sig"), Refusal::HeaderMissing, all);
        spares(sent("v2=00"), Refusal::BadEncoding, all);
        spares(sent("v1=zz"), Refusal::BadEncoding, all);
        spares(sent(&vec![wrong.as_str(); 17].join(",")), Refusal::TooManySignatures, all);
        spares(sent(&wrong).header("x-sig", &wrong), Refusal::Ambiguous, all);
        spares(sent(&wrong).header("x-t", "1"), Refusal::Ambiguous, all);
        spares(without("x-t"), Refusal::BadTimestamp, all);
        spares(without("x-id"), Refusal::BadId, all);
        // The secrets that are there have had their passes.
        spares(sent(&wrong), Refusal::Mismatch, missing);
        assert_eq!(judged(&sent(&format!("v1={good}")).secrets(secrets)), (Ok(()), None));
    }
    for secrets in [&[None][..], &[Some("")], &[None, Some(""), None]] {
        for case in [hook(), sent(&wrong), sent(&format!("v1={good}"))] {
            spares(&case.secrets(secrets), Refusal::NeedsSecret, secrets.len());
        }
    }
    let no_key = Case::hmac(json!({"key_encoding": "hex"})).header("x-sig", &"0".repeat(64));
    spares(&no_key.secrets(&[Some("no"), Some("hex")]), Refusal::BadKey, 2);
    // Who signs with a key learns nothing of it.
    let old = signed("key", &format!("1{}", String::from_utf8_lossy(BODY)));
    let stale = Case::hmac(json!({"signed": "{timestamp}{body}", "timestamp_header": "x-t"}));
    let stale = stale.header("x-t", "1").header("x-sig", &old);
    spares(&stale.secrets(&[Some("key"), Some("other")]), Refusal::Stale, 0);
}

#[test]
fn passes_are_in_the_form_that_the_request_came_as() {
    let mut case = Case::new(json!({"scheme": "standard", "secret": "s"}));
    case.secrets = vec![None];
    let with = |text: &str| {
        let header = HeaderValue::from_str(text).unwrap();
        let mut case =
            Case { config: case.config.clone(), headers: HeaderMap::new(), ..Case::new(Value::Null) };
        case.secrets = vec![None];
        case.headers.insert("webhook-signature", header);
        judged(&case).1
    };
    assert_eq!(judged(&case), (Err(Refusal::NeedsSecret), Some((Algorithm::HmacSha256, 1))));
    assert_eq!(with("v1,AAAA"), Some((Algorithm::HmacSha256, 1)));
    assert_eq!(with("v1a,AAAA"), Some((Algorithm::Ed25519, 1)));
}

#[test]
fn every_preset_that_signs_has_a_key_of_nobody() {
    for name in PRESETS {
        let mut case = Case::new(json!({"scheme": name, "secret": "s"}));
        case.secrets = vec![None];
        let (verdict, spared) = judged(&case);
        assert_eq!(verdict, Err(Refusal::NeedsSecret), "{name}");
        let is_token = matches!(crate::webhook::preset(name), Some(Scheme::Token(_)));
        assert_eq!(spared.is_none(), is_token, "{name}");
    }
    for algorithm in [
        Algorithm::HmacSha1,
        Algorithm::HmacSha256,
        Algorithm::HmacSha384,
        Algorithm::HmacSha512,
        Algorithm::KeyedSha256,
        Algorithm::Ed25519,
        Algorithm::EcdsaP256,
    ] {
        let Nobody { signature, .. } = Nobody::of(algorithm).unwrap_or_else(|| panic!("{algorithm:?}"));
        // One that would be put away unread would cost nothing.
        assert!(algorithm.takes_signature_len(signature.len()), "{algorithm:?}");
        match algorithm {
            Algorithm::EcdsaP256 => drop(p256::ecdsa::Signature::from_der(&signature).unwrap()),
            Algorithm::Ed25519 => {
                let point = signature[..32].try_into().unwrap();
                assert!(!ed25519_dalek::VerifyingKey::from_bytes(point).unwrap().is_weak());
            }
            _ => {}
        }
    }
}

/// Whether a pass of somebody, whose signature is right, is over all of the text.
#[track_caller]
fn covers(case: &Case, algorithm: Algorithm, key: Key, signature: Vec<u8>) {
    let somebody = Nobody { key, signature };
    let signed = |case: &Case| {
        case.with(|config, request, _| match config.scheme() {
            Scheme::Signature(forms) => somebody.signed(&forms[0], request, config.signed_url(request)),
            other => panic!("{other:?}"),
        })
    };
    assert!(signed(case), "{algorithm:?}");
    for at in 0..case.body.len() {
        let mut changed = case.body.clone();
        changed[at] ^= 1;
        let changed = Case { body: changed, headers: case.headers.clone(), ..Case::new(case.config.clone()) };
        assert!(!signed(&changed), "{algorithm:?} {at}");
    }
}

#[test]
fn a_pass_is_over_all_that_would_be_signed() {
    let shared = |algorithm| Key::from_bytes(algorithm, b"key").unwrap();
    let config = json!({
        "signed": "v0:{id}.{timestamp}.{method}{url}{decoded_url}{header:x-more}{query:no?}{body}",
        "timestamp_header": "x-t", "id_header": "x-id", "url": "https://a.example/?b=%3A",
    });
    let text = format!("v0:i.{NOW}.POSThttps://a.example/?b=%3Ahttps://a.example/?b=:more{}", r#"{"a":1}"#);
    let case =
        Case::hmac(config).header("x-t", &NOW.to_string()).header("x-id", "i").header("x-more", "more");
    let sha256 = Algorithm::HmacSha256;
    covers(&case, sha256, shared(sha256), mac(b"key", text.as_bytes()));
    let sha1 = hex::decode("b5557a4b8f3cc308d19eb4f69f336392a31eef7b").unwrap();
    let case = Case::hmac(json!({"algorithm": "sha1"}));
    covers(&case, Algorithm::HmacSha1, shared(Algorithm::HmacSha1), sha1);
    let ecdsa = json!({
        "scheme": "ecdsa", "secret": "s", "header": "x-sig", "encoding": "base64", "signed": "{timestamp}{body}",
        "timestamp_header": "x-t",
    });
    let case = Case::new(ecdsa).header("x-t", &NOW.to_string());
    let key = Key::prepare(KeyPreparation::Spki, Algorithm::EcdsaP256, EC_DER).unwrap();
    covers(&case, Algorithm::EcdsaP256, key, STANDARD.decode(EC_SIGNATURE).unwrap());
}
