//! The workflows that are measured: five nodes in a row each.

use std::sync::OnceLock;

use meshhook::exec::{Attempt, AttemptError, Node, Outcome};
use serde_json::{Value, json};

use crate::kit::client::Delivery;

/// A workflow; its name is that of its hook, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Five transforms: the run ends with its intake.
    Pure,
    /// Five effects that answer at once, each durable before the next starts.
    Strict,
    /// The same, whose sender does not wait for the end.
    Accept,
    /// One `http_call` among transforms.
    OneCall,
    /// Three of them.
    ThreeCalls,
}

impl Shape {
    pub(crate) const ALL: [Shape; 5] =
        [Shape::Pure, Shape::Strict, Shape::Accept, Shape::OneCall, Shape::ThreeCalls];

    pub(crate) fn slug(self) -> &'static str {
        match self {
            Shape::Pure => "pure",
            Shape::Strict => "strict",
            Shape::Accept => "accept",
            Shape::OneCall => "one-call",
            Shape::ThreeCalls => "three-calls",
        }
    }

    /// The definition, whose calls go to the URL. Each step's result has 56 bytes, or the few of the stub.
    pub(crate) fn definition(self, stub: &str) -> Value {
        let node = |place: usize| {
            let id = format!("n{place}");
            let is_call = match self {
                Shape::OneCall => place == 1,
                Shape::ThreeCalls => (1..4).contains(&place),
                Shape::Pure | Shape::Strict | Shape::Accept => false,
            };
            match self {
                _ if is_call => json!({ "id": id, "type": "http_call", "config": {
                    "method": "POST", "url": stub, "body": { "n": "{{ input.n }}" } } }),
                Shape::Strict | Shape::Accept => json!({ "id": id, "type": NoOp::KIND, "config": {} }),
                Shape::Pure | Shape::OneCall | Shape::ThreeCalls => {
                    let result = "{ok: `true`, n: `12345`, note: 'no-op step result payload'}";
                    json!({ "id": id, "type": "transform", "config": { "expression": result } })
                }
            }
        };
        let edges =
            (1..5).map(|place| json!({ "from": format!("n{}", place - 1), "to": format!("n{place}") }));
        let respond = match self {
            Shape::Pure | Shape::Accept => json!("accepted"),
            Shape::Strict | Shape::OneCall | Shape::ThreeCalls => json!({ "wait": "60s" }),
        };
        let trigger = json!({ "id": "github", "type": "webhook", "config": {
            "path": self.slug(), "verify": { "scheme": "github", "secret": "gh_webhook" }, "respond": respond } });
        json!({
            "name": self.slug(), "triggers": [trigger],
            "nodes": (0..5).map(node).collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>()
        })
    }
}

/// What every run is given: about 200 bytes.
pub(crate) fn input() -> Value {
    json!({ "order": "o-12345", "event": "order.created", "body": "x".repeat(140) })
}

/// The same as a webhook.
pub(crate) fn delivery() -> &'static Delivery {
    static DELIVERY: OnceLock<Delivery> = OnceLock::new();
    DELIVERY.get_or_init(|| Delivery::new(&input()))
}

/// An effect that answers at once: what is left is the engine and the store.
pub(crate) struct NoOp;

/// It has nothing to be told.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoConfig {}

#[async_trait::async_trait]
impl Node for NoOp {
    const KIND: &'static str = "no_op";
    type Config = NoConfig;

    async fn execute(&self, _config: NoConfig, _attempt: &Attempt) -> Result<Outcome, AttemptError> {
        Ok(Outcome::out(json!({ "ok": true, "n": 12345, "note": "no-op step result payload" })))
    }
}
