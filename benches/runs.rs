//! Runs per second in one process, without HTTP: on SQLite with durable settings, and on memory to see the engine alone.
//!
//! `cargo xtask bench runs -- --seconds 5 --in-flight 1,64,256`. Every row is measured on a fresh file; compare rows of
//! one invocation with each other, not with those of another machine or day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use meshhook::clock::SystemClock;
use meshhook::engine::{Engine, StartRequest};
use meshhook::exec::{Attempt, AttemptError, Executor, Outcome};
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::sqlite::{SqliteOptions, SqliteStore};
use meshhook::store::Store;
use meshhook::store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::time::Instant;

/// Answers at once: what is measured is the engine and the store.
struct Instantly;

#[async_trait::async_trait]
impl Executor for Instantly {
    async fn execute(&self, _attempt: Attempt) -> Result<Outcome, AttemptError> {
        Ok(Outcome::out(
            json!({ "status": 200, "headers": {}, "body": { "ok": true, "id": "0123456789abcdef" } }),
        ))
    }
}

/// Five nodes in a row, of which some are side effects.
fn workflow(effects: usize) -> Value {
    let node = |place: usize| {
        let id = format!("n{place}");
        if (1..=effects).contains(&place) {
            json!({ "id": id, "type": "http_call", "config": {
                "method": "POST", "url": "https://example.com/", "body": { "n": "{{ input.n }}" } } })
        } else {
            let expression = "{n: trigger.type, text: 'a step with a result of about this size'}";
            json!({ "id": id, "type": "transform", "config": { "expression": expression } })
        }
    };
    let edges = (1..5).map(|place| json!({ "from": format!("n{}", place - 1), "to": format!("n{place}") }));
    json!({ "name": "Bench", "nodes": (0..5).map(node).collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() })
}

struct Row {
    per_second: f64,
    accept_us: Histogram<u64>,
    finish_us: Histogram<u64>,
}

async fn measure(store: Arc<dyn Store>, effects: usize, in_flight: usize, seconds: Duration) -> Row {
    let engine = Engine::builder(store).http_call(Arc::new(Instantly)).start().expect("the engine starts");
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("bench").expect("a valid slug");
    project.create_workflow(&slug, workflow(effects)).await.expect("created");
    project.publish(&slug).await.expect("published");
    let input = json!({ "n": 1, "payload": "x".repeat(180) });
    let finished = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let client = || {
        let (project, slug, input, finished) =
            (project.clone(), slug.clone(), input.clone(), finished.clone());
        tokio::spawn(async move {
            let (mut accept, mut finish) = (histogram(), histogram());
            while started.elapsed() < seconds {
                let begun = Instant::now();
                let run = project.start_run(&slug, StartRequest::new(input.clone())).await.expect("accepted");
                accept.saturating_record(micros(begun));
                if run.end.is_none() {
                    let status = project.wait_for_end(run.run, Duration::from_secs(60)).await.expect("known");
                    assert!(status.is_terminal(), "the run did not end");
                }
                finish.saturating_record(micros(begun));
                finished.fetch_add(1, Ordering::Relaxed);
            }
            (accept, finish)
        })
    };
    let clients: Vec<_> = (0..in_flight).map(|_| client()).collect();
    let (mut accept_us, mut finish_us) = (histogram(), histogram());
    for client in clients {
        let (accept, finish) = client.await.expect("a client ends");
        accept_us.add(accept).expect("equal histograms");
        finish_us.add(finish).expect("equal histograms");
    }
    let per_second = finished.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    engine.shutdown(Duration::from_secs(5)).await;
    Row { per_second, accept_us, finish_us }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds up to a minute are allowed")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() {
    let seconds = argument("--seconds").and_then(|text| text.parse().ok()).unwrap_or(3);
    let in_flight = argument("--in-flight").unwrap_or_else(|| "1,64,256".into());
    let in_flight: Vec<usize> = in_flight.split(',').filter_map(|text| text.parse().ok()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("store   workflow           in flight      runs/s   accept p50/p99 ms   finish p50/p99 ms");
    for durable in [true, false] {
        for (effects, label) in [(0, "5 pure"), (1, "4 pure, 1 effect"), (3, "2 pure, 3 effects")] {
            for clients in &in_flight {
                let row = runtime.block_on(async {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store: Arc<dyn Store> = if durable {
                        let path = folder.path().join("bench.db");
                        Arc::new(SqliteStore::open(&path, SqliteOptions::new()).await.expect("a store"))
                    } else {
                        Arc::new(MemoryStore::new(Arc::new(SystemClock)))
                    };
                    measure(store, effects, *clients, Duration::from_secs(seconds)).await
                });
                let at = |us: &Histogram<u64>, quantile| us.value_at_quantile(quantile) as f64 / 1_000.0;
                println!(
                    "{:7} {label:18} {clients:9} {:11.0}   {:8.2} {:8.2}   {:8.2} {:8.2}",
                    if durable { "sqlite" } else { "memory" },
                    row.per_second,
                    at(&row.accept_us, 0.5),
                    at(&row.accept_us, 0.99),
                    at(&row.finish_us, 0.5),
                    at(&row.finish_us, 0.99),
                );
            }
        }
    }
}
