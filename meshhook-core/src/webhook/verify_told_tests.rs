//! What the owner of a hook is told of a refusal.

use super::*;

/// What the hook's owner is told.
#[track_caller]
fn tells(case: &Case, refusal: Refusal, detail: &str) {
    let refused = case.told().unwrap_err();
    assert_eq!((refused.refusal, refused.detail.as_str()), (refusal, detail));
}

#[test]
fn an_owner_is_told_which_part_of_a_signature_is_wrong() {
    let prefixed = || Case::hmac(json!({"prefix": "sha256="}));
    let good = signed("key", r#"{"a":1}"#);
    tells(&prefixed(), Refusal::HeaderMissing, "the header `x-sig`, the signature, is missing");
    let case = prefixed().header("x-sig", &good);
    tells(&case, Refusal::BadEncoding, "the signature in the header `x-sig` does not begin with `sha256=`");
    let case = prefixed().header("x-sig", "sha256=zz");
    tells(&case, Refusal::BadEncoding, "the signature in the header `x-sig` is not hex after `sha256=`");
    let case = prefixed().header("x-sig", "sha256=b5557a4b8f3cc308d19eb4f69f336392a31eef7b");
    let detail =
        "the signature in the header `x-sig` has 20 bytes after `sha256=`, which HMAC-SHA-256 makes none of";
    tells(&case, Refusal::BadEncoding, detail);
    let case = prefixed().header("x-sig", &good).header("x-sig", &good);
    tells(&case, Refusal::Ambiguous, "the header `x-sig` is there more than once");
    let list = || Case::hmac(json!({"label": "v1", "signed": "{timestamp}.{body}"}));
    let detail = "the list in the header `x-sig` (entries between `,`) has no `v1=…`";
    tells(&list().header("x-sig", "t=1,v0=aa"), Refusal::BadEncoding, detail);
    let case = list().header("x-sig", &format!("v1={good}"));
    tells(&case, Refusal::BadTimestamp, "`t` in the signature's list, the time of signing, is missing");
    let case = list().header("x-sig", &format!("t=1,t=2,v1={good}"));
    tells(&case, Refusal::Ambiguous, "`t` in the signature's list is there more than once");
    let many = vec![format!("v1={good}"); 17].join(",");
    let case = list().header("x-sig", &many);
    tells(&case, Refusal::TooManySignatures, "there are 17 signatures; at most 16 are tried");
    let elsewhere =
        Case::hmac(json!({"header": null, "signature": ["query:sig", "body:/sig"], "signed": "{body:/a}"}));
    tells(
        &elsewhere,
        Refusal::HeaderMissing,
        "`sig` in the query or `/sig` in the body, the signature, is missing",
    );
}

#[test]
fn an_owner_is_told_what_was_signed_with_which_secrets_and_never_the_signature() {
    let wrong = signed("other", "text");
    let config = json!({"signed": "v0:{timestamp}:{body}", "timestamp_header": "x-time"});
    let case = Case::hmac(config).header("x-sig", &wrong).header("x-time", &NOW.to_string());
    let case = case.secrets(&[Some("key-zero"), None, Some("key-two"), Some("")]);
    let detail = "no signature is HMAC-SHA-256 of `v0:{timestamp}:{body}` (21 bytes) with any of the secrets `s0`, `s2`; \
                  without a value in the vault: `s1`, `s3`";
    tells(&case, Refusal::Mismatch, detail);
    let right = signed("key-zero", &format!("v0:{NOW}:{}", String::from_utf8_lossy(BODY)));
    for hidden in [wrong, right, "key-zero".to_owned(), "key-two".to_owned()] {
        assert!(!detail.contains(&hidden));
    }
    let mut case = Case::hmac(json!({"signed": "{url}"})).header("x-sig", &signed("key", "text"));
    case.url = "https://hooks.example/a?token=of-somebody";
    let detail = "no signature is HMAC-SHA-256 of `{url}` (41 bytes) with the secret `s`; the URL was taken to be \
                  https://hooks.example/a?…";
    tells(&case, Refusal::Mismatch, detail);
    let case = Case::hmac(json!({})).secrets(&[None]);
    tells(&case, Refusal::NeedsSecret, "the secret `s0` has no value in the vault");
    let case = case.secrets(&[None, Some("")]);
    tells(&case, Refusal::NeedsSecret, "none of these secrets has a value in the vault: `s0`, `s1`");
    let case = Case::hmac(json!({"key_encoding": "hex"})).header("x-sig", &signed("key", "text"));
    let detail = "the secret is no key of HMAC-SHA-256 in the form of the scheme, hexadecimal: `s`";
    tells(&case, Refusal::BadKey, detail);
}

#[test]
fn an_owner_is_told_by_how_much_a_time_is_off() {
    let sent = |at: &str| {
        let case = Case::hmac(json!({"signed": "{timestamp}{body}", "timestamp_header": "x-time"}));
        let text = format!("{at}{}", String::from_utf8_lossy(BODY));
        case.header("x-time", at).header("x-sig", &signed("key", &text))
    };
    let detail = "signed 7m12s before it came, as the header `x-time` says; the tolerance is 5m";
    tells(&sent(&(NOW - 432).to_string()), Refusal::Stale, detail);
    let detail = "signed 5m1s after it came, as the header `x-time` says; the tolerance is 5m";
    tells(&sent(&(NOW + 301).to_string()), Refusal::Stale, detail);
    let detail =
        "the header `x-time`, the time of signing, is not seconds or milliseconds since 1970, or RFC 3339";
    tells(&sent("soon"), Refusal::BadTimestamp, detail);
}

#[test]
fn an_owner_is_told_what_is_wrong_about_tokens_passwords_and_ids() {
    let token = |config: Value| Case::new(config).header("authorization", "Bearer of somebody");
    let api_key = |prefix: &str| {
        token(
            json!({"scheme": "api_key", "header": "Authorization", "secret": "s", "prefix": prefix, "id_header": "x-id"}),
        )
    };
    let detail = "the token in the header `authorization` is not the secret `s`";
    tells(&api_key("Bearer "), Refusal::Mismatch, detail);
    tells(
        &api_key("Token "),
        Refusal::BadEncoding,
        "the header `authorization` does not begin with `Token `",
    );
    let mut case = api_key("Bearer ").header("x-id", "two words");
    case.secrets = vec![Some("of somebody")];
    let detail = "the header `x-id`, the delivery's id, must be 1 to 256 visible ASCII characters";
    tells(&case, Refusal::BadId, detail);
    let basic = json!({"scheme": "basic", "username": "me", "password": "s"});
    let detail =
        "the header `authorization` is not `Basic ` and the base64 of a user name, `:` and a password";
    tells(&token(basic.clone()), Refusal::BadEncoding, detail);
    let with = |credentials: &str| {
        let value = format!("Basic {}", STANDARD.encode(credentials));
        Case::new(basic.clone()).header("authorization", &value)
    };
    let detail = "the password in the header `authorization` is not the secret `s`";
    tells(&with("me:other"), Refusal::Mismatch, detail);
    let detail =
        "the password in the header `authorization`, beside another user name, is not the secret `s`";
    tells(&with("you:other"), Refusal::Mismatch, detail);
    tells(&with("you:key"), Refusal::Mismatch, "the user name is not `me`");
}

/// A hook by Standard Webhooks, and a request with these signatures.
fn standard(secrets: &[Option<&'static str>], signatures: &str) -> Case {
    Case::new(json!({"scheme": "standard", "secret": "s"}))
        .secrets(secrets)
        .header("webhook-id", "a")
        .header("webhook-timestamp", &NOW.to_string())
        .header("webhook-signature", signatures)
}

#[test]
fn of_several_forms_an_owner_is_told_about_the_one_that_the_request_came_as() {
    const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    let v1 = format!("v1,{}", STANDARD.encode([7; 32]));
    let v1a = format!("v1a,{}", STANDARD.encode([7; 64]));
    let both = format!("{v1} {v1a}");
    let either = format!("{v1a} {v1}");
    let refused = |secret: &'static str, signatures: &str, refusal| {
        standard(&[Some(secret)], signatures).refused(refusal);
        standard(&[Some(secret), None], signatures).refused(refusal);
    };
    for (secret, own) in [(SHARED, &v1), (PUBLIC, &v1a)] {
        for signatures in [own, &both, &either] {
            refused(secret, signatures, Refusal::Mismatch);
            let twice = standard(&[Some(secret)], signatures).header("webhook-timestamp", "1");
            twice.refused(Refusal::Ambiguous);
            let detail = "the header `webhook-timestamp` is there more than once";
            tells(&twice, Refusal::Ambiguous, detail);
            let mut unnamed = standard(&[Some(secret)], signatures);
            unnamed.headers.remove("webhook-id");
            unnamed.refused(Refusal::BadId);
            let mut timeless = standard(&[Some(secret)], signatures);
            timeless.headers.remove("webhook-timestamp");
            timeless.refused(Refusal::BadTimestamp);
        }
        let many = vec![own.as_str(); 80].join(" ");
        let detail = "there are 80 signatures; at most 16 are tried";
        tells(&standard(&[Some(secret)], &many), Refusal::TooManySignatures, detail);
        let both_keys = standard(&[Some(SHARED), Some(PUBLIC)], &many);
        tells(&both_keys, Refusal::TooManySignatures, detail);
        // Of what is in no form, the owner is told which one the key is for.
        let label = own.split_once(',').unwrap().0;
        let detail =
            format!("the list in the header `webhook-signature` (entries between ` `) has no `{label},…`");
        tells(&standard(&[Some(secret)], "v2,AAAA"), Refusal::BadEncoding, &detail);
    }
    // What is wrong with the form that the key is for counts, not what is wrong with the other.
    refused(SHARED, &format!("v1,junk {v1a}"), Refusal::BadEncoding);
    refused(PUBLIC, &format!("{v1} v1a,junk"), Refusal::BadEncoding);
    // The request came as something that no secret is a key of.
    refused(SHARED, &v1a, Refusal::BadKey);
    refused(PUBLIC, &v1, Refusal::BadKey);
}
