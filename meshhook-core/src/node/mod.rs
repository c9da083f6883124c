//! Node types: what a node's configuration may say, by which ports it is left, and, where it needs nothing from
//! outside, what it answers.
//!
//! Each built-in type is one file: its config, how it is read out of a definition, what it does, and the JSON Schema
//! that editors show. Pure types answer from a [`Scope`] alone, so a run that consists of them advances in memory;
//! an [`Effect`] only renders what its executor is given.

mod branch;
mod call_workflow;
mod custom;
mod delay;
mod effect;
mod for_each;
mod http_call;
mod http_header;
pub mod port;
mod registry;
mod repeat;
mod switch;
mod terminate;
mod transform;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub use self::branch::Branch;
pub use self::call_workflow::CallWorkflow;
pub use self::custom::Custom;
pub use self::delay::Delay;
pub use self::effect::Effect;
pub use self::for_each::{ForEach, OnItemError};
pub use self::http_call::{DEFAULT_TIMEOUT as HTTP_CALL_TIMEOUT, TYPE_NAME as HTTP_CALL};
pub use self::http_header::is_reserved_header;
pub use self::registry::{Evaluate, NodeTypeInfo, NodeTypes, RegisterError};
pub use self::repeat::Repeat;
pub use self::switch::Switch;
pub use self::terminate::{Terminate, TerminateResponse, TerminateStatus, Termination};
pub use self::transform::Transform;
pub use self::wait::{MAX_EVENT_NAME_BYTES, Wait, is_event_name};
use crate::definition::{Field, Graph, Names};
use crate::expr::{Env, ExprError, Expression, Template, TemplateError, View};
use crate::failure::Failure;

/// What a node does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeKind {
    /// Makes a value by an expression or a template.
    Transform(Transform),
    /// Leaves by `true` or `false`.
    Branch(Branch),
    /// Leaves by the port of the first case that holds.
    Switch(Switch),
    /// Goes on after a while, or at a time.
    Delay(Delay),
    /// Waits for an event from outside.
    Wait(Wait),
    /// Runs its body once for each item of an array.
    ForEach(ForEach),
    /// Runs its body until a condition holds.
    Repeat(Repeat),
    /// Runs another workflow.
    CallWorkflow(CallWorkflow),
    /// Ends the run at once.
    Terminate(Terminate),
    /// Has a side effect: `http_call`, and what the host application brings.
    Effect(Effect),
    /// A pure type that the host application brings.
    Custom(Custom),
}

impl NodeKind {
    /// The type's name, as definitions write it.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            NodeKind::Transform(_) => "transform",
            NodeKind::Branch(_) => "branch",
            NodeKind::Switch(_) => "switch",
            NodeKind::Delay(_) => "delay",
            NodeKind::Wait(_) => "wait",
            NodeKind::ForEach(_) => "for_each",
            NodeKind::Repeat(_) => "repeat",
            NodeKind::CallWorkflow(_) => "call_workflow",
            NodeKind::Terminate(_) => "terminate",
            NodeKind::Effect(config) => config.type_name(),
            NodeKind::Custom(config) => config.type_name(),
        }
    }

    /// The graph that the node runs, for `for_each` and `repeat`.
    #[must_use]
    pub fn body(&self) -> Option<&Graph> {
        match self {
            NodeKind::ForEach(config) => Some(&config.body),
            NodeKind::Repeat(config) => Some(&config.body),
            _ => None,
        }
    }
}

/// What a node is evaluated over.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The root object of expressions: `input`, `trigger`, `nodes` and so on.
    pub root: &'a View<'a>,
    /// The time of the step's decision, and what else expressions get from outside.
    pub env: &'a Env<'a>,
    /// The step's input.
    pub input: &'a Arc<Value>,
}

impl Scope<'_> {
    fn value(&self, expression: &Expression) -> Result<Value, Failure> {
        expression.evaluate(self.root, self.env).map_err(|error| expression_failure(&error))
    }

    fn holds(&self, expression: &Expression) -> Result<bool, Failure> {
        expression.evaluate_truthy(self.root, self.env).map_err(|error| expression_failure(&error))
    }

    fn render(&self, template: &Template) -> Result<Value, Failure> {
        template.render(self.root, self.env).map_err(|error| template_failure(&error))
    }
}

/// A failed evaluation as a step's failure.
#[must_use]
pub fn expression_failure(error: &ExprError) -> Failure {
    Failure::permanent(error.kind.code(), error.to_string())
}

/// A template that could not be rendered as a step's failure.
#[must_use]
pub fn template_failure(error: &TemplateError) -> Failure {
    Failure::permanent(error.code(), error.to_string())
}

/// How a pure step ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluated {
    /// The port by which it is left.
    pub port: Arc<str>,
    /// Its output.
    pub output: Arc<Value>,
}

impl Evaluated {
    /// Leaves by a port.
    #[must_use]
    pub fn new(port: Arc<str>, output: Arc<Value>) -> Self {
        Self { port, output }
    }
}

/// What could be read of a node's type and config.
pub(crate) struct Shape {
    /// `None` where the ports depend on a config that could not be read.
    pub(crate) ports: Option<Vec<Arc<str>>>,
    /// `None` where the config has problems.
    pub(crate) kind: Option<NodeKind>,
    pub(crate) is_effect: bool,
    pub(crate) default_timeout: Option<Duration>,
}

impl Shape {
    fn pure(ports: &[fn() -> Arc<str>], kind: Option<NodeKind>) -> Self {
        let ports = Some(ports.iter().map(|port| port()).collect());
        Self { ports, kind, is_effect: false, default_timeout: None }
    }
}

/// Reads a config; `None` for a type that is not known.
pub(crate) fn read(type_name: &str, config: &Field<'_>, names: &Names<'_>, nesting: usize) -> Option<Shape> {
    let types = config.checker.context.node_types;
    if !types.contains(type_name) {
        return None;
    }
    Some(match type_name {
        "transform" => transform::read(config, names),
        "branch" => branch::read(config, names),
        "switch" => switch::read(config, names),
        "delay" => delay::read(config, names),
        "wait" => wait::read(config, names),
        "for_each" => for_each::read(config, names, nesting),
        "repeat" => repeat::read(config, names, nesting),
        "call_workflow" => call_workflow::read(config, names),
        "terminate" => terminate::read(config, names),
        "http_call" => http_call::read(config, names),
        _ => custom::read(config, names, types.registered(type_name)?),
    })
}

/// Whether a text can name a port: 1 to 64 letters, digits, `_` or `-`.
fn is_port(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The JSON Schema of the body of an iteration, as far as its own members go.
fn body_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "nodes": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "edges": {"type": ["array", "null"], "items": {"type": "object"}}
        },
        "required": ["nodes"],
        "additionalProperties": false
    })
}
