//! Kills the example server at random instants under load, and proves that nothing accepted was lost.
//!
//! A short edition runs with the other tests. A long one: `MESHHOOK_KILLS=500 cargo test --release --test kill -- --nocapture`.
//! `MESHHOOK_SEED` repeats the choices of a run that failed; instants remain the machine's.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use meshhook::clock::{Clock, SystemClock};
use meshhook::time::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::process::{Child, Command};

const SECRET: &str = "a-secret-of-the-kill-test";
const CLIENTS: usize = 16;

/// Idempotency keys by run, with how often each was seen.
type Ledger = Arc<Mutex<HashMap<String, BTreeMap<String, u64>>>>;

struct Random(u64);

impl Random {
    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn millis(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.next() % below)
    }
}

/// The example server as a process of its own.
struct Server {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn start(&mut self) {
        let database = format!("sqlite:{}", self.folder.join("kill.db").display());
        let child = Command::new(server_binary())
            .args([
                "--listen",
                &format!("127.0.0.1:{}", self.port),
                "--database",
                &database,
                "--allow-private-network",
            ])
            .stdout(Stdio::null())
            .stderr(
                std::fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.folder.join("server.log"))
                    .unwrap(),
            )
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.unwrap());
    }

    async fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        // SIGKILL to the child that this test started, and to nothing else.
        child.kill().await.unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn wait_until_ready(&self, client: &reqwest::Client) {
        for _ in 0..600 {
            let answer = client.get(self.url("/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        panic!("the server did not become ready:\n{log}");
    }
}

/// `cargo test` builds the examples beside the tests.
fn server_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("examples/server");
    assert!(binary.exists(), "{} is missing: build it with `cargo build --example server`", binary.display());
    binary
}

async fn effect(
    State(ledger): State<Ledger>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> axum::Json<Value> {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let run = body["run"].as_str().unwrap().to_owned();
    // The effect is in the ledger before the answer leaves: whoever dies now must try again with the same key.
    *ledger.lock().unwrap().entry(run).or_default().entry(key).or_default() += 1;
    tokio::time::sleep(Duration::from_millis(u64::from(headers.len() as u16 % 3))).await;
    axum::Json(json!({ "done": true }))
}

async fn serve_effects(ledger: Ledger) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = axum::Router::new().route("/effect", axum::routing::post(effect)).with_state(ledger);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    port
}

fn definition(effects: u16) -> Value {
    json!({
        "name": "Kill",
        "triggers": [{ "id": "hub", "type": "webhook", "config": {
            "path": "kill", "verify": { "scheme": "github", "secret": "kill_secret" } } }],
        "nodes": [
            { "id": "shape", "type": "transform", "config": { "expression": "{n: input.n}" } },
            { "id": "big", "type": "branch", "config": { "condition": "input.n >= `0`" } },
            { "id": "post", "type": "http_call", "config": {
                "method": "POST", "url": format!("http://127.0.0.1:{effects}/effect"), "body": { "run": "{{ run.id }}" } },
              "retry": { "max_attempts": 100, "initial": "50ms", "max": "500ms" } },
            { "id": "note", "type": "transform", "config": { "expression": "input.body.done" } },
            { "id": "end", "type": "transform", "config": { "template": { "done": "{{ input }}" } } },
        ],
        "edges": [
            { "from": "shape", "to": "big" },
            { "from": "big", "port": "true", "to": "post" },
            { "from": "post", "to": "note" },
            { "from": "note", "to": "end" },
        ],
    })
}

async fn set_up(server: &Server, client: &reqwest::Client, effects: u16) {
    let project = server.url("/api/projects/default");
    let secret = client.put(format!("{project}/secrets/kill_secret")).json(&json!({ "value": SECRET }));
    assert_eq!(secret.send().await.unwrap().status(), 204);
    let create = json!({ "slug": "kill", "definition": definition(effects) });
    let created = client.post(format!("{project}/workflows")).json(&create).send().await.unwrap();
    assert_eq!(created.status(), 201, "{}", created.text().await.unwrap());
    let published = client.post(format!("{project}/workflows/kill/publish")).send().await.unwrap();
    assert_eq!(published.status(), 201, "{}", published.text().await.unwrap());
}

/// Sends deliveries, each until it is acknowledged; answers the acknowledged runs.
async fn send(
    url: String,
    client: reqwest::Client,
    mut random: Random,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let delivery = format!("{:016x}{:016x}", random.next(), random.next());
        let body = json!({ "n": random.next() % 100, "delivery": delivery }).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        loop {
            let request = client
                .post(&url)
                .header("content-type", "application/json")
                .header("x-github-delivery", &delivery)
                .header("x-github-event", "star")
                .header("x-hub-signature-256", &signature)
                .timeout(Duration::from_secs(10))
                .body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status() == 202 => match answer.json::<Value>().await {
                    Ok(accepted) => {
                        acknowledged.insert(accepted["run_id"].as_str().unwrap().to_owned());
                        break;
                    }
                    Err(_) => lost.fetch_add(1, Ordering::Relaxed),
                },
                Ok(answer) if answer.status() == 503 => 0,
                Ok(answer) => panic!("unexpected answer {}: {:?}", answer.status(), answer.text().await),
                Err(_) => lost.fetch_add(1, Ordering::Relaxed),
            };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(random.millis(80)).await;
    }
    acknowledged
}

/// What the history of a run shows.
struct Checked {
    resumes: Vec<Timestamp>,
}

async fn check(server: &Server, client: &reqwest::Client, run: &str, ledger: &Ledger) -> Checked {
    let url = server.url(&format!("/api/projects/default/runs/{run}"));
    let view: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(view["status"], "succeeded", "{run}: {:#}\n{:#}", view["error"], view["steps"]);
    let page: Value =
        client.get(format!("{url}/events?limit=200")).send().await.unwrap().json().await.unwrap();
    let events = page["items"].as_array().unwrap();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event["seq"], seq, "{page:#}");
    }
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "run_succeeded").count(), 1, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"run_succeeded"));
    let verdict: Value = client.post(format!("{url}/verify")).send().await.unwrap().json().await.unwrap();
    assert_eq!(verdict["ok"], true, "{verdict:#}");
    let recorded = events.iter().find(|event| event["type"] == "step_started").unwrap();
    let keys = ledger.lock().unwrap().get(run).cloned().unwrap_or_default();
    assert_eq!(
        keys.keys().collect::<Vec<_>>(),
        [recorded["data"]["idempotency_key"].as_str().unwrap()],
        "{run}"
    );
    let claims = events.iter().filter(|event| event["type"] == "run_claimed");
    Checked { resumes: claims.map(|event| event["at"].as_str().unwrap().parse().unwrap()).collect() }
}

/// Waits until no run is left that has not ended, and counts the runs there are.
async fn settle(server: &Server, client: &reqwest::Client, acknowledged: &BTreeSet<String>) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    for run in acknowledged {
        let url = server.url(&format!("/api/projects/default/runs/{run}"));
        loop {
            let view: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
            if matches!(view["status"].as_str(), Some("succeeded" | "failed" | "cancelled")) {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{run} did not end: {view:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn count_runs(server: &Server, client: &reqwest::Client) -> BTreeSet<String> {
    let mut runs = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let url = server.url(&format!("/api/projects/default/runs?limit=200{after}"));
        let page: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        runs.extend(
            page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()),
        );
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return runs;
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_when_the_server_is_killed_at_random_instants() {
    let kills = number("MESHHOOK_KILLS", 15);
    let seed = number("MESHHOOK_SEED", RandomState::new().hash_one("seed"));
    println!("seed {seed}, {kills} kills");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let effects = serve_effects(ledger.clone()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Server { folder: folder.path().to_owned(), port, child: None };
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    server.start();
    server.wait_until_ready(&client).await;
    set_up(&server, &client, effects).await;

    let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let url = server.url("/hooks/default/kill");
    let senders: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let random = Random(random.next());
            tokio::spawn(send(url.clone(), client.clone(), random, stop.clone(), lost.clone()))
        })
        .collect();
    let mut killed_at = Vec::new();
    for _ in 0..kills {
        server.wait_until_ready(&client).await;
        tokio::time::sleep(random.millis(250)).await;
        killed_at.push(SystemClock.now());
        server.kill().await;
        server.start();
    }
    server.wait_until_ready(&client).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    let mut deliveries = 0;
    for sender in senders {
        let runs = sender.await.unwrap();
        deliveries += runs.len();
        acknowledged.extend(runs);
    }
    assert_eq!(acknowledged.len(), deliveries, "two deliveries share a run");
    settle(&server, &client, &acknowledged).await;

    let all = count_runs(&server, &client).await;
    assert_eq!(all, acknowledged, "a run that nobody was told of, or the other way round");
    let mut resumes = Vec::new();
    for run in &acknowledged {
        for claimed_at in check(&server, &client, run, &ledger).await.resumes {
            let kill = killed_at.iter().rev().find(|kill| **kill <= claimed_at);
            resumes.extend(kill.map(|kill| claimed_at.since(*kill)));
        }
    }
    server.kill().await;
    let repeated: u64 =
        ledger.lock().unwrap().values().flat_map(BTreeMap::values).map(|times| times - 1).sum();
    resumes.sort();
    let at = |quantile: f64| {
        resumes.get(((resumes.len() as f64 - 1.0) * quantile) as usize).copied().unwrap_or_default()
    };
    println!(
        "{} runs acknowledged, all succeeded once with one key each; {} answers lost and asked for again; \
         {} takeovers of runs in flight, {repeated} effects repeated with the same key; \
         from kill to takeover p50 {:?}, p99 {:?}; violations 0 of {kills} kills (95 % bound {:.4})",
        acknowledged.len(),
        lost.load(Ordering::Relaxed),
        resumes.len(),
        at(0.5),
        at(0.99),
        3.0 / kills as f64,
    );
    assert!(!resumes.is_empty(), "no kill hit a run in flight: the test shows nothing");
}
