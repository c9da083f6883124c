use axum::body::Body;
use http_body_util::BodyExt as _;
use meshhook_axum::{OpenLoopback, RouterOptions};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::kit::{Reply, Server, api, calling, doubling, waiting};

/// Id, type and event of each message.
fn messages(body: &[u8]) -> Vec<(u64, String, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let field = |message: &str, name: &str| {
        let mut lines = message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = lines.next().unwrap_or_else(|| panic!("{name} in {message:?}")).to_owned();
        assert_eq!(lines.next(), None, "one {name} in {message:?}");
        value
    };
    text.split("\n\n")
        .filter(|message| !message.is_empty() && !message.starts_with(':'))
        .map(|message| {
            let data: Value = serde_json::from_str(&field(message, "data")).unwrap();
            (field(message, "id").parse().unwrap(), field(message, "event"), data)
        })
        .collect()
}

impl Server {
    async fn follow(&self, run: &str, last: Option<&str>) -> Reply {
        let mut request = api("GET", &format!("/runs/{run}/stream"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_history_and_ends_with_the_run() {
    let server = Server::open();
    server.publish("w", calling()).await;
    *server.effects.takes.lock().unwrap() = std::time::Duration::from_secs(20);
    let started = server.post("/workflows/w/runs", json!({})).await.json();
    let run = started["run_id"].as_str().unwrap();
    let reply = server.follow(run, None).await;
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-accel-buffering"), "no");
    assert!(String::from_utf8_lossy(&reply.body).contains("\n:"), "a comment keeps the silent stream alive");
    let told: Vec<Value> = messages(&reply.body).into_iter().map(|(_, _, event)| event).collect();
    let history = server.get(&format!("/runs/{run}/events")).await.json();
    assert_eq!(json!(told), history["items"]);
    let kinds: Vec<(u64, String)> =
        messages(&reply.body).into_iter().map(|(id, kind, _)| (id, kind)).collect();
    assert_eq!(kinds.first().map(|(id, kind)| (*id, kind.as_str())), Some((1, "run_created")));
    assert_eq!(kinds.last().map(|(_, kind)| kind.as_str()), Some("run_succeeded"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_resumes_behind_the_last_event() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    let run = server.run("w", json!({ "n": 1 })).await;
    let run = run["run_id"].as_str().unwrap();
    for (last, expected) in
        [("0", vec![1, 2, 3]), ("1", vec![2, 3]), ("2", vec![3]), ("3", vec![]), ("99", vec![])]
    {
        let ids: Vec<u64> =
            messages(&server.follow(run, Some(last)).await.body).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(ids, expected, "after {last}");
    }
    for malformed in ["", "-1", "x", "1.0", "+1", " 1 2", "9223372036854775808", "99999999999999999999999"] {
        let refused = server.follow(run, Some(malformed)).await;
        assert_eq!(
            refused.problem(),
            (400, "invalid_request".into(), "header.last-event-id".into()),
            "{malformed:?}"
        );
    }
    let nobody = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(server.follow(nobody, None).await.problem().0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_retried_is_told_past_its_first_end() {
    let server = Server::open();
    server.publish("w", calling()).await;
    server.fail_next(1);
    let run = server.run("w", Value::Null).await;
    let run = run["run_id"].as_str().unwrap();
    server.post(&format!("/runs/{run}/retry"), Value::Null).await;
    server.until(run, "succeeded").await;
    let kinds: Vec<String> =
        messages(&server.follow(run, None).await.body).into_iter().map(|(_, kind, _)| kind).collect();
    assert!(kinds.contains(&"run_failed".into()) && kinds.contains(&"run_retried".into()), "{kinds:?}");
    assert_eq!(kinds.last().map(String::as_str), Some("run_succeeded"));
}

#[tokio::test(start_paused = true)]
async fn text_in_events_cannot_leave_its_line() {
    let server = Server::open();
    server.publish("w", json!({ "name": "Echo", "nodes": [{ "id": "e", "type": "transform", "config": { "expression": "input" } }] })).await;
    let nasty = "\n\nevent: admin\ndata: {}\r\n: \u{1b}[31m\u{2028}\u{0}";
    let run = server.run("w", json!(nasty)).await;
    let reply = server.follow(run["run_id"].as_str().unwrap(), None).await;
    let told = messages(&reply.body);
    assert_eq!(told.len(), 3);
    assert_eq!(told[0].2["data"]["input"], nasty);
}

#[tokio::test(start_paused = true)]
async fn streams_are_limited_and_their_places_come_back() {
    let server = Server::with(RouterOptions::new(OpenLoopback).max_streams(1));
    server.publish("w", waiting()).await;
    let started = server.post("/workflows/w/runs", json!({})).await.json();
    let run = started["run_id"].as_str().unwrap();
    let request = || api("GET", &format!("/runs/{run}/stream")).body(Body::empty()).unwrap();
    let mut open = server.router.clone().oneshot(request()).await.unwrap().into_body();
    assert!(open.frame().await.is_some());
    let refused = server.send(request()).await;
    assert_eq!((refused.problem().1.as_str(), refused.header("retry-after")), ("unavailable", "1"));
    drop(open);
    assert_eq!(server.router.clone().oneshot(request()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_streams_and_waits() {
    let server = Server::open();
    server.publish("w", waiting()).await;
    let started = server.post("/workflows/w/runs", json!({})).await.json();
    let run = started["run_id"].as_str().unwrap().to_owned();
    let stopping = async {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        server.engine.shutdown(std::time::Duration::from_secs(10)).await;
    };
    let begun = tokio::time::Instant::now();
    let (_, told, waited) = tokio::join!(stopping, server.follow(&run, None), server.run("w", Value::Null));
    let kinds: Vec<String> = messages(&told.body).into_iter().map(|(_, kind, _)| kind).collect();
    assert_eq!(kinds, ["run_created"]);
    assert_eq!(waited["status"], "waiting");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
