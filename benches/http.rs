//! Signed webhooks per second, over loopback, against the example server's own process.
//!
//! `cargo xtask bench http -- --seconds 3 --connections 1,64,256`. Each row has a server and a file of its own. The client
//! shares the machine with the server, so what counts is the ratio to the row of the cheapest route (`GET /healthz`, no
//! store) with as many connections, and the server's own processor time (on Linux).
//!
//! With `--postgres` each row has a database of its own on a throwaway server with durable settings, whose processor time
//! is counted too (`--folder` says on which disk; `MESHHOOK_BENCH_SETTINGS` how it is set).
//!
//! A delivery is what GitHub sends: verified, deduplicated by its id, committed, and answered with 202. `pure` runs are
//! ended by then; of runs with an effect, which call back into this process, the column `ended/s` tells how many ended
//! in a second, from the first delivery until the last run.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use throwaway_postgres::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const SECRET: &str = "it-is-a-secret-to-everybody";

/// What a row measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Cheapest,
    Pure,
    OneEffect,
    FiveEffects,
}

impl Load {
    fn label(self) -> &'static str {
        match self {
            Load::Cheapest => "GET /healthz",
            Load::Pure => "webhook, 5 pure",
            Load::OneEffect => "webhook, 1 effect",
            Load::FiveEffects => "webhook, 5 effects",
        }
    }
}

/// The example server in a process and a folder of its own.
struct Server {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(program: &Path, database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        if let Some(url) = database {
            command.args(["--database", url, "--key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]);
        }
        let mut process = command
            .args(["--listen", "127.0.0.1:0", "--allow-private-network"])
            .current_dir(folder.path())
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on http://").expect("it says where it listens");
        Self { address: address.to_owned(), process, _folder: folder }
    }

    /// The processor time that it took, where the system tells.
    fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // The name may hold spaces; behind its parenthesis come the numbers, in ticks of 10 ms.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A database server that keeps what it acknowledges.
struct Postgres {
    server: throwaway_postgres::Server,
    postmaster: String,
    databases: u32,
}

impl Postgres {
    fn start() -> Self {
        let settings = std::env::var("MESHHOOK_BENCH_SETTINGS")
            .unwrap_or_else(|_| "shared_buffers=1GB max_wal_size=16GB checkpoint_timeout=30min".into());
        let settings = Settings {
            durable: true,
            folder: argument("--folder").map(Into::into),
            settings: settings.split_whitespace().map(String::from).collect(),
            ..Settings::default()
        };
        let server = throwaway_postgres::Server::start(&settings).expect("Postgres starts");
        server.sql("postgres", "CREATE ROLE bench LOGIN").expect("a role");
        let file = server.folder().expect("it was started here").join("data/postmaster.pid");
        let file = std::fs::read_to_string(file).expect("it notes its process");
        let postmaster = file.lines().next().unwrap_or_default().to_owned();
        Self { server, postmaster, databases: 0 }
    }

    /// The URL of a new database.
    fn database(&mut self) -> String {
        self.databases += 1;
        let name = format!("bench{}", self.databases);
        self.server.sql("postgres", &format!("CREATE DATABASE {name} OWNER bench")).expect("a database");
        self.server.url_as(Some("bench"), &name)
    }

    /// The processor time of the server and its sessions, in microseconds; transactions that wrote; bytes of log.
    fn spent(&self) -> [f64; 3] {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ticks = entries.map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields: Vec<&str> =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
            if fields.len() < 15 || (fields[1] != self.postmaster && *entry.file_name() != *self.postmaster) {
                return 0.0;
            }
            // Its own and, once they have ended, its children's.
            fields[11..15].iter().filter_map(|field| field.parse::<f64>().ok()).sum()
        });
        let cpu = ticks.sum::<f64>() * 10_000.0;
        let counts = self.server.sql(
            "postgres",
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text || ' ' || (pg_current_wal_insert_lsn() - '0/0')",
        );
        let counts = counts.expect("the server answers");
        let mut counts = counts.split(' ').filter_map(|count| count.parse().ok());
        [cpu, counts.next().unwrap_or(0.0), counts.next().unwrap_or(0.0)]
    }
}

/// A connection that is kept, with just enough HTTP for a server that is known.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a fresh socket");
        Self { stream, read: Vec::new() }
    }

    /// Sends a request; answers the status and the body.
    async fn send(&mut self, request: &[u8]) -> (u16, String) {
        self.stream.write_all(request).await.expect("the connection lives");
        self.read.clear();
        loop {
            let bytes = self.stream.read_buf(&mut self.read).await.expect("the connection lives");
            assert!(bytes > 0, "the server closed the connection");
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

    async fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, String) {
        self.send(&request(method, path, "content-type: application/json\r\n", &body.to_string())).await
    }
}

fn request(method: &str, path: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What workflows call: answers everything at once.
async fn target() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                loop {
                    // Requests come one after the other and are small; each ends with its JSON body.
                    match stream.read_buf(&mut read).await {
                        Ok(bytes) if bytes > 0 => {}
                        _ => return,
                    }
                    if read.ends_with(b"}") {
                        read.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    url
}

/// Five nodes in a row, the second a side effect or not.
fn workflow(load: Load, target: &str) -> Value {
    let node = |place: usize| {
        let id = format!("n{place}");
        if load == Load::FiveEffects || (place == 1 && load == Load::OneEffect) {
            json!({ "id": id, "type": "http_call", "config": {
                "method": "POST", "url": target, "body": { "who": "{{ input.who }}" } } })
        } else {
            let expression =
                "{who: trigger.body.sender.login, text: 'a step with a result of about this size'}";
            json!({ "id": id, "type": "transform", "config": { "expression": expression } })
        }
    };
    let edges = (1..5).map(|place| json!({ "from": format!("n{}", place - 1), "to": format!("n{place}") }));
    let trigger = json!({ "id": "github", "type": "webhook", "config": {
        "path": "gh", "verify": { "scheme": "github", "secret": "gh_webhook" } } });
    json!({ "slug": "bench", "definition": {
        "name": "Bench", "triggers": [trigger],
        "nodes": (0..5).map(node).collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>()
    }})
}

async fn prepare(server: &Server, load: Load, target: &str) {
    const API: &str = "/api/projects/default";
    let mut setup = Connection::open(&server.address).await;
    let secret = setup.call("PUT", &format!("{API}/secrets/gh_webhook"), &json!({ "value": SECRET })).await;
    assert_eq!(secret.0, 204, "{}", secret.1);
    let created = setup.call("POST", &format!("{API}/workflows"), &workflow(load, target)).await;
    assert_eq!(created.0, 201, "{}", created.1);
    let published = setup.call("POST", &format!("{API}/workflows/bench/publish"), &json!({})).await;
    assert_eq!(published.0, 201, "{}", published.1);
}

struct Row {
    per_second: f64,
    refused: u64,
    ended_per_second: Option<f64>,
    micros: Histogram<u64>,
    cpu_micros: Option<f64>,
    /// Of the database server: processor time in microseconds, writing transactions, bytes of log, each per delivery.
    database: Option<[f64; 3]>,
}

async fn measure(
    program: &Path,
    postgres: &mut Option<Postgres>,
    load: Load,
    connections: usize,
    seconds: Duration,
) -> Row {
    let url = postgres.as_mut().map(Postgres::database);
    let server = Server::start(program, url.as_deref());
    if load != Load::Cheapest {
        prepare(&server, load, &target().await).await;
    }
    let body = json!({
        "action": "created", "sender": { "login": "ada", "id": 1, "type": "User" },
        "repository": { "full_name": "ada/engine", "stargazers_count": 128, "description": "x".repeat(180) }
    })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let one = move |delivery: u64| match load {
        Load::Cheapest => request("GET", "/healthz", "", ""),
        _ => {
            let fields = format!(
                "content-type: application/json\r\nx-github-event: star\r\nx-github-delivery: {delivery}\r\n\
                 x-hub-signature-256: sha256={signature}\r\n"
            );
            request("POST", "/hooks/default/gh", &fields, &body)
        }
    };
    let one = Arc::new(one);
    let deliveries = Arc::new(AtomicU64::new(0));
    let before = server.cpu();
    let spent_before = postgres.as_ref().map(Postgres::spent);
    let begun = Instant::now();
    let client = || {
        let (address, one, deliveries) = (server.address.clone(), one.clone(), deliveries.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&address).await;
            let (mut micros, mut refused) = (histogram(), 0);
            while begun.elapsed() < seconds {
                let request = one(deliveries.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                let (status, _) = connection.send(&request).await;
                if status < 300 {
                    let took = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                    micros.saturating_record(took);
                } else {
                    refused += 1;
                }
            }
            (micros, refused)
        })
    };
    let clients: Vec<_> = (0..connections).map(|_| client()).collect();
    let (mut micros, mut refused) = (histogram(), 0);
    for client in clients {
        let (its, its_refused) = client.await.expect("a client ends");
        micros.add(its).expect("equal histograms");
        refused += its_refused;
    }
    let per_second = micros.len() as f64 / begun.elapsed().as_secs_f64();
    let ended_per_second = if matches!(load, Load::OneEffect | Load::FiveEffects) {
        let ended = all_ended(&server, micros.len()).await;
        Some(ended as f64 / begun.elapsed().as_secs_f64())
    } else {
        None
    };
    let cpu = server.cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
    let cpu_micros = cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / micros.len() as f64);
    let spent = postgres.as_ref().map(Postgres::spent).zip(spent_before);
    let share = |(after, before): ([f64; 3], [f64; 3])| {
        [0, 1, 2].map(|what| (after[what] - before[what]) / micros.len() as f64)
    };
    let database = spent.map(share);
    Row { per_second, refused, ended_per_second, micros, cpu_micros, database }
}

/// Waits until so many runs have ended, for at most a minute; answers how many have.
async fn all_ended(server: &Server, runs: u64) -> u64 {
    let begun = Instant::now();
    let mut connection = Connection::open(&server.address).await;
    loop {
        let (_, metrics) = connection.send(&request("GET", "/metrics", "", "")).await;
        let counts = metrics.lines().filter(|line| line.starts_with("meshhook_runs_ended_total"));
        let ended = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        if ended >= runs || begun.elapsed() > Duration::from_secs(60) {
            return ended;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds up to a minute are allowed")
}

/// Builds the server, optimized, unless `--server` names one.
fn program() -> PathBuf {
    if let Some(program) = argument("--server") {
        return std::fs::canonicalize(program).expect("the named server is there");
    }
    let build = ["build", "--release", "--example", "server"];
    let status = Command::new(env!("CARGO")).args(build).status().expect("cargo starts");
    assert!(status.success(), "the example server does not build");
    let bench = std::env::current_exe().expect("this program has a path");
    // Beside this program's folder, `…/release/deps`.
    bench.ancestors().nth(2).expect("Cargo's folders").join("examples/server")
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() {
    let seconds = argument("--seconds").and_then(|text| text.parse().ok()).unwrap_or(3);
    let connections = argument("--connections").unwrap_or_else(|| "1,64,256".into());
    let program = program();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("cargo xtask bench http -- --seconds {seconds} --connections {connections}");
    println!(
        "load               connections      req/s   ratio   p50 ms   p99 ms   CPU us/req   ended/s   refused   \
         DB us/req   DB tx/req  WAL B/req"
    );
    let mut postgres = std::env::args().any(|argument| argument == "--postgres").then(Postgres::start);
    for count in connections.split(',').filter_map(|text| text.parse().ok()) {
        let mut cheapest = None;
        for load in [Load::Cheapest, Load::Pure, Load::OneEffect, Load::FiveEffects] {
            let row =
                runtime.block_on(measure(&program, &mut postgres, load, count, Duration::from_secs(seconds)));
            let ratio = row.per_second / *cheapest.get_or_insert(row.per_second);
            let at = |quantile| row.micros.value_at_quantile(quantile) as f64 / 1_000.0;
            let number = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.0}"));
            println!(
                "{:18} {count:11} {:10.0} {ratio:7.2} {:8.2} {:8.2} {:>12} {:>9} {:9} {}",
                load.label(),
                row.per_second,
                at(0.5),
                at(0.99),
                number(row.cpu_micros),
                number(row.ended_per_second),
                row.refused,
                row.database.map_or(String::new(), |[cpu, writes, log]| {
                    format!("  {cpu:10.1} {writes:11.4} {log:10.0}")
                }),
            );
        }
    }
}
