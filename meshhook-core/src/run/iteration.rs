//! Iteration: `for_each` and `repeat`.
//!
//! Each iteration runs its body in a scope of its own, whose steps carry the iteration's index in their keys. The
//! looping step stays active meanwhile; it writes no event before it ends, all it knows follows from its scopes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::{Context, env, seed};
use super::decide::Decider;
use super::state::{Scope, Stage, Step, Work, locate};
use crate::event::TimerPurpose;
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::{ForEach, NodeKind, OnItemError, Repeat, port};

/// How far a `for_each` has come.
#[derive(Debug, Clone)]
pub(super) struct EachLoop {
    items: Vec<Arc<Value>>,
    next: usize,
    running: BTreeSet<u64>,
    results: BTreeMap<u64, Arc<Value>>,
}

/// How far a `repeat` has come.
#[derive(Debug, Clone)]
pub(super) struct RepeatLoop {
    index: u64,
    /// The first iteration that counts for the limit: later than the first of all when the run was retried.
    counts_from: u64,
    /// What the next iteration gets as input.
    carry: Arc<Value>,
}

impl Step {
    /// The iterations of a looping step that are under way; none for other steps.
    fn running_iterations(&self) -> Vec<u64> {
        match &self.work {
            Work::Each(work) => work.running.iter().copied().collect(),
            Work::Repeat(work) => vec![work.index],
            Work::None | Work::Effect { .. } | Work::Timer { .. } | Work::Wait { .. } => Vec::new(),
        }
    }
}

impl<'a> Decider<'a> {
    pub(super) fn start_each(
        &mut self,
        key: &StepKey,
        each: &ForEach,
        input: &Arc<Value>,
    ) -> Result<(), Failure> {
        let items = self.in_context(key, input, |scope, _| each.items(scope))?;
        if items.is_empty() {
            return self.succeed(key, Some(port::out()), Arc::new(Value::Array(Vec::new())));
        }
        let items = items.into_iter().map(Arc::new).collect();
        let work = EachLoop { items, next: 0, running: BTreeSet::new(), results: BTreeMap::new() };
        self.activate(key, Work::Each(work)).input = Some(input.clone());
        self.start_items(key, each);
        Ok(())
    }

    /// Starts items until as many are under way as may be.
    fn start_items(&mut self, key: &StepKey, each: &ForEach) {
        loop {
            let Some(Work::Each(work)) = self.state.steps.get_mut(key).map(|step| &mut step.work) else {
                return;
            };
            if work.running.len() >= each.concurrency as usize || work.next >= work.items.len() {
                return;
            }
            let (index, item) = (work.next as u64, work.items[work.next].clone());
            work.next += 1;
            work.running.insert(index);
            self.open_scope(key, index, item);
        }
    }

    pub(super) fn start_repeat(&mut self, key: &StepKey, input: Arc<Value>) {
        let step =
            self.activate(key, Work::Repeat(RepeatLoop { index: 0, counts_from: 0, carry: input.clone() }));
        step.input = Some(input.clone());
        self.open_scope(key, 0, input);
    }

    fn open_scope(&mut self, owner: &StepKey, index: u64, input: Arc<Value>) {
        let Some(body) = self.kind_of(owner).and_then(NodeKind::body) else { return };
        let prefix = format!("{owner}[{index}].");
        let scope = Scope {
            owner: Some((owner.clone(), index)),
            input,
            remaining: body.nodes().len(),
            open: true,
            outputs: BTreeMap::new(),
        };
        self.state.scopes.insert(prefix.into(), scope);
        for start in body.starts() {
            self.make_ready(owner.child(index, &body.node(*start).id));
        }
    }

    fn close_scope(&mut self, owner: &StepKey, index: u64) {
        if let Some(scope) = self.state.scopes.get_mut(format!("{owner}[{index}].").as_str()) {
            scope.open = false;
        }
    }

    pub(super) fn iteration_succeeded(&mut self, owner: &StepKey, index: u64, output: Arc<Value>) {
        self.close_scope(owner, index);
        match self.kind_of(owner) {
            Some(NodeKind::ForEach(_)) => self.item_done(owner, index, output),
            Some(NodeKind::Repeat(repeat)) => {
                if let Err(failure) = self.iteration_done(owner, repeat, output) {
                    self.fail(owner, failure);
                }
            }
            _ => {}
        }
    }

    pub(super) fn iteration_failed(&mut self, owner: &StepKey, index: u64, failure: Failure) {
        match self.kind_of(owner) {
            Some(NodeKind::ForEach(each)) if each.on_item_error == OnItemError::Collect => {
                self.abandon(&format!("{owner}[{index}]."));
                self.close_scope(owner, index);
                self.item_done(owner, index, Arc::new(json!({ "error": failure.to_value() })));
            }
            Some(NodeKind::ForEach(_)) => {
                self.abandon(&format!("{owner}["));
                let message = format!("item {index} failed: {}", failure.message);
                let details = json!({ "index": index, "failure": failure.to_value() });
                self.fail(owner, Failure::permanent(code::ITEM_FAILED, message).with_details(details));
            }
            Some(NodeKind::Repeat(_)) => {
                self.abandon(&format!("{owner}["));
                self.fail(owner, failure);
            }
            _ => {}
        }
    }

    fn item_done(&mut self, owner: &StepKey, index: u64, result: Arc<Value>) {
        let Some(Work::Each(work)) = self.state.steps.get_mut(owner).map(|step| &mut step.work) else {
            return;
        };
        work.running.remove(&index);
        work.results.insert(index, result);
        if work.results.len() < work.items.len() {
            if let Some(NodeKind::ForEach(each)) = self.kind_of(owner) {
                self.start_items(owner, each);
            }
            return;
        }
        self.finish_each(owner);
    }

    /// Ends a loop all of whose items are done.
    fn finish_each(&mut self, owner: &StepKey) {
        let Some(Work::Each(work)) = self.state.steps.get(owner).map(|step| &step.work) else { return };
        let results = work.results.values().map(|result| (**result).clone()).collect();
        if let Err(failure) = self.succeed(owner, Some(port::out()), Arc::new(Value::Array(results))) {
            self.fail(owner, failure);
        }
    }

    fn iteration_done(
        &mut self,
        owner: &StepKey,
        repeat: &Repeat,
        output: Arc<Value>,
    ) -> Result<(), Failure> {
        let step = self.state.steps.get_mut(owner).expect("a looping step has an entry");
        let input = step.input.clone().unwrap_or_default();
        let Work::Repeat(work) = &mut step.work else { return Ok(()) };
        work.carry = output.clone();
        let (index, counts_from) = (work.index, work.counts_from);
        let place = Value::from(index);
        let done = {
            let context = Context::new(self.state, self.definition, owner, input.clone());
            let seed = seed(self.state, owner, &format!("until {index}"));
            let root = context.root_after(&output, &place);
            repeat.is_over(&crate::node::Scope { root: &root, env: &env(self.now, &seed), input: &input })?
        };
        if done {
            return self.succeed(owner, Some(port::out()), output);
        }
        if index + 1 - counts_from >= repeat.max_iterations {
            let Some((graph, place, _)) = locate(self.definition, owner) else { return Ok(()) };
            if graph.has_edge(place, &port::exhausted()) {
                return self.succeed(owner, Some(port::exhausted()), output);
            }
            let message = format!("the condition did not hold after {} iterations", repeat.max_iterations);
            return Err(Failure::permanent(code::ITERATIONS_EXHAUSTED, message));
        }
        let next = RepeatLoop { index: index + 1, counts_from, carry: output };
        match repeat.every.filter(|every| !every.is_zero()) {
            None => self.next_iteration(owner, next),
            Some(every) => {
                let at = self.now.after(every);
                let step = self.state.steps.get_mut(owner).expect("a looping step has an entry");
                step.work = Work::Repeat(next);
                step.pause_until = Some(at);
                self.emit(
                    Some(owner),
                    crate::event::EventData::TimerSet { at, purpose: TimerPurpose::Repeat },
                );
            }
        }
        Ok(())
    }

    fn next_iteration(&mut self, owner: &StepKey, next: RepeatLoop) {
        let (index, input) = (next.index, next.carry.clone());
        if let Some(step) = self.state.steps.get_mut(owner) {
            step.work = Work::Repeat(next);
        }
        self.open_scope(owner, index, input);
    }

    /// Goes on after the pause between two iterations.
    pub(super) fn repeat_due(&mut self, owner: &StepKey) {
        let Some(Work::Repeat(next)) = self.state.steps.get(owner).map(|step| step.work.clone()) else {
            return;
        };
        self.next_iteration(owner, next);
    }

    /// Ends what is under way below a prefix of step keys, without events.
    fn abandon(&mut self, prefix: &str) {
        let keys: Vec<StepKey> = self
            .state
            .active
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(|key| key.as_str().starts_with(prefix))
            .cloned()
            .collect();
        for key in keys {
            self.state.active.remove(&key);
            if let Some(step) = self.state.steps.get_mut(&key) {
                step.stage = Stage::Cancelled;
                step.finished_at = Some(self.now);
            }
        }
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        for (_, scope) in
            self.state.scopes.range_mut::<str, _>(from).take_while(|(name, _)| name.starts_with(prefix))
        {
            scope.open = false;
        }
    }

    /// Puts a loop that failed because of its body back to where it was; `false` when the step is no such loop.
    pub(super) fn reopen_loop(&mut self, key: &StepKey) -> bool {
        let running = self.state.steps[key].running_iterations();
        let prefixes: Vec<String> = running.iter().map(|index| format!("{key}[{index}].")).collect();
        let failed_inside = |prefix: &String| {
            self.state.steps.iter().any(|(inner, step)| {
                inner.scope() == prefix && step.stage == Stage::Failed && step.port.is_none()
            })
        };
        let failed_inside = prefixes.iter().any(failed_inside);
        let step = self.state.steps.get_mut(key).expect("just found");
        let went_through = match &step.work {
            Work::Repeat(_) => true,
            Work::Each(work) => work.results.len() == work.items.len(),
            Work::None | Work::Effect { .. } | Work::Timer { .. } | Work::Wait { .. } => false,
        };
        if !failed_inside && !went_through {
            return false;
        }
        step.stage = Stage::Active;
        step.failure = None;
        step.finished_at = None;
        self.state.active.insert(key.clone());
        if failed_inside {
            self.revive(key, &running);
            for prefix in prefixes {
                self.reopen(&prefix);
            }
        } else {
            self.go_on_after_failure(key);
        }
        true
    }

    /// Retries a loop that failed of itself. What its iterations did stays done: a `repeat` gets as many further ones as
    /// it had, a `for_each` only comes to its end again.
    fn go_on_after_failure(&mut self, key: &StepKey) {
        let Some(Work::Repeat(work)) = self.state.steps.get(key).map(|step| &step.work) else {
            return self.finish_each(key);
        };
        let index = work.index + 1;
        let next = RepeatLoop { index, counts_from: index, carry: work.carry.clone() };
        self.next_iteration(key, next);
    }

    /// Lets what was abandoned with a loop go on: its open iterations, their steps, and the loops among these.
    fn revive(&mut self, owner: &StepKey, running: &[u64]) {
        for index in running {
            let prefix = format!("{owner}[{index}].");
            if let Some(scope) = self.state.scopes.get_mut(prefix.as_str()) {
                scope.open = true;
            }
            let is_abandoned =
                |key: &StepKey, step: &Step| key.scope() == prefix && step.stage == Stage::Cancelled;
            let abandoned = self.state.steps.iter().filter(|(key, step)| is_abandoned(key, step));
            for key in abandoned.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                let step = self.state.steps.get_mut(&key).expect("just found");
                step.stage = Stage::Active;
                step.finished_at = None;
                step.begin_anew(self.now);
                let inner = step.running_iterations();
                self.state.active.insert(key.clone());
                self.revive(&key, &inner);
            }
        }
    }

    fn kind_of(&self, key: &StepKey) -> Option<&'a NodeKind> {
        locate(self.definition, key).map(|(_, _, node)| &node.kind)
    }
}
