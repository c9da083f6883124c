//! Histories of earlier releases. They are only ever added to: every release must decide each of them again, byte for
//! byte. `MESHHOOK_ADD_HISTORIES=1 cargo test -p meshhook-core --test run golden` writes the missing ones.

use std::path::PathBuf;
use std::time::Duration;

use meshhook_core::event::{decode_events, encode_events};
use meshhook_core::failure::Failure;
use meshhook_core::id::StepKey;
use meshhook_core::json::{JsonLimits, parse, to_canonical_string};
use meshhook_core::run::verify;
use serde_json::{Value, json};

use crate::driver::{definition, meta, run};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// Fails the first attempt of each call, succeeds with the second; `broken` never succeeds, `slow` takes a minute.
fn outcome(step: &StepKey, attempt: u32) -> (Duration, Result<Value, Failure>) {
    let result = match (step.node(), attempt) {
        ("slow", 2) => return (Duration::from_secs(60), Ok(json!("too late"))),
        ("broken", _) => {
            Err(Failure::permanent("http_status", "status 404").with_details(json!({ "status": 404 })))
        }
        (_, 1) => Err(Failure::retryable("http_connect", "connection refused")),
        _ => Ok(
            json!({ "status": 200, "headers": { "x": "y" }, "body": { "step": step.as_str(), "f": 0.1, "big": 9_007_199_254_740_993_u64 } }),
        ),
    };
    (Duration::from_millis(250), result)
}

fn scenarios() -> Vec<(&'static str, Value)> {
    let call = |id: &str| json!({ "id": id, "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" } });
    let body = json!({ "nodes": [call("post"), { "id": "pick", "type": "transform", "config": { "expression": "{n: index, s: input.body.step}" } }],
        "edges": [{ "from": "post", "to": "pick" }] });
    vec![
        (
            "v1-pure",
            json!({ "name": "Pure", "vars": { "min": 10 }, "nodes": [
            { "id": "shape", "type": "transform", "config": { "expression": "{n: input.n, id: uuid(), at: now(), half: input.n / `2`}" } },
            { "id": "big", "type": "branch", "config": { "condition": "input.n >= vars.min" } },
            { "id": "text", "type": "transform", "config": { "template": { "t": "{{ nodes.shape.output.n }} of {{ vars }}", "k": "{{ keys(@) }}" } } },
            { "id": "small", "type": "transform", "config": { "expression": "'small'" } } ],
            "edges": [{ "from": "shape", "to": "big" }, { "from": "big", "port": "true", "to": "text" }, { "from": "big", "port": "false", "to": "small" }] }),
        ),
        (
            "v1-retries",
            json!({ "name": "Retries", "nodes": [call("one"), call("two"), { "id": "end", "type": "terminate", "config": { "output": "{{ input }}" } }],
            "edges": [{ "from": "one", "to": "two" }, { "from": "two", "to": "end" }] }),
        ),
        (
            "v1-failure",
            json!({ "name": "Failure", "nodes": [call("one"), call("broken")], "edges": [{ "from": "one", "to": "broken" }] }),
        ),
        (
            "v1-error-port",
            json!({ "name": "Error port", "nodes": [call("broken"), { "id": "caught", "type": "switch", "config": {
            "cases": [{ "port": "gone", "when": "input.details.status == `404`" }] } }, { "id": "say", "type": "transform", "config": { "expression": "input" } }],
            "edges": [{ "from": "broken", "port": "error", "to": "caught" }, { "from": "caught", "port": "gone", "to": "say" }] }),
        ),
        (
            "v1-loops",
            json!({ "name": "Loops", "nodes": [
            { "id": "each", "type": "for_each", "config": { "items": "['a', 'b']", "concurrency": 2, "body": body } },
            { "id": "again", "type": "repeat", "config": { "until": "index == `1`", "every": "1m", "max_iterations": 3, "body": body } } ],
            "edges": [{ "from": "each", "to": "again" }] }),
        ),
        (
            "v1-timers",
            json!({ "name": "Timers", "timeout": "3h", "nodes": [
            { "id": "delay", "type": "delay", "config": { "for": "1h" } },
            { "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "90m" } },
            { "id": "late", "type": "delay", "config": { "for": "1d" } } ],
            "edges": [{ "from": "delay", "to": "paid" }, { "from": "paid", "port": "timeout", "to": "late" }] }),
        ),
        (
            "v2-deadline",
            json!({ "name": "Deadline", "nodes": [{ "id": "slow", "type": "http_call", "deadline": "20s",
                "config": { "method": "GET", "url": "https://example.com/" } },
            { "id": "say", "type": "transform", "config": { "expression": "input" } }],
            "edges": [{ "from": "slow", "port": "error", "to": "say" }] }),
        ),
    ]
}

#[test]
fn every_golden_history_is_decided_again_byte_for_byte() {
    let mut seen = 0;
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        let golden =
            parse(&std::fs::read(&path).unwrap(), &JsonLimits::default().with_max_depth(200)).unwrap();
        let definition = definition(&golden["definition"]);
        let text = to_canonical_string(&golden["events"]);
        let events = decode_events(&text).unwrap();
        verify(&definition, meta(&definition), &events)
            .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        assert_eq!(encode_events(&events), text, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= scenarios().len());
}

#[test]
fn every_scenario_has_its_golden_history() {
    for (name, document) in scenarios() {
        let path = folder().join(format!("{name}.json"));
        if !path.exists() && std::env::var_os("MESHHOOK_ADD_HISTORIES").is_some() {
            let (_, events) = run(&document, json!({ "n": 12 }), &outcome);
            let events: Vec<Value> = events.iter().map(meshhook_core::event::Event::to_value).collect();
            let golden = json!({ "definition": document, "events": events });
            std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&golden).unwrap())).unwrap();
        }
        assert!(path.exists(), "{name} has no golden history");
    }
}
