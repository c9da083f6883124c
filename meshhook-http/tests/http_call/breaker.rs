//! Hosts that fail again and again, and how many attempts reach one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use meshhook_core::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook_http::{HttpExecutor, HttpExecutorBuilder};
use serde_json::json;

use crate::server::{Reply, Server, answer};
use crate::{retryable, summary};

fn builder() -> HttpExecutorBuilder {
    HttpExecutor::builder().allow_private_network()
}

/// A first attempt of a step of its own.
fn attempt(url: &str) -> Attempt {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    let mut attempt = Attempt::sample(json!({"method": "GET", "url": url}));
    attempt.idempotency_key = format!("key-{}", STEPS.fetch_add(1, Ordering::SeqCst));
    attempt
}

async fn get(executor: &HttpExecutor, url: &str) -> Result<Outcome, AttemptError> {
    executor.execute(attempt(url)).await
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
    let executor = builder().breaker(3, Duration::from_secs(5), Duration::from_secs(5)).build().unwrap();
    for _ in 0..3 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"));
    }
    let error = get(&executor, &server.url("/")).await.unwrap_err();
    assert_eq!((error.failure.code.as_ref(), error.failure.retryable), ("http_connect", true));
    assert!(error.failure.message.contains("circuit breaker"), "{}", error.failure.message);
    assert!(error.retry_not_before.is_some());
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_failed_in_a_short_outage_can_be_retried_at_once() {
    let server = Server::start(|number, _| match number {
        0..3 => answer("503 Unavailable", &[], ""),
        _ => answer("200 OK", &[], ""),
    })
    .await;
    let open = Duration::from_millis(200);
    let executor = Arc::new(builder().breaker(3, open, open).build().unwrap());
    for _ in 0..3 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_status"));
    }
    let retries: Vec<_> = (0..10)
        .map(|_| {
            let (executor, url) = (executor.clone(), server.url("/"));
            tokio::spawn(async move { get(&executor, &url).await.is_ok() })
        })
        .collect();
    for retry in retries {
        assert!(retry.await.unwrap());
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
async fn retries_of_one_step_do_not_meet_it() {
    let server = Server::always(Reply::SendAndClose(Vec::new())).await;
    let executor = builder().build().unwrap();
    let first = attempt(&server.url("/"));
    for _ in 0..100 {
        assert_eq!(summary(executor.execute(first.clone()).await), retryable("http_transport"));
    }
    assert_eq!(server.requests().len(), 100);
}

#[tokio::test]
async fn it_can_be_left_out() {
    let server = Server::always(Reply::SendAndClose(Vec::new())).await;
    let executor = builder().without_breaker().build().unwrap();
    for _ in 0..25 {
        assert_eq!(summary(get(&executor, &server.url("/")).await), retryable("http_transport"));
    }
}

#[tokio::test]
async fn projects_have_their_own() {
    let server = Server::always(answer("500 Oops", &[], "")).await;
    let executor = builder().breaker(1, Duration::from_secs(60), Duration::from_secs(60)).build().unwrap();
    let mut other = attempt(&server.url("/"));
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
