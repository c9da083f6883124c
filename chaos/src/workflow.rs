//! The workflows that run. One has everything that a run can wait for, and an effect on either side of it:
//!
//! ```text
//!   shape ─► first ─► rest ─► each ─► way ─┬───────────────► last
//!            effect   delay   effects      └─► go ── event ──►
//! ```
//!
//! The other is that of items, of which many come at once. What `shape` makes of a heavy one is so much that the runs of a
//! request with twenty of them are not made in one transaction:
//!
//! ```text
//!   shape ─► first ─► way ─┬─► rest ─► last
//!            effect        │   delay   effect
//!                          └─►
//! ```

use serde_json::{Value, json};

/// The secret that deliveries are signed with.
pub(crate) const SECRET: &str = "a-secret-of-the-chaos-test";
/// Its name in the vault.
pub(crate) const SECRET_NAME: &str = "chaos_secret";
/// The workflow, and its hook's path.
pub(crate) const WORKFLOW: &str = "chaos";
/// The workflow of items, and its hook's path.
pub(crate) const ITEMS: &str = "chaos-items";
/// The event that some runs wait for.
pub(crate) const EVENT: &str = "go";
/// The effect of every item.
pub(crate) const FIRST: &str = "first";
/// The effect of those that go on.
pub(crate) const LAST: &str = "last";

/// An effect: it is tried until it succeeds, and carries which run and step it is of.
fn effect(id: &str, step: &str, port: u16) -> Value {
    json!({
        "id": id, "type": "http_call", "timeout": "2s",
        "config": { "method": "POST", "url": format!("http://127.0.0.1:{port}/effect"),
            "body": { "run": "{{ run.id }}", "step": step } },
        "retry": { "max_attempts": 100, "initial": "50ms", "max": "500ms" },
    })
}

/// An effect that carries which item it is for, too.
fn effect_of_item(id: &str, port: u16) -> Value {
    let mut effect = effect(id, id, port);
    effect["config"]["body"]["item"] = "{{ trigger.body.label }}".into();
    effect
}

/// The workflow of items, acting on a port of this machine.
pub(crate) fn definition_of_items(effects: u16) -> Value {
    let copies = vec!["input.ballast"; 24].join(", ");
    json!({
        "name": "Chaos of items",
        "triggers": [{ "id": "hub", "type": "webhook", "config": {
            "path": ITEMS, "verify": { "scheme": "github", "secret": SECRET_NAME },
            "each": { "items": "body.items", "id": "item.id" } } }],
        "nodes": [
            { "id": "shape", "type": "transform", "config": {
                "expression": format!("input.is_heavy ? [{copies}] : `null`") } },
            effect_of_item(FIRST, effects),
            { "id": "way", "type": "branch", "config": { "condition": "trigger.body.goes_on" } },
            { "id": "rest", "type": "delay", "config": { "for": "{{ trigger.body.pause }}" } },
            effect_of_item(LAST, effects),
        ],
        "edges": [
            { "from": "shape", "to": FIRST },
            { "from": FIRST, "to": "way" },
            { "from": "way", "port": "true", "to": "rest" },
            { "from": "rest", "to": LAST },
        ],
    })
}

/// The workflow, acting on a port of this machine.
pub(crate) fn definition(effects: u16) -> Value {
    json!({
        "name": "Chaos",
        "triggers": [{ "id": "hub", "type": "webhook", "config": {
            "path": WORKFLOW, "verify": { "scheme": "github", "secret": SECRET_NAME } } }],
        "nodes": [
            { "id": "shape", "type": "transform", "config": { "expression": "{items: input.items}" } },
            effect("first", "first", effects),
            { "id": "rest", "type": "delay", "config": { "for": "{{ trigger.body.pause }}" } },
            { "id": "each", "type": "for_each", "config": { "items": "trigger.body.items", "concurrency": 2,
                "body": { "nodes": [effect("post", "each[{{ index }}].post", effects)] } } },
            { "id": "way", "type": "branch", "config": { "condition": "trigger.body.waits" } },
            { "id": "go", "type": "wait", "config": { "event": EVENT } },
            effect("last", "last", effects),
        ],
        "edges": [
            { "from": "shape", "to": "first" },
            { "from": "first", "to": "rest" },
            { "from": "rest", "to": "each" },
            { "from": "each", "to": "way" },
            { "from": "way", "port": "true", "to": "go" },
            { "from": "way", "port": "false", "to": "last" },
            { "from": "go", "to": "last" },
        ],
    })
}
