//! Documents that were valid until something in them changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// One node of each type, one trigger of each type, every optional member.
fn everything() -> Value {
    let body = json!({"nodes": [
        {"id": "say", "type": "send_mail", "config": {"to": "{{ item }}", "kind": "plain"}, "retry": {}},
        {"id": "end", "type": "terminate"}
    ], "edges": [{"from": "say", "to": "end"}]});
    json!({
        "name": "x", "description": "y", "timeout": "1h", "vars": {"a": [1, {"b-c": 2}]}, "layout": {"n": 1},
        "input_schema": {"type": "object", "properties": {"a": {"$ref": "#"}}},
        "triggers": [
            {"id": "hook", "type": "webhook", "config": {"path": "p", "methods": ["POST"], "verify": {"scheme": "hmac", "secret": ["a", "b"],
                "header": "x-sig", "algorithm": "sha256", "encoding": "hex", "signed": "{timestamp}.{body}", "timestamp_header": "x-time"},
                "dedupe": {"key": "body.id", "window": "1h"}, "filter": "query.a", "each": {"items": "body", "id": "item.id"}, "rate_limit": {"per_second": 5, "burst": 5, "key": "query.t"},
                "max_body": 1000, "body_schema": {"type": "object"}, "handshake": {"type": "meta", "secret": "v"}, "respond": "accepted"}},
            {"id": "clock", "type": "schedule", "config": {"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "input": {}, "catch_up": "one"}}
        ],
        "nodes": [
            {"id": "a", "type": "transform", "name": "A", "join": "all", "config": {"template": {"x-y": ["{{ input }}"]}, "input_schema": true, "output_schema": {"type": "object"}}},
            {"id": "b", "type": "branch", "config": {"condition": "nodes.a.output"}},
            {"id": "c", "type": "switch", "config": {"cases": [{"port": "p", "when": "input"}], "default": "q"}},
            {"id": "d", "type": "http_call", "timeout": "5s", "deadline": "1m", "retry": {"max_attempts": 2, "initial": "1s", "factor": 1.5, "max": "5s", "jitter": "none"},
             "config": {"method": "POST", "url": "https://x.example/{{ input }}", "query": {"a": ["b", 1]}, "headers": {"x-y": "{{ secrets.s }}"},
                "auth": {"type": "basic", "username": "u", "password": "{{ secrets.s }}"}, "body": {"k": "{{ input }}"}, "response": {"parse": "json", "max_bytes": 10},
                "follow_redirects": true, "idempotency_header": false, "success": ["2xx", 404], "sign": {"scheme": "standard", "secret": ["s"]}}},
            {"id": "e", "type": "delay", "config": {"for": "1s"}},
            {"id": "f", "type": "wait", "config": {"event": "paid", "key": "{{ input.id }}", "timeout": "1h"}},
            {"id": "g", "type": "for_each", "config": {"items": "input", "concurrency": 2, "on_item_error": "collect", "max_items": 5, "body": body}},
            {"id": "h", "type": "repeat", "config": {"body": body, "until": "output", "every": "1s", "max_iterations": 3}},
            {"id": "i", "type": "call_workflow", "config": {"workflow": "w", "version": 1, "input": "{{ input }}", "wait": false}},
            {"id": "j", "type": "double", "config": {"n": 1}},
            {"id": "k", "type": "terminate", "config": {"status": "failed", "output": 1, "response": {"status": 201, "headers": {"x-y": "z"}, "body": [1]}}}
        ],
        "edges": [{"from": "a", "to": "b"}, {"from": "b", "port": "true", "to": "c"}, {"from": "c", "port": "p", "to": "k"}, {"from": "f", "port": "timeout", "to": "k"}]
    })
}

/// A value's place: members and indexes from the root.
#[derive(Clone, Debug)]
enum Key {
    Member(String),
    Index(usize),
}

fn places(value: &Value, here: &[Key], found: &mut Vec<Vec<Key>>) {
    found.push(here.to_vec());
    let with = |key| here.iter().cloned().chain([key]).collect::<Vec<_>>();
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| places(item, &with(Key::Index(at)), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, item)| places(item, &with(Key::Member(name.clone())), found));
        }
        _ => {}
    }
}

fn at<'a>(value: &'a mut Value, place: &[Key]) -> &'a mut Value {
    place.iter().fold(value, |value, key| match key {
        Key::Member(name) => &mut value[name.as_str()],
        Key::Index(index) => &mut value[*index],
    })
}

/// Reads a path back into keys: `a[0]["x-y"].b`.
fn keys(path: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]").unwrap();
            keys.push(Key::Member(serde_json::from_str(&format!("\"{}\"", &quoted[..end])).unwrap()));
            rest = &quoted[end + 2..];
        } else if let Some(index) = rest.strip_prefix('[') {
            let end = index.find(']').unwrap();
            keys.push(Key::Index(index[..end].parse().unwrap()));
            rest = &index[end + 1..];
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            keys.push(Key::Member(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    keys
}

fn resolves(document: &Value, keys: &[Key]) -> bool {
    let found = keys.iter().try_fold(document, |value, key| match key {
        Key::Member(name) => value.get(name),
        Key::Index(index) => value.get(index),
    });
    found.is_some()
}

fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!("")),
        Just(json!("0s")),
        Just(json!("{{ secrets.x }}")),
        Just(json!("{{ nodes.ghost }}")),
        Just(json!("{{")),
        Just(json!("a")),
        Just(json!("terminate")),
        Just(json!("{{ input }}")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[1]])),
        Just(json!({"x-y": 1})),
        Just(json!({"$ref": "#"})),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Add(Value),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![4 => replacement().prop_map(Change::Replace), 1 => Just(Change::Remove), 1 => replacement().prop_map(Change::Add)]
}

#[test]
fn the_document_that_is_changed_is_valid() {
    expect(&everything(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_documents_are_judged_and_every_problem_has_a_place(changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..4)) {
        let mut document = everything();
        for (chosen, change) in changes {
            let mut all = Vec::new();
            places(&document, &[], &mut all);
            let place = chosen.get(&all);
            match (change, place.split_last()) {
                (Change::Replace(value), _) => *at(&mut document, place) = value,
                (Change::Remove, Some((Key::Member(name), owner))) => {
                    at(&mut document, owner).as_object_mut().unwrap().remove(name);
                }
                (Change::Remove, Some((Key::Index(index), owner))) => {
                    at(&mut document, owner).as_array_mut().unwrap().remove(*index);
                }
                (Change::Add(value), _) => match at(&mut document, place) {
                    Value::Object(members) => { members.insert("un heard".to_owned(), value); }
                    Value::Array(items) => items.push(value),
                    _ => {}
                },
                (Change::Remove, None) => {}
            }
        }
        let checked = checked(&document);
        for problem in &checked.problems {
            let keys = keys(&problem.path);
            // What is missing has its place in what is there; a config that is absent counts as empty.
            let there = (0..=2).any(|up| keys.len() >= up && resolves(&document, &keys[..keys.len() - up]));
            prop_assert!(there, "{:?} in {}", problem, document);
            let missing = ["missing_field", "missing_port", "path_taken", "unknown_port"];
            if !missing.contains(&problem.code.as_str()) {
                prop_assert!(resolves(&document, &keys), "{:?} in {}", problem, document);
            }
        }
        let again = super::checked(&document);
        prop_assert_eq!(again.problems, checked.problems);
        if let Some(definition) = checked.definition {
            let again = super::checked(definition.document()).definition.unwrap();
            prop_assert_eq!(again.digest(), definition.digest());
        }
    }
}
