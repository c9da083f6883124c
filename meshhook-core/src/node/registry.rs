//! The node types that definitions can use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Evaluated, call_workflow, delay, for_each, http_call, is_port, repeat, switch, terminate, transform, wait,
};
use crate::definition::{DefinitionLimits, Schema};
use crate::failure::Failure;

/// The node types that definitions can use: the built-in ones, and those the host application registers.
#[derive(Clone, Debug, Default)]
pub struct NodeTypes {
    has_http_call: bool,
    has_call_workflow: bool,
    registered: BTreeMap<String, Arc<Registered>>,
}

/// A node type that the host application brings.
#[derive(Clone)]
#[non_exhaustive]
pub struct NodeTypeInfo {
    /// The name that definitions use, `[a-z][a-z0-9_]{0,63}`; it is stored in them and never changes.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it does.
    pub description: String,
    /// The ports by which a step can be left; `out` and `error` unless said otherwise.
    pub ports: Vec<String>,
    /// The JSON Schema of the config.
    pub config_schema: Value,
    /// The members of the config, at its top, in which `secrets.<name>` may stand; only for side effects.
    pub secret_fields: Vec<String>,
    /// How long an attempt may take where the definition does not say; only for side effects.
    pub default_timeout: Option<Duration>,
    /// What a pure node does; `None` for a side effect, which an executor performs.
    pub evaluate: Option<Arc<dyn Evaluate>>,
}

/// What a pure node of the host application does.
///
/// It must depend on its arguments alone: no clock, no randomness, no environment. It is called again whenever a
/// run's history is verified, and must then give the same answer.
pub trait Evaluate: Send + Sync + 'static {
    /// Answers with the step's port and output.
    ///
    /// # Errors
    ///
    /// A [`Failure`], with which the step fails.
    fn evaluate(&self, config: &Value, input: &Arc<Value>) -> Result<Evaluated, Failure>;
}

impl<F> Evaluate for F
where
    F: Fn(&Value, &Arc<Value>) -> Result<Evaluated, Failure> + Send + Sync + 'static,
{
    fn evaluate(&self, config: &Value, input: &Arc<Value>) -> Result<Evaluated, Failure> {
        self(config, input)
    }
}

impl NodeTypeInfo {
    /// A side effect, with the ports `out` and `error` and no config.
    #[must_use]
    pub fn effect(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            description: String::new(),
            ports: vec!["out".to_owned(), "error".to_owned()],
            config_schema: json!({"type": "object", "additionalProperties": false}),
            secret_fields: Vec::new(),
            default_timeout: None,
            evaluate: None,
        }
    }

    /// A pure node, with the ports `out` and `error` and no config.
    #[must_use]
    pub fn pure(name: impl Into<String>, evaluate: impl Evaluate) -> Self {
        Self { evaluate: Some(Arc::new(evaluate)), ..Self::effect(name) }
    }

    /// Sets what people call it and what it does.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>, description: impl Into<String>) -> Self {
        self.title = title.into();
        self.description = description.into();
        self
    }

    /// Sets the JSON Schema of the config.
    #[must_use]
    pub fn config_schema(mut self, schema: Value) -> Self {
        self.config_schema = schema;
        self
    }

    /// Sets the ports.
    #[must_use]
    pub fn ports<P: Into<String>>(mut self, ports: impl IntoIterator<Item = P>) -> Self {
        self.ports = ports.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the members of the config in which secrets may stand.
    #[must_use]
    pub fn secret_fields<P: Into<String>>(mut self, fields: impl IntoIterator<Item = P>) -> Self {
        self.secret_fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how long an attempt may take where the definition does not say.
    #[must_use]
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.default_timeout = Some(timeout);
        self
    }
}

impl fmt::Debug for NodeTypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTypeInfo")
            .field("name", &self.name)
            .field("ports", &self.ports)
            .field("is_effect", &self.evaluate.is_none())
            .finish_non_exhaustive()
    }
}

/// A registered type with its schema compiled.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) info: NodeTypeInfo,
    pub(super) schema: Schema,
}

/// Why a node type cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name does not follow its grammar.
    #[error("the name of a node type must match [a-z][a-z0-9_]{{0,63}}: {0:?}")]
    InvalidName(String),
    /// There is a type of this name.
    #[error("there is a node type {0} already")]
    NameTaken(String),
    /// A port does not follow its grammar, or is there twice.
    #[error("the ports of node type {0} must be different names of 1 to 64 letters, digits, _ or -")]
    InvalidPorts(String),
    /// The config's schema does not compile.
    #[error("the config schema of node type {name} cannot be used")]
    InvalidSchema {
        /// The type.
        name: String,
        /// What is wrong.
        source: crate::definition::SchemaError,
    },
    /// A pure type declares what only side effects have.
    #[error("node type {0} is pure and has neither secrets nor a timeout")]
    PureWithEffects(String),
}

/// The built-in types that every process can run.
const BUILT_IN: [&str; 8] =
    ["branch", "delay", "for_each", "repeat", "switch", "terminate", "transform", "wait"];
/// The built-in type that needs an engine which starts runs for other runs.
const CALL_WORKFLOW: &str = "call_workflow";

impl NodeTypes {
    /// The built-in types that every process can run: all but `http_call` and `call_workflow`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `http_call`, for a process that has its executor.
    pub fn register_http_call(&mut self) {
        self.has_http_call = true;
    }

    /// Adds `call_workflow`, for an engine that starts runs for other runs.
    pub fn register_call_workflow(&mut self) {
        self.has_call_workflow = true;
    }

    /// Adds a type of the host application.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] when the name is taken or the description does not hold together.
    pub fn register(&mut self, info: NodeTypeInfo) -> Result<(), RegisterError> {
        let name = info.name.clone();
        if !is_type_name(&name) {
            return Err(RegisterError::InvalidName(name));
        }
        if self.contains(&name) || name == http_call::TYPE_NAME || name == CALL_WORKFLOW {
            return Err(RegisterError::NameTaken(name));
        }
        let distinct: std::collections::BTreeSet<&String> = info.ports.iter().collect();
        if distinct.len() != info.ports.len() || !info.ports.iter().all(|port| is_port(port)) {
            return Err(RegisterError::InvalidPorts(name));
        }
        if info.evaluate.is_some() && (!info.secret_fields.is_empty() || info.default_timeout.is_some()) {
            return Err(RegisterError::PureWithEffects(name));
        }
        let schema = Schema::compile(&info.config_schema)
            .map_err(|source| RegisterError::InvalidSchema { name: name.clone(), source })?;
        self.registered.insert(name, Arc::new(Registered { info, schema }));
        Ok(())
    }

    /// Whether definitions can use a type of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        BUILT_IN.contains(&name)
            || (self.has_http_call && name == http_call::TYPE_NAME)
            || (self.has_call_workflow && name == CALL_WORKFLOW)
            || self.registered.contains_key(name)
    }

    /// The names of all types, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = BUILT_IN.to_vec();
        names.extend(self.has_http_call.then_some(http_call::TYPE_NAME));
        names.extend(self.has_call_workflow.then_some(CALL_WORKFLOW));
        names.extend(self.registered.keys().map(String::as_str));
        names.sort_unstable();
        names
    }

    pub(super) fn registered(&self, name: &str) -> Option<&Registered> {
        self.registered.get(name).map(Arc::as_ref)
    }

    /// Describes every type, sorted by name: an array of `{type, title, description, effect, ports, secret_fields,
    /// config_schema}`. The ports of `switch` depend on its config: listed are those that every switch has.
    #[must_use]
    pub fn describe(&self, limits: &DefinitionLimits) -> Value {
        self.names().into_iter().map(|name| self.describe_one(name, limits)).collect()
    }

    fn describe_one(&self, name: &str, limits: &DefinitionLimits) -> Value {
        if let Some(Registered { info, .. }) = self.registered(name) {
            return json!({
                "type": name,
                "title": info.title,
                "description": info.description,
                "effect": info.evaluate.is_none(),
                "ports": info.ports,
                "secret_fields": info.secret_fields,
                "config_schema": info.config_schema,
            });
        }
        let effect = name == http_call::TYPE_NAME;
        let secret_fields =
            if effect { &["auth", "body", "body_text", "form", "headers", "query"][..] } else { &[] };
        let (title, description, ports, schema): (&str, &str, &[&str], Value) = match name {
            "transform" => (
                "Transform",
                "makes a value by an expression or a template",
                &["out", "error"],
                transform::config_schema(),
            ),
            "branch" => (
                "Branch",
                "leaves by true or false",
                &["true", "false", "error"],
                super::branch::config_schema(),
            ),
            "switch" => (
                "Switch",
                "leaves by the port of the first case that holds",
                &["default", "error"],
                switch::config_schema(),
            ),
            "http_call" => {
                ("HTTP call", "sends one HTTP request", &["out", "error"], http_call::config_schema(limits))
            }
            "delay" => ("Delay", "goes on after a while, or at a time", &["out"], delay::config_schema()),
            "wait" => ("Wait", "waits for an event from outside", &["out", "timeout"], wait::config_schema()),
            "for_each" => (
                "For each",
                "runs its body once for each item of an array",
                &["out", "error"],
                for_each::config_schema(limits),
            ),
            "repeat" => (
                "Repeat",
                "runs its body until a condition holds",
                &["out", "exhausted", "error"],
                repeat::config_schema(),
            ),
            "call_workflow" => {
                ("Call workflow", "runs another workflow", &["out", "error"], call_workflow::config_schema())
            }
            _ => ("Terminate", "ends the run at once", &[], terminate::config_schema()),
        };
        json!({
            "type": name,
            "title": title,
            "description": description,
            "effect": effect,
            "ports": ports,
            "secret_fields": secret_fields,
            "config_schema": schema,
        })
    }
}

fn is_type_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
