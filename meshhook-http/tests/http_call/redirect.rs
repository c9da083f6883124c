//! Redirects on the wire.

use serde_json::json;

use crate::server::{Server, answer, json_answer};
use crate::{call, code_of, output, permanent};

/// A server that redirects from `/start` to `location` with a status, and answers everything else.
async fn redirecting(status: &'static str, location: String) -> Server {
    Server::start(move |_, request| {
        if request.target.starts_with("/start") {
            answer(status, &[("Location", &location)], "moved")
        } else {
            json_answer("\"arrived\"")
        }
    })
    .await
}

#[tokio::test]
async fn redirects_are_answers_unless_the_node_follows_them() {
    let server = redirecting("302 Found", "/end".into()).await;
    let failure = call(json!({"method": "GET", "url": server.url("/start")})).await.unwrap_err().failure;
    assert_eq!((failure.code.as_ref(), failure.retryable), ("http_status", false));
    let details = failure.details.unwrap();
    assert_eq!(details["status"], 302);
    assert_eq!(details["headers"]["location"], "/end");
    let kept = json!({"method": "GET", "url": server.url("/start"), "success": ["3xx"]});
    assert_eq!(output(kept).await["status"], 302);
}

#[tokio::test]
async fn within_an_origin_headers_and_body_follow_the_method() {
    for (status, method, keeps_body) in [
        ("301 Moved Permanently", "GET", false),
        ("302 Found", "GET", false),
        ("303 See Other", "GET", false),
        ("307 Temporary Redirect", "POST", true),
        ("308 Permanent Redirect", "POST", true),
    ] {
        let server = redirecting(status, "/end?x=1#y".into()).await;
        let config = json!({
            "method": "POST", "url": server.url("/start"), "body": {"a": 1}, "follow_redirects": true,
            "headers": {"X-Custom": "c"}, "auth": {"type": "bearer", "token": "t"},
        });
        assert_eq!(output(config).await["body"], "arrived", "{status}");
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        let last = &requests[1];
        assert_eq!((last.method.as_str(), last.target.as_str()), (method, "/end?x=1"), "{status}");
        assert_eq!(last.text(), if keeps_body { r#"{"a":1}"# } else { "" }, "{status}");
        assert_eq!(last.header("content-type").is_some(), keeps_body, "{status}");
        assert_eq!(last.header("x-custom"), Some("c"));
        assert_eq!(last.header("authorization"), Some("Bearer t"));
        assert_eq!(last.header("idempotency-key"), Some("sample-key"));
        assert_eq!(last.header("referer"), None);
    }
}

#[tokio::test]
async fn nothing_of_the_nodes_goes_to_another_origin_and_back() {
    // a/start -> b/start -> a/end: what was dropped stays dropped.
    let home = Server::always(json_answer("\"arrived\"")).await;
    let away = redirecting("307 Temporary Redirect", home.url("/end")).await;
    let away_url = away.url("/start");
    let start =
        Server::start(move |_, _| answer("307 Temporary Redirect", &[("Location", &away_url)], "")).await;
    let config = json!({
        "method": "POST", "url": start.url("/start"), "query": {"key": "secret-query"}, "body": "secret-body",
        "headers": {"X-Custom": "secret-header", "Cookie": "secret-cookie", "User-Agent": "mine"},
        "auth": {"type": "header", "name": "X-Api-Key", "value": "secret-auth"}, "follow_redirects": true,
    });
    assert_eq!(output(config).await["body"], "arrived");
    for request in away.requests().iter().chain(&home.requests()) {
        assert_eq!((request.method.as_str(), request.text()), ("POST", ""));
        let seen = format!("{request:?}");
        assert!(!seen.contains("secret") && !seen.contains("mine"), "{seen}");
        assert_eq!(request.header("idempotency-key"), None);
        assert!(request.header("user-agent").unwrap().starts_with("meshhook/"));
    }
    assert_eq!((away.requests().len(), home.requests().len()), (1, 1));
}

#[tokio::test]
async fn five_redirects_are_followed_and_six_are_not() {
    let server = Server::start(|_, request| {
        let left: u32 = request.target.trim_start_matches('/').parse().unwrap();
        if left == 0 {
            json_answer("\"arrived\"")
        } else {
            answer("302 Found", &[("Location", &format!("/{}", left - 1))], "")
        }
    })
    .await;
    let config = |path: &str| json!({"method": "GET", "url": server.url(path), "follow_redirects": true});
    assert_eq!(output(config("/5")).await["body"], "arrived");
    assert_eq!(server.requests().len(), 6);
    assert_eq!(code_of(config("/6")).await, permanent("redirect_refused"));
    assert_eq!(server.requests().len(), 12);
}

#[tokio::test]
async fn redirects_that_lead_astray_are_refused() {
    for (location, code) in [
        ("ftp://example.com/", "redirect_refused"),
        ("javascript:alert(1)", "redirect_refused"),
        ("http://user:pw@example.com/", "redirect_refused"),
        ("http://[", "redirect_refused"),
        ("//example.com\\@127.0.0.1/", "redirect_refused"),
        ("http://169.254.169.254/latest/meta-data/", "address_blocked"),
        ("http://0xa9fea9fe/", "address_blocked"),
        ("http://[fd00:ec2::254]/", "address_blocked"),
        ("http://metadata.google.internal/", "address_blocked"),
        ("http://example.com:6379/", "address_blocked"),
    ] {
        let server = redirecting("302 Found", location.into()).await;
        let config = json!({"method": "GET", "url": server.url("/start"), "follow_redirects": true});
        assert_eq!(code_of(config).await, permanent(code), "{location}");
    }
}

#[tokio::test]
async fn a_redirect_without_one_location_is_not_followed() {
    let none = Server::always(answer("302 Found", &[], "")).await;
    let config = json!({"method": "GET", "url": none.url("/"), "follow_redirects": true});
    assert_eq!(code_of(config).await, permanent("http_status"));
    let two = Server::always(answer("302 Found", &[("Location", "/a"), ("Location", "/b")], "")).await;
    let config = json!({"method": "GET", "url": two.url("/"), "follow_redirects": true});
    assert_eq!(code_of(config).await, permanent("redirect_refused"));
}
