//! The workflow that runs: everything that a run can wait for, and an effect on either side of it.
//!
//! ```text
//!   shape ─► first ─► rest ─► each ─► way ─┬───────────────► last
//!            effect   delay   effects      └─► go ── event ──►
//! ```

use serde_json::{Value, json};

/// The secret that deliveries are signed with.
pub(crate) const SECRET: &str = "a-secret-of-the-chaos-test";
/// Its name in the vault.
pub(crate) const SECRET_NAME: &str = "chaos_secret";
/// The workflow, and its hook's path.
pub(crate) const WORKFLOW: &str = "chaos";
/// The event that some runs wait for.
pub(crate) const EVENT: &str = "go";

/// An effect: it is tried until it succeeds, and carries which run and step it is of.
fn effect(id: &str, step: &str, port: u16) -> Value {
    json!({
        "id": id, "type": "http_call", "timeout": "2s",
        "config": { "method": "POST", "url": format!("http://127.0.0.1:{port}/effect"),
            "body": { "run": "{{ run.id }}", "step": step } },
        "retry": { "max_attempts": 100, "initial": "50ms", "max": "500ms" },
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
