use serde_json::json;

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "reads better with a literal")]
fn problems(config: Value) -> Vec<(String, &'static str)> {
    VerifyConfig::parse(&config, "").unwrap_err().into_iter().map(|p| (p.path, p.code.as_str())).collect()
}

fn at<'a>(found: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    found.iter().map(|(path, code)| (path.as_str(), *code)).collect()
}

fn hmac(extra: Value) -> Value {
    let mut config = json!({
        "scheme": "hmac", "secret": "s", "header": "X-Sig", "algorithm": "sha256", "encoding": "hex",
        "signed": "{body}",
    });
    let Value::Object(extra) = extra else { unreachable!() };
    config.as_object_mut().unwrap().extend(extra);
    config
}

#[test]
fn presets_need_a_secret_and_nothing_else() {
    let config = VerifyConfig::parse(&json!({"scheme": "github", "secret": "gh_webhook"}), "").unwrap();
    assert_eq!(config.secret_names(), [SecretName::new("gh_webhook").unwrap()]);
    assert_eq!(config.tolerance, Duration::from_secs(300));
    for name in super::super::PRESETS {
        assert!(
            VerifyConfig::parse(&json!({"scheme": name, "secret": ["new", "old"]}), "").is_ok(),
            "{name}"
        );
        assert_eq!(at(&problems(json!({"scheme": name}))), [("secret", "missing_field")]);
    }
}

#[test]
fn the_general_members_are_read() {
    let config =
        json!({"scheme": "stripe", "secret": ["a", "b"], "tolerance": "90s", "url": "https://x.example/h"});
    let config = VerifyConfig::parse(&config, "").unwrap();
    assert_eq!(config.tolerance, Duration::from_secs(90));
    assert_eq!(config.url(), Some("https://x.example/h"));
    assert_eq!(config.secret_names().len(), 2);
}

#[test]
fn null_equals_absent_where_a_member_is_optional() {
    let config = json!({"scheme": "stripe", "secret": "a", "tolerance": null, "url": null});
    assert_eq!(VerifyConfig::parse(&config, "").unwrap().tolerance, Duration::from_secs(300));
    assert!(
        VerifyConfig::parse(&hmac(json!({"prefix": null, "label": null, "key_encoding": null})), "").is_ok()
    );
    assert_eq!(at(&problems(json!({"scheme": "stripe", "secret": null}))), [("secret", "invalid_type")]);
}

#[test]
fn none_has_no_other_member() {
    assert_eq!(VerifyConfig::parse(&json!({"scheme": "none"}), ""), Ok(VerifyConfig::none()));
    assert_eq!(at(&problems(json!({"scheme": "none", "secret": "a"}))), [("secret", "unknown_field")]);
}

#[test]
fn what_is_no_config_at_all_is_named() {
    assert_eq!(at(&problems(json!("none"))), [("", "invalid_type")]);
    assert_eq!(at(&problems(json!({}))), [("scheme", "missing_field")]);
    assert_eq!(at(&problems(json!({"scheme": 1}))), [("scheme", "invalid_type")]);
    assert_eq!(at(&problems(json!({"scheme": "GitHub", "secret": 1}))), [("scheme", "invalid_value")]);
}

#[test]
fn secrets_are_names() {
    let check = |secret: Value, expected: &[(&str, &str)]| {
        assert_eq!(at(&problems(json!({"scheme": "github", "secret": secret}))), expected);
    };
    check(json!(5), &[("secret", "invalid_type")]);
    check(json!("not-a-name"), &[("secret", "invalid_value")]);
    check(json!([]), &[("secret", "invalid_value")]);
    check(json!(["a", "b", "c", "d", "e"]), &[("secret", "invalid_value")]);
    check(json!(["ok", 1, "no no"]), &[("secret[1]", "invalid_type"), ("secret[2]", "invalid_value")]);
}

#[test]
fn every_problem_is_reported_at_once() {
    let config = json!({
        "scheme": "hmac", "algorithm": "md5", "encoding": "hex", "signed": "{body}{nope}", "secret": ["x", 1],
        "tolerance": "soon", "url": "ftp://x", "zzz": 1, "key_encoding": "rot13", "id_header": "not a header",
    });
    let expected = [
        ("header", "missing_field"),
        ("algorithm", "invalid_value"),
        ("key_encoding", "invalid_value"),
        ("signed", "invalid_template"),
        ("id_header", "invalid_value"),
        ("secret[1]", "invalid_type"),
        ("tolerance", "invalid_duration"),
        ("url", "invalid_value"),
        ("zzz", "unknown_field"),
    ];
    assert_eq!(at(&problems(config)), expected);
}

#[test]
fn members_of_another_scheme_are_unknown() {
    let config = json!({"scheme": "github", "secret": "a", "header": "x", "algorithm": "sha1"});
    assert_eq!(at(&problems(config)), [("algorithm", "unknown_field"), ("header", "unknown_field")]);
}

#[test]
fn templates_name_parts_of_the_request() {
    for good in
        ["{body}", "v0:{timestamp}:{body}", "{method}{url}{decoded_url}{body}", "{id}.{timestamp}.{body}"]
    {
        let config = hmac(json!({"signed": good, "timestamp_header": "x-t", "id_header": "x-i"}));
        assert!(VerifyConfig::parse(&config, "").is_ok(), "{good}");
    }
    let check = |signed: &str, code: &'static str| {
        assert_eq!(at(&problems(hmac(json!({"signed": signed})))), [("signed", code)], "{signed}");
    };
    for broken in ["{bodY}", "{body", "body}", "{}", "{ body }", "{{body}}", "{body}{secret}"] {
        check(broken, "invalid_template");
    }
    check("", "invalid_value");
    check("constant", "invalid_value");
    check(&format!("{}{{body}}", "x".repeat(1024)), "invalid_value");
    check("{timestamp}.{body}", "invalid_trigger");
    check("{id}.{body}", "invalid_trigger");
}

#[test]
fn labels_and_prefixes_exclude_each_other() {
    let both = hmac(json!({"label": "v1", "prefix": "sha256="}));
    assert_eq!(at(&problems(both)), [("label", "invalid_trigger")]);
    let time = hmac(json!({"label": "t", "signed": "{timestamp}{body}"}));
    assert_eq!(at(&problems(time)), [("label", "invalid_trigger")]);
    for label in ["", "a b", "a=b", "a,b"] {
        assert_eq!(at(&problems(hmac(json!({"label": label})))), [("label", "invalid_value")], "{label}");
    }
}

#[test]
fn tolerance_is_a_duration_above_zero() {
    assert_eq!(at(&problems(hmac(json!({"tolerance": "0s"})))), [("tolerance", "invalid_value")]);
    assert_eq!(at(&problems(hmac(json!({"tolerance": 5})))), [("tolerance", "invalid_type")]);
    assert_eq!(at(&problems(hmac(json!({"tolerance": "5 min"})))), [("tolerance", "invalid_duration")]);
}

#[test]
fn tokens_and_passwords_are_credentials_in_their_header() {
    let headers = |config: Value| {
        let config = VerifyConfig::parse(&config, "").unwrap();
        config.credential_headers().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(headers(json!({"scheme": "gitlab", "secret": "s"})), ["x-gitlab-token"]);
    assert_eq!(headers(json!({"scheme": "api_key", "header": "X-Key", "secret": "s"})), ["x-key"]);
    assert_eq!(headers(json!({"scheme": "basic", "username": "u", "password": "s"})), ["authorization"]);
    assert!(headers(json!({"scheme": "github", "secret": "s"})).is_empty());
    let expected = [("username", "invalid_value"), ("password", "missing_field")];
    assert_eq!(at(&problems(json!({"scheme": "basic", "username": "a:b"}))), expected);
    assert_eq!(at(&problems(json!({"scheme": "api_key", "secret": "s"}))), [("header", "missing_field")]);
}

#[test]
fn problems_are_located_from_the_documents_root() {
    let config = json!({"scheme": "github", "secret": ["ok", 1], "x-y": 1});
    let problems = VerifyConfig::parse(&config, "triggers[0].config.verify").unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    let expected = ["triggers[0].config.verify.secret[1]", "triggers[0].config.verify[\"x-y\"]"];
    assert_eq!(paths, expected);
}

#[test]
fn each_secret_has_its_place() {
    let places = |config: Value| {
        let config = VerifyConfig::parse(&config, "v").unwrap();
        config.secret_places().map(|(place, name)| format!("{place}={name}")).collect::<Vec<_>>()
    };
    assert_eq!(places(json!({"scheme": "github", "secret": "a"})), ["v.secret=a"]);
    let basic = json!({"scheme": "basic", "username": "u", "password": ["a", "b"]});
    assert_eq!(places(basic), ["v.password[0]=a", "v.password[1]=b"]);
    assert!(places(json!({"scheme": "none"})).is_empty());
}

#[test]
fn public_key_schemes_have_no_algorithm_to_choose() {
    let config = |scheme: &str| json!({"scheme": scheme, "secret": "s", "header": "x", "encoding": "hex", "signed": "{body}"});
    for scheme in ["ed25519", "ecdsa"] {
        assert!(VerifyConfig::parse(&config(scheme), "").is_ok(), "{scheme}");
        let mut with = config(scheme);
        with["algorithm"] = json!("sha256");
        assert_eq!(at(&problems(with)), [("algorithm", "unknown_field")]);
        let mut with = config(scheme);
        with["key_encoding"] = json!("utf8");
        assert_eq!(at(&problems(with)), [("key_encoding", "invalid_value")]);
    }
}

#[test]
fn places_stand_beside_headers_and_never_with_them() {
    let check = |config: Value, expected: &[(&str, &str)]| assert_eq!(at(&problems(config)), expected);
    let good = json!({
        "header": null, "signature": ["query:sig", "header:x-sig"], "timestamp": "body:/at", "timestamp_unit": "seconds",
        "id": ["header:x-id", "body:/id"], "absent": ["/items/1"], "varying": ["/tries", "/at"], "signed": "{timestamp}{body}{query:n?}",
    });
    assert!(VerifyConfig::parse(&hmac(good), "").is_ok());
    check(hmac(json!({"signature": "query:sig"})), &[("signature", "invalid_trigger")]);
    check(
        hmac(json!({"timestamp": "query:t", "timestamp_header": "x-t"})),
        &[("timestamp", "invalid_trigger")],
    );
    check(hmac(json!({"id": "query:t", "id_header": "x-id"})), &[("id", "invalid_trigger")]);
    check(hmac(json!({"header": null, "signature": "sig"})), &[("signature", "invalid_value")]);
    check(hmac(json!({"header": null, "signature": []})), &[("signature", "invalid_value")]);
    check(
        hmac(json!({"header": null, "signature": ["header:a", 5, "nope:b"]})),
        &[("signature[1]", "invalid_type")],
    );
    check(
        hmac(json!({"header": null, "signature": ["header:a", "b"]})),
        &[("signature[1]", "invalid_value")],
    );
    check(hmac(json!({"id": vec!["query:a"; 5]})), &[("id", "invalid_value")]);
    check(hmac(json!({"timestamp": ["query:a"]})), &[("timestamp", "invalid_type")]);
    check(hmac(json!({"timestamp": "body:at"})), &[("timestamp", "invalid_value")]);
    check(hmac(json!({"absent": ["/a", "b"]})), &[("absent[1]", "invalid_value")]);
    check(hmac(json!({"varying": ["/a", "b"]})), &[("varying[1]", "invalid_value")]);
    check(hmac(json!({"varying": vec!["/a"; 17]})), &[("varying", "invalid_value")]);
    let token = json!({"scheme": "api_key", "secret": "s", "header": "x-key", "varying": "tries"});
    check(token, &[("varying", "invalid_value")]);
    let token = json!({"scheme": "jwt", "algorithms": ["HS256"], "key": "s", "varying": "/tries"});
    check(token, &[("varying", "unknown_field")]);
    check(hmac(json!({"signed": "{body}{query:}"})), &[("signed", "invalid_template")]);
}

#[test]
fn what_no_request_could_satisfy_is_a_problem() {
    let check = |config: Value, expected: &[(&str, &str)]| assert_eq!(at(&problems(config)), expected);
    check(hmac(json!({"header": null, "signature": "body:/sig"})), &[("signed", "invalid_trigger")]);
    check(hmac(json!({"id": ["query:a", "query:b"], "signed": "{id}"})), &[("signed", "invalid_trigger")]);
    check(hmac(json!({"timestamp": "label:ts"})), &[("timestamp", "invalid_trigger")]);
    check(hmac(json!({"signed": "{body}{label:n}"})), &[("signed", "invalid_trigger")]);
    check(
        hmac(json!({"header": null, "signature": "label:a", "label": "b"})),
        &[("signature", "invalid_trigger")],
    );
    check(hmac(json!({"label": "v1", "timestamp": "label:v1"})), &[("label", "invalid_trigger")]);
    check(hmac(json!({"label": "v1", "separator": ",", "assign": ","})), &[("assign", "invalid_trigger")]);
    check(hmac(json!({"label": "v1", "separator": "/"})), &[("separator", "invalid_value")]);
    check(hmac(json!({"label": "v1;", "separator": ";"})), &[("label", "invalid_value")]);
    check(
        hmac(json!({"separator": ";", "assign": ":"})),
        &[("separator", "invalid_trigger"), ("assign", "invalid_trigger")],
    );
    check(hmac(json!({"timestamp_unit": "seconds"})), &[("timestamp_unit", "invalid_trigger")]);
    check(
        hmac(json!({"timestamp": "query:t", "timestamp_unit": "s"})),
        &[("timestamp_unit", "invalid_value")],
    );
}

#[test]
fn a_key_in_a_header_may_come_with_an_id() {
    let key = |id: Value| json!({"scheme": "api_key", "header": "X-Key", "secret": "s", "id": id});
    assert!(VerifyConfig::parse(&key(json!(["header:x-id", "body:/id"])), "").is_ok());
    assert_eq!(at(&problems(key(json!("x-id")))), [("id", "invalid_value")]);
    assert_eq!(at(&problems(key(json!("label:id")))), [("id", "invalid_trigger")]);
}
