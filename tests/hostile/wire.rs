//! Requests as bytes, and answers: an HTTP client would refuse to send half of this.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take: longer than the time that the server gives a body.
const PATIENCE: Duration = Duration::from_secs(45);

/// A request under construction.
#[derive(Clone)]
pub(crate) struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        Self { head: head.into_bytes(), body: Vec::new() }
    }

    /// A delivery to a hook of the default project.
    pub(crate) fn hook(path: &str) -> Self {
        Self::new("POST", &format!("/hooks/default/{path}"))
    }

    /// A delivery that is declared as JSON.
    pub(crate) fn json(path: &str, body: impl AsRef<[u8]>) -> Self {
        Self::hook(path).header("Content-Type", "application/json").body(body)
    }

    pub(crate) fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.line([name.as_bytes(), b": ", value.as_ref()].concat())
    }

    /// A line of the head as it is.
    pub(crate) fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(line.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_owned();
        self
    }

    /// With its length, as honest senders say it.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let length = self.body.len().to_string();
        let Self { head, body } = self.header("Content-Length", length);
        [&head[..], b"\r\n", &body].concat()
    }

    /// As it is, with whatever is said of its body.
    pub(crate) fn bare(self) -> Vec<u8> {
        [&self.head[..], b"\r\n", &self.body].concat()
    }
}

/// An answer, and whether the server ended the connection after it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// Whether the head has this line, whatever its case.
    pub(crate) fn says(&self, line: &str) -> bool {
        self.head.lines().any(|found| found.eq_ignore_ascii_case(line))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.head, self.body)
    }
}

/// Sends bytes and reads until the server ends the connection; `None` where it said nothing.
pub(crate) fn exchange(address: &str, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(address);
    // Who is refused early may not be read to the end.
    let _ = stream.write_all(request);
    answer(&mut stream)
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the server ends the connection: one answer, and not another behind it.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}, after {}", String::from_utf8_lossy(&read)),
    }
    let text = String::from_utf8(read).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(!body.contains("HTTP/1.1 "), "a second answer: {text}");
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {text}"));
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
