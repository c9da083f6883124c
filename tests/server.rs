//! The example server as its users meet it: a process, a port, a file.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod kit;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::HeaderMap;
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::Instant;

use kit::{Server, command};

const SECRET: &str = "a webhook secret";
/// A master key.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What a server says that does not start.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let mut process = command(directory, arguments).spawn().unwrap();
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!process.wait().unwrap().success(), "it started");
    said
}

type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// A target that keeps what it was sent.
async fn echo() -> (String, Seen) {
    async fn keep(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> &'static str {
        seen.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
        "thanks"
    }
    let seen = Seen::default();
    let app = Router::new().fallback(keep).with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/post", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

async fn send(client: &Client, method: &str, url: &str, body: Value) -> (u16, Value) {
    let mut request = client.request(method.parse().unwrap(), url);
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

async fn deliver(client: &Client, server: &Server, body: &str) -> (u16, Value) {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = client
        .post(format!("{}/hooks/default/gh-star", server.url))
        .header("content-type", "application/json")
        .header("x-github-event", "star")
        .header("x-github-delivery", "delivery-1")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-hub-signature-256", signature)
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn finished(client: &Client, server: &Server, run: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        let (_, view) = send(client, "GET", &server.api(&format!("/runs/{run}")), Value::Null).await;
        if view["finished_at"].is_string() {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the run did not end");
}

fn star_to_chat(target: &str) -> Value {
    json!({
        "name": "Star to chat",
        "vars": { "room": "#releases" },
        "triggers": [{ "id": "github", "type": "webhook", "config": {
            "path": "gh-star", "verify": { "scheme": "github", "secret": "gh_webhook" },
            "filter": "headers.\"x-github-event\" == 'star'"
        } }],
        "nodes": [
            { "id": "shape", "type": "transform", "config": { "expression": "{who: trigger.body.sender.login, n: trigger.body.repository.stargazers_count}" } },
            { "id": "big", "type": "branch", "config": { "condition": "input.n >= `100`" } },
            { "id": "post", "type": "http_call", "config": { "method": "POST", "url": target,
                "headers": { "Authorization": "Bearer {{ secrets.chat_token }}" },
                "body": { "room": "{{ vars.room }}", "text": "{{ nodes.shape.output.who }} starred us ({{ nodes.shape.output.n }})" } } },
            { "id": "done", "type": "terminate", "config": { "output": { "posted": true } } }
        ],
        "edges": [
            { "from": "shape", "to": "big" }, { "from": "big", "port": "true", "to": "post" }, { "from": "post", "to": "done" }
        ]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_becomes_a_run_that_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--allow-private-network", "--grace", "20s"];
    let server = Server::start(command(directory.path(), &arguments));
    let client = Client::new();
    let (target, seen) = echo().await;

    for (name, value) in [("gh_webhook", SECRET), ("chat_token", "correct-horse-battery")] {
        let set =
            send(&client, "PUT", &server.api(&format!("/secrets/{name}")), json!({ "value": value })).await;
        assert_eq!(set, (204, Value::Null));
    }
    let created = json!({ "slug": "star-to-chat", "definition": star_to_chat(&target) });
    let (status, workflow) = send(&client, "POST", &server.api("/workflows"), created).await;
    assert_eq!((status, &workflow["problems"]), (201, &json!([])));
    let (status, published) =
        send(&client, "POST", &server.api("/workflows/star-to-chat/publish"), Value::Null).await;
    assert_eq!(
        (status, &published["triggers"][0]["url"]),
        (201, &json!(format!("{}/hooks/default/gh-star", server.url)))
    );

    let body = json!({ "sender": { "login": "ada" }, "repository": { "stargazers_count": 100 } }).to_string();
    let (status, accepted) = deliver(&client, &server, &body).await;
    assert_eq!((status, &accepted["status"]), (202, &json!("accepted")), "{accepted}");
    let run = accepted["run_id"].as_str().unwrap();
    let view = finished(&client, &server, run).await;
    assert_eq!(
        (&view["status"], &view["output"]),
        (&json!("succeeded"), &json!({ "posted": true })),
        "{view:#}"
    );
    {
        let seen = seen.lock().unwrap();
        let [(headers, sent)] = seen.as_slice() else { panic!("called {} times", seen.len()) };
        assert_eq!(headers["authorization"], "Bearer correct-horse-battery");
        assert!(headers.contains_key("idempotency-key"));
        let trace = headers["traceparent"].to_str().unwrap();
        assert!(
            trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && trace.ends_with("-01"),
            "{trace}"
        );
        assert!(!trace.contains("00f067aa0ba902b7"), "the call has a place of its own in the trace");
        assert_eq!(sent, &json!({ "room": "#releases", "text": "ada starred us (100)" }));
    }
    assert!(!view.to_string().contains("correct-horse"));

    // One file belongs to one process.
    let second = refused(directory.path(), &arguments);
    assert!(second.contains("in use by another process"), "{second}");
    server.stop();

    let key = std::fs::metadata(directory.path().join("meshhook.db.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let server = Server::start(command(directory.path(), &arguments));
    assert_eq!(finished(&client, &server, run).await, view);
    let (_, verdict) = send(&client, "POST", &server.api(&format!("/runs/{run}/verify")), Value::Null).await;
    assert_eq!(verdict["ok"], true, "{verdict}");
    let (_, again) = deliver(&client, &server, &body).await;
    assert_eq!((&again["run_id"], &again["duplicate"]), (&json!(run), &json!(true)));
    let metrics = client.get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("meshhook_http_requests_total"), "{metrics}");
    server.stop();
}

#[tokio::test]
async fn without_a_key_nobody_else_can_reach_it() {
    let directory = tempfile::tempdir().unwrap();
    let said = refused(directory.path(), &["--listen", "0.0.0.0:0"]);
    assert!(said.contains("--admin-key"), "{said}");
    assert!(!directory.path().join("meshhook.db").exists(), "nothing is made before the flags are right");

    let memory = ["--listen", "127.0.0.1:0", "--database", "sqlite::memory:", "--admin-key", "k"];
    let server = Server::start(command(directory.path(), &memory));
    let client = Client::new();
    assert_eq!(send(&client, "GET", &server.api("/workflows"), Value::Null).await.0, 401);
    let allowed = client.get(server.api("/workflows")).bearer_auth("k").send().await.unwrap();
    assert_eq!(allowed.status().as_u16(), 200);
    assert_eq!(send(&client, "GET", &format!("{}/readyz", server.url), Value::Null).await.0, 200);
    server.stop();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "memory leaves no files");
}

#[test]
fn what_is_set_wrongly_is_said_clearly() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["--database", "postgres://127.0.0.1:1/x", "--key", KEY][..], "cannot connect to Postgres"),
        (&["--database", "postgres://127.0.0.1:1/x"], "set --key"),
        (&["--migrate-only"], "--migrate-only is for Postgres"),
        (&["--grant", "app"], "--migrate-only"),
        (&["--previous-keys", "short"], "--previous-keys: a master key is"),
        (&["--trusted-proxy", "nowhere"], "nowhere"),
        (&["--database", "mysql:x"], "sqlite:PATH"),
        (&["--database", "sqlite::memory:", "--key", "short"], "base64"),
        (&["--no-worker", "--worker-only"], "cannot be used with"),
        (&["--grace", "soon"], "--grace"),
        (&["--workers", "0"], "--workers"),
        (&["--public-url", "example.com"], "--public-url"),
    ] {
        let said = refused(directory.path(), &[&["--listen", "127.0.0.1:0"], arguments].concat());
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "nothing is made before the flags are right"
    );
}

#[tokio::test]
async fn keys_that_open_nothing_keep_it_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let listen = ["--listen", "127.0.0.1:0"];
    let server = Server::start(command(directory.path(), &listen));
    let client = Client::new();
    let put = async |server: &Server| {
        send(&client, "PUT", &server.api("/secrets/token"), json!({ "value": "correct-horse" })).await.0
    };
    assert_eq!(put(&server).await, 204);
    server.stop();
    let wrong = [&listen[..], &["--key", KEY]].concat();
    let said = refused(directory.path(), &wrong);
    assert!(said.contains("no secret of the database can be opened") && said.contains("--key"), "{said}");
    let server = Server::start(command(directory.path(), &[&wrong[..], &["--accept-lost-secrets"]].concat()));
    assert_eq!(put(&server).await, 204);
    server.stop();
    Server::start(command(directory.path(), &wrong)).stop();
}

#[test]
fn a_schema_is_made_and_granted_without_starting() {
    let postgres = throwaway_postgres::Server::shared();
    let name = format!("meshhook_server_{}", std::process::id());
    let role = format!("{name}_app");
    postgres.sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    postgres.sql("postgres", &format!("CREATE ROLE {role} LOGIN")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (owner, app) = (postgres.url(&name), postgres.url_as(Some(&role), &name));
    let serve = ["--listen", "127.0.0.1:0", "--key", KEY, "--database", &app];
    let said = refused(directory.path(), &serve);
    let way = format!("--migrate-only --grant {role}`");
    assert!(said.contains(&way) && said.contains(&format!("the role {role} cannot")), "{said}");
    assert_eq!(said.matches("permission denied").count(), 1, "{said}");
    let migrate = ["--migrate-only", "--database", &owner];
    let grant = [&migrate[..], &["--grant", &role]].concat();
    let said = said_by(directory.path(), &migrate);
    assert!(said.starts_with("the database has schema") && said.contains("no role was granted"), "{said}");
    let said = refused(directory.path(), &serve);
    assert!(said.contains(&way) && said.contains(&format!("the role {role} may not")), "{said}");
    assert_eq!(said.matches("permission denied").count(), 1, "{said}");
    let said = said_by(directory.path(), &grant);
    assert!(said.ends_with(&format!("and {role} may work with it\n")), "{said}");
    Server::start(command(directory.path(), &serve)).stop();
    postgres.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    postgres.sql("postgres", &format!("DROP ROLE {role}")).unwrap();
}

/// What a server says that does something and exits.
fn said_by(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_process_that_only_works_takes_nothing_in() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--database", "sqlite::memory:", "--worker-only"];
    let server = Server::start(command(directory.path(), &arguments));
    let client = Client::new();
    assert_eq!(send(&client, "GET", &format!("{}/readyz", server.url), Value::Null).await.0, 200);
    assert_eq!(send(&client, "GET", &server.api("/workflows"), Value::Null).await.0, 404);
    assert_eq!(send(&client, "POST", &format!("{}/hooks/default/x", server.url), Value::Null).await.0, 404);
    server.stop();
}

/// Sends bytes and reads the answer until the server closes the connection.
fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = std::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_that_could_be_read_two_ways_end_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(command(
        directory.path(),
        &["--listen", "127.0.0.1:0", "--database", "sqlite::memory:"],
    ));
    let head = "POST /hooks/default/x HTTP/1.1\r\nHost: localhost\r\n";
    let many: String = (0..1_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    for (rest, expected) in [
        ("Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
        ("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400"),
        ("X: a\0b\r\n\r\n", "400"),
        ("X: a\x1b[31mb\r\n\r\n", "400"),
        (&format!("{many}\r\n"), "431"),
        // Chunks win (RFC 9112, 6.1), and nothing that follows is read as a request.
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
            "404",
        ),
    ] {
        let answer = raw(&server, format!("{head}{rest}").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{rest:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{rest:?}: {answer}");
    }
    server.stop();
}
