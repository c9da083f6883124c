//! Requests that are framed in a way that could be read twice, not at all, or never to an end.

use std::io::{ErrorKind, Write as _};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::target::Target;
use crate::wire::{Request, answer, connect};

pub(crate) fn all(target: &mut Target) {
    lengths(target);
    chunks(target);
    heads(target);
    first_lines(target);
}

/// A delivery of JSON to the hook that anybody may send to, up to where its body's length is said.
fn delivery() -> Request {
    Request::json("open", "")
}

/// What stands in the head after the usual, and behind it.
fn with(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    delivery().line(head).body(body).bare()
}

fn lengths(target: &mut Target) {
    for (head, status) in [
        ("Content-Length: 2\r\nContent-Length: 3", 400),
        ("Content-Length: 2, 3", 400),
        ("Content-Length: -2", 400),
        ("Content-Length: +2", 400),
        ("Content-Length: 0x2", 400),
        ("Content-Length: 2 2", 400),
        ("Content-Length: ", 400),
        ("Content-Length: 18446744073709551616", 400),
        ("Content-Length: 18446744073709551615", 431),
        ("Content-Length: 9223372036854775807", 413),
        ("Content-Length: 10737418240", 413),
        ("Content-Length: 10737418240\r\nExpect: 100-continue", 413),
        ("Content-Length: 1048577", 413),
        ("Content-Length: 2\r\nContent-Length: 2", 202),
        ("Content-Length: 2\r\n Content-Length: 3", 400),
        ("Content-Length : 2", 400),
        ("Content-Length\t: 2", 400),
    ] {
        target.expect_bytes(head, &with(head, "{}"), status);
    }
    let mut cut = connect(&target.address);
    cut.write_all(&with("Content-Length: 10", "{}")).unwrap();
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(answer(&mut cut).is_none_or(|answer| answer.status == 400), "a body that was cut off");
    target.expect_well("a body that was cut off");
}

fn chunks(target: &mut Target) {
    let behind = "0\r\n\r\nPOST /hooks/default/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000));
    let extensions = "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n \r\n".repeat(1_000) + "0\r\n\r\n";
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "X: 1\r\n".repeat(20_000));
    let trailer = format!("2\r\n{{}}\r\n0\r\nX: {}\r\n\r\n", "1".repeat(100_000));
    let crumbs = "1\r\n \r\n".repeat(20_000) + "2\r\n{}\r\n0\r\n\r\n";
    let endless = "FFFFFFFFFFFFFFFF\r\n".to_owned() + &" ".repeat(2 << 20);
    let flood = "10000\r\n".to_owned() + &" ".repeat(0x10000) + "\r\n";
    let flood = flood.repeat(40);
    for (what, head, body, status) in [
        // Chunks win (RFC 9112, 6.1), and nothing that follows is read as a request.
        ("a length and chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked", behind, 202),
        ("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 4", behind, 202),
        ("an encoding behind chunks", "Transfer-Encoding: chunked, identity", "0\r\n\r\n", 400),
        ("an encoding that is none", "Transfer-Encoding: identity", "", 400),
        ("an encoding that nobody knows", "Transfer-Encoding: xchunked", "0\r\n\r\n", 400),
        ("an encoding in quotes", "Transfer-Encoding: \"chunked\"", "0\r\n\r\n", 400),
        ("an encoding behind a control character", "Transfer-Encoding: \x0bchunked", "0\r\n\r\n", 400),
        ("a space before the colon", "Transfer-Encoding : chunked", "0\r\n\r\n", 400),
        ("a folded line", "Transfer-Encoding:\r\n chunked", "0\r\n\r\n", 400),
        ("a chunk as long as nothing is", "Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\n{}", 400),
        ("a chunk of 2^64 - 1 bytes", "Transfer-Encoding: chunked", &endless, 413),
        ("a chunk of a negative length", "Transfer-Encoding: chunked", "-1\r\n{}\r\n0\r\n\r\n", 400),
        ("a chunk of no length", "Transfer-Encoding: chunked", "\r\n{}\r\n0\r\n\r\n", 400),
        ("a chunk with more than it says", "Transfer-Encoding: chunked", "1\r\n{}\r\n0\r\n\r\n", 400),
        ("100 kB of a chunk's extension", "Transfer-Encoding: chunked", &extension, 400),
        ("extensions of a thousand chunks", "Transfer-Encoding: chunked", &extensions, 400),
        ("20,000 trailers", "Transfer-Encoding: chunked", &trailers, 400),
        ("100 kB of a trailer", "Transfer-Encoding: chunked", &trailer, 400),
        ("20,000 chunks of a byte", "Transfer-Encoding: chunked", &crumbs, 202),
        ("chunks without end", "Transfer-Encoding: chunked", &flood, 413),
    ] {
        let answer = target.expect_bytes(what, &with(head, body), status);
        assert!(status == 413 || answer.says("connection: close"), "{what}: {answer}");
    }
}

fn heads(target: &mut Target) {
    let hundred = |name: &str| format!("{name}: 1\r\n").repeat(1_000);
    for (what, head, status) in [
        ("a thousand headers of one name", hundred("X-A"), 431),
        ("a thousand headers", (0..1_000).map(|n| format!("X-{n}: 1\r\n")).collect(), 431),
        ("128 kB of a header", format!("X-A: {}\r\n", "a".repeat(128 << 10)), 431),
        ("1 MB of a header", format!("X-A: {}\r\n", "a".repeat(1 << 20)), 431),
        ("128 kB of a header's name", format!("{}: 1\r\n", "a".repeat(128 << 10)), 431),
        ("60 kB of a header", format!("X-A: {}\r\n", "a".repeat(60_000)), 202),
        ("a NUL", "X-A: a\0b\r\n".to_owned(), 400),
        ("an escape sequence", "X-A: a\x1b[31mb\r\n".to_owned(), 400),
        ("a carriage return within", "X-A: a\rX-B: b\r\n".to_owned(), 400),
        ("a delete", "X-A: a\x7fb\r\n".to_owned(), 400),
        ("a NUL in a name", "X\0A: a\r\n".to_owned(), 400),
        ("a space in a name", "X A: a\r\n".to_owned(), 400),
        ("a name of two bytes beyond ASCII", "X-\u{e9}: a\r\n".to_owned(), 400),
        ("a line without a colon", "X-A\r\n".to_owned(), 400),
        ("a name that is empty", ": a\r\n".to_owned(), 400),
        ("a second host", "Host: evil.example\r\n".to_owned(), 202),
        ("an escape sequence in UTF-8", "X-A: \u{9b}31m \u{202e}abc\r\n".to_owned(), 202),
    ] {
        let mut bytes = delivery().bare();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(b"Content-Length: 2\r\n\r\n{}");
        target.expect_bytes(what, &bytes, status);
    }
}

fn first_lines(target: &mut Target) {
    let long = "a".repeat(70_000);
    let pairs = "a=1&".repeat(10_000);
    for (what, line, status) in [
        ("another method", "GET /hooks/default/open HTTP/1.1", 405),
        ("a method in lower case", "post /hooks/default/open HTTP/1.1", 405),
        ("a method that nobody knows", "BREW /hooks/default/open HTTP/1.1", 405),
        ("a method that is no word", "P(ST /hooks/default/open HTTP/1.1", 400),
        ("no version", "POST /hooks/default/open", 400),
        ("a version that is none", "POST /hooks/default/open HTTP/9.9", 400),
        ("the beginning of HTTP/2", "PRI * HTTP/2.0", 400),
        ("the beginning of TLS", "\x16\x03\x01\x02\0\x01\0\x01", 400),
        ("two targets", "POST /hooks/default/open /x HTTP/1.1", 400),
        ("a target beyond ASCII", "POST /hooks/default/\u{e9} HTTP/1.1", 404),
        ("a tunnel", "CONNECT evil.example:443 HTTP/1.1", 404),
        ("a target elsewhere", "POST http://evil.example/hooks/default/nobody HTTP/1.1", 404),
        ("70 kB of a target", &format!("POST /hooks/default/{long} HTTP/1.1"), 414),
        ("60 kB of a path", &format!("POST /hooks/default/{} HTTP/1.1", &long[..60_000]), 404),
        ("10,000 names in the query", &format!("POST /hooks/default/open?{pairs} HTTP/1.1"), 400),
        ("a query of no UTF-8", "POST /hooks/default/open?%FF%00=%C0%80&%zz=%1b[31m HTTP/1.1", 202),
    ] {
        let rest = "Host: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        target.expect_bytes(what, format!("{line}\r\n{rest}").as_bytes(), status);
    }
}

/// Senders that take longer than a body or a head may take, in the background.
pub(crate) fn slow_senders(target: &Target) -> Vec<JoinHandle<()>> {
    let drip = Duration::from_millis(1_000);
    let never = Duration::from_secs(3_600);
    [
        ("a body of a byte a second", with("Content-Length: 100", ""), b' ', drip, Some(408)),
        ("a chunk that has no end", with("Transfer-Encoding: chunked", "ff\r\n{"), b' ', never, Some(408)),
        (
            "a head of a byte a second",
            b"POST /hooks/default/open HTTP/1.1\r\nX-A: ".to_vec(),
            b'a',
            drip,
            None,
        ),
        ("half a head", b"POST /hooks/default/open HTTP/1.1\r\nHost:".to_vec(), b' ', never, None),
        ("nothing at all", Vec::new(), b' ', never, None),
    ]
    .into_iter()
    .map(|(what, begin, byte, every, expected)| {
        let address = target.address.clone();
        std::thread::spawn(move || {
            let mut stream = connect(&address);
            stream.write_all(&begin).unwrap();
            stream.set_read_timeout(Some(every.min(Duration::from_secs(45)))).unwrap();
            // Whoever is not answered in that time has waited for too long.
            for _ in 0..60 {
                match stream.peek(&mut [0]) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        assert!(every < never, "{what}: no end");
                        let _ = stream.write_all(&[byte]);
                    }
                    _ => break,
                }
            }
            let status = answer(&mut stream).map(|answer| answer.status);
            assert_eq!(status, expected, "{what}");
        })
    })
    .collect()
}
