//! Run with `cargo run --example echo`: answers every request on 127.0.0.1:9000 with what it was sent, and prints it. A
//! target for trying workflows out. Another port: `cargo run --example echo -- 9001`.

use std::error::Error;
use std::process::ExitCode;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};

#[expect(clippy::print_stdout, reason = "showing what it was sent is what it is for")]
async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body)));
    println!("{method} {uri} {body}");
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    Json(json!({ "method": method.as_str(), "path": uri.to_string(), "idempotency_key": key, "body": body }))
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a program says why it does not run")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a server says where it listens")]
async fn run() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "9000".to_owned());
    let port: u16 =
        port.parse().map_err(|_| format!("{port:?} is no port: give a number, as in `echo 9001`"))?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener
        .map_err(|error| format!("cannot listen on port {port}: {error}; give another, as in `echo 9001`"))?;
    println!("echoing on http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(echo)).await?;
    Ok(())
}
