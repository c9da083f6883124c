use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::Request;
use meshhook_axum::{OpenLoopback, RouterOptions};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::kit::{Reply, Server, doubling, waiting};

/// A workflow with one hook at `/hooks/default/in`.
fn hooked(config: Value) -> Value {
    let mut definition = doubling();
    let mut all = json!({ "path": "in", "verify": { "scheme": "github", "secret": "s" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    definition["triggers"] = json!([{ "id": "hook", "type": "webhook", "config": all }]);
    definition
}

async fn serving(config: Value) -> Server {
    let server = Server::open();
    server.publish_with_warnings("w", hooked(config)).await;
    server.call("PUT", "/secrets/s", json!({ "value": "the old secret" })).await;
    server
}

/// A delivery as GitHub sends it.
fn signed(secret: &str, delivery: &str, body: &str) -> Request<Body> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    Request::post("/hooks/default/in?from=there")
        .header("content-type", "application/json")
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// The deliveries that a query finds: what was answered is there at once.
async fn recorded(server: &Server, query: &str, count: usize) -> Vec<Value> {
    let items = server.get(&format!("/deliveries{query}")).await.json()["items"].take();
    let items = items.as_array().unwrap().clone();
    assert_eq!(items.len(), count, "{items:#?}");
    items
}

async fn newest(server: &Server, count: usize) -> Value {
    let newest = recorded(server, "", count).await.swap_remove(0);
    // Within a millisecond, ids have no order.
    tokio::time::sleep(Duration::from_millis(1)).await;
    newest
}

fn id(delivery: &Value) -> &str {
    delivery["id"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_checked_and_replayed() {
    let server = serving(json!({})).await;
    // The sender has a new secret, which nobody has set yet.
    let request = || signed("the new secret", "d-1", r#"{"n":4}"#);
    assert_eq!(server.send(request()).await.status, 401);
    let refused = newest(&server, 1).await;
    assert_eq!((&refused["verdict"], &refused["status"]), (&json!("mismatch"), &json!(401)));
    assert_eq!((&refused["body"], &refused["kept"]), (&json!({ "n": 4 }), &json!("whole")));
    let at = format!("/deliveries/{}", id(&refused));
    let check = async |body: Value| server.post_owned(format!("{at}/check"), body).await.json();
    assert_eq!(check(json!({})).await["verdict"], "mismatch");
    server.call("PUT", "/secrets/fresh", json!({ "value": "the new secret" })).await;
    let verify = json!({ "scheme": "github", "secret": ["s", "fresh"] });
    let checked = check(json!({ "verify": verify })).await;
    assert_eq!((&checked["verdict"], &checked["key"]), (&json!("accepted"), &json!("fresh")));
    assert_eq!(checked["delivery_id"], "d-1");

    let replayed = server.post_owned(format!("{at}/replay"), Value::Null).await;
    assert_eq!(replayed.status, 201, "{replayed:?}");
    let run = replayed.json()["run_id"].as_str().unwrap().to_owned();
    server.until(&run, "succeeded").await;
    let view = server.get(&format!("/runs/{run}")).await.json();
    assert_eq!(view["output"], json!({ "doubled": 8 }));
    assert_eq!(view["trigger"]["replay_of"], refused["id"]);
    assert_eq!(view["trigger"]["delivery_id"], "d-1");
    assert_eq!(view["trigger"]["query"], json!({ "from": "there" }));

    // Again, and when the provider sends it again with a secret that is known by then, it is the same run.
    let again = server.post_owned(format!("{at}/replay"), Value::Null).await;
    assert_eq!((again.status.as_u16(), &again.json()["run_id"]), (200, &json!(run)));
    server.call("PUT", "/secrets/s", json!({ "value": "the new secret" })).await;
    let late = server.send(request()).await.json();
    assert_eq!((&late["run_id"], &late["duplicate"]), (&json!(run), &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn every_request_has_its_verdict() {
    let config = json!({ "max_body": 100, "filter": "body.n != `0`", "methods": ["POST"],
        "body_schema": { "type": "object", "required": ["n"] } });
    let server = serving(config).await;
    let good = || signed("the old secret", "d-1", r#"{"n":4}"#);
    let with = |change: fn(&mut Request<Body>)| {
        let mut request = good();
        change(&mut request);
        request
    };
    let mut sent = 0;
    let mut check = async |request: Request<Body>, status: u16, verdict: &str| {
        let reply: Reply = server.send(request).await;
        sent += 1;
        let found = newest(&server, sent).await;
        let expected = (status, json!(verdict), json!(status));
        assert_eq!(
            (reply.status.as_u16(), found["verdict"].clone(), found["status"].clone()),
            expected,
            "{found:#}"
        );
        found
    };
    check(good(), 202, "accepted").await;
    check(good(), 202, "duplicate").await;
    check(signed("the old secret", "d-1", r#"{"n":5}"#), 409, "key_reused").await;
    let unwanted = check(signed("the old secret", "d-2", r#"{"n":0}"#), 200, "filtered").await;
    assert_eq!(unwanted["detail"], "the filter said no: body.n != `0`");
    let schema = check(signed("the old secret", "d-3", "{}"), 422, "invalid_schema").await;
    assert!(schema["detail"].as_str().unwrap().contains('n'), "{schema}");
    check(signed("the old secret", "d-4", "{"), 400, "malformed").await;
    let told = check(signed("another secret", "d-5", "{}"), 401, "mismatch").await;
    let detail = "no signature is HMAC-SHA-256 of `{body}` (2 bytes) with the secret `s`";
    assert_eq!(told["detail"], detail);
    let checked = server.post_owned(format!("/deliveries/{}/check", id(&told)), json!({})).await.json();
    assert_eq!((&checked["verdict"], &checked["detail"]), (&json!("mismatch"), &json!(detail)));
    check(with(|r| drop(r.headers_mut().remove("x-hub-signature-256"))), 401, "header_missing").await;
    let wrong =
        |r: &mut Request<Body>| drop(r.headers_mut().insert("x-hub-signature-256", "x".parse().unwrap()));
    let told = check(with(wrong), 401, "bad_encoding").await;
    let detail = "the signature in the header `x-hub-signature-256` does not begin with `sha256=`";
    assert_eq!(told["detail"], detail);
    let told = check(with(|r| *r.method_mut() = http::Method::PUT), 405, "method_not_allowed").await;
    assert_eq!(told["detail"], "this hook takes `POST` only");
    check(signed("the old secret", "d-6", &" ".repeat(101)), 413, "too_large").await;
    let brotli =
        |r: &mut Request<Body>| drop(r.headers_mut().insert("content-encoding", "br".parse().unwrap()));
    check(with(brotli), 415, "unsupported_media").await;
    let astray = Request::post("/hooks/default/nowhere").body(Body::from("{}")).unwrap();
    let astray = check(astray, 404, "unknown_path").await;
    assert_eq!((&astray["workflow"], &astray["path"]), (&Value::Null, &json!("nowhere")));
    let shown = server.get(&format!("/deliveries/{}", id(&astray))).await.json();
    assert_eq!(shown["detail"], "no workflow has a hook there");
    server.call("DELETE", "/secrets/s", Value::Null).await;
    let told = check(good(), 401, "needs_secret").await;
    assert_eq!(told["detail"], "the secret `s` has no value in the vault");
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_failed_is_told_from_one_that_said_no() {
    let server = serving(json!({ "filter": "abs(body.n) > `0`" })).await;
    assert_eq!(server.send(signed("the old secret", "d-1", r#"{"n":"4"}"#)).await.status, 200);
    let failed = newest(&server, 1).await;
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.starts_with("the filter failed: "), "{failed}");
    let checked = server.post_owned(format!("/deliveries/{}/check", id(&failed)), json!({})).await.json();
    assert_eq!((&checked["verdict"], &checked["detail"]), (&json!("filtered"), &json!(detail)));
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_told_the_same_of_every_wrong_signature() {
    let server = serving(json!({})).await;
    let refused = async |value: Option<&str>| {
        let mut request = signed("the old secret", "d-1", "{}");
        request.headers_mut().remove("x-hub-signature-256");
        if let Some(value) = value {
            request.headers_mut().insert("x-hub-signature-256", value.parse().unwrap());
        }
        let mut reply = server.send(request).await;
        reply.headers.remove("x-request-id");
        (reply.status, reply.headers.clone(), reply.json())
    };
    let missing = refused(None).await;
    let wrong = format!("sha256={}", "0".repeat(64));
    assert_eq!((missing.0.as_u16(), &missing.2["detail"]), (401, &json!("the signature was not accepted")));
    for value in ["", "sha256=zz", "sha1=00", &wrong] {
        assert_eq!(refused(Some(value)).await, missing, "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_delivery_shows_what_its_run_was_given() {
    let server = serving(json!({})).await;
    let mut request = signed("the old secret", "d-1", r#"{"n":4,"said":"the old secret"}"#);
    request.headers_mut().insert("authorization", "Bearer abc".parse().unwrap());
    let run = server.send(request).await.json()["run_id"].clone();
    let listed = newest(&server, 1).await;
    let mut shown = server.get(&format!("/deliveries/{}", id(&listed))).await.json();
    // A list would have to read as many runs.
    let (headers, body) = (shown["headers"].clone(), shown["body"].clone());
    (shown["headers"], shown["body"]) = (json!({}), Value::Null);
    assert_eq!(listed, shown);
    (shown["headers"], shown["body"]) = (headers, body);
    assert_eq!((&shown["run_id"], &shown["kept"]), (&run, &json!("in_run")));
    assert_eq!(
        (&shown["workflow"], &shown["trigger"], &shown["path"]),
        (&json!("w"), &json!("hook"), &json!("in"))
    );
    assert_eq!((&shown["key"], &shown["delivery_id"]), (&json!("s"), &json!("d-1")));
    assert_eq!(shown["body"], json!({ "n": 4, "said": "***" }));
    assert_eq!(
        (&shown["headers"]["authorization"], &shown["headers"]["x-github-delivery"]),
        (&json!("***"), &json!("d-1"))
    );
    let replayed = server.post_owned(format!("/deliveries/{}/replay", id(&listed)), Value::Null).await;
    assert_eq!(
        (replayed.problem().1.as_str(), &replayed.json()["run_id"]),
        ("invalid_state", &shown["run_id"])
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_of_what_was_refused_are_hidden() {
    let server = serving(json!({})).await;
    let mut request = signed("wrong", "d-1", r#"{"said":"the old secret"}"#);
    for (name, value) in
        [("authorization", "Bearer abc"), ("x-gitlab-token", "abc"), ("x-said", "the old secret")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    server.send(request).await;
    let shown = newest(&server, 1).await;
    for name in ["authorization", "x-gitlab-token", "x-said"] {
        assert_eq!(shown["headers"][name], "***", "{name}");
    }
    assert_eq!(shown["body"], json!({ "said": "***" }));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_known_provider_is_in_no_run_whatever_the_hook_is_by_then() {
    let server = serving(json!({ "verify": { "scheme": "gitlab", "secret": "s" } })).await;
    let request = || {
        Request::post("/hooks/default/in")
            .header("content-type", "application/json")
            .header("x-gitlab-token", "the sender's own token")
            .header("x-gitlab-event", "Push Hook")
            .body(Body::from(r#"{"n":1}"#))
            .unwrap()
    };
    assert_eq!(server.send(request()).await.status, 401);
    let refused = newest(&server, 1).await;
    let open = hooked(
        json!({ "verify": { "scheme": "none" }, "filter": "contains(headers.\"x-gitlab-token\", 'own')" }),
    );
    server.call("PUT", "/workflows/w", json!({ "definition": open })).await;
    assert_eq!(server.post("/workflows/w/publish", Value::Null).await.status, 201);
    let replayed = server.post_owned(format!("/deliveries/{}/replay", id(&refused)), Value::Null).await;
    assert_eq!(replayed.status, 201, "{replayed:?}");
    for reply in [replayed, server.send(request()).await] {
        let run = reply.json()["run_id"].as_str().unwrap().to_owned();
        for path in [format!("/runs/{run}"), format!("/runs/{run}/events")] {
            let shown = server.get(&path).await;
            assert!(!String::from_utf8_lossy(&shown.body).contains("own token"), "{shown:?}");
        }
        let headers = server.get(&format!("/runs/{run}")).await.json()["trigger"]["headers"].take();
        assert_eq!(
            (&headers["x-gitlab-token"], &headers["x-gitlab-event"]),
            (&json!("***"), &json!("Push Hook"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_delivery_shows_its_skew_and_is_judged_at_its_time() {
    let verify = json!({ "scheme": "hmac", "secret": "s", "header": "x-sig", "algorithm": "sha256", "encoding": "hex",
        "signed": "{timestamp}.{body}", "timestamp_header": "x-time" });
    let server = serving(json!({ "verify": verify })).await;
    // The clock of the tests begins here.
    let at = 1_767_323_045 - 301;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the old secret").unwrap();
    mac.update(format!("{at}.{{\"n\":1}}").as_bytes());
    let request = Request::post("/hooks/default/in")
        .header("content-type", "application/json")
        .header("x-sig", hex::encode(mac.finalize().into_bytes()))
        .header("x-time", at.to_string());
    assert_eq!(server.send(request.body(Body::from("{\"n\":1}")).unwrap()).await.status, 401);
    let stale = newest(&server, 1).await;
    assert_eq!(stale["verdict"], "stale");
    let skew = stale["skew_ms"].as_i64().unwrap();
    assert!((-303_000..=-301_000).contains(&skew), "{skew}");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let mut wider = verify.clone();
    wider["tolerance"] = json!("6m");
    let check = async |verify: Value| {
        let path = format!("/deliveries/{}/check", id(&stale));
        server.post_owned(path, json!({ "verify": verify })).await.json()["verdict"].clone()
    };
    assert_eq!((check(verify).await, check(wider).await), (json!("stale"), json!("accepted")));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refused_requests_does_not_fill_the_table() {
    let server = serving(json!({})).await;
    for n in 0..700 {
        assert_eq!(server.send_unchecked(signed("wrong", "d", &format!("{{\"n\":{n}}}"))).await.status, 401);
        let astray = Request::post(format!("/hooks/default/nowhere-{n}")).body(Body::empty()).unwrap();
        assert_eq!(server.send_unchecked(astray).await.status, 404);
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut count = [0, 0];
    for (counted, verdict) in count.iter_mut().zip(["mismatch", "unknown_path"]) {
        let mut query = format!("/deliveries?limit=200&verdict={verdict}");
        loop {
            let page = server.get(&query).await.json();
            *counted += page["items"].as_array().unwrap().len();
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            query = format!("/deliveries?limit=200&verdict={verdict}&cursor={cursor}");
        }
    }
    assert!((500..510).contains(&count[0]) && (50..55).contains(&count[1]), "{count:?}");
    // Who is known is recorded all the same, also where what they send is refused.
    assert_eq!(server.send(signed("the old secret", "d", "{")).await.status, 400);
    recorded(&server, "?verdict=malformed", 1).await;
    assert_eq!(server.send(signed("the old secret", "d", r#"{"n":1}"#)).await.status, 202);
    recorded(&server, "?verdict=accepted", 1).await;
}

#[tokio::test(start_paused = true)]
async fn large_bodies_are_cut_and_then_neither_checked_nor_replayed() {
    let server = serving(json!({})).await;
    let body = format!("{{\"n\":\"{}\"}}", "x".repeat(300_000));
    server.send(signed("wrong", "d", &body)).await;
    let cut = newest(&server, 1).await;
    assert_eq!((&cut["kept"], &cut["bytes"]), (&json!("cut"), &json!(body.len())));
    assert_eq!(cut["body"].as_str().unwrap(), &body[..256 << 10]);
    for what in ["check", "replay"] {
        let refused = server.post_owned(format!("/deliveries/{}/{what}", id(&cut)), Value::Null).await;
        assert_eq!(refused.problem().1, "invalid_state");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_master_key_only_masked_headers_are_kept() {
    let server = Server::without_keys();
    server.publish_with_warnings("w", hooked(json!({}))).await;
    server.send(signed("any", "d-1", "{}")).await;
    let shown = newest(&server, 1).await;
    assert_eq!(
        (&shown["verdict"], &shown["kept"], &shown["body"]),
        (&json!("needs_secret"), &json!("none"), &Value::Null)
    );
    assert_eq!(shown["headers"]["x-github-delivery"], "d-1");
    let refused = server.post_owned(format!("/deliveries/{}/check", id(&shown)), Value::Null).await;
    assert_eq!(refused.problem().1, "invalid_state");
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_paged() {
    let server = serving(json!({})).await;
    for n in 0..5 {
        let secret = if n % 2 == 0 { "the old secret" } else { "wrong" };
        server.send(signed(secret, &format!("d-{n}"), r#"{"n":1}"#)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = recorded(&server, "", 5).await;
    let ids = |items: &[Value]| items.iter().map(|item| item["delivery_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&all), ["d-4", "d-3", "d-2", "d-1", "d-0"]);
    assert_eq!(ids(&recorded(&server, "?verdict=mismatch", 2).await), ["d-3", "d-1"]);
    assert_eq!(recorded(&server, "?workflow=w", 5).await.len(), 5);
    assert!(recorded(&server, "?workflow=other", 0).await.is_empty());
    let from = all[1]["at"].as_str().unwrap();
    assert_eq!(ids(&recorded(&server, &format!("?from={from}"), 2).await), ["d-4", "d-3"]);
    assert_eq!(ids(&recorded(&server, &format!("?to={from}"), 3).await), ["d-2", "d-1", "d-0"]);
    let page = server.get("/deliveries?limit=2").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = server.get(&format!("/deliveries?limit=2&cursor={cursor}")).await.json();
    assert_eq!(ids(next["items"].as_array().unwrap()), ["d-2", "d-1"]);
    for bad in ["verdict=nice", "workflow=A", "from=then", "limit=0", "what=1"] {
        assert_eq!(server.get(&format!("/deliveries?{bad}")).await.problem().1, "invalid_request", "{bad}");
    }
    for missing in ["x", "019b6968-0000-7000-8000-000000000001"] {
        assert_eq!(server.get(&format!("/deliveries/{missing}")).await.status, 404);
        let check = server.post_owned(format!("/deliveries/{missing}/check"), Value::Null).await;
        assert_eq!(check.status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_refuses_cannot_be_replayed() {
    let schema = json!({ "type": "object", "required": ["n"] });
    let server = serving(json!({ "body_schema": schema, "filter": "body.skip != `true`" })).await;
    let mut sent = 0;
    let mut replay = async |body: &str| {
        server.send(signed("wrong", "d", body)).await;
        sent += 1;
        let delivery = newest(&server, sent).await;
        server.post_owned(format!("/deliveries/{}/replay", id(&delivery)), Value::Null).await
    };
    assert_eq!(replay("{}").await.problem().1, "input_invalid");
    assert_eq!(replay("{").await.problem().1, "input_invalid");
    assert_eq!(replay(r#"{"skip":true}"#).await.json(), json!({ "status": "ignored" }));
    assert_eq!(replay(r#"{"n":1}"#).await.status, 201);
    let other = replay(r#"{"n":2}"#).await;
    assert_eq!((other.status.as_u16(), other.problem().1.as_str()), (409, "idempotency_key_reused"));
    let delivery = newest(&server, sent).await;
    let bad = json!({ "verify": { "scheme": "nope" } });
    let refused = server.post_owned(format!("/deliveries/{}/check", id(&delivery)), bad).await;
    assert_eq!(refused.problem().1, "invalid_definition");
    server.call("POST", "/workflows/w/unpublish", Value::Null).await;
    let gone = server.post_owned(format!("/deliveries/{}/replay", id(&delivery)), Value::Null).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_lets_in_its_burst_and_says_when_to_come_again() {
    let limit = json!({ "per_second": 0.1, "burst": 2, "key": "body.of" });
    let server = serving(
        json!({ "verify": { "scheme": "none" }, "rate_limit": limit, "dedupe": { "key": "body.id" } }),
    )
    .await;
    let send = async |of: Value, id: u32| {
        let body = json!({ "of": of, "id": id, "n": 1 }).to_string();
        let request = Request::post("/hooks/default/in").header("content-type", "application/json");
        server.send(request.body(Body::from(body)).unwrap()).await
    };
    for (of, id) in [("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
        assert_eq!(send(json!(of), id).await.status, 202, "{of} {id}");
    }
    let refused = send(json!("a"), 5).await;
    assert_eq!(refused.problem().1, "rate_limited");
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "10"));
    // A repetition takes no token and is told so; and those without a key have one bucket together.
    assert_eq!(send(json!("a"), 1).await.json()["duplicate"], true);
    assert_eq!(send(Value::Null, 6).await.status, 202);
    assert_eq!(send(Value::Null, 7).await.status, 202);
    assert_eq!(send(Value::Null, 8).await.status, 429);
    let limited = recorded(&server, "?verdict=rate_limited", 2).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(send(json!("a"), 5).await.status, 202);
    assert_eq!(send(json!("a"), 9).await.status, 429);
    // Whoever routes a delivery again is not limited.
    let never = limited.iter().find(|delivery| delivery["body"]["id"] == 8).unwrap();
    let replayed = server.post_owned(format!("/deliveries/{}/replay", id(never)), Value::Null).await;
    assert_eq!(replayed.status, 201);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_get_no_more_than_the_burst() {
    let server =
        serving(json!({ "verify": { "scheme": "none" }, "rate_limit": { "per_second": 1, "burst": 7 } }))
            .await;
    let send = |n: usize| {
        let body = format!("{{\"n\":{n}}}");
        let request = Request::post("/hooks/default/in").header("content-type", "application/json");
        server.send_unchecked(request.body(Body::from(body)).unwrap())
    };
    let replies = futures_util::future::join_all((0..50).map(send)).await;
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!((count(202), count(429)), (7, 43));
}

#[tokio::test(start_paused = true)]
async fn bodies_past_the_memory_for_them_are_refused_for_now() {
    let server = Server::with(RouterOptions::new(OpenLoopback).max_hook_bytes(1_000));
    server.publish_with_warnings("w", hooked(json!({ "verify": { "scheme": "none" } }))).await;
    let post = |body: Body| {
        Request::post("/hooks/default/in").header("content-type", "application/json").body(body).unwrap()
    };
    let large = || Body::from(format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(600)));
    // A sender that never ends its body holds what it has sent.
    let first = stream::iter([Ok::<_, std::io::Error>("x".repeat(600))]);
    let slow = first.chain(stream::pending());
    let waiting = server.send_unchecked(post(Body::from_stream(slow)));
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let refused = server.send(post(large())).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
    assert_eq!(newest(&server, 1).await["verdict"], "overloaded");
    assert_eq!(waiting.await.status, 408);
    assert_eq!(server.send(post(large())).await.status, 202);
}

/// A hook whose senders wait for a run that goes on waiting.
fn waited_for() -> Value {
    let mut definition = waiting();
    let config = json!({ "path": "in", "verify": { "scheme": "none" }, "respond": { "wait": "30s" } });
    definition["triggers"] = json!([{ "id": "hook", "type": "webhook", "config": config }]);
    definition
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_goes_away_leaves_its_delivery() {
    let server = Server::open();
    server.publish("w", waited_for()).await;
    let post = || {
        let request = Request::post("/hooks/default/in").header("content-type", "application/json");
        request.body(Body::from(r#"{"id":1}"#)).unwrap()
    };
    let gone = tokio::time::timeout(Duration::from_secs(10), server.send_unchecked(post())).await;
    assert!(gone.is_err());
    let left = newest(&server, 1).await;
    assert_eq!((&left["verdict"], &left["kept"]), (&json!("accepted"), &json!("in_run")));
    // Its run is known, and no second one is started.
    let runs = server.get("/runs").await.json()["items"].take();
    assert_eq!((runs.as_array().unwrap().len(), &runs[0]["id"]), (1, &left["run_id"]));
    let replayed = server.post_owned(format!("/deliveries/{}/replay", id(&left)), Value::Null).await;
    assert_eq!(
        (replayed.problem().1.as_str(), &replayed.json()["run_id"]),
        ("invalid_state", &left["run_id"])
    );
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_a_run_holds_no_memory_for_its_body() {
    let server = Server::with(RouterOptions::new(OpenLoopback).max_hook_bytes(1_000));
    server.publish("w", waited_for()).await;
    let post = || {
        let request = Request::post("/hooks/default/in").header("content-type", "application/json");
        server.send(request.body(Body::from(format!("\"{}\"", "x".repeat(600)))).unwrap())
    };
    let late = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        post().await
    };
    let (first, second) = tokio::join!(post(), late);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (202, 202));
    assert!(recorded(&server, "", 2).await.iter().all(|one| one["status"] == 202));
}

#[tokio::test(start_paused = true)]
async fn the_key_of_a_rate_limit_is_computed_after_the_schema_was_asked() {
    let limit = json!({ "per_second": 1, "burst": 2, "key": "abs(body.n)" });
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let server =
        serving(json!({ "verify": { "scheme": "none" }, "rate_limit": limit, "body_schema": schema })).await;
    let post = |body: &'static str| {
        let request = Request::post("/hooks/default/in").header("content-type", "application/json");
        server.send(request.body(Body::from(body)).unwrap())
    };
    assert_eq!(post(r#"{"n":"one"}"#).await.status, 422);
    assert_eq!(post("{}").await.status, 400);
    assert_eq!(post(r#"{"n":1}"#).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_delivery_is_the_one_that_was_answered() {
    let server = serving(json!({ "verify": { "scheme": "none" } })).await;
    let torn = stream::iter([Ok("{"), Err(std::io::Error::other("torn"))]);
    let request = Request::post("/hooks/default/in").body(Body::from_stream(torn)).unwrap();
    let status = server.send(request).await.status.as_u16();
    let torn = newest(&server, 1).await;
    assert_eq!((status, &torn["status"], &torn["verdict"]), (400, &json!(400), &json!("incomplete")));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_shows_no_part_of_a_secret() {
    let server = serving(json!({})).await;
    server.call("PUT", "/secrets/plain", json!({ "value": "abcdefgh12345678" })).await;
    let astray = format!("/hooks/default/{}abcdefgh12345678", "x".repeat(248));
    server.send(Request::post(astray).body(Body::empty()).unwrap()).await;
    let path = newest(&server, 1).await["path"].take();
    assert_eq!(path, format!("{}***", "x".repeat(248)));
    let body = format!("{}abcdefgh12345678", "x".repeat((256 << 10) - 8));
    server.send(signed("wrong", "d", &body)).await;
    let cut = newest(&server, 2).await;
    assert_eq!(cut["kept"], "cut");
    assert!(cut["body"].as_str().unwrap().ends_with("x***"), "{}", id(&cut));
    // Nobody finds a secret in what is compressed.
    let mut packed = signed("wrong", "d", &"x".repeat(300_000));
    packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    server.send(packed).await;
    let packed = newest(&server, 3).await;
    assert_eq!((&packed["kept"], &packed["body"]), (&json!("cut"), &Value::Null));
}
