//! The example server's connections, with bounds that a test can wait for.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/server/listen.rs"]
mod listen;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use listen::Bounds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Long enough that only a connection that is never let go of takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(bounds: Bounds) -> SocketAddr {
    let app = Router::new()
        .route("/small", get(|| async { "small" }))
        .route("/large", get(|| async { Bytes::from(vec![b'x'; 64 << 20]) }))
        .route("/echo", post(|body: Bytes| async { body }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen::serve(listener, app, bounds, CancellationToken::new()));
    address
}

fn short() -> Bounds {
    Bounds { head: Duration::from_millis(300), write: Duration::from_millis(300), ..Bounds::default() }
}

/// Reads until the server ends the connection, in whichever way.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the server let go");
    all
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let mut idle = TcpStream::connect(start(short()).await).await.unwrap();
    assert_eq!(rest(&mut idle).await, b"");
}

#[tokio::test]
async fn a_connection_is_closed_when_no_further_request_comes() {
    let mut stream = TcpStream::connect(start(short()).await).await.unwrap();
    stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answered = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(answered.starts_with("HTTP/1.1 200 OK") && answered.ends_with("small"), "{answered}");
}

#[tokio::test]
async fn a_head_that_trickles_in_has_its_time_as_a_whole() {
    let mut stream = TcpStream::connect(start(short()).await).await.unwrap();
    let begun = Instant::now();
    stream.write_all(b"GET /small HTTP/1.1\r\n").await.unwrap();
    // Each byte comes sooner than the bound, all of them never.
    while stream.write_all(b"X").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the server let go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_broken_off() {
    let address = start(Bounds { connections: 1, ..short() }).await;
    let mut greedy = TcpStream::connect(address).await.unwrap();
    greedy.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // There is a place for one connection, so this one is served when the other was let go.
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut next).await.ends_with(b"small"));
    assert!(rest(&mut greedy).await.len() < 64 << 20);
}

#[tokio::test]
async fn an_answer_that_is_read_slowly_is_sent_whole() {
    let mut stream = TcpStream::connect(start(short()).await).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let (mut read, mut piece) = (0, vec![0; 8 << 20]);
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            bytes => read += bytes,
        }
    }
    assert!(read > 64 << 20, "{read}");
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_and_fields_and_bodies_are_not_counted_with_them() {
    let address = start(Bounds::default()).await;
    let send = async |request: Vec<u8>| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(&request).await;
        let answer = rest(&mut stream).await;
        String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned()
    };
    let head =
        |fields: &str| format!("GET /small HTTP/1.1\r\nConnection: close\r\n{fields}\r\n").into_bytes();
    let fields = |n: usize| (0..n).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    let value = |bytes: usize| format!("X: {}\r\n", "v".repeat(bytes));
    assert_eq!(send(head(&fields(90))).await, "HTTP/1.1 200");
    assert_eq!(send(head(&fields(1_000))).await, "HTTP/1.1 431");
    assert_eq!(send(head(&value(32 * 1024))).await, "HTTP/1.1 200");
    assert_eq!(send(head(&value(256 * 1024))).await, "HTTP/1.1 431");
    let url = format!("GET /{} HTTP/1.1\r\nConnection: close\r\n\r\n", "u".repeat(256 * 1024)).into_bytes();
    let refused = send(url).await;
    assert!(matches!(refused.as_str(), "HTTP/1.1 414" | "HTTP/1.1 431"), "{refused}");
    let body = vec![b'b'; 1 << 20];
    let announced =
        format!("POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    assert_eq!(send([announced.into_bytes(), body].concat()).await, "HTTP/1.1 200");
}
