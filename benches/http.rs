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

mod kit;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use self::kit::argument;
use self::kit::client::{Connection, Delivery, request};
use self::kit::cluster::{Cluster, Spent};
use self::kit::load::{Answers, Meter, closed};
use self::kit::server::{Server, program};
use self::kit::stub::stub;

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

/// What is counted of the server and its database is per delivery.
struct Row {
    answers: Answers,
    ended_per_second: Option<f64>,
    cpu_micros: f64,
    database: Option<Spent>,
}

async fn measure(
    program: &Path,
    postgres: Option<&Cluster>,
    load: Load,
    connections: usize,
    seconds: Duration,
) -> Row {
    let database = postgres.map(Cluster::database);
    let server = Server::start(program, database.as_ref().map(|database| &*database.url));
    if load != Load::Cheapest {
        server.prepare(&[workflow(load, &stub(Duration::ZERO).await)]).await;
    }
    let body = json!({
        "action": "created", "sender": { "login": "ada", "id": 1, "type": "User" },
        "repository": { "full_name": "ada/engine", "stargazers_count": 128, "description": "x".repeat(180) }
    });
    let webhook = Delivery::new(&body);
    let sent = AtomicU64::new(0);
    let request = move || match load {
        Load::Cheapest => request("GET", "/healthz", "", ""),
        _ => webhook.request("gh", sent.fetch_add(1, Ordering::Relaxed)),
    };
    let meter = Meter::start(server.id(), postgres);
    let answers = closed(&server.address, connections, seconds, request, |status| status < 300).await;
    let ended_per_second = if matches!(load, Load::OneEffect | Load::FiveEffects) {
        let ended = all_ended(&server, answers.micros.len()).await;
        Some(ended as f64 / answers.begun.elapsed().as_secs_f64())
    } else {
        None
    };
    let (cpu_micros, database) = meter.per(answers.micros.len() as f64);
    Row { answers, ended_per_second, cpu_micros, database }
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
    let postgres = std::env::args().any(|argument| argument == "--postgres").then(Cluster::durable);
    for count in connections.split(',').filter_map(|text| text.parse().ok()) {
        let mut cheapest = None;
        for load in [Load::Cheapest, Load::Pure, Load::OneEffect, Load::FiveEffects] {
            let row = runtime.block_on(measure(
                &program,
                postgres.as_ref(),
                load,
                count,
                Duration::from_secs(seconds),
            ));
            let ratio = row.answers.per_second / *cheapest.get_or_insert(row.answers.per_second);
            let at = |quantile| row.answers.micros.value_at_quantile(quantile) as f64 / 1_000.0;
            let number = |number: Option<f64>| number.map_or("-".into(), |number| format!("{number:.0}"));
            println!(
                "{:18} {count:11} {:10.0} {ratio:7.2} {:8.2} {:8.2} {:12.0} {:>9} {:9} {}",
                load.label(),
                row.answers.per_second,
                at(0.5),
                at(0.99),
                row.cpu_micros,
                number(row.ended_per_second),
                row.answers.refused,
                row.database.map_or(String::new(), |spent| spent.to_string()),
            );
        }
    }
}
