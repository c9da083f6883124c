//! Hosts that fail again and again, and how many attempts reach one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_http::{HttpExecutor, HttpExecutorBuilder};
use serde_json::json;

use crate::server::{Reply, Server, answer};
use crate::{retryable, summary};

fn builder() -> HttpExecutorBuilder {
    HttpExecutor::builder().allow_private_network()
}

async fn get(executor: &HttpExecutor, url: &str) -> Result<Outcome, AttemptError> {
    executor.execute(Attempt::sample(json!({"method": "GET", "url": url}))).await
}

#[tokio::test]
async fn a_failing_host_is_left_alone_until_a_probe_succeeds() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let server = Server::start(move |_, _| match up.load(Ordering::SeqCst) {
        true => answer("200 OK", &[], ""),
        false => answer("503 Unavailable", &[], ""),
    })
    .await;
    let open = Duration::from_millis(200);
    let executor = builder().breaker(3, open, open).build().unwrap();
    for _ in 0..3 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"));
    }
    let error = get(&executor, &server.url("/")).await.unwrap_err();
    assert_eq!((error.failure.code.as_ref(), error.failure.retryable), ("http_connect", true));
    assert!(error.failure.message.contains("circuit breaker"), "{}", error.failure.message);
    assert!(error.retry_not_before.is_some());
    assert_eq!(server.requests().len(), 3);

    tokio::time::sleep(open + Duration::from_millis(50)).await;
    assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"), "a probe");
    assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_connect"));
    assert_eq!(server.requests().len(), 4);

    is_up.store(true, Ordering::SeqCst);
    tokio::time::sleep(open + Duration::from_millis(50)).await;
    for _ in 0..3 {
        assert!(get(&executor, &server.url("/")).await.is_ok());
    }
}

#[tokio::test]
async fn answers_that_blame_the_request_do_not_open_it() {
    let server = Server::always(answer("429 Too Many Requests", &[], "")).await;
    let executor = builder().breaker(2, Duration::from_secs(60), Duration::from_secs(60)).build().unwrap();
    for _ in 0..4 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"));
    }
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn ordinary_retries_do_not_meet_it() {
    let server = Server::always(Reply::SendAndClose(Vec::new())).await;
    let executor = builder().build().unwrap();
    for _ in 0..20 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_transport"));
    }
    assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_connect"));
    assert_eq!(server.requests().len(), 20);
    let unguarded = builder().without_breaker().build().unwrap();
    for _ in 0..25 {
        assert_eq!(summary(get(&unguarded, &server.url("/")).await), retryable("http_transport"));
    }
}

#[tokio::test]
async fn projects_have_their_own() {
    let server = Server::always(answer("500 Oops", &[], "")).await;
    let executor = builder().breaker(1, Duration::from_secs(60), Duration::from_secs(60)).build().unwrap();
    let mut other = Attempt::sample(json!({"method": "GET", "url": server.url("/")}));
    other.project = "other".parse().unwrap();
    assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"));
    assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_connect"));
    assert_eq!(summary(executor.execute(other).await), retryable("http_status"));
}

#[tokio::test]
async fn attempts_beyond_the_limit_wait_for_their_turn() {
    let server = Server::always(Reply::Endless(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n".to_vec(),
        b"a".to_vec(),
        Duration::from_millis(20),
    ))
    .await;
    let executor = Arc::new(builder().max_concurrent_per_host(1).build().unwrap());
    let calls = (0..3).map(|_| {
        let (executor, url) = (executor.clone(), server.url("/"));
        tokio::spawn(async move { get(&executor, &url).await.map(|_| tokio::time::Instant::now()) })
    });
    let mut ends = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        ends.push(call.await.unwrap().unwrap());
    }
    ends.sort();
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(30)), "{ends:?}");
}
