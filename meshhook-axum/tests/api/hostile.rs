//! What nobody should send.

use axum::Router;
use axum::body::Body;
use futures_util::StreamExt as _;
use meshhook_axum::{AdminKey, OpenLoopback, RouterOptions};
use serde_json::{Value, json};

use crate::kit::{Server, api, doubling};

#[tokio::test(start_paused = true)]
async fn a_path_has_one_spelling() {
    let server = Server::guarded("k");
    for path in [
        "/api//projects",
        "//api/projects",
        "/api/projects/",
        "/API/projects",
        "/api/Projects",
        "/api/projects.",
        "/api/./projects",
        "/api/x/../projects",
        "/api/%70rojects",
        "/api%2fprojects",
        "/api/projects%2f",
        "/api/projects;x",
        "/api",
        "/api/",
        "/",
        "/api/projects/default",
        "/api/projects//workflows",
        "/api/projects/default/workflows/",
        "/healthz/",
        "/Healthz",
        "/hooks",
        "/hooks/",
        "/hooks/default",
        "/hooks/default/",
    ] {
        let reply = server
            .send_unchecked(api("GET", path).header("authorization", "Bearer k").body(Body::empty()).unwrap())
            .await;
        assert_eq!(reply.problem(), (404, "not_found".into(), String::new()), "{path}");
    }
    // An escaped letter in a name is the same name, and the key is asked for all the same.
    let escaped = "/api/projects/%64efault/workflows";
    let reply = server.send_unchecked(api("GET", escaped).body(Body::empty()).unwrap()).await;
    assert_eq!(reply.problem().0, 401);
    for name in ["a%2fb", "..", "%2e%2e", "%00", "%ff", "a%20b", "A"] {
        let path = format!("/api/projects/default/workflows/{name}");
        let reply = server
            .send_unchecked(
                api("GET", &path).header("authorization", "Bearer k").body(Body::empty()).unwrap(),
            )
            .await;
        assert_eq!(reply.problem().0, 404, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_refused_with_the_right_ones() {
    let server = Server::open();
    for (method, path, allow) in [
        ("PATCH", "/workflows", "GET,HEAD,POST"),
        ("POST", "/workflows/w", "DELETE,GET,HEAD,PUT"),
        ("GET", "/workflows/w/publish", "POST"),
        ("OPTIONS", "/runs", "GET,HEAD"),
        ("TRACE", "/runs", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
    ] {
        let reply = server.send_unchecked(api(method, path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.problem().1, "method_not_allowed", "{method} {path}");
        let mut allowed: Vec<&str> = reply.header("allow").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_read_strictly() {
    let server = Server::open();
    let send = |media: Option<&'static str>, body: Vec<u8>| {
        let mut request = api("POST", "/preview");
        if let Some(media) = media {
            request = request.header("content-type", media);
        }
        server.send(request.body(Body::from(body)).unwrap())
    };
    let json = || br#"{"expression":"`1`"}"#.to_vec();
    for media in [
        None,
        Some("application/json"),
        Some("application/json; charset=UTF-8"),
        Some("application/vnd.x+json"),
    ] {
        assert_eq!(send(media, json()).await.status, 200, "{media:?}");
    }
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/yaml",
        "",
    ] {
        assert_eq!(send(Some(media), json()).await.problem().1, "unsupported_media_type", "{media}");
    }
    for (body, path) in [
        (&br#"{"expression":"a","expression":"b"}"#[..], "body"),
        (b"{\"expression\":\"\\ud800\"}", "body.expression"),
        (b"\xef\xbb\xbf{}", "body"),
        (b"{\"expression\":\"\xff\"}", "body"),
        (b"{} {}", "body"),
        (b"{", "body"),
        (b"nonsense", "body"),
        (b"{\"sample\":{\"a\":[1,1e999]}}", "body.sample.a[1]"),
    ] {
        let (status, code, place) = send(None, body.to_vec()).await.problem();
        assert_eq!((status, code.as_str()), (400, "invalid_json"), "{body:?}");
        assert!(place.starts_with(path), "{place} {body:?}");
    }
    let deep = format!(r#"{{"sample":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(send(None, deep.into_bytes()).await.problem().1, "invalid_json");
    let encoded =
        api("POST", "/preview").header("content-encoding", "gzip").body(Body::from(json())).unwrap();
    assert_eq!(server.send(encoded).await.problem().0, 415);
    let announced =
        api("POST", "/preview").header("content-length", "10737418240").body(Body::empty()).unwrap();
    let refused = server.send(announced).await;
    assert_eq!((refused.problem().1.as_str(), refused.header("connection")), ("payload_too_large", "close"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_away_so_that_its_sender_reads_the_answer() {
    let server = Server::open();
    for announced in [true, false] {
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = sent.clone();
        let chunks = futures_util::stream::iter(0..80).map(move |_| {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 64 * 1024]))
        });
        let mut request = api("POST", "/preview");
        if announced {
            request = request.header("content-length", (80 * 64 * 1024).to_string());
        }
        let reply = server.send(request.body(Body::from_stream(chunks)).unwrap()).await;
        assert_eq!((reply.problem().0, sent.load(std::sync::atomic::Ordering::Relaxed)), (413, 80));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_given_up() {
    let server = Server::open();
    let endless = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let started = tokio::time::Instant::now();
    let reply = server.send(api("POST", "/preview").body(Body::from_stream(endless)).unwrap()).await;
    assert_eq!((reply.problem().0, reply.header("connection")), (408, "close"));
    assert_eq!(started.elapsed().as_secs(), 30);
    let flood = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 4_096]))
    });
    let reply = server.send(api("POST", "/preview").body(Body::from_stream(flood)).unwrap()).await;
    assert_eq!(reply.problem().1, "payload_too_large");
}

#[tokio::test(start_paused = true)]
async fn answers_carry_what_keeps_browsers_and_caches_out() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    for path in ["/workflows/w", "/workflows/nope", "/api/nothing", "/healthz"] {
        let request = api("GET", path).header("origin", "https://evil.example").body(Body::empty()).unwrap();
        let reply = server.send_unchecked(request).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "", "{path}");
        assert!(!reply.header("x-request-id").is_empty(), "{path}");
    }
    let named = api("GET", "/healthz").header("x-request-id", "abc-1").body(Body::empty()).unwrap();
    assert_eq!(server.send(named).await.header("x-request-id"), "abc-1");
    let odd = api("GET", "/healthz")
        .header("x-request-id", "a b\u{1}".replace('\u{1}', "\""))
        .body(Body::empty())
        .unwrap();
    assert_ne!(server.send(odd).await.header("x-request-id"), "a b\"");
}

#[tokio::test(start_paused = true)]
async fn without_a_key_other_hosts_and_origins_are_refused() {
    let server = Server::open();
    let rebound = api("GET", "/workflows").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(server.send(rebound).await.problem().1, "forbidden");
    let foreign = api("POST", "/workflows/w/publish")
        .header("host", "localhost")
        .header("origin", "https://evil.example")
        .body(Body::empty())
        .unwrap();
    assert_eq!(server.send(foreign).await.problem().1, "forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_url_is_none() {
    let server = Server::guarded("k");
    for query in ["key=k", "token=k", "access_token=k"] {
        assert_eq!(server.get(&format!("/workflows?{query}")).await.problem().0, 401);
        let both = api("GET", &format!("/workflows?{query}"))
            .header("authorization", "Bearer k")
            .body(Body::empty())
            .unwrap();
        assert_eq!(server.send(both).await.problem().0, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn the_router_works_below_any_path() {
    let mut server = Server::with(RouterOptions::new(OpenLoopback));
    server.router = Router::new().nest("/a/b", server.router.clone());
    let send = |method: &str, path: &str, body: Value| {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        server.send_unchecked(
            http::Request::builder()
                .method(method)
                .uri(format!("/a/b{path}"))
                .header("host", "localhost")
                .body(body)
                .unwrap(),
        )
    };
    let mut definition = doubling();
    definition["triggers"] = json!([{ "id": "h", "type": "webhook", "config": { "path": "x/y", "verify": { "scheme": "none" } } }]);
    send("POST", "/api/projects/default/workflows", json!({ "slug": "w", "definition": definition })).await;
    let published = send("POST", "/api/projects/default/workflows/w/publish", Value::Null).await.json();
    assert_eq!(published["triggers"][0]["url"], "http://localhost/a/b/hooks/default/x/y");
    assert_eq!(send("POST", "/hooks/default/x/y", json!({ "n": 1 })).await.status, 202);
    assert_eq!(send("GET", "/nothing", Value::Null).await.problem().0, 404);
}

#[tokio::test(start_paused = true)]
async fn health_needs_no_key() {
    let server = Server::with(RouterOptions::new(AdminKey::new("k")).metrics(|| "up 1\n".into()));
    assert_eq!(server.get("/healthz").await.json(), json!({ "status": "ok" }));
    assert_eq!(server.get("/readyz").await.status, 200);
    let metrics = server.get("/metrics").await;
    assert_eq!((metrics.status.as_u16(), &metrics.body[..]), (200, &b"up 1\n"[..]));
    assert_eq!(Server::guarded("k").get("/metrics").await.problem().0, 404);
    server.engine.shutdown(std::time::Duration::from_secs(1)).await;
    assert_eq!(server.get("/readyz").await.problem().1, "unavailable");
    assert_eq!(server.get("/healthz").await.status, 200);
}
