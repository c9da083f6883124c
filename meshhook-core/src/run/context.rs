//! What the expressions of a step see.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::meta::RunMeta;
use super::state::{RunState, Scope, locate};
use crate::definition::{Join, ValidDefinition};
use crate::expr::{Env, View};
use crate::id::StepKey;
use crate::time::Timestamp;

/// The values that a root object refers to, kept while it is looked at.
pub(super) struct Context<'a> {
    state: &'a RunState,
    definition: &'a ValidDefinition,
    key: &'a StepKey,
    input: Arc<Value>,
    index: Value,
}

/// What expressions see as `run`.
pub(super) fn described(meta: &RunMeta) -> Arc<Value> {
    Arc::new(json!({
        "id": meta.run.to_string(),
        "workflow": meta.workflow.as_str(),
        "version": meta.version,
        "project": meta.project.as_str(),
        "started_at": meta.created_at.to_string(),
    }))
}

impl<'a> Context<'a> {
    /// What the step `key` sees when its input is `input`.
    pub(super) fn new(
        state: &'a RunState,
        definition: &'a ValidDefinition,
        key: &'a StepKey,
        input: Arc<Value>,
    ) -> Self {
        let index = state.scope_of(key).owner.as_ref().map_or(Value::Null, |(_, index)| Value::from(*index));
        Self { state, definition, key, input, index }
    }

    /// The root object.
    pub(super) fn root(&self) -> View<'_> {
        View::object(self.members())
    }

    /// The root object as `until` of a looping step sees it after an iteration.
    pub(super) fn root_after(&'a self, output: &'a Value, index: &'a Value) -> View<'a> {
        View::object(
            self.members().into_iter().chain([("output", View::from(output)), ("index", View::from(index))]),
        )
    }

    fn members(&self) -> Vec<(&'static str, View<'_>)> {
        let mut members = vec![
            ("input", View::from(&*self.input)),
            ("trigger", self.state.created.trigger.view()),
            ("nodes", self.nodes()),
            ("vars", View::from(&**self.definition.vars())),
            ("run", View::from(&*self.state.described)),
        ];
        let scope = self.state.scope_of(self.key);
        if scope.owner.is_some() {
            members.push(("item", View::from(&*scope.input)));
            members.push(("index", View::from(&self.index)));
        }
        members
    }

    /// `nodes`: the outputs of the step's own graph over those of the graphs around it.
    ///
    /// A node hides one of the same name around it even before it has run: what a name means depends on where it is
    /// written, not on what has happened so far.
    fn nodes(&self) -> View<'_> {
        let mut outputs: BTreeMap<&str, &Value> = BTreeMap::new();
        for (key, scope) in self.state.scopes_outward(self.key).into_iter().rev() {
            if let Some((graph, _)) = (!outputs.is_empty()).then(|| self.definition.node(key)).flatten() {
                outputs.retain(|id, _| graph.index_of(id).is_none());
            }
            outputs.extend(scope.outputs.iter().map(|(id, output)| (&**id, &**output)));
        }
        View::object(
            outputs.into_iter().map(|(id, output)| (id, View::object([("output", View::from(output))]))),
        )
    }
}

/// What makes `uuid()` differ between runs, steps and purposes.
pub(super) fn seed(state: &RunState, key: &StepKey, purpose: &str) -> Vec<u8> {
    [state.meta.run.as_bytes().as_slice(), purpose.as_bytes(), b"\0", key.as_str().as_bytes()].concat()
}

/// The environment of an evaluation at `now`.
pub(super) fn env(now: Timestamp, seed: &[u8]) -> Env<'_> {
    Env::new(now, seed)
}

impl RunState {
    /// The scopes around a step, its own first, each with a step in it.
    fn scopes_outward<'a>(&'a self, key: &'a StepKey) -> Vec<(&'a StepKey, &'a Scope)> {
        let mut scope = self.scope_of(key);
        let mut scopes = vec![(key, scope)];
        while let Some((owner, _)) = &scope.owner {
            scope = self.scope_of(owner);
            scopes.push((owner, scope));
        }
        scopes
    }

    /// The step's input: what its taken predecessors left for it.
    ///
    /// For a start node that is its graph's input; for one taken incoming edge the predecessor's output; for several
    /// an object of their outputs by node id.
    #[must_use]
    pub fn input_of(&self, definition: &ValidDefinition, key: &StepKey) -> Arc<Value> {
        let scope = self.scope_of(key);
        let Some((graph, index, node)) = locate(definition, key) else { return Arc::new(Value::Null) };
        if graph.incoming(index).is_empty() {
            return scope.input.clone();
        }
        let mut taken: Vec<(&str, &Arc<Value>)> = Vec::new();
        for edge in graph.incoming(index) {
            let id = &graph.node(edge.from).id;
            let Some(step) = self.steps.get(&self.sibling(key, id)) else { continue };
            let is_taken = step.has_ended() && step.port.as_deref() == Some(&*edge.port);
            if let (true, Some(output)) = (is_taken, &step.output)
                && !taken.iter().any(|(seen, _)| *seen == id.as_str())
            {
                taken.push((id.as_str(), output));
            }
        }
        match (taken.as_slice(), node.join) {
            ([], _) => Arc::new(Value::Null),
            ([(_, only)], _) => (*only).clone(),
            (several, Join::Any) => {
                // The first that ended is the one that made the step ready.
                let first = several.iter().min_by_key(|(id, _)| self.ended_order(key, id));
                first.map_or_else(|| Arc::new(Value::Null), |(_, output)| (*output).clone())
            }
            (several, Join::All) => {
                let members: Map<String, Value> =
                    several.iter().map(|(id, output)| ((*id).to_owned(), (***output).clone())).collect();
                Arc::new(Value::Object(members))
            }
        }
    }

    fn ended_order(&self, key: &StepKey, id: &str) -> Option<u64> {
        let sibling = format!("{}{id}", key.scope());
        self.steps.get(sibling.as_str()).and_then(|step| step.ended_seq)
    }

    /// Another step of the same scope.
    pub(super) fn sibling(&self, key: &StepKey, id: &crate::id::NodeId) -> StepKey {
        match key.parent() {
            None => StepKey::root(id),
            Some((owner, index)) => owner.child(index, id),
        }
    }
}
