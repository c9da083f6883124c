//! Tokens that say more, less or something else than they may.

use serde_json::{Value, json};

use crate::sign::{base64url, mac, now, token};
use crate::target::Target;
use crate::wire::Request;

pub(crate) fn all(target: &mut Target) {
    let good = token(&header(), &claims(&[]));
    target.expect("a token as it should be", bearing(&good), 202);
    algorithms(target);
    times(target);
    forms(target, &good);
    elsewhere(target, &good);
}

fn bearing(token: &str) -> Request {
    Request::json("jwt", "{}").header("Authorization", format!("Bearer {token}"))
}

fn header() -> Value {
    json!({ "alg": "HS256", "typ": "JWT" })
}

/// Good claims, but for these. Each value is JSON text, or nothing at all.
fn claims(others: &[(&str, &str)]) -> String {
    let hour = (now() + 3_600).to_string();
    let usual = [("exp", hour.as_str()), ("iss", "\"us\""), ("aud", "\"you\"")];
    let kept = usual.iter().filter(|(name, _)| !others.iter().any(|(other, _)| other == name));
    let members = kept.chain(others).filter(|(_, value)| !value.is_empty());
    let members: Vec<String> = members.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn algorithms(target: &mut Target) {
    let claims = claims(&[]);
    for algorithm in [
        json!("none"),
        json!("None"),
        json!("nOnE"),
        json!("hs256"),
        json!("HS512"),
        json!("RS256"),
        json!(""),
        json!(256),
        json!(["HS256"]),
        Value::Null,
    ] {
        let header = if algorithm.is_null() { json!({}) } else { json!({ "alg": algorithm }) };
        let signed = token(&header, &claims);
        let bare = signed.rsplit_once('.').unwrap().0;
        for token in [signed.as_str(), &format!("{bare}."), bare] {
            target.expect(&format!("a token of the algorithm {algorithm}"), bearing(token), 401);
        }
    }
}

fn times(target: &mut Target) {
    let now = now();
    let (past, future) = ((now - 3_600).to_string(), (now + 3_600).to_string());
    let text = format!("\"{future}\"");
    let fraction = format!("{future}.5");
    for (name, value) in [
        ("exp", ""),
        ("exp", past.as_str()),
        ("exp", &text),
        ("exp", &fraction),
        ("exp", "-1"),
        ("exp", "null"),
        ("exp", "true"),
        ("exp", "[4102444800]"),
        ("exp", "18446744073709551616"),
        ("exp", "18446744073709551615"),
        ("exp", "1e400"),
        ("exp", "4102444800,\"exp\":4102444801"),
        ("nbf", "\"9999999999\""),
        ("nbf", "\"0\""),
        ("nbf", &fraction),
        ("nbf", &future),
        ("nbf", "-1"),
        ("nbf", "null"),
        ("nbf", "18446744073709551616"),
        ("iat", "\"0\""),
        ("iat", "null"),
        ("iss", ""),
        ("iss", "\"them\""),
        ("iss", "[\"us\"]"),
        ("aud", ""),
        ("aud", "\"me\""),
        ("aud", "[\"you\",1]"),
    ] {
        let what = format!("a token with {name} {value:?}");
        target.expect(&what, bearing(&token(&header(), &claims(&[(name, value)]))), 401);
    }
}

fn forms(target: &mut Target, good: &str) {
    let claims = claims(&[]);
    let extended = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        token(&header, &claims)
    };
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let encrypted = ["e30"; 5].join(".");
    let four = format!("{signed}.e30");
    let nested = token(&json!({ "alg": "HS256", "cty": "JWT" }), good);
    let deep = token(&header(), &format!("{{\"exp\":{}{}}}", "[".repeat(9_000 / 4), "]".repeat(9_000 / 4)));
    for (what, token) in [
        ("a demand that nobody knows", extended("crit", json!(["exp"]))),
        ("an unencoded payload", extended("b64", json!(false))),
        ("a packed payload", extended("zip", json!("DEF"))),
        ("a token in a token", nested),
        ("an encrypted token", encrypted),
        ("four parts", format!("{four}.{}", base64url(mac(&four)))),
        ("two parts", signed.to_owned()),
        ("dots", "...".to_owned()),
        ("bytes behind the signature", format!("{good}AA")),
        ("padding behind the signature", format!("{good}=")),
        ("another alphabet", good.replace('.', "+")),
        ("a cut signature", format!("{signed}.{}", &signature[..20])),
        ("a payload that is no object", token(&header(), "[]")),
        ("a payload that is no JSON", token(&header(), "\u{1}")),
        ("a payload that nests deeply", deep),
        ("9 kB of a token", format!("{good}{}", "A".repeat(9_000))),
        ("60 kB of a token", format!("{signed}.{}", "A".repeat(60_000))),
        ("an empty token", String::new()),
    ] {
        target.expect(what, bearing(&token), 401);
    }
    target.expect("1 MB of a token", bearing(&format!("{signed}.{}", "A".repeat(1_000_000))), 431);
    target.expect("two tokens", bearing(good).header("Authorization", format!("Bearer {good}")), 401);
}

/// A token stands in one header. Anywhere else it is data, which neither helps nor harms.
fn elsewhere(target: &mut Target, good: &str) {
    let bad = token(&header(), &claims(&[("exp", "1")]));
    for (what, query, bearer, status) in [
        ("a token in the query", good, None, 401),
        ("a good token in the query, a bad one in the header", good, Some(bad.as_str()), 401),
        ("a bad token in the query, a good one in the header", &bad, Some(good), 202),
    ] {
        let hook = format!("jwt?access_token={query}");
        let mut request = Request::json(&hook, "{}");
        if let Some(bearer) = bearer {
            request = request.header("Authorization", format!("Bearer {bearer}"));
        }
        target.expect(what, request, status);
    }
    let form = Request::hook("jwt")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("access_token={good}"));
    target.expect("a token in a form", form, 401);
}
