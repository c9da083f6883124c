//! What deciding a run costs, and making its history durable text: `cargo bench -p meshhook-core --bench run`.

use std::sync::Arc;

use meshhook_core::definition::{CheckContext, ValidDefinition, check};
use meshhook_core::event::{Chunk, Event, RunCreated, genesis};
use meshhook_core::id::{ProjectId, RunId, WorkflowSlug};
use meshhook_core::node::NodeTypes;
use meshhook_core::run::{Fact, RunMeta, RunState, replay};
use meshhook_core::time::Timestamp;
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp::EPOCH;

fn main() {
    divan::main();
}

/// Five nodes in a row, all of them pure or all of them side effects.
fn definition(type_name: &str, config: &Value) -> ValidDefinition {
    let node = |place: usize| json!({ "id": format!("n{place}"), "type": type_name, "config": config });
    let edges = (1..5).map(|place| json!({ "from": format!("n{}", place - 1), "to": format!("n{place}") }));
    let document = json!({ "name": "Bench", "nodes": (0..5).map(node).collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>() });
    let mut types = NodeTypes::new();
    types.register_http_call();
    check(&document, &CheckContext::new(&types)).definition.expect("the bench's definition is valid")
}

fn pure() -> ValidDefinition {
    let expression = "{n: trigger.type, text: 'a step with a result of about this size'}";
    definition("transform", &json!({ "expression": expression }))
}

fn effects() -> ValidDefinition {
    let config = json!({ "method": "POST", "url": "https://example.com/", "body": { "n": "{{ input.n }}" } });
    definition("http_call", &config)
}

fn begin(definition: &ValidDefinition) -> (RunState, Vec<Event>) {
    let (run, digest) = (RunId::new(NOW, [7; 8]), definition.digest().clone());
    let slug = WorkflowSlug::new("bench").expect("a valid slug");
    let meta = RunMeta::new(run, ProjectId::default_project(), slug, digest.clone(), NOW).version(1);
    let input = Arc::new(json!({ "n": 1, "payload": "x".repeat(180) }));
    let trigger: Map<String, Value> = [("type".to_owned(), "manual".into())].into_iter().collect();
    let created = RunCreated::new(digest, trigger.into(), input);
    RunState::begin(definition, Arc::new(meta), created)
}

/// From nothing to the text and hash that are committed.
fn whole(definition: &ValidDefinition) -> (RunState, Vec<Chunk>) {
    let (mut state, events) = begin(definition);
    let mut chunks = vec![Chunk::encode(genesis(state.meta().run), &events)];
    for place in 0..5 {
        if state.end().is_some() {
            break;
        }
        let fact = Fact::AttemptSucceeded {
            step: format!("n{place}").parse().expect("a valid step key"),
            attempt: 1,
            port: "out".into(),
            output: Arc::new(
                json!({ "status": 200, "headers": {}, "body": { "ok": true, "id": "0123456789abcdef" } }),
            ),
        };
        let events = state.decide(definition, fact, NOW).expect("the attempt is awaited");
        chunks.push(Chunk::encode(chunks[place].hash, &events));
    }
    assert!(state.end().is_some(), "the run has ended");
    (state, chunks)
}

#[divan::bench]
fn decide_5_pure(bencher: divan::Bencher<'_, '_>) {
    let definition = pure();
    bencher.bench(|| begin(&definition));
}

#[divan::bench]
fn decide_and_encode_5_pure(bencher: divan::Bencher<'_, '_>) {
    let definition = pure();
    bencher.bench(|| whole(&definition));
}

#[divan::bench]
fn decide_and_encode_5_effects(bencher: divan::Bencher<'_, '_>) {
    let definition = effects();
    bencher.bench(|| whole(&definition));
}

#[divan::bench]
fn replay_5_effects(bencher: divan::Bencher<'_, '_>) {
    let definition = effects();
    let (state, chunks) = whole(&definition);
    let meta = Arc::new(state.meta().clone());
    bencher.bench(|| replay(&definition, meta.clone(), &chunks).expect("the history replays"));
}
