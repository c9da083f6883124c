//! Writing definitions in Rust.
//!
//! The builder makes the same document that JSON would hold, and has it checked in the same way: there is nothing
//! that one can say and the other cannot.
//!
//! ```
//! use meshhook_core::definition::{CheckContext, NodeSpec, Workflow};
//! use meshhook_core::node::NodeTypes;
//! use serde_json::json;
//!
//! let mut types = NodeTypes::new();
//! types.register_http_call();
//! let definition = Workflow::new("Star to chat")
//!     .webhook("github", json!({"path": "gh-star", "verify": {"scheme": "github", "secret": "gh_webhook"}}))
//!     .node(NodeSpec::branch("big", "input.repository.stargazers_count >= `100`"))
//!     .node(
//!         NodeSpec::http_call("post", "POST", "https://chat.example.com/api/post")
//!             .config("auth", json!({"type": "bearer", "token": "{{ secrets.chat_token }}"}))
//!             .config("body", json!({"text": "{{ input.sender.login }} starred us"})),
//!     )
//!     .edge_from_port("big", "true", "post")
//!     .build(&CheckContext::new(&types))?;
//! assert_eq!(definition.name(), "Star to chat");
//! # Ok::<(), Vec<meshhook_core::definition::Problem>>(())
//! ```

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::check::{CheckContext, check};
use super::problem::Problem;
use super::{Join, ValidDefinition};
use crate::node::OnItemError;
use crate::policy::{Jitter, RetryPolicy};
use crate::time::format_duration;

/// A workflow in the making.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Workflow {
    members: Map<String, Value>,
    triggers: Vec<Value>,
    graph: GraphSpec,
}

impl Workflow {
    /// Starts a workflow that people call `name`.
    pub fn new(name: impl Into<String>) -> Self {
        let members = Map::from_iter([("name".to_owned(), Value::from(name.into()))]);
        Self { members, triggers: Vec::new(), graph: GraphSpec::new() }
    }

    fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Says what the workflow is for.
    pub fn description(self, text: impl Into<String>) -> Self {
        self.member("description", text.into())
    }

    /// Sets the JSON Schema of the runs' input.
    pub fn input_schema(self, schema: Value) -> Self {
        self.member("input_schema", schema)
    }

    /// Adds a constant that expressions see as `vars.<name>`.
    pub fn var(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let vars = self.members.entry("vars").or_insert_with(|| json!({}));
        if let Value::Object(vars) = vars {
            vars.insert(name.into(), value.into());
        }
        self
    }

    /// Sets how long a run may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.member("timeout", format_duration(timeout))
    }

    /// Adds a webhook with this config.
    pub fn webhook(self, id: impl Into<String>, config: impl Into<Value>) -> Self {
        self.trigger("webhook", id, &config.into())
    }

    /// Adds a schedule: a cron expression in an IANA time zone.
    pub fn schedule(
        self,
        id: impl Into<String>,
        cron: impl Into<String>,
        timezone: impl Into<String>,
    ) -> Self {
        self.schedule_with(id, json!({"cron": cron.into(), "timezone": timezone.into()}))
    }

    /// Adds a schedule with this config, which may have an `input` and say what is caught up with.
    pub fn schedule_with(self, id: impl Into<String>, config: impl Into<Value>) -> Self {
        self.trigger("schedule", id, &config.into())
    }

    fn trigger(mut self, kind: &str, id: impl Into<String>, config: &Value) -> Self {
        self.triggers.push(json!({"id": id.into(), "type": kind, "config": config}));
        self
    }

    /// Adds a node to the root graph.
    pub fn node(mut self, node: NodeSpec) -> Self {
        self.graph = self.graph.node(node);
        self
    }

    /// Adds an edge from the port `out` of one node to another.
    pub fn edge(mut self, from: &str, to: &str) -> Self {
        self.graph = self.graph.edge(from, to);
        self
    }

    /// Adds an edge from a port of one node to another.
    pub fn edge_from_port(mut self, from: &str, port: &str, to: &str) -> Self {
        self.graph = self.graph.edge_from_port(from, port, to);
        self
    }

    /// The document, as it would stand in JSON.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document = self.members.clone();
        if !self.triggers.is_empty() {
            document.insert("triggers".to_owned(), Value::Array(self.triggers.clone()));
        }
        document.extend(self.graph.members());
        Value::Object(document)
    }

    /// Checks the document.
    ///
    /// # Errors
    ///
    /// All problems, warnings among them, when one of them is an error.
    pub fn build(&self, context: &CheckContext<'_>) -> Result<ValidDefinition, Vec<Problem>> {
        let checked = check(&self.document(), context);
        checked.definition.ok_or(checked.problems)
    }
}

/// Nodes and edges in the making: the body of an iteration.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct GraphSpec {
    nodes: Vec<Value>,
    edges: Vec<Value>,
}

impl GraphSpec {
    /// Starts a graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    pub fn node(mut self, node: NodeSpec) -> Self {
        self.nodes.push(Value::Object(node.0));
        self
    }

    /// Adds an edge from the port `out` of one node to another.
    pub fn edge(mut self, from: &str, to: &str) -> Self {
        self.edges.push(json!({"from": from, "to": to}));
        self
    }

    /// Adds an edge from a port of one node to another.
    pub fn edge_from_port(mut self, from: &str, port: &str, to: &str) -> Self {
        self.edges.push(json!({"from": from, "port": port, "to": to}));
        self
    }

    fn members(&self) -> [(String, Value); 2] {
        let list = |name: &str, items: &[Value]| (name.to_owned(), Value::Array(items.to_vec()));
        [list("nodes", &self.nodes), list("edges", &self.edges)]
    }
}

/// A node in the making. What its type requires is asked for at the start; the rest of its config is set by
/// [`config`](Self::config).
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct NodeSpec(Map<String, Value>);

impl NodeSpec {
    /// A node of any type, among them the host application's own.
    pub fn new(id: &str, node_type: &str, config: Value) -> Self {
        let member = |name: &str, value: Value| (name.to_owned(), value);
        Self(Map::from_iter([
            member("id", id.into()),
            member("type", node_type.into()),
            member("config", config),
        ]))
    }

    /// Makes a value by an expression.
    pub fn transform(id: &str, expression: &str) -> Self {
        Self::new(id, "transform", json!({"expression": expression}))
    }

    /// Makes a value by a template.
    pub fn template(id: &str, template: impl Into<Value>) -> Self {
        Self::new(id, "transform", json!({"template": template.into()}))
    }

    /// Leaves by `true` or `false`.
    pub fn branch(id: &str, condition: &str) -> Self {
        Self::new(id, "branch", json!({"condition": condition}))
    }

    /// Leaves by the port of the first case whose condition holds, else by `default`.
    pub fn switch<'a>(id: &str, cases: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let cases: Value =
            cases.into_iter().map(|(port, when)| json!({"port": port, "when": when})).collect();
        Self::new(id, "switch", json!({"cases": cases}))
    }

    /// Sends one HTTP request.
    pub fn http_call(id: &str, method: &str, url: &str) -> Self {
        Self::new(id, "http_call", json!({"method": method, "url": url}))
    }

    /// Goes on after a while.
    pub fn delay(id: &str, duration: Duration) -> Self {
        Self::new(id, "delay", json!({"for": format_duration(duration)}))
    }

    /// Goes on at the time that a template gives.
    pub fn delay_until(id: &str, template: &str) -> Self {
        Self::new(id, "delay", json!({"until": template}))
    }

    /// Waits for an event.
    pub fn wait(id: &str, event: &str) -> Self {
        Self::new(id, "wait", json!({"event": event}))
    }

    /// Runs a body for each item.
    pub fn for_each(id: &str, items: &str, body: &GraphSpec) -> Self {
        let body = Value::Object(Map::from_iter(body.members()));
        Self::new(id, "for_each", json!({"items": items, "body": body}))
    }

    /// Runs a body until a condition holds.
    pub fn repeat(id: &str, body: &GraphSpec, until: &str, max_iterations: u64) -> Self {
        let body = Value::Object(Map::from_iter(body.members()));
        Self::new(id, "repeat", json!({"body": body, "until": until, "max_iterations": max_iterations}))
    }

    /// Runs another workflow.
    pub fn call_workflow(id: &str, workflow: &str) -> Self {
        Self::new(id, "call_workflow", json!({"workflow": workflow}))
    }

    /// Ends the run.
    pub fn terminate(id: &str) -> Self {
        Self::new(id, "terminate", json!({}))
    }

    /// Sets a member of the config.
    pub fn config(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(Value::Object(config)) = self.0.get_mut("config") {
            config.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Sets what becomes of a `for_each` when an item fails.
    pub fn on_item_error(self, action: OnItemError) -> Self {
        self.config(
            "on_item_error",
            match action {
                OnItemError::Fail => "fail",
                OnItemError::Collect => "collect",
            },
        )
    }

    fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets what people call the node.
    pub fn name(self, name: &str) -> Self {
        self.member("name", name)
    }

    /// Sets when the node is ready.
    pub fn join(self, join: Join) -> Self {
        self.member(
            "join",
            match join {
                Join::All => "all",
                Join::Any => "any",
            },
        )
    }

    /// Sets how failed attempts are followed by others. The factor is kept to six decimals.
    pub fn retry(self, policy: &RetryPolicy) -> Self {
        let retry = json!({
            "max_attempts": policy.max_attempts,
            "initial": format_duration(policy.initial),
            "factor": f64::from(policy.factor_millionths) / 1e6,
            "max": format_duration(policy.max),
            "jitter": match policy.jitter {
                Jitter::Full => "full",
                Jitter::None => "none",
            },
        });
        self.member("retry", retry)
    }

    /// Sets how long one attempt may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.member("timeout", format_duration(timeout))
    }

    /// Sets how long all attempts may take together.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.member("deadline", format_duration(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeTypes;

    #[test]
    fn a_built_workflow_is_the_document_that_json_would_hold() {
        let mut types = NodeTypes::new();
        types.register_http_call();
        types.register_call_workflow();
        let body = GraphSpec::new()
            .node(NodeSpec::template("say", json!({"to": "{{ item }}"})))
            .node(NodeSpec::terminate("end"))
            .edge("say", "end");
        let policy = RetryPolicy { max_attempts: 5, factor_millionths: 1_500_000, ..RetryPolicy::default() };
        let workflow = Workflow::new("All kinds")
            .description("one of each")
            .input_schema(json!({"type": "object"}))
            .var("room", "#releases")
            .timeout(Duration::from_secs(5_400))
            .webhook("hook", json!({"path": "in", "verify": {"scheme": "none"}}))
            .schedule_with("clock", json!({"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "input": {}}))
            .node(NodeSpec::transform("a", "input").name("Start"))
            .node(NodeSpec::branch("b", "input.ok"))
            .node(NodeSpec::switch("c", [("high", "input.n > `5`")]))
            .node(
                NodeSpec::http_call("d", "GET", "https://x.example")
                    .config("follow_redirects", true)
                    .retry(&policy)
                    .timeout(Duration::from_secs(5))
                    .deadline(Duration::from_secs(60)),
            )
            .node(NodeSpec::delay("e", Duration::from_millis(1_500)))
            .node(NodeSpec::delay_until("f", "{{ input.at }}"))
            .node(NodeSpec::wait("g", "paid").config("key", "{{ input.id }}"))
            .node(NodeSpec::for_each("h", "input.items", &body).on_item_error(OnItemError::Collect))
            .node(NodeSpec::repeat("i", &body, "output.done", 3))
            .node(NodeSpec::call_workflow("j", "other"))
            .node(NodeSpec::terminate("k").join(Join::Any))
            .edge("a", "b")
            .edge_from_port("b", "true", "c")
            .edge_from_port("c", "high", "d")
            .edge("d", "k");
        let definition = workflow.build(&CheckContext::new(&types)).unwrap();
        assert_eq!(definition.document(), &workflow.document());
        assert_eq!(definition.timeout(), Duration::from_secs(5_400));
        assert_eq!(definition.triggers().len(), 2);
        let graph = definition.graph();
        let policy_read = graph.node(graph.index_of("d").unwrap()).policy.as_ref().unwrap();
        assert_eq!(policy_read.retry, policy);
        assert_eq!(workflow.document()["nodes"][4]["config"], json!({"for": "1s500ms"}));
    }

    #[test]
    fn what_is_wrong_is_told_as_for_any_document() {
        let workflow = Workflow::new("x").node(NodeSpec::branch("b", "(")).edge("b", "c");
        let problems = workflow.build(&CheckContext::new(&NodeTypes::new())).unwrap_err();
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, ["invalid_expression", "unknown_node", "missing_port"]);
    }
}
