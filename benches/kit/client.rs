//! A client with just enough HTTP for a server that is known.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What deliveries are signed with.
pub(crate) const SECRET: &str = "it-is-a-secret-to-everybody";

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a fresh socket");
        Self { stream, read: Vec::new() }
    }

    /// Sends a request; answers the status and the body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.write_all(request).await.expect("the connection lives");
        self.read.clear();
        loop {
            self.more().await;
            let Some(head) = self.read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let text = std::str::from_utf8(&self.read[..head]).expect("a head is text");
            let status = text[9..12].parse().expect("a status is a number");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length is a number"));
            if self.read.len() == head + 4 + length {
                return (status, String::from_utf8_lossy(&self.read[head + 4..]).into_owned());
            }
        }
    }

    /// Sends a request with a JSON body; answers the status and the body.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, String) {
        self.send(&request(method, path, "content-type: application/json\r\n", &body.to_string())).await
    }

    /// Reads a live stream to its end.
    pub(crate) async fn follow(&mut self, path: &str) {
        self.stream.write_all(&request("GET", path, "", "")).await.expect("the connection lives");
        self.read.clear();
        while !self.read.ends_with(b"\r\n0\r\n\r\n") {
            self.more().await;
        }
        assert!(self.read.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.read));
    }

    async fn more(&mut self) {
        let bytes = self.stream.read_buf(&mut self.read).await.expect("the connection lives");
        assert!(bytes > 0, "the server closed the connection");
    }
}

/// A request as it goes over the wire; `fields` are whole lines.
pub(crate) fn request(method: &str, path: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What GitHub sends: signed, each with an id of its own.
#[derive(Debug)]
pub(crate) struct Delivery {
    body: String,
    signature: String,
}

impl Delivery {
    pub(crate) fn new(body: &Value) -> Self {
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
        mac.update(body.as_bytes());
        Self { signature: hex::encode(mac.finalize().into_bytes()), body }
    }

    /// How many bytes its body has.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The delivery with this id, to a hook of the project `default`.
    pub(crate) fn request(&self, hook: &str, id: u64) -> Vec<u8> {
        let fields = format!(
            "content-type: application/json\r\nx-github-event: star\r\nx-github-delivery: {id}\r\n\
             x-hub-signature-256: sha256={}\r\n",
            self.signature
        );
        request("POST", &format!("/hooks/default/{hook}"), &fields, &self.body)
    }
}
