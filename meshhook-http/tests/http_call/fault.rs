//! Servers that hang, drip, flood, break off and do not speak HTTP.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meshhook_core::exec::{Attempt, Executor};
use meshhook_http::{HttpExecutor, Resolve};
use serde_json::json;

use crate::server::{Reply, Server, answer};
use crate::{call, call_within, code_of, permanent, retryable, summary};

const PATIENCE: Duration = Duration::from_millis(400);

/// Calls a server that never comes to an end, and checks that the attempt does. The slack is for busy machines.
#[expect(clippy::disallowed_methods, reason = "measures that the executor keeps its own deadline")]
async fn outlasted(reply: Reply) -> (String, bool) {
    let server = Server::always(reply).await;
    let started = Instant::now();
    let result = call_within(PATIENCE, json!({"method": "GET", "url": server.url("/")})).await;
    let took = started.elapsed();
    assert!(took < PATIENCE + Duration::from_secs(2), "took {took:?}");
    summary(result)
}

/// Calls a server that sends without end but soon more than is taken.
async fn cut_off(reply: Reply) -> (String, bool) {
    let server = Server::always(reply).await;
    code_of(json!({"method": "GET", "url": server.url("/")})).await
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out() {
    assert_eq!(outlasted(Reply::SendAndHang(Vec::new())).await, retryable("timed_out"));
}

#[tokio::test]
async fn a_body_that_never_ends_times_out_or_is_too_large() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    assert_eq!(outlasted(Reply::SendAndHang(head.clone())).await, retryable("timed_out"));
    let drip = Reply::Endless(head.clone(), b"a".to_vec(), Duration::from_millis(50));
    assert_eq!(outlasted(drip).await, retryable("timed_out"));
    let until_close = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let flood = Reply::Endless(until_close, vec![b'a'; 64 * 1024], Duration::ZERO);
    assert_eq!(cut_off(flood).await, permanent("response_too_large"));
}

#[tokio::test]
async fn headers_that_never_end_are_refused() {
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let drip = Reply::Endless(head.clone(), b"x-drip: 1\r\n".to_vec(), Duration::from_millis(50));
    assert_eq!(outlasted(drip).await, retryable("timed_out"));
    let flood = Reply::Endless(head.clone(), b"x-flood: 1\r\n".repeat(5_000), Duration::ZERO);
    assert_eq!(cut_off(flood).await, retryable("http_transport"));
    let one_long = Reply::Endless([&head[..], b"x-long: "].concat(), vec![b'a'; 64 * 1024], Duration::ZERO);
    assert_eq!(cut_off(one_long).await, retryable("http_transport"));
}

#[tokio::test]
async fn a_flood_of_interim_answers_times_out() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".to_vec();
    let flood = Reply::Endless(Vec::new(), interim, Duration::from_millis(1));
    assert_eq!(outlasted(flood).await, retryable("timed_out"));
}

#[tokio::test]
async fn large_headers_are_a_permanent_failure() {
    let long = "h".repeat(70_000);
    let server = Server::always(answer("200 OK", &[("x-long", &long)], "")).await;
    let config = json!({"method": "GET", "url": server.url("/")});
    assert_eq!(code_of(config).await, permanent("response_too_large"));
}

#[tokio::test]
async fn broken_connections_may_be_tried_again() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly so m".to_vec();
    for reply in [
        Reply::SendAndClose(Vec::new()),
        Reply::SendAndReset(Vec::new()),
        Reply::SendAndReset(cut.clone()),
        Reply::SendAndClose(cut),
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_vec()),
        Reply::SendAndClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        Reply::SendAndClose(b"HTTP/1.1 20".to_vec()),
        Reply::SendAndClose(b"HTTP/1.1 ABC OK\r\n\r\n".to_vec()),
        Reply::SendAndClose(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        Reply::SendAndClose(b"<html>HTTP/0.9</html>".to_vec()),
    ] {
        let server = Server::always(reply.clone()).await;
        let config = json!({"method": "POST", "url": server.url("/"), "body": 1});
        assert_eq!(code_of(config).await, retryable("http_transport"), "{reply:?}");
        assert_eq!(server.requests().len(), 1, "nothing is sent twice behind the engine's back");
    }
}

#[tokio::test]
async fn what_was_recorded_and_then_cut_comes_again_with_the_same_key_and_body() {
    let server = Server::start(|number, _| match number {
        0 => Reply::SendAndReset(Vec::new()),
        _ => answer("200 OK", &[], ""),
    })
    .await;
    let config = json!({"method": "POST", "url": server.url("/charge"), "body": {"z": 1, "a": 2}});
    assert_eq!(code_of(config.clone()).await, retryable("http_transport"));
    assert!(call(config).await.is_ok());
    let [first, second] = &server.requests()[..] else { panic!("two requests") };
    assert_eq!(first.body, second.body);
    assert_eq!(first.all("idempotency-key"), second.all("idempotency-key"));
}

#[tokio::test]
async fn a_closed_port_may_be_tried_again() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = call(json!({"method": "GET", "url": format!("http://{address}/p?q")})).await.unwrap_err();
    assert_eq!((error.failure.code.as_ref(), error.failure.retryable), ("http_connect", true));
    assert!(error.failure.message.contains("refused"), "{}", error.failure.message);
    assert!(!error.failure.message.contains("/p"), "{}", error.failure.message);
}

/// A name server that does not answer.
struct Silent;

#[async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn resolving_and_handshakes_end_at_the_connect_timeout() {
    let server = Server::always(Reply::SendAndHang(Vec::new())).await;
    let builder = || HttpExecutor::builder().allow_private_network().connect_timeout(PATIENCE);
    let handshake = format!("https://{}/", server.address);
    for (builder, url) in
        [(builder(), handshake.as_str()), (builder().resolver(Silent), "http://silent.example/")]
    {
        let attempt = Attempt::sample(json!({"method": "GET", "url": url}));
        let error = builder.build().unwrap().execute(attempt).await.unwrap_err();
        assert!(error.failure.message.ends_with("it took too long"), "{}", error.failure.message);
        assert_eq!(summary(Err(error)), retryable("http_connect"), "{url}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_never_takes_the_body_times_out() {
    // It accepts and reads nothing; the body is larger than the socket buffers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let stream = listener.accept().await;
        std::future::pending::<()>().await;
        drop(stream);
    });
    let config = json!({"method": "POST", "url": url, "body_text": "x".repeat(12 << 20)});
    assert_eq!(summary(call_within(PATIENCE, config).await), retryable("timed_out"));
    held.abort();
}

#[tokio::test]
async fn an_answer_before_the_body_is_sent_counts() {
    // It answers at the end of the head and takes the body only afterwards.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4_096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await;
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    let config = json!({"method": "POST", "url": url, "body_text": "x".repeat(4 << 20)});
    let failure = call(config).await.unwrap_err().failure;
    assert_eq!((failure.code.as_ref(), failure.retryable), ("http_status", false));
}
