//! What publishing answers.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::definition::ProblemCode;
use meshhook_core::engine::EngineError;
use meshhook_core::id::WorkflowSlug;
use meshhook_core::store::memory::{Fault, FaultPlan, MemoryStore, Operation};
use meshhook_core::testing::VirtualClock;
use serde_json::{Value, json};

use crate::kit::Kit;

/// Writes of workflows take a while, so that others come between a check and its commit.
struct SlowWrites;

impl FaultPlan for SlowWrites {
    fn next(&self, operation: Operation) -> Fault {
        let is_slow = operation == Operation::WorkflowWrite;
        Fault { delay_before: is_slow.then_some(Duration::from_secs(1)), ..Fault::default() }
    }
}

fn hooked(paths: &[&str]) -> Value {
    let trigger = |(place, path): (usize, &&str)| {
        json!({ "id": format!("t{place}"), "type": "webhook",
            "config": { "path": path, "verify": { "scheme": "none" } } })
    };
    json!({ "name": "Hooked", "triggers": paths.iter().enumerate().map(trigger).collect::<Vec<_>>(),
        "nodes": [{ "id": "end", "type": "terminate" }] })
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_race_for_a_path_is_told_which_trigger_wants_it() {
    let clock = VirtualClock::new();
    let store = MemoryStore::new(Arc::new(clock)).with_faults(Arc::new(SlowWrites));
    let kit = Kit::on(Arc::new(store), clock);
    let (first, second) = (WorkflowSlug::new("first").unwrap(), WorkflowSlug::new("second").unwrap());
    kit.project.create_workflow(&first, hooked(&["shared"])).await.unwrap();
    kit.project.create_workflow(&second, hooked(&["own", "shared"])).await.unwrap();
    let (won, lost) = tokio::join!(biased; kit.project.publish(&first), kit.project.publish(&second));
    won.unwrap();
    let Err(EngineError::InvalidDefinition { problems }) = lost else { panic!("{lost:?}") };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, ProblemCode::PathTaken);
    assert_eq!(problems[0].path, "triggers[1].config.path");
    let Err(EngineError::InvalidDefinition { problems: checked }) = kit.project.publish(&second).await else {
        panic!("published")
    };
    assert_eq!(checked, problems);
}
