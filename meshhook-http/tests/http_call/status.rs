//! Which statuses fail, which may be retried, and when.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::exec::{Attempt, Executor};
use meshhook_core::secret::{Masker, SecretValue};
use meshhook_core::time::Timestamp;
use meshhook_http::HttpExecutor;
use serde_json::json;

use crate::server::{Reply, Server, answer};
use crate::{call, output};

#[derive(Debug)]
struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[tokio::test]
async fn statuses_are_success_retryable_or_final() {
    let server = Server::start(|_, request| {
        let status = request.target.trim_start_matches('/');
        Reply::SendAndClose(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes())
    })
    .await;
    for status in [200, 201, 202, 226, 299] {
        let config = json!({"method": "POST", "url": server.url(&format!("/{status}"))});
        assert_eq!(output(config).await["status"], status);
    }
    for (status, retryable) in [
        (300, false),
        (304, false),
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (408, true),
        (409, false),
        (422, false),
        (425, true),
        (429, true),
        (499, false),
        (500, true),
        (501, true),
        (502, true),
        (503, true),
        (504, true),
        (599, true),
        (600, false),
        (999, false),
    ] {
        let config = json!({"method": "POST", "url": server.url(&format!("/{status}"))});
        let failure = call(config).await.unwrap_err().failure;
        assert_eq!((failure.code.as_ref(), failure.retryable), ("http_status", retryable), "{status}");
        assert_eq!(failure.details.unwrap()["status"], status);
    }
}

#[tokio::test]
async fn a_status_in_success_is_success() {
    for (status, success, succeeds) in [
        ("404 Not Found", json!([404]), true),
        ("503 Unavailable", json!(["5xx"]), true),
        ("409 Conflict", json!(["2xx", 409]), true),
        ("200 OK", json!([201]), false),
        ("200 OK", json!([]), false),
    ] {
        let server = Server::always(answer(status, &[], "")).await;
        let result = call(json!({"method": "GET", "url": server.url("/"), "success": success})).await;
        assert_eq!(result.is_ok(), succeeds, "{status} {success}");
        if let Err(error) = result {
            assert!(!error.failure.retryable);
        }
    }
}

#[tokio::test]
async fn details_hold_status_headers_and_the_start_of_the_body() {
    let body = format!("{}é{}", "x".repeat(4_095), "y".repeat(200_000));
    let server = Server::always(answer("422 Unprocessable", &[("X-Why", "because")], &body)).await;
    let failure = call(json!({"method": "GET", "url": server.url("/")})).await.unwrap_err().failure;
    assert_eq!(failure.message, format!("{} answered 422 Unprocessable Entity", server.address));
    let details = failure.details.unwrap();
    assert_eq!(details["headers"]["x-why"], "because");
    assert_eq!(details["body"], "x".repeat(4_095));
    let members: Vec<_> = details.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 3, "{members:?}");
}

#[tokio::test]
async fn secrets_are_masked_before_the_body_is_cut() {
    let secret = "s3cr3t-".repeat(20);
    // The cut would fall into the echoed secret, and what remained would not be recognized.
    let body = format!("{}{secret}{}", "x".repeat(4_090), "y".repeat(100));
    let server = Server::always(answer("401 Unauthorized", &[], body)).await;
    let mut attempt = Attempt::sample(json!({"method": "GET", "url": server.url("/")}));
    attempt.masker = Arc::new(Masker::new([&SecretValue::new(secret)]));
    let failure = crate::executor().execute(attempt).await.unwrap_err().failure;
    assert_eq!(failure.details.unwrap()["body"], format!("{}***yyy", "x".repeat(4_090)));
}

#[tokio::test]
async fn details_are_bounded_whatever_the_headers() {
    let long = "h".repeat(3_000);
    let headers: Vec<(String, &str)> = (0..20).map(|n| (format!("x-{n}"), long.as_str())).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let server = Server::always(answer("400 Bad Request", &headers, "")).await;
    let failure = call(json!({"method": "GET", "url": server.url("/")})).await.unwrap_err().failure;
    assert!(failure.to_value().to_string().len() < 20_000);
}

#[tokio::test]
async fn a_refused_answer_with_a_slow_body_is_still_that_answer() {
    let start = b"HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\nnot he".to_vec();
    let server = Server::always(Reply::SendAndHang(start)).await;
    let mut attempt = Attempt::sample(json!({"method": "GET", "url": server.url("/")}));
    attempt.timeout = Duration::from_millis(400);
    let failure = crate::executor().execute(attempt).await.unwrap_err().failure;
    assert_eq!((failure.code.as_ref(), failure.retryable), ("http_status", false));
    assert_eq!(failure.details.unwrap()["body"], "not he");
}

#[tokio::test]
async fn retry_after_moves_the_next_attempt() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let hour = Duration::from_secs(3_600);
    for (status, values, expected) in [
        ("429 Too Many", &["7"][..], Some(Duration::from_secs(7))),
        ("503 Unavailable", &["Fri, 02 Jan 2026 03:04:35 GMT"], Some(Duration::from_secs(30))),
        ("500 Oops", &["5"], Some(Duration::from_secs(5))),
        ("503 Unavailable", &["86400"], Some(hour)),
        ("503 Unavailable", &["1000000000000000000"], Some(hour)),
        ("503 Unavailable", &["Fri, 31 Dec 9999 23:59:59 GMT"], Some(hour)),
        ("503 Unavailable", &["0"], None),
        ("503 Unavailable", &["-1"], None),
        ("503 Unavailable", &["1e18"], None),
        ("503 Unavailable", &["soon"], None),
        ("503 Unavailable", &["Fri, 02 Jan 2026 03:04:00 GMT"], None),
        ("503 Unavailable", &["3", "3"], None),
        ("503 Unavailable", &[], None),
        ("404 Not Found", &["7"], None),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("Retry-After", *value)).collect();
        let server = Server::always(answer(status, &headers, "")).await;
        let executor =
            HttpExecutor::builder().allow_private_network().clock(Arc::new(Fixed(now))).build().unwrap();
        let config = json!({"method": "GET", "url": server.url("/")});
        let error = executor.execute(Attempt::sample(config)).await.unwrap_err();
        assert_eq!(error.retry_not_before, expected.map(|wait| now.after(wait)), "{status} {values:?}");
    }
}
