//! What it costs to keep webhooks: signed deliveries of the size that GitHub sends, over loopback, into the example
//! server on SQLite and on Postgres, beside the same server that keeps none.
//!
//! `MESHHOOK_TEST_DATA=… cargo xtask bench intake -- --seconds 3 --connections 1,64,256`. Each store has a server of its
//! own with two hooks, both of which verify, read and parse; one then drops every delivery by its filter, the other commits
//! a run of one step and answers when it is durable. They are measured in turns, three times each; shown is the median.
//!
//! The bodies are those of GitHub's own examples, from 6 to 30 kB, in turns, where `MESHHOOK_TEST_DATA` names a folder
//! that has them as `github/*.json`; else of this program's making, in the same sizes. `--folder` says on which disk
//! Postgres is. The client shares the machine with the server, so what counts is the ratio, and the processor time (on
//! Linux), bytes of the write-ahead log and writing transactions per delivery.

mod kit;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use self::kit::argument;
use self::kit::client::Delivery;
use self::kit::cluster::{Cluster, Spent};
use self::kit::load::{Answers, Meter, closed};
use self::kit::server::{Server, program};

/// How often each row is measured.
const ROUNDS: usize = 3;

/// What becomes of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    Drops,
    Keeps,
}

impl Hook {
    fn path(self) -> &'static str {
        match self {
            Hook::Drops => "drops",
            Hook::Keeps => "keeps",
        }
    }

    fn workflow(self) -> Value {
        let mut config = json!({
            "path": self.path(), "verify": { "scheme": "github", "secret": "gh_webhook" } });
        if self == Hook::Drops {
            config["filter"] = "body.sender.login == 'nobody'".into();
        }
        json!({ "slug": self.path(), "definition": {
            "name": "Intake",
            "triggers": [{ "id": "github", "type": "webhook", "config": config }],
            "nodes": [{ "id": "who", "type": "transform", "config": {
                "expression": "{who: trigger.body.sender.login}" } }],
        }})
    }
}

/// One measurement; what is counted of the server and its database is per delivery.
struct Row {
    answers: Answers,
    cpu_micros: f64,
    database: Option<Spent>,
}

struct Place<'a> {
    server: Server,
    cluster: Option<&'a Cluster>,
    deliveries: Arc<Vec<Delivery>>,
    sent: Arc<AtomicU64>,
}

impl Place<'_> {
    async fn measure(&self, hook: Hook, connections: usize, span: Duration) -> Row {
        let (deliveries, sent) = (self.deliveries.clone(), self.sent.clone());
        let request = move || {
            let id = sent.fetch_add(1, Ordering::Relaxed);
            deliveries[id as usize % deliveries.len()].request(hook.path(), id)
        };
        let wanted = if hook == Hook::Keeps { 202 } else { 200 };
        let meter = Meter::start(self.server.id(), self.cluster);
        let is_good = move |status| status == wanted;
        let answers = closed(&self.server.address, connections, span, request, is_good).await;
        let (cpu_micros, database) = meter.per(answers.micros.len() as f64);
        Row { answers, cpu_micros, database }
    }
}

/// GitHub's own bodies, or some like them.
fn deliveries() -> Vec<Delivery> {
    let folder = std::env::var_os("MESHHOOK_TEST_DATA").map(|folder| PathBuf::from(folder).join("github"));
    let files = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read(file).expect("a file that is listed can be read");
        Delivery::new(&serde_json::from_slice(&text).expect("GitHub's bodies are JSON"))
    };
    let own = |size: usize| {
        let commits: Vec<Value> = (0..size / 250)
            .map(|n| {
                json!({ "id": format!("{n:040x}"), "message": "x".repeat(100), "distinct": true,
                "author": { "name": "Ada", "email": "ada@example.com", "username": "ada" } })
            })
            .collect();
        Delivery::new(&json!({ "sender": { "login": "ada", "id": 1 }, "commits": commits }))
    };
    if files.is_empty() {
        [6, 8, 9, 12, 15, 22, 30].map(|kilobytes| own(kilobytes * 1_000)).into()
    } else {
        files.into_iter().map(read).collect()
    }
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() {
    let seconds = argument("--seconds").and_then(|text| text.parse().ok()).unwrap_or(3);
    let connections = argument("--connections").unwrap_or_else(|| "1,64,256".into());
    let program = program();
    let deliveries = Arc::new(deliveries());
    let bytes: Vec<usize> = deliveries.iter().map(Delivery::len).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("cargo xtask bench intake -- --seconds {seconds} --connections {connections}");
    println!(
        "{} bodies of {} to {} bytes, {} on average",
        bytes.len(),
        bytes.iter().min().unwrap_or(&0),
        bytes.iter().max().unwrap_or(&0),
        bytes.iter().sum::<usize>() / bytes.len()
    );
    println!(
        "store     hook   connections      req/s   ratio   p50 ms   p99 ms   CPU us/req   refused   DB us/req   \
         DB tx/req  WAL B/req"
    );
    let cluster = Cluster::durable();
    for cluster in [None, Some(&cluster)] {
        let database = cluster.map(Cluster::database);
        let server = Server::start(&program, database.as_ref().map(|database| &*database.url));
        runtime.block_on(server.prepare(&[Hook::Drops.workflow(), Hook::Keeps.workflow()]));
        let place = Place { server, cluster, deliveries: deliveries.clone(), sent: Arc::default() };
        for count in connections.split(',').filter_map(|text| text.parse().ok()) {
            let mut rows = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (hook, rows) in [Hook::Drops, Hook::Keeps].into_iter().zip(&mut rows) {
                    rows.push(runtime.block_on(place.measure(hook, count, Duration::from_secs(seconds))));
                }
            }
            let mut dropped = None;
            for (hook, mut rows) in [Hook::Drops, Hook::Keeps].into_iter().zip(rows) {
                rows.sort_by(|a, b| a.answers.per_second.total_cmp(&b.answers.per_second));
                let refused: u64 = rows.iter().map(|row| row.answers.refused).sum();
                let row = rows.swap_remove(ROUNDS / 2);
                let ratio = row.answers.per_second / *dropped.get_or_insert(row.answers.per_second);
                let at = |quantile| row.answers.micros.value_at_quantile(quantile) as f64 / 1_000.0;
                println!(
                    "{:9} {:6} {count:11} {:10.0} {ratio:7.2} {:8.2} {:8.2} {:12.0} {refused:9} {}",
                    if cluster.is_some() { "Postgres" } else { "SQLite" },
                    hook.path(),
                    row.answers.per_second,
                    at(0.5),
                    at(0.99),
                    row.cpu_micros,
                    row.database.map_or(String::new(), |spent| spent.to_string()),
                );
            }
        }
    }
}
