//! What holds for every run, over random definitions and outcomes.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::event::{Chunk, Event, decode_events, encode_events, genesis};
use meshhook_core::failure::Failure;
use meshhook_core::id::StepKey;
use meshhook_core::run::{replay, verify};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::driver::{begin, definition, finish, kinds, meta, next_fact};

/// A random document: nodes of all kinds that need no event from outside, with edges from earlier to later ones.
fn document() -> impl Strategy<Value = Value> {
    let node = (0..9_u8, 0..4_u8, any::<bool>());
    let edge = (0..100_usize, 0..100_usize, 0..4_usize);
    (prop::collection::vec(node, 1..8), prop::collection::vec(edge, 0..14)).prop_map(|(nodes, edges)| {
        let built: Vec<Value> =
            nodes.iter().enumerate().map(|(place, node)| make_node(place, *node)).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut wires = Vec::new();
        for (a, b, port) in edges {
            let (a, b) = (a % built.len(), b % built.len());
            let (from, to) = (a.min(b), a.max(b));
            let Some(ports) = ports(&built[from]) else { continue };
            let port = ports[port % ports.len()];
            if from != to && seen.insert((from, to, port)) {
                wires.push(json!({ "from": built[from]["id"], "port": port, "to": built[to]["id"] }));
            }
        }
        json!({ "name": "Random", "nodes": built, "edges": wires })
    })
}

fn make_node(place: usize, (kind, variant, any): (u8, u8, bool)) -> Value {
    let id = format!("n{place}");
    let body = json!({ "nodes": [
        { "id": "x", "type": "transform", "config": { "expression": "item || input" } },
        { "id": "y", "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" },
          "retry": { "max_attempts": 2 } } ], "edges": [{ "from": "x", "to": "y" }] });
    let mut node = match kind {
        0 => json!({ "type": "transform", "config": { "expression": "{id: uuid(), at: now(), v: input}" } }),
        1 => json!({ "type": "transform", "config": { "expression": "abs('x')" } }),
        2 => {
            json!({ "type": "branch", "config": { "condition": if variant > 1 { "input" } else { "`false`" } } })
        }
        3 => json!({ "type": "switch", "config": { "cases": [
            { "port": "one", "when": "run.id > 'x'" }, { "port": "two", "when": if variant > 1 { "`true`" } else { "`false`" } } ] } }),
        4 => json!({ "type": "delay", "config": { "for": format!("{}s", u32::from(variant) * 700) } }),
        5 => {
            json!({ "type": "for_each", "config": { "items": "['a', 'b', 'c']", "concurrency": variant.max(1),
            "on_item_error": if any { "fail" } else { "collect" }, "body": body } })
        }
        6 => {
            json!({ "type": "repeat", "config": { "until": "index >= `1`", "max_iterations": u64::from(variant.max(1)),
            "every": "30s", "body": body } })
        }
        _ => json!({ "type": "http_call", "config": { "method": "GET", "url": "https://example.com/" },
            "retry": { "max_attempts": variant.max(1), "initial": "10s" }, "deadline": "25s" }),
    };
    node["id"] = json!(id);
    if any && place > 0 {
        node["join"] = json!("any");
    }
    node
}

fn ports(node: &Value) -> Option<&'static [&'static str]> {
    Some(match node["type"].as_str()? {
        "branch" => &["true", "false", "error"],
        "switch" => &["one", "two", "default", "error"],
        "delay" => &["out"],
        "repeat" => &["out", "exhausted", "error"],
        _ => &["out", "error"],
    })
}

/// An outcome that depends on the seed, the step and the attempt only.
fn outcome(seed: u64) -> impl Fn(&StepKey, u32) -> (Duration, Result<Value, Failure>) {
    move |step, attempt| {
        let hash = Sha256::digest(format!("{seed} {step} {attempt}"));
        let takes = Duration::from_millis(u64::from(hash[0]) * 50);
        let result = match hash[1] % 8 {
            0 => Err(Failure::permanent("http_status", "status 404")),
            1..=3 => Err(Failure::retryable("http_status", "status 503")),
            _ => Ok(json!({ "by": step.as_str(), "attempt": attempt })),
        };
        (takes, result)
    }
}

fn complete(
    document: &Value,
    seed: u64,
) -> (meshhook_core::definition::ValidDefinition, Vec<Event>, Vec<usize>) {
    let definition = definition(document);
    let (mut state, mut events) = begin(&definition, json!({ "seed": seed }));
    let mut commits = vec![events.len()];
    while let Some((at, fact)) = next_fact(&definition, &state, &outcome(seed)) {
        events.extend(state.decide(&definition, fact, at).unwrap());
        commits.push(events.len());
    }
    assert!(state.end().is_some(), "{:#?}", kinds(&events));
    (definition, events, commits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_run_cut_off_anywhere_comes_to_the_same_end(document in document(), seed: u64) {
        let (definition, events, commits) = complete(&document, seed);
        for cut in commits {
            let mut again = events[..cut].to_vec();
            let mut state = verify(&definition, meta(&definition), &again).unwrap();
            finish(&definition, &mut state, &mut again, &outcome(seed));
            prop_assert_eq!(encode_events(&again), encode_events(&events));
        }
    }

    #[test]
    fn a_history_is_gapless_and_ends_once(document in document(), seed: u64) {
        let (_, events, _) = complete(&document, seed);
        for (event, seq) in events.iter().zip(1..) {
            prop_assert_eq!(event.seq, seq);
        }
        let ends = events.iter().filter(|event| event.data.is_terminal()).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(events.last().unwrap().data.is_terminal());
        prop_assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }

    #[test]
    fn a_step_succeeds_or_fails_once_and_its_attempts_count_up(document in document(), seed: u64) {
        let (_, events, _) = complete(&document, seed);
        let mut ended = std::collections::BTreeSet::new();
        let mut attempts = std::collections::BTreeMap::new();
        for event in &events {
            let Some(step) = &event.step else { continue };
            prop_assert!(!ended.contains(step), "{step} went on after its end: {:#?}", kinds(&events));
            match event.data.kind() {
                "step_succeeded" | "step_failed" | "step_skipped" => { ended.insert(step.clone()); }
                "attempt_failed" => {
                    let count = attempts.entry(step.clone()).or_insert(0);
                    *count += 1;
                    prop_assert_eq!(&event.to_value()["data"]["attempt"], *count);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn an_altered_byte_is_always_found(document in document(), seed: u64, place: prop::sample::Index, bit in 0..7_u8) {
        let (definition, events, commits) = complete(&document, seed);
        let mut chunks = Vec::new();
        let (mut from, mut hash) = (0, genesis(meta(&definition).run));
        for to in commits {
            let chunk = Chunk::encode(hash, &events[from..to]);
            (from, hash) = (to, chunk.hash);
            chunks.push(chunk);
        }
        replay(&definition, meta(&definition), &chunks).unwrap();
        let total: usize = chunks.iter().map(|chunk| chunk.text.len()).sum();
        let mut at = place.index(total);
        for chunk in &mut chunks {
            if at < chunk.text.len() {
                let mut bytes = chunk.text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
                *chunk = Chunk::from_parts(chunk.first_seq, chunk.last_seq, text, chunk.hash);
                break;
            }
            at -= chunk.text.len();
        }
        prop_assert!(replay(&definition, meta(&definition), &chunks).is_err());
    }

    #[test]
    fn an_altered_decision_is_found_by_the_rules_alone(document in document(), seed: u64, place: prop::sample::Index) {
        let (definition, events, _) = complete(&document, seed);
        // Decisions only: a changed fact is another, equally valid history.
        let decisions: Vec<usize> = (1..events.len())
            .filter(|at| matches!(events[*at].data.kind(), "step_started" | "timer_set" | "step_skipped" | "run_succeeded"))
            .collect();
        prop_assume!(!decisions.is_empty());
        let mut altered = events.clone();
        altered.remove(decisions[place.index(decisions.len())]);
        for (event, seq) in altered.iter_mut().zip(1..) {
            event.seq = seq;
        }
        let cut_off = altered.len() + 1 == events.len() && altered[..] == events[..altered.len()];
        let verified = verify(&definition, meta(&definition), &altered);
        prop_assert!(cut_off || verified.is_err(), "{:#?}", kinds(&altered));
    }

    #[test]
    fn events_read_back_as_they_were_written(document in document(), seed: u64) {
        let (_, events, _) = complete(&document, seed);
        prop_assert_eq!(decode_events(&encode_events(&events)).unwrap(), events);
    }
}

#[test]
fn a_history_of_another_definition_is_refused() {
    let one = definition(&json!({ "name": "A", "nodes": [make_node(0, (0, 0, false))] }));
    let other = definition(&json!({ "name": "B", "nodes": [make_node(0, (0, 0, false))] }));
    let (_, events) = begin(&one, json!(1));
    assert!(verify(&other, meta(&other), &events).is_err());
    let mut unknown = events;
    if let meshhook_core::event::EventData::RunCreated(created) = &mut unknown[0].data {
        created.semantics = 3;
        created.input = Arc::new(json!(1));
    }
    assert!(verify(&one, meta(&one), &unknown).unwrap_err().to_string().contains("semantics 3"));
}
