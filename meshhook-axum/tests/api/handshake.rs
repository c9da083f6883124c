use axum::body::Body;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::Request;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::kit::{Reply, Server, doubling};

const SECRET: &str = "a webhook secret";
const NOW: i64 = 1_767_323_045;

/// A server with one hook at `/hooks/default/in`, and the secret `s`.
async fn serving(config: Value) -> Server {
    let server = Server::open();
    let mut definition = doubling();
    let mut all = json!({ "path": "in", "verify": { "scheme": "none" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    definition["triggers"] = json!([{ "id": "hook", "type": "webhook", "config": all }]);
    server.publish_with_warnings("w", definition).await;
    server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
    server
}

async fn ask(server: &Server, method: &str, query: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = Request::builder().method(method).uri(format!("/hooks/default/in{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send_unchecked(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// A request as Slack and Zoom sign it.
async fn v0(server: &Server, name: &str, key: &str, body: &str) -> Reply {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("v0:{NOW}:{body}").as_bytes());
    let signature = format!("v0={}", hex::encode(mac.finalize().into_bytes()));
    let time = NOW.to_string();
    let (signed, timed) = (format!("x-{name}-signature"), format!("x-{name}-request-timestamp"));
    let headers =
        [(signed.as_str(), signature.as_str()), (&timed, &time), ("content-type", "application/json")];
    ask(server, "POST", "", &headers, body).await
}

#[track_caller]
fn echoed(reply: &Reply, media: &str, body: &str) {
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, media), "{reply:?}");
    assert_eq!(reply.body, body.as_bytes());
    harmless(reply);
}

#[track_caller]
fn harmless(reply: &Reply) {
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("content-security-policy"), "sandbox; default-src 'none'");
}

async fn runs(server: &Server) -> usize {
    server.get("/runs").await.json()["items"].as_array().unwrap().len()
}

const TEXT: &str = "text/plain; charset=utf-8";
const URL_VERIFICATION: &str =
    r#"{"type":"url_verification","challenge":"<script>alert(1)</script>","event_id":"e"}"#;

#[tokio::test(start_paused = true)]
async fn slack_is_answered_with_its_signature_and_only_then() {
    let server =
        serving(json!({ "verify": { "scheme": "slack", "secret": "s" }, "filter": "body.n > `0`" })).await;
    for _ in 0..2 {
        echoed(&v0(&server, "slack", SECRET, URL_VERIFICATION).await, TEXT, "<script>alert(1)</script>");
    }
    assert_eq!(v0(&server, "slack", "another", URL_VERIFICATION).await.problem().0, 401);
    assert_eq!(ask(&server, "POST", "", &[], URL_VERIFICATION).await.problem().0, 401);
    assert_eq!(runs(&server).await, 0);
    // Whoever vouches for one: it starts no run.
    for handshake in server.get("/deliveries").await.json()["items"].as_array().unwrap() {
        assert_eq!(handshake["kept"], "whole");
        let replay = format!("/deliveries/{}/replay", handshake["id"].as_str().unwrap());
        assert_eq!(server.post(&replay, Value::Null).await.problem().1, "invalid_state", "{handshake}");
    }
    assert_eq!(runs(&server).await, 0);
    // No key was left: the same id with another body is no conflict.
    let delivery = v0(&server, "slack", SECRET, r#"{"type":"event_callback","event_id":"e","n":1}"#).await;
    assert_eq!((delivery.status.as_u16(), runs(&server).await), (202, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_comes_before_the_method_and_a_delivery_after_it() {
    let server = serving(json!({ "verify": { "scheme": "slack", "secret": "s" }, "methods": ["PUT"] })).await;
    echoed(&v0(&server, "slack", SECRET, URL_VERIFICATION).await, TEXT, "<script>alert(1)</script>");
    for refused in [
        v0(&server, "slack", SECRET, r#"{"type":"event_callback"}"#).await,
        v0(&server, "slack", "another", URL_VERIFICATION).await,
        ask(&server, "POST", "", &[], &"x".repeat(1_048_577)).await,
        ask(&server, "GET", "", &[], "").await,
    ] {
        assert_eq!((refused.problem().0, refused.header("allow")), (405, "PUT"));
    }
    assert_eq!(ask(&server, "PUT", "", &[], "").await.problem().0, 401);
}

#[tokio::test(start_paused = true)]
async fn zoom_gets_a_mac_by_the_key_that_it_signed_with() {
    let server = serving(json!({ "verify": { "scheme": "zoom", "secret": ["absent", "s"] } })).await;
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
    let reply = v0(&server, "zm", SECRET, body).await;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(b"qgg8vlvZRS6UYooatFL8Aw");
    let token = hex::encode(mac.finalize().into_bytes());
    let expected = format!(r#"{{"encryptedToken":"{token}","plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#);
    echoed(&reply, "application/json", &expected);
    let oracle = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"v0:1:{}"}}"#;
    assert_eq!(v0(&server, "zm", SECRET, oracle).await.problem().0, 401);
    assert_eq!(runs(&server).await, 0);
}

#[tokio::test(start_paused = true)]
async fn meta_is_answered_by_its_token_and_x_by_a_mac() {
    let server = serving(json!({
        "verify": { "scheme": "meta", "secret": "s" }, "handshake": { "type": "meta", "secret": "s" }
    }))
    .await;
    let query = "?hub.mode=subscribe&hub.challenge=42&hub.verify_token=";
    echoed(&ask(&server, "GET", &format!("{query}a+webhook+secret"), &[], "").await, TEXT, "42");
    assert_eq!(ask(&server, "GET", &format!("{query}wrong"), &[], "").await.problem().0, 401);
    assert_eq!(ask(&server, "GET", "?hub.mode=denied", &[], "").await.problem().0, 405);
    assert_eq!(ask(&server, "POST", "", &[], "{}").await.problem().0, 401);

    let server = serving(json!({
        "verify": { "scheme": "x", "secret": "s" }, "handshake": { "type": "x", "secret": "s" }
    }))
    .await;
    let reply = ask(&server, "GET", "?crc_token=abc", &[], "").await;
    assert_eq!(reply.status, 200);
    assert!(reply.json()["response_token"].as_str().unwrap().starts_with("sha256="));
    harmless(&reply);
    assert_eq!(ask(&server, "GET", "?crc_token=%7B%7D", &[], "").await.problem().0, 401);
    assert_eq!(runs(&server).await, 0);
}

#[tokio::test(start_paused = true)]
async fn no_mac_that_x_is_answered_with_signs_a_delivery() {
    let server = serving(json!({
        "verify": { "scheme": "x", "secret": "s" }, "handshake": { "type": "x", "secret": "s" }
    }))
    .await;
    for token in ["deploy", "42", "true", "MGY2OTRkM2UtNjRhOA=="] {
        let query = format!("?crc_token={}", token.replace('=', "%3D"));
        let reply = ask(&server, "GET", &query, &[], "").await;
        let signature = reply.json()["response_token"].as_str().unwrap().to_owned();
        for media in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            let headers = [("x-twitter-webhooks-signature", &*signature), ("content-type", media)];
            assert_eq!(ask(&server, "POST", "", &headers, token).await.problem().0, 401, "{token} {media}");
        }
    }
    assert_eq!(ask(&server, "GET", "?crc_token=cmd%3Ddeploy", &[], "").await.problem().0, 401);
    assert_eq!(runs(&server).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_its_secret_is_refused() {
    let server = serving(json!({
        "verify": { "scheme": "none" }, "handshake": { "type": "meta", "secret": "absent" }
    }))
    .await;
    let query = "?hub.mode=subscribe&hub.challenge=42&hub.verify_token=";
    assert_eq!(ask(&server, "GET", query, &[], "").await.problem().0, 401);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_signs_is_echoed_and_starts_nothing() {
    let with = |kind: &str| serving(json!({ "verify": { "scheme": "none" }, "handshake": { "type": kind } }));
    let server = with("msgraph").await;
    let reply = ask(&server, "POST", "?validationToken=%3Cb%3E%20x", &[], "").await;
    echoed(&reply, TEXT, "<b> x");
    assert_eq!(runs(&server).await, 0);

    let server = with("dropbox").await;
    echoed(&ask(&server, "GET", "?challenge=abc", &[], "").await, TEXT, "abc");
    assert_eq!(ask(&server, "GET", "?challenge=%0d%0a", &[], "").await.problem().0, 401);

    let server = with("websub").await;
    let query = "?hub.topic=t&hub.challenge=abc&hub.mode=";
    echoed(&ask(&server, "GET", &format!("{query}subscribe"), &[], "").await, TEXT, "abc");
    assert_eq!(ask(&server, "GET", &format!("{query}unsubscribe"), &[], "").await.problem().0, 401);

    let server = with("asana").await;
    let reply = ask(&server, "POST", "", &[("x-hook-secret", "b537207f")], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("x-hook-secret")), (200, "b537207f"));
    assert!(reply.body.is_empty());

    let server = with("notion").await;
    let reply = ask(&server, "POST", "", &[], r#"{"verification_token":"secret_x"}"#).await;
    assert_eq!((reply.status.as_u16(), reply.body.len(), runs(&server).await), (200, 0, 0));
    // The key that it tells is a secret.
    let recorded = server.get("/deliveries").await.json()["items"][0].take();
    assert_eq!((&recorded["verdict"], &recorded["kept"]), (&json!("handshake"), &json!("none")));
    assert_eq!(recorded["body"], Value::Null);

    let server = with("cloudevents").await;
    let origin = [("webhook-request-origin", "eventemitter.example.com")];
    let reply = ask(&server, "OPTIONS", "", &origin, "").await;
    assert_eq!(reply.header("webhook-allowed-origin"), "eventemitter.example.com");
    assert_eq!(ask(&server, "OPTIONS", "", &[], "").await.problem().0, 405);
}

#[tokio::test(start_paused = true)]
async fn twitch_is_answered_with_its_signature_also_where_the_handshake_is_named() {
    let server = serving(json!({
        "verify": { "scheme": "twitch", "secret": "s" }, "handshake": { "type": "twitch" }
    }))
    .await;
    let body = r#"{"challenge":"pogchamp"}"#;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("m-1{TIME}{body}").as_bytes());
    const TIME: &str = "2026-01-02T03:04:05Z";
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut headers = [
        ("twitch-eventsub-message-id", "m-1"),
        ("twitch-eventsub-message-timestamp", TIME),
        ("twitch-eventsub-message-type", "webhook_callback_verification"),
        ("twitch-eventsub-message-signature", signature.as_str()),
    ];
    echoed(&ask(&server, "POST", "", &headers, body).await, TEXT, "pogchamp");
    headers[0].1 = "m-2";
    assert_eq!(ask(&server, "POST", "", &headers, body).await.problem().0, 401);
    assert_eq!(runs(&server).await, 0);
}

/// The verdict that the newest of `count` deliveries was recorded with, and what a check says of it.
async fn recorded_and_checked(server: &Server, count: usize, verify: Value) -> [Value; 2] {
    let items = server.get("/deliveries").await.json()["items"].take();
    assert_eq!(items.as_array().unwrap().len(), count, "{items:#}");
    let at = format!("/deliveries/{}/check", items[0]["id"].as_str().unwrap());
    let checked = server.post_owned(at, verify).await.json();
    // Within a microsecond ids have no order, and the clock stands still.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    [items[0]["verdict"].clone(), checked["verdict"].clone()]
}

#[tokio::test(start_paused = true)]
async fn a_check_of_what_nobody_signs_says_what_was_recorded() {
    let server = serving(json!({
        "verify": { "scheme": "dropbox", "secret": "s" }, "handshake": { "type": "dropbox" }
    }))
    .await;
    for (n, query, status, verdict) in [
        (1, "?challenge=abc", 200, "handshake"),
        (2, "?challenge=%0d%0a", 401, "bad_challenge"),
        (3, "", 405, "method_not_allowed"),
    ] {
        assert_eq!(ask(&server, "GET", query, &[], "").await.status.as_u16(), status, "{query}");
        assert_eq!(recorded_and_checked(&server, n, Value::Null).await, [verdict, verdict], "{query}");
    }
    // As a delivery, it lacks its signature.
    assert_eq!(ask(&server, "POST", "", &[], "{}").await.status, 401);
    assert_eq!(recorded_and_checked(&server, 4, Value::Null).await, ["header_missing", "header_missing"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_handshake_is_checked_with_the_secret_that_it_has_now() {
    let server = serving(json!({
        "verify": { "scheme": "meta", "secret": "s" }, "handshake": { "type": "meta", "secret": "token" }
    }))
    .await;
    let query = "?hub.mode=subscribe&hub.challenge=42&hub.verify_token=new";
    assert_eq!(ask(&server, "GET", query, &[], "").await.status, 401);
    assert_eq!(recorded_and_checked(&server, 1, Value::Null).await, ["needs_secret", "needs_secret"]);
    server.call("PUT", "/secrets/token", json!({ "value": "old" })).await;
    assert_eq!(ask(&server, "GET", query, &[], "").await.status, 401);
    assert_eq!(recorded_and_checked(&server, 2, Value::Null).await, ["mismatch", "mismatch"]);
    server.call("PUT", "/secrets/token", json!({ "value": "new" })).await;
    assert_eq!(recorded_and_checked(&server, 2, Value::Null).await, ["mismatch", "handshake"]);
    assert_eq!(ask(&server, "GET", "?hub.mode=denied", &[], "").await.status, 405);
    assert_eq!(
        recorded_and_checked(&server, 3, Value::Null).await,
        ["method_not_allowed", "method_not_allowed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_signed_handshake_is_checked_by_the_scheme_that_is_asked_for() {
    let server = serving(json!({ "verify": { "scheme": "slack", "secret": "s" }, "methods": ["PUT"] })).await;
    assert_eq!(v0(&server, "slack", "another", URL_VERIFICATION).await.status, 405);
    let with = |scheme: &str| json!({ "verify": { "scheme": scheme, "secret": "other" } });
    for (verify, verdict) in [
        (Value::Null, "method_not_allowed"),
        (with("zoom"), "method_not_allowed"),
        (with("slack"), "handshake"),
    ] {
        server.call("PUT", "/secrets/other", json!({ "value": "another" })).await;
        assert_eq!(recorded_and_checked(&server, 1, verify).await, ["method_not_allowed", verdict]);
    }
}
