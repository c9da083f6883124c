use ed25519_dalek::Signer as _;
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::secret::SecretValue;
use crate::webhook::VerifyConfig;
use crate::webhook::signature::hmac_sha256;

const NOW: i64 = 1_767_225_600;
const KEY: &str = "a shared key of many bytes";

fn verify_at(
    config: &Value,
    authorization: &str,
    secret: Option<&str>,
    now: i64,
) -> Result<Verified, Refusal> {
    let config = VerifyConfig::parse(config, "").unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization.parse().unwrap());
    let request = RawRequest { method: "POST", url: "", query: "", headers: &headers, body: b"{}" };
    let secret = secret.map(SecretValue::from);
    let secrets: Vec<_> = config.secret_names().iter().map(|_| secret.as_ref()).collect();
    Ok(config.verify(&request, &secrets, Timestamp::from_micros(now * 1_000_000))?)
}

fn verify(config: &Value, token: &str) -> Result<(), Refusal> {
    verify_at(config, &format!("Bearer {token}"), Some(KEY), NOW).map(drop)
}

fn shared() -> Value {
    json!({"scheme": "jwt", "algorithms": ["HS256"], "key": "s"})
}

fn with(mut config: Value, member: &str, value: Value) -> Value {
    config[member] = value;
    config
}

fn parts(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_BARE.encode(header), URL_SAFE_BARE.encode(claims))
}

fn hs256(header: &str, claims: &str) -> String {
    let signed = parts(header, claims);
    let signature = hmac_sha256(KEY.as_bytes(), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_BARE.encode(signature))
}

fn claiming(claims: &Value) -> String {
    hs256(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

fn good() -> String {
    claiming(&json!({"exp": NOW + 60}))
}

fn signing_key() -> ed25519_dalek::SigningKey {
    let bytes: Vec<u8> = (0..32).collect();
    ed25519_dalek::SigningKey::from_bytes(bytes.as_slice().try_into().unwrap())
}

fn eddsa(header: &str) -> String {
    let signed = parts(header, &json!({"exp": NOW + 60}).to_string());
    format!("{signed}.{}", URL_SAFE_BARE.encode(signing_key().sign(signed.as_bytes()).to_bytes()))
}

fn okp(kid: &str) -> Value {
    let x = URL_SAFE_BARE.encode(signing_key().verifying_key().as_bytes());
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x})
}

/// RFC 7515, appendix A.3.
const RFC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn rfc_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    })
}

fn jwks(algorithms: &[&str], keys: &[Value]) -> Value {
    json!({"scheme": "jwt", "algorithms": algorithms, "key": {"jwks": {"keys": keys}}})
}

#[test]
fn a_token_is_accepted_by_its_key_and_the_match_is_named() {
    let verified = verify_at(&shared(), &format!("bearer {}", good()), Some(KEY), NOW).unwrap();
    assert_eq!((verified.key_index, verified.delivery_id), (Some(0), None));
    assert_eq!(
        verify_at(&shared(), &format!("Bearer {}", good()), Some("another key"), NOW),
        Err(Refusal::Mismatch)
    );
    assert_eq!(verify_at(&shared(), &format!("Bearer {}", good()), None, NOW), Err(Refusal::NeedsSecret));
}

#[test]
fn the_example_of_the_standard_is_accepted_until_it_expires() {
    let config = with(jwks(&["ES256"], &[rfc_key()]), "issuer", json!("joe"));
    let at = |now| verify_at(&config, &format!("Bearer {RFC_TOKEN}"), None, now).map(|v| v.key_index);
    assert_eq!(at(1_300_819_380), Ok(None));
    assert_eq!(at(1_300_819_380 + 59), Ok(None));
    assert_eq!(at(1_300_819_380 + 60), Err(Refusal::Stale));
    let other = with(config.clone(), "issuer", json!("jim"));
    let verdict = verify_at(&other, &format!("Bearer {RFC_TOKEN}"), None, 1_300_819_380);
    assert_eq!(verdict, Err(Refusal::BadClaims));
}

#[test]
fn every_changed_character_of_a_token_is_refused() {
    for (config, token, now) in [
        (shared(), good(), NOW),
        (jwks(&["ES256"], &[rfc_key()]), RFC_TOKEN.to_owned(), 1_300_819_380),
        (jwks(&["EdDSA"], &[okp("a")]), eddsa(r#"{"alg":"EdDSA","kid":"a"}"#), NOW),
        (jwks(&["RS256"], &[rsa_key()]), rsa_token("RS256"), 1_300_819_380),
        (jwks(&["PS256"], &[rsa_key()]), rsa_token("PS256"), 1_300_819_380),
    ] {
        let verdict = |token: &str| verify_at(&config, &format!("Bearer {token}"), Some(KEY), now).is_ok();
        assert!(verdict(&token));
        for at in 0..token.len() {
            let mut bent = token.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(!verdict(&bent), "{at}: {bent}");
            assert!(!verdict(&token[..at]), "{at}");
        }
    }
}

#[test]
fn the_tokens_own_algorithm_decides_nothing() {
    let claims = json!({"exp": NOW + 60}).to_string();
    for alg in
        [r#""none""#, r#""None""#, r#""nOnE""#, r#""HS512""#, r#""hs256""#, "null", "1", r#"["HS256"]"#]
    {
        let header = format!(r#"{{"alg":{alg}}}"#);
        assert_eq!(verify(&shared(), &hs256(&header, &claims)), Err(Refusal::BadAlgorithm), "{alg}");
        let unsigned = format!("{}.", parts(&header, &claims));
        assert_eq!(verify(&shared(), &unsigned), Err(Refusal::BadAlgorithm), "{alg}");
    }
    assert_eq!(verify(&shared(), &hs256("{}", &claims)), Err(Refusal::BadAlgorithm));
    // The public key as the secret of a MAC: the algorithm is not accepted, whoever made the signature.
    let spki = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n-----END PUBLIC KEY-----";
    let public = json!({"scheme": "jwt", "algorithms": ["EdDSA"], "key": "s"});
    let signed = parts(r#"{"alg":"HS256"}"#, &claims);
    let forged =
        format!("{signed}.{}", URL_SAFE_BARE.encode(hmac_sha256(spki.as_bytes(), signed.as_bytes())));
    let at =
        |token: &str| verify_at(&public, &format!("Bearer {token}"), Some(spki), NOW).map(|v| v.key_index);
    assert_eq!(at(&forged), Err(Refusal::BadAlgorithm));
    assert_eq!(at(&eddsa(r#"{"alg":"EdDSA"}"#)), Ok(Some(0)));
}

#[test]
fn times_are_whole_numbers_or_none() {
    for bad in [
        json!("9999999999"),
        json!(1.5),
        json!(-1),
        json!(null),
        json!(u64::MAX),
        json!(1e300),
        json!([NOW + 60]),
        json!(true),
    ] {
        assert_eq!(verify(&shared(), &claiming(&json!({"exp": bad}))), Err(Refusal::BadTimestamp), "{bad}");
        for name in ["nbf", "iat"] {
            let token = claiming(&json!({"exp": NOW + 60, name: bad}));
            assert_eq!(verify(&shared(), &token), Err(Refusal::BadTimestamp), "{name} {bad}");
        }
    }
    let huge = hs256(r#"{"alg":"HS256"}"#, r#"{"exp":18446744073709551616}"#);
    assert_eq!(verify(&shared(), &huge), Err(Refusal::BadTimestamp));
    assert_eq!(verify(&shared(), &claiming(&json!({}))), Err(Refusal::BadTimestamp));
    assert_eq!(verify(&shared(), &claiming(&json!({"exp": NOW - 60}))), Err(Refusal::Stale));
    assert_eq!(verify(&shared(), &claiming(&json!({"exp": NOW - 59}))), Ok(()));
    assert_eq!(
        verify(&shared(), &claiming(&json!({"exp": NOW + 600, "nbf": NOW + 61}))),
        Err(Refusal::Stale)
    );
    assert_eq!(verify(&shared(), &claiming(&json!({"exp": NOW + 600, "nbf": NOW + 60}))), Ok(()));
}

#[test]
fn a_token_is_for_whom_it_names() {
    let config = with(with(shared(), "issuer", json!("https://i.example")), "audience", json!("hooks"));
    let verdict = |claims: Value| {
        let mut all = json!({"exp": NOW + 60});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        verify(&config, &claiming(&all))
    };
    assert_eq!(verdict(json!({"iss": "https://i.example", "aud": "hooks"})), Ok(()));
    assert_eq!(verdict(json!({"iss": "https://i.example", "aud": ["a", "hooks"]})), Ok(()));
    for bad in [
        json!({}),
        json!({"iss": "https://i.example"}),
        json!({"aud": "hooks"}),
        json!({"iss": "https://i.example/", "aud": "hooks"}),
        json!({"iss": ["https://i.example"], "aud": "hooks"}),
        json!({"iss": "https://i.example", "aud": ["a"]}),
        json!({"iss": "https://i.example", "aud": ["hooks", 1]}),
        json!({"iss": "https://i.example", "aud": {"hooks": true}}),
        json!({"iss": "https://i.example", "aud": null}),
    ] {
        assert_eq!(verdict(bad.clone()), Err(Refusal::BadClaims), "{bad}");
    }
}

#[test]
fn what_is_no_plain_token_is_refused_unverified() {
    let claims = json!({"exp": NOW + 60}).to_string();
    let good = good();
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","cty":"JWT"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"["HS256"]"#,
        "",
    ] {
        assert_eq!(verify(&shared(), &hs256(header, &claims)), Err(Refusal::BadEncoding), "{header}");
    }
    let long = "A".repeat(1 << 20);
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        &format!("{good}."),
        &format!("{good}.AAAA"),
        &format!("{good} "),
        &format!("{good}="),
        &format!("a.b.c.d.{good}"),
        &long,
        &format!("{good}\n"),
    ] {
        let Ok(value) = http::HeaderValue::from_str(&format!("Bearer {token}")) else { continue };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value);
        let request = RawRequest { method: "POST", url: "", query: "", headers: &headers, body: b"" };
        let config = VerifyConfig::parse(&shared(), "").unwrap();
        let verdict = config.verify(&request, &[Some(&KEY.into())], Timestamp::from_micros(NOW * 1_000_000));
        assert_eq!(verdict.map_err(Refusal::from), Err(Refusal::BadEncoding), "{:.80}", token);
    }
    assert_eq!(verify_at(&shared(), &good, Some(KEY), NOW), Err(Refusal::BadEncoding));
    assert_eq!(verify_at(&shared(), &format!("Basic {good}"), Some(KEY), NOW), Err(Refusal::BadEncoding));
}

#[test]
fn keys_of_a_set_are_found_by_their_name() {
    let config = jwks(&["EdDSA", "ES256"], &[okp("a"), okp("b"), rfc_key()]);
    assert_eq!(verify(&config, &eddsa(r#"{"alg":"EdDSA","kid":"a"}"#)), Ok(()));
    assert_eq!(verify(&config, &eddsa(r#"{"alg":"EdDSA","kid":"c"}"#)), Err(Refusal::Mismatch));
    assert_eq!(verify(&config, &eddsa(r#"{"alg":"EdDSA","kid":7}"#)), Err(Refusal::BadEncoding));
    // Two keys of the algorithm and no name: there is no telling which.
    assert_eq!(verify(&config, &eddsa(r#"{"alg":"EdDSA"}"#)), Err(Refusal::Mismatch));
    assert_eq!(verify(&jwks(&["EdDSA"], &[okp("a")]), &eddsa(r#"{"alg":"EdDSA"}"#)), Ok(()));
    // A key that the token brings along is not looked at.
    let brought =
        eddsa(&json!({"alg": "EdDSA", "jwk": okp("z"), "jku": "https://evil.example/"}).to_string());
    assert_eq!(verify(&jwks(&["ES256", "EdDSA"], &[rfc_key()]), &brought), Err(Refusal::Mismatch));
}

#[test]
fn configs_that_could_not_be_safe_are_problems() {
    let problems = |config: Value| {
        let problems = VerifyConfig::parse(&config, "").unwrap_err();
        problems.into_iter().map(|p| (p.code.as_str(), p.path)).collect::<Vec<_>>()
    };
    let check = |config: Value, code: &'static str, path: &str| {
        assert_eq!(problems(config.clone()), [(code, path.to_owned())], "{config}");
    };
    check(with(shared(), "algorithms", json!([])), "invalid_value", "algorithms");
    check(with(shared(), "algorithms", json!("HS256")), "invalid_type", "algorithms");
    check(with(shared(), "algorithms", json!(["none"])), "invalid_value", "algorithms[0]");
    check(with(shared(), "algorithms", json!(["HS256", "ES512"])), "invalid_value", "algorithms[1]");
    check(with(shared(), "algorithms", json!(["HS256", "RS256"])), "invalid_trigger", "algorithms");
    check(with(shared(), "algorithms", json!(["RS256", "PS256"])), "invalid_trigger", "algorithms");
    check(with(shared(), "algorithms", json!(["HS256", "ES256"])), "invalid_trigger", "algorithms");
    check(with(shared(), "key", json!(5)), "invalid_type", "key");
    check(with(shared(), "key", json!({"jwks": "https://i.example/keys"})), "invalid_trigger", "key.jwks");
    check(with(shared(), "key", json!({"jwks": {"keys": [okp("a")]}})), "invalid_trigger", "key.jwks");
    let public = with(shared(), "algorithms", json!(["EdDSA"]));
    for set in [
        json!({}),
        json!({"keys": []}),
        json!({"keys": [rfc_key()]}),
        json!({"keys": [{"kty": "oct", "k": "AAAA"}]}),
        json!({"keys": [with(okp("a"), "d", json!("AAAA"))]}),
        json!({"keys": [with(okp("a"), "use", json!("enc"))]}),
        json!({"keys": [with(okp("a"), "alg", json!("ES256"))]}),
        json!({"keys": [with(okp("a"), "x", json!("AAAA"))]}),
    ] {
        check(with(public.clone(), "key", json!({"jwks": set})), "invalid_value", "key.jwks");
    }
    check(with(public, "key", json!({"jwk": 1})), "missing_field", "key.jwks");
    check(with(shared(), "audience", json!(1)), "invalid_type", "audience");
    check(with(shared(), "secret", json!("s")), "unknown_field", "secret");
}

#[path = "jwt_rsa_tests.rs"]
mod rsa;
use rsa::{rsa_key, rsa_token};

#[test]
fn an_owner_is_told_what_is_wrong_with_a_token() {
    let told = |config: &Value, token: &str| {
        let config = VerifyConfig::parse(config, "").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let request = RawRequest { method: "POST", url: "", query: "", headers: &headers, body: b"{}" };
        let secrets: Vec<_> = config.secret_names().iter().map(|_| SecretValue::from(KEY)).collect();
        let secrets: Vec<_> = secrets.iter().map(Some).collect();
        config.verify(&request, &secrets, Timestamp::from_micros(NOW * 1_000_000)).unwrap_err().detail
    };
    let of = |claims: Value| told(&shared(), &claiming(&claims));
    let header = r#"{"alg":"HS256"}"#;
    assert_eq!(told(&shared(), "a.b"), "the token has not three parts");
    assert_eq!(told(&shared(), "a.b.c"), "the token's header is no JSON object in base64url");
    let crit = hs256(r#"{"alg":"HS256","crit":[]}"#, "{}");
    assert_eq!(told(&shared(), &crit), "the token's header has one of `crit`, `b64`, `enc`, `zip` and `cty`");
    let es = jwks(&["ES256", "EdDSA"], &[okp("a"), okp("b")]);
    assert_eq!(told(&es, &hs256(header, "{}")), "the token's `alg` is none of ES256, EdDSA");
    assert_eq!(
        told(&es, &eddsa(r#"{"alg":"EdDSA"}"#)),
        "the token has no `kid`, and the set has 2 keys for EdDSA"
    );
    let named = eddsa(r#"{"alg":"EdDSA","kid":"c"}"#);
    assert_eq!(told(&es, &named), "no key of the set for EdDSA has the token's `kid`");
    let forged = format!("{}.{}", parts(header, "{}"), "A".repeat(43));
    assert_eq!(told(&shared(), &forged), "the token's signature is not one of HS256 with the secret `s`");
    assert_eq!(of(json!({})), "the token has no `exp`");
    assert_eq!(of(json!({"exp": "1"})), "the token's `exp` is no whole number of seconds");
    assert_eq!(of(json!({"exp": NOW - 90})), "the token expired 1m30s before it came; the leeway is 1m");
    let early = json!({"exp": NOW + 900, "nbf": NOW + 61});
    assert_eq!(of(early), "the token came 1m1s before its `nbf`; the leeway is 1m");
    let meant = with(shared(), "audience", json!("me"));
    let token = claiming(&json!({"exp": NOW + 900, "aud": "you"}));
    assert_eq!(told(&meant, &token), "the token's `aud` is not `me`");
    assert_eq!(of(json!({"exp": NOW + 900, "iss": 1})), "the token's `iss` is no text");
}
