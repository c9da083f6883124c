use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use futures_util::StreamExt as _;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::Request;
use meshhook_axum::{OpenLoopback, RouterOptions};
use meshhook_core::store::memory::{Fault, FaultPlan, Loss, Operation};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::kit::{Reply, Server, doubling};

/// Loses the reply of the next commit, then finds the store gone; or finds it gone at once.
#[derive(Default)]
struct Outage(Mutex<Option<Loss>>);

impl FaultPlan for Outage {
    fn next(&self, operation: Operation) -> Fault {
        let mut next = self.0.lock().unwrap();
        let loss = (*next).filter(|_| operation == Operation::Commit);
        if loss.is_some() {
            *next = Some(Loss::Unavailable);
        }
        Fault { loss, ..Fault::default() }
    }
}

const SECRET: &str = "a webhook secret";

/// A workflow with one hook at `/hooks/default/in`.
fn hooked(config: Value) -> Value {
    let mut definition = doubling();
    let mut all = json!({ "path": "in", "verify": { "scheme": "none" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    definition["triggers"] = json!([{ "id": "hook", "type": "webhook", "config": all }]);
    definition
}

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/hooks/default/in").header("content-type", "application/json").body(body.into()).unwrap()
}

async fn serving(config: Value) -> Server {
    let server = Server::open();
    server.publish_with_warnings("w", hooked(config)).await;
    server
}

fn github(body: &[u8], event: &str, delivery: &str) -> Request<Body> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    Request::post("/hooks/default/in")
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .body(Body::from(body.to_vec()))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_webhook_starts_a_run_with_what_was_sent() {
    let server = serving(json!({})).await;
    let request =
        Request::post("/hooks/default/in?tag=a&tag=b").header("X-Thing", "1").header("x-thing", "2");
    let reply = server
        .send(request.header("content-type", "application/json").body(Body::from(r#"{"n":4}"#)).unwrap())
        .await;
    assert_eq!(reply.status, 202);
    let answer = reply.json();
    let id = answer["run_id"].as_str().unwrap();
    assert_eq!(answer, json!({ "run_id": id, "status": "accepted" }));
    let run = server.get(&format!("/runs/{id}")).await.json();
    assert_eq!((&run["input"], &run["output"]), (&json!({ "n": 4 }), &json!({ "doubled": 8 })));
    let trigger = &run["trigger"];
    assert_eq!(
        (&trigger["type"], &trigger["id"], &trigger["method"], &trigger["path"]),
        (&json!("webhook"), &json!("hook"), &json!("POST"), &json!("in"))
    );
    assert_eq!(
        (&trigger["headers"]["x-thing"], &trigger["query"]),
        (&json!("1, 2"), &json!({ "tag": ["a", "b"] }))
    );
}

/// What a sender is told who must find out, and one who can be sure: chaos tells them apart by this.
#[tokio::test(start_paused = true)]
async fn whoever_may_have_been_taken_is_told_so_and_who_was_not_is_not() {
    for (loss, is_known) in [(Loss::ReplyLost, false), (Loss::RequestLost, false), (Loss::Unavailable, true)]
    {
        let outage = Arc::new(Outage::default());
        let server = Server::disturbed(outage.clone());
        server.publish_with_warnings("w", hooked(json!({}))).await;
        *outage.0.lock().unwrap() = Some(loss);
        let refused = server.send(post(r#"{"n":1}"#)).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after").is_empty()), (503, false));
        assert_eq!(refused.json()["code"], "unavailable");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert_eq!(!detail.contains("it is not known"), is_known, "{loss:?}: {detail}");
        *outage.0.lock().unwrap() = None;
        assert_eq!(server.send(post(r#"{"n":1}"#)).await.status, 202);
    }
}

#[tokio::test(start_paused = true)]
async fn checks_come_in_their_order() {
    let server = serving(json!({ "methods": ["POST", "PUT"], "max_body": 10, "verify": { "scheme": "github", "secret": "s" } })).await;
    server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
    let large = || Body::from(vec![b'x'; 11]);
    let at = |method: &str, path: &str, body: Body| {
        server.send(Request::builder().method(method).uri(path).body(body).unwrap())
    };
    for path in [
        "/hooks/default/other",
        "/hooks/default/in/x",
        "/hooks/default/IN",
        "/hooks/default/in/",
        "/hooks/default/%69n",
        "/hooks/nope/in",
        "/hooks/-/in",
    ] {
        assert_eq!(
            at("GET", path, large()).await.problem(),
            (404, "not_found".into(), String::new()),
            "{path}"
        );
    }
    let method = at("GET", "/hooks/default/in", large()).await;
    assert_eq!((method.problem().0, method.header("allow")), (405, "POST, PUT"));
    assert_eq!(at("POST", "/hooks/default/in", large()).await.problem().1, "payload_too_large");
    let unsigned = at("PUT", "/hooks/default/in", Body::from("{nonsense")).await;
    assert_eq!(unsigned.problem().1, "unauthorized");
    assert_eq!(unsigned.json()["detail"], "the signature was not accepted");
    assert_eq!(server.send(github(b"{nonsense", "x", "1")).await.problem().1, "invalid_json");
    assert_eq!(server.send(github(br#"{"n":1}"#, "x", "1")).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_missing_project_and_a_hook_that_is_down_look_alike() {
    let server = serving(json!({})).await;
    let unknown = server.send(Request::post("/hooks/default/none").body(Body::empty()).unwrap()).await;
    let foreign = server.send(Request::post("/hooks/other/in").body(Body::empty()).unwrap()).await;
    server.post("/workflows/w/unpublish", Value::Null).await;
    let down = server.send(post("{}")).await;
    assert_eq!(unknown.body, foreign.body);
    assert_eq!(unknown.body, down.body);
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_size_and_time() {
    let server = serving(json!({ "max_body": 100 })).await;
    let fits = format!("\"{}\"", "x".repeat(98));
    assert_eq!(server.send(post(fits)).await.status, 202);
    let over = format!("\"{}\"", "x".repeat(99));
    assert_eq!(server.send(post(over)).await.problem().1, "payload_too_large");
    let announced = Request::post("/hooks/default/in")
        .header("content-length", "10737418240")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(announced).await.problem().0, 413);
    let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    assert_eq!(server.send(post(Body::from_stream(endless))).await.problem().0, 408);
    let dripping = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")), ()))
    });
    assert_eq!(server.send(post(Body::from_stream(dripping))).await.problem().0, 408);
    let broken = futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(b"{")),
        Err(std::io::Error::other("reset")),
    ]);
    assert_eq!(server.send(post(Body::from_stream(broken))).await.problem().0, 400);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_one_hook_never_sees_the_end_of_keep_no_other_from_being_served() {
    let server = Server::with(RouterOptions::new(OpenLoopback).max_hook_bytes(1 << 20));
    server.publish_with_warnings("w", hooked(json!({ "max_body": 65_536 }))).await;
    server.publish_with_warnings("other", hooked(json!({ "path": "other", "max_body": 65_536 }))).await;
    let whole = || Body::from(format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(50_000)));
    let to_other = |body: Body| {
        let request = Request::post("/hooks/default/other").header("content-type", "application/json");
        request.body(body).unwrap()
    };
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("x".repeat(50_000))]);
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let mut waiting = Box::pin(server.send_unchecked(post(body)));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        stalled.push(waiting);
    }
    let refused = server.send(post(whole())).await;
    assert_eq!(
        (refused.problem().0, refused.problem().1.as_str(), refused.header("retry-after")),
        (503, "unavailable", "1")
    );
    assert_eq!(server.send(to_other(whole())).await.status, 202);
    stalled.pop();
    assert_eq!(server.send(post(whole())).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn types_that_cannot_be_read_are_refused() {
    let server = serving(json!({ "body_schema": { "type": "object", "required": ["n"] } })).await;
    let send = |headers: &[(&'static str, &'static str)], body: &[u8]| {
        let mut request = Request::post("/hooks/default/in");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        server.send(request.body(Body::from(body.to_vec())).unwrap())
    };
    let json = ("content-type", "application/json");
    for (headers, body, status, code) in [
        (&[][..], &b"{}"[..], 415, "unsupported_media_type"),
        (&[("content-type", "text/plain")], b"{}", 415, "unsupported_media_type"),
        (&[("content-type", "text/plain")], b"\xff", 415, "unsupported_media_type"),
        (&[json, ("content-encoding", "br")], b"{}", 415, "unsupported_media_type"),
        (&[json, json], b"{}", 400, "invalid_request"),
        (&[json, ("content-encoding", "gzip")], b"{}", 400, "invalid_request"),
        (&[json], b"{\"n\":1,\"n\":2}", 400, "invalid_json"),
        (&[json], b"{\"n\":\"\\ud800\"}", 400, "invalid_json"),
        (&[json], b"\xef\xbb\xbf{}", 400, "invalid_json"),
        (&[json], b"{\"n\":\"\xc0\x80\"}", 400, "invalid_json"),
        (&[json], b"{}", 422, "input_invalid"),
    ] {
        let (got, got_code, _) = send(headers, body).await.problem();
        assert_eq!((got, got_code.as_str()), (status, code), "{headers:?} {body:?}");
    }
    assert_eq!(send(&[json], b"{\"n\":1,\"z\":\"\\u0000\"}").await.status, 202);
    let many = format!("{{\"n\":1,\"z\":[{}1]}}", "1,".repeat(100_000));
    let deep = format!("{{\"n\":1,\"z\":{}{}}}", "[".repeat(128), "]".repeat(128));
    for (body, limit) in [(&many, "100000 JSON values"), (&deep, "deeper than 128")] {
        let refused = send(&[json], body.as_bytes()).await;
        assert_eq!(refused.problem().0, 413);
        assert!(refused.json()["detail"].as_str().unwrap().contains(limit), "{refused:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_ignores_and_a_key_joins() {
    let server =
        serving(json!({ "filter": "body.n > `0`", "dedupe": { "key": "body.id", "window": "1h" } })).await;
    let send = |body: Value| server.send(post(body.to_string()));
    let ignored = send(json!({ "n": 0 })).await;
    assert_eq!((ignored.status.as_u16(), ignored.json()), (200, json!({ "status": "ignored" })));
    let first = send(json!({ "n": 1, "id": "a" })).await.json();
    let again = send(json!({ "n": 1, "id": "a" })).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["duplicate"], &again.json()["run_id"]),
        (202, &json!(true), &first["run_id"])
    );
    let other = send(json!({ "n": 2, "id": "a" })).await;
    assert_eq!((other.problem().0, other.json()["run_id"].clone()), (409, first["run_id"].clone()));
    assert_ne!(
        send(json!({ "n": 1 })).await.json()["run_id"],
        send(json!({ "n": 1 })).await.json()["run_id"]
    );
}

/// An event as Notion sends it.
fn notion(attempt: u32, page: &str) -> Request<Body> {
    let body = json!({ "id": "367cba44", "type": "page.created", "attempt_number": attempt, "n": 1,
        "entity": { "id": page, "type": "page" }, "items": [{ "n": 1 }] });
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.to_string().as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut request = post(body.to_string());
    request.headers_mut().insert("x-notion-signature", signature.parse().unwrap());
    request.headers_mut().insert("x-key", SECRET.parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_the_body_counts_is_a_repetition() {
    let preset = json!({ "scheme": "notion", "secret": "s" });
    let own = json!({ "scheme": "api_key", "secret": "s", "header": "x-key", "id": "body:/id",
        "varying": "/attempt_number" });
    for verify in [preset, own] {
        let server = serving(json!({ "verify": verify })).await;
        server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
        let first = server.send(notion(1, "a")).await;
        assert_eq!(first.status, 202, "{first:?}");
        let again = server.send(notion(2, "a")).await;
        let again = (again.status.as_u16(), again.json());
        assert_eq!((again.0, &again.1["duplicate"]), (202, &json!(true)), "{verify}");
        assert_eq!(again.1["run_id"], first.json()["run_id"]);
        let other = server.send(notion(3, "b")).await;
        assert_eq!((other.problem().0, &other.json()["run_id"]), (409, &again.1["run_id"]));
    }
    // Of an item without an id, the delivery's own key and body count.
    let config =
        json!({ "verify": { "scheme": "notion", "secret": "s" }, "each": { "items": "body.items" } });
    let server = serving(config).await;
    server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
    let first = server.send(notion(1, "a")).await.json();
    let again = server.send(notion(2, "a")).await.json();
    assert_eq!(again["runs"][0], json!({ "run_id": first["runs"][0]["run_id"], "duplicate": true }));
    assert_eq!(server.send(notion(3, "b")).await.problem().0, 409);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_one_before_the_schema_is_asked() {
    let config =
        |schema: Value| json!({ "dedupe": { "key": "body.id", "window": "1h" }, "body_schema": schema });
    let server = serving(config(json!({ "type": "object" }))).await;
    let send = |body: Value| server.send(post(body.to_string()));
    let first = send(json!({ "id": "a" })).await.json();
    let strict = config(json!({ "type": "object", "required": ["n"] }));
    server.call("PUT", "/workflows/w", json!({ "definition": hooked(strict) })).await;
    assert_eq!(server.post("/workflows/w/publish", Value::Null).await.status, 201);
    let again = send(json!({ "id": "a" })).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["duplicate"], &again.json()["run_id"]),
        (202, &json!(true), &first["run_id"])
    );
    let other = send(json!({ "id": "a", "m": 1 })).await;
    assert_eq!((other.problem().0, other.json()["run_id"].clone()), (409, first["run_id"].clone()));
    assert_eq!(send(json!({ "id": "b" })).await.problem().0, 422);
    assert_eq!(send(json!({})).await.problem().0, 422);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_held_against_the_schema_of_the_workflows_input() {
    let server = Server::open();
    let mut definition = hooked(json!({}));
    definition["input_schema"] = json!({ "type": "object", "required": ["n"] });
    server.publish_with_warnings("w", definition).await;
    assert_eq!(server.send(post(r#"{"n":1}"#)).await.status, 202);
    let refused = server.send(post("{}")).await;
    let (status, code, _) = refused.problem();
    assert_eq!((status, code.as_str()), (422, "input_invalid"));
    assert_eq!(
        refused.json()["detail"],
        r#"the body does not match input_schema: "n" is a required property"#
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_may_wait_for_the_end() {
    let server = serving(json!({ "respond": { "wait": "5s" } })).await;
    let sandboxed = |reply: &Reply| {
        assert!(reply.header("content-security-policy").contains("sandbox"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    };
    let done = server.send(post(r#"{"n":2}"#)).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({ "doubled": 4 })));
    sandboxed(&done);
    let failed = server.send(post(r#"{"n":"x"}"#)).await;
    assert_eq!(
        (failed.status.as_u16(), &failed.json()["error"]),
        (500, &json!({ "code": "expression_invalid_type" }))
    );
    assert!(failed.json()["run_id"].is_string());
    sandboxed(&failed);

    let page = json!({ "status": 404, "headers": { "Content-Type": "text/html", "X-Own": "{{ input.n }}", "Content-Security-Policy": "none" }, "body": "<script>{{ input.n }}</script>" });
    let mut definition = hooked(json!({ "path": "page", "respond": { "wait": "5s" } }));
    definition["nodes"] = json!([{ "id": "end", "type": "terminate", "config": { "response": page } }]);
    server.publish("page", definition).await;
    let request = Request::post("/hooks/default/page").header("content-type", "application/json");
    // The status is the workflow's own, so the document does not describe the answer.
    let own = server.send_unchecked(request.body(Body::from(r#"{"n":7}"#)).unwrap()).await;
    assert_eq!(
        (own.status.as_u16(), own.header("content-type"), own.header("x-own")),
        (404, "text/html", "7")
    );
    assert_eq!(&own.body[..], b"<script>7</script>");
    sandboxed(&own);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_short_is_answered_as_accepted() {
    let server = Server::open();
    let mut definition = hooked(json!({ "respond": { "wait": "5s" } }));
    definition["nodes"] = json!([{ "id": "call", "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" } }]);
    server.publish("w", definition).await;
    *server.effects.takes.lock().unwrap() = Duration::from_secs(20);
    let begun = tokio::time::Instant::now();
    let reply = server.send(post("{}")).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (202, &json!("accepted")));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_engine_asks_to_come_again() {
    let server = serving(json!({})).await;
    server.engine.shutdown(Duration::from_secs(1)).await;
    let refused = server.send(post("{}")).await;
    assert_eq!((refused.problem().1.as_str(), refused.header("retry-after")), ("unavailable", "1"));
}

/// A delivery signed as Square does: over the URL that the sender called, and the body.
fn square(url: &str, extra: &[(&str, &str)]) -> Request<Body> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{url}{{}}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    let mut request = Request::post("/hooks/default/in?a=1")
        .header("host", "inner:1")
        .header("content-type", "application/json");
    for (name, value) in extra {
        request = request.header(*name, *value);
    }
    request.header("x-square-hmacsha256-signature", signature).body(Body::from("{}")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_signed_url_is_the_public_one_and_no_sender_chooses_it() {
    let forwarded = [("x-forwarded-host", "pub.example"), ("x-forwarded-proto", "https")];
    let (public, inner) = ("https://pub.example/hooks/default/in?a=1", "http://inner:1/hooks/default/in?a=1");
    for (configured, trusted, url, accepted) in [
        (true, false, public, true),
        (true, false, inner, false),
        (false, false, inner, true),
        (false, false, public, false),
        (false, true, public, true),
        (false, true, inner, false),
    ] {
        let mut options = RouterOptions::new(OpenLoopback);
        if configured {
            options = options.public_url("https://pub.example");
        }
        let server = Server::with(options.trust_proxy("10.0.0.0/8").unwrap());
        server
            .publish_with_warnings("w", hooked(json!({ "verify": { "scheme": "square", "secret": "s" } })))
            .await;
        server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
        let mut request = square(url, &forwarded);
        let peer: std::net::SocketAddr = if trusted { "10.0.0.1:1" } else { "192.0.2.1:1" }.parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        let status = server.send(request).await.status;
        assert_eq!(status == 202, accepted, "{configured} {trusted} {url}: {status}");
        assert!(accepted || status == 401);
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_in_the_query_and_an_id_in_the_body_are_as_good_as_headers() {
    let server = serving(json!({ "verify": {
        "scheme": "hmac", "secret": "s", "signature": "query:sig", "algorithm": "sha256", "encoding": "hex",
        "signed": "{body}", "id": "body:/id",
    } }))
    .await;
    server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
    let send = async |signed: &'static str, body: &'static str, times: usize| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        let pair = format!("sig={}", hex::encode(mac.finalize().into_bytes()));
        let request = Request::post(format!("/hooks/default/in?{}", vec![pair; times].join("&")));
        server.send(request.header("content-type", "application/json").body(Body::from(body)).unwrap()).await
    };
    let (one, other) = (r#"{"id":"e-1","n":4}"#, r#"{"id":"e-1","n":5}"#);
    let first = send(one, one, 1).await;
    assert_eq!(first.status, 202);
    let again = send(one, one, 1).await.json();
    assert_eq!((&again["duplicate"], &again["run_id"]), (&json!(true), &first.json()["run_id"]));
    assert_eq!(send(other, other, 1).await.status, 409);
    for (signed, body, times) in [(one, other, 1), (one, one, 0), (one, one, 2)] {
        assert_eq!(send(signed, body, times).await.status, 401, "{times}");
    }
}

#[tokio::test(start_paused = true)]
async fn real_deliveries_are_verified_run_and_proved() {
    let Some(data) = std::env::var_os("MESHHOOK_TEST_DATA") else {
        println!("skipped: MESHHOOK_TEST_DATA does not name the directory with GitHub's example deliveries");
        return;
    };
    let server = Server::open();
    let mut definition = hooked(json!({ "verify": { "scheme": "github", "secret": "s" } }));
    definition["nodes"] = json!([{ "id": "who", "type": "transform", "config": { "expression": "{event: trigger.headers.\"x-github-event\", who: trigger.body.sender.login}" } }]);
    server.publish_with_warnings("w", definition).await;
    server.call("PUT", "/secrets/s", json!({ "value": SECRET })).await;
    let mut count = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&data).join("github")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let (event, body) =
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap());
        let reply = server.send(github(&body, &event, &format!("delivery-{event}"))).await;
        assert_eq!(reply.status, 202, "{event}: {reply:?}");
        let id = reply.json()["run_id"].as_str().unwrap().to_owned();
        let sent: Value = serde_json::from_slice(&body).unwrap();
        let run = server.get(&format!("/runs/{id}")).await.json();
        assert_eq!(run["output"], json!({ "event": event, "who": sent["sender"]["login"] }));
        assert_eq!(run["input"], sent, "{event}");
        assert_eq!(server.post(&format!("/runs/{id}/verify"), Value::Null).await.json()["ok"], true);
        let again = server.send(github(&body, &event, &format!("delivery-{event}"))).await.json();
        assert_eq!((&again["run_id"], &again["duplicate"]), (&json!(id), &json!(true)));
        let mut changed = body.clone();
        changed.push(b'\n');
        let mut forged = github(&body, &event, "other");
        *forged.body_mut() = Body::from(changed);
        assert_eq!(server.send(forged).await.problem().0, 401);
        count += 1;
    }
    assert!(count >= 10, "{count}");
}
