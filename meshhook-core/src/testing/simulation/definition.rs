//! Definitions drawn from a seed: small graphs in which everything that a run can do happens now and then.
//!
//! What a node does in one run (which port a branch takes, whether a transform fails) follows from the run's id, so
//! that runs of one definition differ and replay the same.

use serde_json::{Map, Value, json};

use super::random::Random;

/// The names of events that `wait` nodes wait for.
pub(super) const EVENTS: [&str; 3] = ["go", "paid", "stop"];
/// The keys that `wait` nodes and events have.
pub(super) const KEYS: [&str; 2] = ["k1", "k2"];
/// The text in the URL of a call that kills its worker.
pub(super) const POISON: &str = "poison";
/// The node type of the host's own.
pub(super) const CUSTOM: &str = "sim_effect";

/// Which unusual things a definition may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taste {
    pub(super) poison: bool,
}

/// A definition.
pub(super) fn definition(random: &mut Random, taste: Taste) -> Value {
    let mut writer = Writer { random, next: 0 };
    let size = writer.random.range(1, 7);
    let (mut nodes, edges) = writer.graph(size, 0);
    if taste.poison {
        nodes.push(json!({ "id": "poison", "type": "http_call", "timeout": "20s",
            "config": { "method": "POST", "url": format!("https://sim.example/{POISON}") } }));
    }
    let mut definition = json!({ "name": "Simulated", "vars": { "v": 1 }, "nodes": nodes, "edges": edges });
    if writer.random.chance(60) {
        let seconds =
            if writer.random.chance(20) { writer.random.range(1, 15) } else { writer.random.range(30, 240) };
        definition["timeout"] = json!(format!("{seconds}s"));
    }
    definition
}

struct Writer<'a> {
    random: &'a mut Random,
    next: u32,
}

const MAX_DEPTH: u32 = 2;

impl Writer<'_> {
    fn graph(&mut self, size: u64, depth: u32) -> (Vec<Value>, Vec<Value>) {
        let mut nodes: Vec<(String, Value, Vec<String>)> = Vec::new();
        let mut edges: Vec<Value> = Vec::new();
        for place in 0..size {
            let (id, mut node, ports) = self.node(depth);
            let sources: Vec<usize> = (0..nodes.len()).filter(|index| !nodes[*index].2.is_empty()).collect();
            if place > 0 && !sources.is_empty() && self.random.chance(88) {
                for _ in 0..*self.random.pick(&[1, 1, 1, 2, 2, 3]) {
                    let source = &nodes[*self.random.pick(&sources)];
                    let edge = json!({ "from": source.0, "port": self.random.pick(&source.2), "to": id });
                    if !edges.contains(&edge) {
                        edges.push(edge);
                    }
                }
                if self.random.chance(30) {
                    node["join"] = json!("any");
                }
            }
            nodes.push((id, node, ports));
        }
        (nodes.into_iter().map(|(_, node, _)| node).collect(), edges)
    }

    /// A node: its id, itself, and the ports that edges can leave by (the usual one more often).
    fn node(&mut self, depth: u32) -> (String, Value, Vec<String>) {
        self.next += 1;
        let id = format!("n{}", self.next);
        let loops = u64::from(depth < MAX_DEPTH) * 10;
        let (kind, config, ports): (&str, Value, &[&str]) = match self.random.range(0, 88 + loops) {
            0..=29 => ("http_call", self.call(&id), &["out", "out", "out", "error"]),
            30..=37 => {
                (CUSTOM, json!({ "tag": "{{ run.id }}", "index": "{{ index }}" }), &["out", "other", "error"])
            }
            38..=49 => ("transform", self.transform(&id), &["out", "out", "error"]),
            50..=57 => ("branch", json!({ "condition": self.odds(&id) }), &["true", "false", "error"]),
            58..=64 => ("switch", self.switch(&id), &["a", "b", "default", "error"]),
            65..=74 => ("delay", self.delay(), &["out"]),
            75..=83 => ("wait", self.wait(), &["out", "timeout"]),
            84..=87 => ("terminate", self.terminate(), &[]),
            88..=93 => ("for_each", self.for_each(&id, depth), &["out", "out", "error"]),
            _ => ("repeat", self.repeat(&id, depth), &["out", "exhausted", "error"]),
        };
        let mut node = json!({ "id": id, "type": kind, "config": config });
        if matches!(kind, "http_call" | CUSTOM) {
            self.policy(&mut node);
        }
        (id, node, ports.iter().map(|&port| port.to_owned()).collect())
    }

    /// An expression that holds in some runs and iterations and not in others.
    fn odds(&mut self, id: &str) -> String {
        let digits = *self.random.pick(&["01234567", "0123", "0123456789ab"]);
        format!("contains('{digits}', {})", digit(id))
    }

    fn call(&mut self, id: &str) -> Value {
        let mut body = Map::new();
        body.insert("from".into(), json!("{{ input }}"));
        body.insert("index".into(), json!("{{ index }}"));
        if self.random.chance(30) {
            body.insert("at".into(), json!("{{ now() }}"));
            body.insert("id".into(), json!("{{ uuid() }}"));
        }
        json!({ "method": "POST", "url": format!("https://sim.example/{id}"), "body": body })
    }

    fn transform(&mut self, id: &str) -> Value {
        match self.random.range(0, 3) {
            0 => json!({ "expression": format!("{{node: '{id}', at: now()}}") }),
            1 => json!({ "template": { "text": format!("{id} of {{{{ run.id }}}}"), "n": "{{ vars.v }}" } }),
            2 => {
                json!({ "expression": format!("contains('0123', {}) ? parse_json('{{') : '{id}'", digit(id)) })
            }
            _ => json!({ "expression": "input" }),
        }
    }

    fn switch(&mut self, id: &str) -> Value {
        json!({ "cases": [
            { "port": "a", "when": format!("contains('0123', {})", digit(id)) },
            { "port": "b", "when": format!("contains('456789', {})", digit(id)) },
        ] })
    }

    fn duration(&mut self) -> String {
        match self.random.range(0, 4) {
            0 => "0s".into(),
            1 => format!("{}ms", self.random.range(1, 1_500)),
            2 => format!("{}s", self.random.range(1, 5)),
            _ => format!("{}ms", self.random.range(1_500, 25_000)),
        }
    }

    fn delay(&mut self) -> Value {
        let duration = self.duration();
        match self.random.range(0, 9) {
            0 => json!({ "for": format!("{{{{ '{duration}' }}}}") }),
            1 => json!({ "until": format!("{{{{ add_duration(now(), '{duration}') }}}}") }),
            2 => json!({ "for": "{{ run.id }}" }),
            _ => json!({ "for": duration }),
        }
    }

    fn wait(&mut self) -> Value {
        let mut config = json!({ "event": self.random.pick(&EVENTS) });
        if self.random.chance(40) {
            config["key"] = json!(self.random.pick(&KEYS));
        }
        if self.random.chance(75) {
            config["timeout"] = json!(format!("{}ms", self.random.range(500, 20_000)));
        }
        config
    }

    fn terminate(&mut self) -> Value {
        let status = self.random.pick(&["succeeded", "failed"]);
        json!({ "status": status, "output": { "by": "{{ run.id }}" } })
    }

    fn for_each(&mut self, id: &str, depth: u32) -> Value {
        let items = match self.random.range(0, 6) {
            0 => "`[]`".to_owned(),
            1 => "input".to_owned(),
            2 => "[run.id]".to_owned(),
            n => format!("range(`{n}`)"),
        };
        let size = self.random.range(1, 3);
        let (nodes, edges) = self.graph(size, depth + 1);
        let mut config = json!({ "items": items, "body": { "nodes": nodes, "edges": edges } });
        if self.random.chance(60) {
            config["concurrency"] = json!(self.random.range(1, 4));
        }
        if self.random.chance(40) {
            config["on_item_error"] = json!(self.random.pick(&["fail", "collect"]));
        }
        let _ = id;
        config
    }

    fn repeat(&mut self, id: &str, depth: u32) -> Value {
        let size = self.random.range(1, 3);
        let (nodes, edges) = self.graph(size, depth + 1);
        let mut config = json!({
            "body": { "nodes": nodes, "edges": edges },
            "until": self.odds(id),
            "max_iterations": self.random.range(1, 4),
        });
        if self.random.chance(50) {
            config["every"] = json!(self.duration());
        }
        config
    }

    fn policy(&mut self, node: &mut Value) {
        if self.random.chance(70) {
            node["retry"] = json!({
                "max_attempts": self.random.range(1, 5),
                "initial": format!("{}ms", self.random.range(1, 3_000)),
                "max": "10s",
                "jitter": self.random.pick(&["full", "none"]),
            });
        }
        node["timeout"] = json!(format!("{}ms", self.random.range(500, 15_000)));
        if self.random.chance(25) {
            node["deadline"] = json!(format!("{}ms", self.random.range(1_000, 20_000)));
        }
    }
}

/// An expression for a hexadecimal digit that follows from run, node and iteration.
fn digit(id: &str) -> String {
    format!("substring(sha256(join('', [run.id, '{id}', to_string(index)])), `0`, `1`)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{CheckContext, check};

    #[test]
    fn every_drawn_definition_can_be_published() {
        let node_types = super::super::effect::node_types();
        for seed in 0..500 {
            let document = definition(&mut Random::new(seed), Taste { poison: seed % 7 == 0 });
            let checked = check(&document, &CheckContext::new(&node_types));
            assert!(checked.problems.is_empty(), "seed {seed}: {:#?}\n{document:#}", checked.problems);
        }
    }
}
