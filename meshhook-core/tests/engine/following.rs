//! Following a run's events as they are committed.

use std::time::Duration;

use meshhook_core::engine::{EngineError, EngineOptions, Follower};
use meshhook_core::event::Event;
use meshhook_core::failure::Failure;
use meshhook_core::id::RunId;
use meshhook_core::store::memory::Operation;
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

use crate::kit::Kit;

/// One call after the other, each as long as the script says.
fn calls(count: usize) -> Value {
    let nodes: Vec<Value> = (0..count)
        .map(|n| json!({ "id": format!("n{n}"), "type": "http_call", "config": { "method": "GET", "url": "https://a.example" } }))
        .collect();
    let edges: Vec<Value> =
        (1..count).map(|n| json!({ "from": format!("n{}", n - 1), "to": format!("n{n}") })).collect();
    json!({ "name": "Calls", "nodes": nodes, "edges": edges })
}

async fn to_the_end(mut follower: Follower) -> Vec<Event> {
    let mut told = Vec::new();
    while let Some(events) = follower.next().await.unwrap() {
        told.extend(events);
    }
    told
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_here_is_not_read_from_the_store_again() {
    let kit = Kit::start();
    *kit.effects.takes.lock().unwrap() = Duration::from_millis(100);
    let flow = kit.publish("w", calls(20)).await;
    let run = kit.start_run(&flow, json!({})).await;
    let reads = || kit.store.transactions().of(Operation::Read);
    let before = reads();
    let told = to_the_end(kit.project.follow(run, 0).await.unwrap()).await;
    assert_eq!(reads() - before, 1, "the first look");
    assert_eq!(told, kit.events(run).await);
    assert!(told.len() > 40, "{}", told.len());
    let behind = to_the_end(kit.project.follow(run, 7).await.unwrap()).await;
    assert_eq!(behind, told[7..]);
    assert_eq!(to_the_end(kit.project.follow(run, told.len() as u64).await.unwrap()).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_elsewhere_is_seen_at_the_next_look() {
    let works = Kit::start();
    *works.effects.takes.lock().unwrap() = Duration::from_millis(1_300);
    let mut options = EngineOptions::default();
    options.works = false;
    let looks = Kit::with(works.store.clone(), works.clock, options);
    let flow = works.publish("w", calls(5)).await;
    let run = works.start_run(&flow, json!({})).await;
    let told = to_the_end(looks.project.follow(run, 0).await.unwrap()).await;
    assert_eq!(told, works.events(run).await);
    assert!(told.last().unwrap().data.is_terminal());
}

#[tokio::test(start_paused = true)]
async fn more_than_is_kept_is_read_from_the_store() {
    let kit = Kit::start();
    let node = |id: &str| json!({ "id": id, "type": "transform", "config": { "expression": "input" } });
    let long = json!({ "name": "Long", "nodes": [
        { "id": "wait", "type": "delay", "config": { "for": "3s" } }, node("a"), node("b") ],
        "edges": [{ "from": "wait", "to": "a" }, { "from": "a", "to": "b" }] });
    let flow = kit.publish("w", long).await;
    let run = kit.start_run(&flow, json!("x".repeat(100_000))).await;
    let mut follower = kit.project.follow(run, 0).await.unwrap();
    let first = follower.next().await.unwrap().unwrap();
    assert!(!first.is_empty());
    let told = to_the_end(follower).await;
    assert_eq!([first, told].concat(), kit.events(run).await);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_is_followed_again_from_its_end() {
    let kit = Kit::start();
    let flow = kit.publish("w", calls(1)).await;
    kit.effects.script.lock().unwrap().push_back(Err(Failure::permanent("no", "no").into()));
    let run = kit.start_run(&flow, json!({})).await;
    let told = to_the_end(kit.project.follow(run, 0).await.unwrap()).await;
    let end = told.len() as u64;
    kit.project.retry(run, None).await.unwrap();
    kit.finish(run).await;
    let rest = to_the_end(kit.project.follow(run, end).await.unwrap()).await;
    assert_eq!([told, rest].concat(), kit.events(run).await);
    let nobody = RunId::new(Timestamp::EPOCH, [9; 8]);
    let unknown = kit.project.follow(nobody, 0).await;
    assert!(matches!(unknown, Err(EngineError::NotFound { what: "run" })), "{unknown:?}");
}
