//! Response bodies: what they become and how large they may be.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use meshhook_core::exec::{Attempt, Executor};
use meshhook_http::HttpExecutor;
use serde_json::json;

use crate::server::{Reply, Server, answer};
use crate::{call, code_of, output, permanent};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bodies_are_parsed_by_media_type_or_as_asked() {
    for (content_type, parse, body, expected) in [
        ("application/json", "auto", &b"[1, 2]"[..], json!([1, 2])),
        ("application/problem+json", "auto", b"{}", json!({})),
        ("text/plain; charset=latin1", "auto", b"caf\xe9", json!("café")),
        ("image/png", "auto", b"\x89PNG", json!("iVBORw==")),
        ("text/plain", "json", b"{\"a\":1}", json!({"a": 1})),
        ("application/json", "text", b"{}", json!("{}")),
        ("application/json", "base64", b"{}", json!("e30=")),
    ] {
        let server = Server::always(answer("200 OK", &[("Content-Type", content_type)], body)).await;
        let config = json!({"method": "GET", "url": server.url("/"), "response": {"parse": parse}});
        assert_eq!(output(config).await["body"], expected, "{content_type} {parse}");
    }
}

#[tokio::test]
async fn invalid_json_is_a_permanent_failure() {
    for body in ["{\"a\":", "<html>", "{\"a\":1,\"a\":2}"] {
        let server = Server::always(answer("200 OK", &[("Content-Type", "application/json")], body)).await;
        let config = json!({"method": "GET", "url": server.url("/")});
        assert_eq!(code_of(config).await, permanent("response_invalid"), "{body}");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_null() {
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50000000\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"),
        ("POST", "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let server = Server::always(Reply::SendAndClose(head.into())).await;
        let result =
            output(json!({"method": method, "url": server.url("/"), "response": {"parse": "json"}})).await;
        assert_eq!(result["body"], json!(null), "{head}");
    }
}

#[tokio::test]
async fn bodies_of_the_cap_pass_and_larger_ones_do_not() {
    let chunked = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        Reply::Send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes())
    };
    for (reply, fits) in [
        (answer("200 OK", &[("Content-Type", "text/plain")], "0123456789"), true),
        (answer("200 OK", &[("Content-Type", "text/plain")], "0123456789a"), false),
        (chunked("0123456789"), true),
        (chunked("0123456789a"), false),
        (
            answer(
                "200 OK",
                &[("Content-Type", "text/plain"), ("Content-Encoding", "gzip")],
                gzip(b"0123456789"),
            ),
            true,
        ),
        (
            answer(
                "200 OK",
                &[("Content-Type", "text/plain"), ("Content-Encoding", "gzip")],
                gzip(b"0123456789a"),
            ),
            false,
        ),
    ] {
        let server = Server::always(reply).await;
        let config = json!({"method": "GET", "url": server.url("/"), "response": {"max_bytes": 10}});
        if fits {
            assert_eq!(output(config).await["body"], "0123456789");
        } else {
            assert_eq!(code_of(config).await, permanent("response_too_large"));
        }
    }
}

#[tokio::test]
async fn the_default_cap_is_a_mebibyte() {
    let server = Server::start(|_, request| {
        let len: usize = request.target.trim_start_matches('/').parse().unwrap();
        answer("200 OK", &[("Content-Type", "text/plain")], vec![b'a'; len])
    })
    .await;
    let config = |len: usize| json!({"method": "GET", "url": server.url(&format!("/{len}"))});
    assert_eq!(output(config(1 << 20)).await["body"].as_str().unwrap().len(), 1 << 20);
    assert_eq!(code_of(config((1 << 20) + 1)).await, permanent("response_too_large"));
}

#[tokio::test]
async fn the_host_application_caps_what_nodes_ask_for() {
    let server = Server::always(answer("200 OK", &[], "0123456789a")).await;
    let executor = HttpExecutor::builder().allow_private_network().max_response_bytes(10).build().unwrap();
    let config = json!({"method": "GET", "url": server.url("/"), "response": {"max_bytes": 1_000}});
    let failure = executor.execute(Attempt::sample(config)).await.unwrap_err().failure;
    assert_eq!(
        (failure.code.as_ref(), failure.message.as_str()),
        ("response_too_large", "the response is larger than 10 bytes")
    );
}

#[tokio::test]
async fn gzip_is_decoded_and_its_headers_are_left_out() {
    let wire = gzip(br#"{"a": 1}"#);
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let server = Server::always(answer("200 OK", &headers, wire)).await;
    assert_eq!(
        output(json!({"method": "GET", "url": server.url("/")})).await,
        json!({"status": 200, "headers": {"content-type": "application/json"}, "body": {"a": 1}})
    );
}

#[tokio::test]
async fn a_gzip_bomb_stops_at_the_cap() {
    let bomb = gzip(&vec![b'a'; 16 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    let headers = [("Content-Type", "text/plain"), ("Content-Encoding", "gzip")];
    let server = Server::always(answer("200 OK", &headers, &bomb)).await;
    assert_eq!(
        code_of(json!({"method": "GET", "url": server.url("/")})).await,
        permanent("response_too_large")
    );

    let failing = Server::always(answer("500 Oops", &headers, &bomb)).await;
    let failure = call(json!({"method": "GET", "url": failing.url("/")})).await.unwrap_err().failure;
    assert_eq!(failure.details.unwrap()["body"], "a".repeat(4_096));
}

#[tokio::test]
async fn encodings_that_nobody_asked_for_are_not_read_as_text() {
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "br")];
    let server = Server::always(answer("200 OK", &headers, b"\x0b\x00")).await;
    let result = output(json!({"method": "GET", "url": server.url("/")})).await;
    assert_eq!((&result["body"], &result["headers"]["content-encoding"]), (&json!("CwA="), &json!("br")));
    let config = json!({"method": "GET", "url": server.url("/"), "response": {"parse": "json"}});
    assert_eq!(code_of(config).await, permanent("response_invalid"));
    let broken = Server::always(answer("200 OK", &[("Content-Encoding", "gzip")], "plain")).await;
    assert_eq!(
        code_of(json!({"method": "GET", "url": broken.url("/")})).await,
        permanent("response_invalid")
    );
}
