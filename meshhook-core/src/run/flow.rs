//! The way through a graph: which nodes are behind a step that ended, and what the graph produced.

use std::sync::Arc;

use serde_json::Value;

use super::decide::{Decider, Ended};
use super::state::{Stage, Step, locate};
use crate::definition::{Graph, Join, NodeIndex};
use crate::event::EventData;
use crate::id::StepKey;

impl<'a> Decider<'a> {
    /// Sees to the nodes behind a step that ended, and to the end of its graph.
    pub(super) fn resolve(&mut self, key: &StepKey) {
        let Some((graph, index, _)) = locate(self.definition, key) else { return };
        for edge in graph.outgoing(index) {
            let next = self.state.sibling(key, &graph.node(edge.to).id);
            if !self.state.steps.contains_key(&next) {
                self.consider(&next, edge.to);
            }
        }
        let scope = self.state.scopes.get_mut(key.scope()).expect("a step's scope exists as long as the run");
        scope.remaining -= 1;
        if scope.remaining == 0 {
            let owner = scope.owner.clone();
            let output = self.scope_output(key.scope());
            match owner {
                None => self.succeed_run(output),
                Some((owner, iteration)) => self.iteration_succeeded(&owner, iteration, output),
            }
        }
    }

    /// Makes a node ready or skips it, once its incoming edges allow it.
    fn consider(&mut self, key: &StepKey, index: NodeIndex) {
        let Some((graph, _, node)) = locate(self.definition, key) else { return };
        let (mut taken, mut open) = (false, false);
        for edge in graph.incoming(index) {
            let from = self.state.sibling(key, &graph.node(edge.from).id);
            match self.state.steps.get(&from) {
                Some(step) if step.has_ended() => taken |= step.port.as_ref() == Some(&edge.port),
                _ => open = true,
            }
        }
        if taken && (!open || node.join == Join::Any) {
            self.make_ready(key.clone());
        } else if !open {
            self.state.steps.insert(key.clone(), Step::ready(self.now, self.state.seq));
            self.emit(Some(key), EventData::StepSkipped);
            self.finish(key, Ended::at(Stage::Skipped));
        }
    }

    /// What a graph produced: its single sink's output, those of all sinks by id, or null.
    pub(super) fn scope_output(&self, scope: &str) -> Arc<Value> {
        let Some(graph) = self.graph_of(scope) else { return Arc::new(Value::Null) };
        let mut sinks: Vec<(&str, &Arc<Value>)> = Vec::new();
        for index in graph.order() {
            let id = graph.node(*index).id.as_str();
            let Some(step) = self.state.steps.get(format!("{scope}{id}").as_str()) else { continue };
            let taken = graph.outgoing(*index).iter().any(|edge| Some(&edge.port) == step.port.as_ref());
            if let (Stage::Succeeded, false, Some(output)) = (step.stage, taken, &step.output) {
                sinks.push((id, output));
            }
        }
        match sinks.as_slice() {
            [] => Arc::new(Value::Null),
            [(_, only)] => (*only).clone(),
            several => Arc::new(Value::Object(
                several.iter().map(|(id, output)| ((*id).to_owned(), (***output).clone())).collect(),
            )),
        }
    }

    pub(super) fn graph_of(&self, scope: &str) -> Option<&'a Graph> {
        match self.state.scopes.get(scope)?.owner.as_ref() {
            None => Some(self.definition.graph()),
            Some((owner, _)) => locate(self.definition, owner)?.2.kind.body(),
        }
    }
}
