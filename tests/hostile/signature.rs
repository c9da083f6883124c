//! Signatures, times and ids that are not what the provider writes.

use std::fmt::Write as _;

use serde_json::json;

use crate::sign::{base64, base64url, github, mac, now, slack, standard, standard_with, stripe};
use crate::target::Target;
use crate::wire::Request;

const BODY: &str = r#"{"a":"A","n":1}"#;

pub(crate) fn all(target: &mut Target) {
    empty_and_foreign(target);
    other_encodings(target);
    many_signatures(target);
    the_same_meaning_in_other_bytes(target);
    times(target);
    ids(target);
    lists(target);
    repetitions(target);
    strangers_learn_nothing(target);
    forwarded_headers(target);
    handshakes(target);
}

fn github_with(signature: impl AsRef<[u8]>) -> Request {
    Request::json("github", BODY).header("x-hub-signature-256", signature)
}

fn stripe_with(signature: impl AsRef<[u8]>) -> Request {
    Request::json("stripe", BODY).header("stripe-signature", signature)
}

fn empty_and_foreign(target: &mut Target) {
    let (id, time) = ("msg_1", now().to_string());
    for (what, request) in [
        ("no signature", Request::json("github", BODY)),
        ("an empty header", github_with("")),
        ("an empty MAC in hexadecimal", github_with("sha256=")),
        ("half a MAC", github_with(&github(BODY)[..39])),
        ("an empty MAC of a version", standard_with(id, &time, BODY, "v1,")),
        ("a version alone", standard_with(id, &time, BODY, "v1")),
        ("an empty MAC in a list", stripe_with(format!("t={time},v1="))),
        ("an empty MAC of Slack", Request::json("slack", BODY).header("x-slack-signature", "v0=")),
        ("an empty MAC in base64", Request::json("shopify", BODY).header("x-shopify-hmac-sha256", "")),
        ("two signatures", github_with(github(BODY)).header("x-hub-signature-256", github(BODY))),
        ("a signature that is no text", github_with(b"sha256=\xff\xfe")),
        (
            "GitHub's signature sent to Stripe's hook",
            Request::json("stripe", BODY).header("x-hub-signature-256", github(BODY)),
        ),
        ("GitHub's signature as Stripe's", stripe_with(github(BODY))),
        (
            "underscores in place of hyphens",
            Request::json("github", BODY).header("x_hub_signature_256", github(BODY)),
        ),
    ] {
        target.expect(what, request, 401);
    }
}

fn other_encodings(target: &mut Target) {
    let hexadecimal = github(BODY);
    let upper = format!("sha256={}", hexadecimal[7..].to_ascii_uppercase());
    target.expect("hexadecimal in upper case", github_with(upper), 401);
    target.expect("base64 for hexadecimal", github_with(format!("sha256={}", base64(mac(BODY)))), 401);
    // A body whose MAC has a character that the two alphabets write in different ways.
    let body = (0..).map(|n| format!("{{\"n\":{n}}}")).find(|body| base64(mac(body)).contains(['+', '/']));
    let body = body.unwrap();
    let shopify = |text: &str| Request::json("shopify", &body).header("x-shopify-hmac-sha256", text);
    let right = base64(mac(&body));
    let padded = format!("{}=", base64url(mac(&body)));
    for (what, text) in [
        ("base64 without padding", right.trim_end_matches('=')),
        ("base64 with too much padding", &format!("{right}=")),
        ("base64url", &padded),
        ("hexadecimal for base64", &hex::encode(mac(&body))),
        ("base64 with a space within", &right.replacen(&right[..4], &format!("{} ", &right[..4]), 1)),
    ] {
        target.expect(what, shopify(text), 401);
    }
    target.expect("base64 as it should be", shopify(&right), 202);
}

fn many_signatures(target: &mut Target) {
    let (id, time) = ("msg_many", now().to_string());
    let right = format!("v1,{}", base64(mac(format!("{id}.{time}.{BODY}"))));
    let wrong = format!("v1,{}", base64([0; 32]));
    let list = |wrong_ones: usize| {
        let mut list = vec![wrong.as_str(); wrong_ones];
        list.push(&right);
        list.join(" ")
    };
    for (count, status) in [(15, 202), (16, 401), (1_000, 401), (10_000, 431)] {
        let request = standard_with(id, &time, BODY, &list(count));
        target.expect(&format!("{count} wrong signatures and a right one"), request, status);
    }
    let mut lines = Request::json("standard", BODY).header("webhook-id", id);
    for _ in 0..50 {
        lines = lines.header("webhook-signature", &right);
    }
    target.expect("fifty lines of signatures", lines.header("webhook-timestamp", &time), 401);
}

fn the_same_meaning_in_other_bytes(target: &mut Target) {
    let signature = github(BODY);
    for body in
        [r#"{"a": "A", "n": 1}"#, r#"{"n":1,"a":"A"}"#, r#"{"a":"\u0041","n":1}"#, "{\"a\":\"A\",\"n\":1}\n"]
    {
        let request = Request::json("github", body).header("x-hub-signature-256", &signature);
        target.expect(&format!("{body:?} with the signature of {BODY:?}"), request, 401);
    }
}

/// Signed rightly, each of them: what is refused is the time.
fn times(target: &mut Target) {
    let now = now();
    let arabic: String = now.to_string().chars().map(|c| char::from_u32(c as u32 + 0x630).unwrap()).collect();
    for time in [
        String::new(),
        "-1".to_owned(),
        "1e9".to_owned(),
        format!("+{now}"),
        format!("0x{now:x}"),
        format!("{now}.0"),
        format!("{now}000"),
        (now - 310).to_string(),
        (now + 310).to_string(),
        "9223372036854775808".to_owned(),
        "9".repeat(4_000),
        arabic,
        "2026-01-01T00:00:00Z".to_owned(),
        "now".to_owned(),
    ] {
        let what = format!("the time {time:.40?}");
        target.expect(&what, stripe_with(format!("t={time},v1={}", stripe(&time, BODY))), 401);
        target.expect(&what, standard("msg_time", &time, BODY), 401);
    }
    target.expect("no time", stripe_with(format!("v1={}", stripe("", BODY))), 401);
    let spaced = format!("t= {now},v1={}", stripe(&format!(" {now}"), BODY));
    target.expect("a space before the time", stripe_with(spaced), 401);
    let signed = base64(mac(format!("msg_time.{now}.{BODY}")));
    let without = Request::json("standard", BODY)
        .header("webhook-id", "msg_time")
        .header("webhook-signature", format!("v1,{signed}"));
    target.expect("no header with a time", without, 401);
}

fn ids(target: &mut Target) {
    let time = now().to_string();
    let stranger = "x".repeat(129);
    // Cut elsewhere, the same bytes are another id, time and body.
    for id in [&format!("a.{time}.x"), "a.b", "", "a b", "a\u{e9}", "../a", stranger.as_str()] {
        target.expect(&format!("the id {id:.40?}"), standard(id, &time, BODY), 401);
    }
    target.expect("the longest id", standard(&stranger[1..], &time, BODY), 202);
    let long = Request::json("github", "[1]")
        .header("x-hub-signature-256", github("[1]"))
        .header("x-github-delivery", "x".repeat(5_000));
    target.expect("an id of 5,000 bytes that is not signed", long, 401);
}

fn lists(target: &mut Target) {
    let now = now().to_string();
    let right = stripe(&now, BODY);
    for (what, text, status) in [
        ("two times", format!("t=1,t={now},v1={right}"), 401),
        ("the same time twice", format!("t={now},t={now},v1={right}"), 401),
        ("the retired version alone", format!("t={now},v0={right}"), 401),
        ("a space behind the comma", format!("t={now}, v1={right}"), 401),
        ("spaces round the sign", format!("t = {now},v1 = {right}"), 401),
        ("labels in upper case", format!("T={now},V1={right}"), 401),
        ("semicolons", format!("t={now};v1={right}"), 401),
        ("commas alone", ",".repeat(5_000), 401),
        ("a version that nobody knows beside the right one", format!("t={now},v9=zz,v0=,v1={right}"), 202),
    ] {
        target.expect(what, stripe_with(text), status);
    }
}

fn repetitions(target: &mut Target) {
    let body = r#"{"again":true}"#;
    let request = |body: &str| {
        Request::json("github", body)
            .header("x-hub-signature-256", github(body))
            .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    };
    let first = target.expect("a delivery", request(body), 202).json();
    for _ in 0..3 {
        let again = target.expect("the same delivery again", request(body), 202).json();
        assert_eq!((&again["run_id"], &again["duplicate"]), (&first["run_id"], &json!(true)));
    }
    target.expect("the same id with another body", request("{}"), 409);
    let signed = standard("msg_again", &now().to_string(), BODY);
    let first = target.expect("a delivery with a signed id", signed.clone(), 202).json();
    let again = target.expect("the same again", signed, 202).json();
    assert_eq!((&again["run_id"], &again["duplicate"]), (&first["run_id"], &json!(true)));
}

fn strangers_learn_nothing(target: &mut Target) {
    let ways = [
        "/hooks/default/nobody",
        "/hooks/default/down",
        "/hooks/nobody/github",
        "/hooks/default/GitHub",
        "/hooks/default/github/",
        "/hooks/default/%67ithub",
        "/hooks/default/../default/github",
        "/hooks/default/github%00",
    ];
    let send = |way: &str| Request::new("POST", way).header("Content-Type", "application/json").body(BODY);
    let mut bodies: Vec<String> = ways.map(|way| target.expect(way, send(way), 404).body).into();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "a hook that is none, is down or is another's can be told apart: {bodies:?}");
    let wrong = [
        Request::json("github", BODY),
        github_with("sha256="),
        github_with(format!("sha256={}", "0".repeat(64))),
        github_with(github("{}")),
        github_with("x".repeat(20_000)),
        stripe_with(format!("t=1,v1={}", stripe("1", BODY))),
        standard_with("a.b", "x", BODY, "v1,"),
        Request::json("jwt", BODY),
    ];
    let mut bodies: Vec<String> =
        wrong.map(|request| target.expect("a wrong signature", request, 401).body).into();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "why a signature was refused can be told: {bodies:?}");
}

/// Nobody here is a proxy.
fn forwarded_headers(target: &mut Target) {
    let square = |host: &str| {
        let url = format!("{host}/hooks/default/square");
        Request::json("square", BODY)
            .header("x-square-hmacsha256-signature", base64(mac(format!("{url}{BODY}"))))
            .header("X-Forwarded-Host", "pub.example")
            .header("X-Forwarded-Proto", "https")
    };
    target.expect("a URL that the sender chose", square("https://pub.example"), 401);
    target.expect("the URL that was called", square("http://localhost"), 202);
    let mut hundred = String::from("127.0.0.1");
    for n in 0..100 {
        write!(hundred, ", 10.0.0.{n}").unwrap();
    }
    for peer in ["127.0.0.1", "::1", "fe80::1%eth0", "localhost", "127.0.0.1\u{ff0c}10.0.0.1", &hundred] {
        let api = Request::new("GET", "/api/projects/default/workflows")
            .header("X-Forwarded-For", peer)
            .header("X-Real-IP", peer)
            .header("Forwarded", format!("for=\"{peer}\""));
        target.expect(&format!("a request to the API that says it is from {peer:.40}"), api, 401);
        let hook = github_with("sha256=00").header("X-Forwarded-For", peer);
        target.expect(&format!("a delivery that says it is from {peer:.40}"), hook, 401);
    }
}

fn handshakes(target: &mut Target) {
    let ping = r#"{"zen":"Design for failure.","hook_id":1}"#;
    let unsigned = Request::json("github", ping).header("x-github-event", "ping");
    target.expect("GitHub's ping without a signature", unsigned.clone(), 401);
    let signed = unsigned.header("x-hub-signature-256", github(ping));
    let answer = target.expect("GitHub's ping", signed, 202);
    assert!(answer.says("content-type: application/json"), "{answer}");

    let challenge = "<script>alert(1)</script>";
    let body = json!({ "type": "url_verification", "challenge": challenge }).to_string();
    target.expect("a challenge without a signature", Request::json("slack", &body), 401);
    let answer = target.expect("a challenge that is a page", slack(&body), 200);
    assert_eq!(answer.body, challenge);
    for line in ["content-type: text/plain; charset=utf-8", "x-content-type-options: nosniff"] {
        assert!(answer.says(line), "{answer}");
    }
    let long = "x".repeat(2_000);
    for challenge in [json!("a\r\nSet-Cookie: a=b"), json!("\u{0}"), json!({}), json!(""), json!(long)] {
        let body = json!({ "type": "url_verification", "challenge": challenge }).to_string();
        target.expect(&format!("the challenge {body:.60}"), slack(&body), 401);
    }
}
