//! What lists and views say while a run goes on.

use std::time::Duration;

use meshhook_core::event::RunStatus;
use meshhook_core::failure::Failure;
use meshhook_core::id::RunId;
use meshhook_core::store::RunFilter;
use meshhook_core::store::memory::Operation;
use serde_json::{Value, json};

use crate::kit::Kit;

fn effect(policy: &Value) -> Value {
    let mut node = json!({ "id": "call", "type": "http_call",
        "config": { "method": "POST", "url": "https://example.com/" }, "timeout": "5m" });
    node.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    json!({ "name": "Effect", "nodes": [node] })
}

/// Demands that a run stands there in its view, and in the list of that status and no other; answers its attempts.
async fn stands(kit: &Kit, run: RunId, status: RunStatus) -> u32 {
    for listed in [RunStatus::Running, RunStatus::Waiting, RunStatus::Paused, RunStatus::Succeeded] {
        let filter = RunFilter { status: Some(listed), ..RunFilter::default() };
        let found = kit.project.runs(filter).await.unwrap().items;
        assert_eq!(found.iter().any(|found| found.id == run), listed == status, "the list of {listed:?}");
    }
    let view = kit.project.run(run).await.unwrap();
    assert_eq!(view.status, status);
    view.steps[0].attempts
}

#[tokio::test(start_paused = true)]
async fn lists_say_where_a_run_stands_while_it_waits_runs_again_and_is_paused() {
    // Held in memory while it waits for a second, released and claimed while it waits for ten.
    for wait in [1, 10] {
        let kit = Kit::start();
        let retry =
            json!({ "max_attempts": 3, "initial": format!("{wait}s"), "factor": 1, "jitter": "none" });
        let slug = kit.publish("effect", effect(&json!({ "retry": retry }))).await;
        let failed = || Err(Failure::retryable("http_status", "status 503").into());
        kit.effects.script.lock().unwrap().push_back(failed());
        *kit.effects.takes.lock().unwrap() = Duration::from_secs(60);
        let run = kit.start_run(&slug, json!(1)).await;
        let after = |time: Duration| tokio::time::sleep(time);
        after(Duration::from_secs(30)).await;
        assert_eq!(stands(&kit, run, RunStatus::Running).await, 1);
        after(Duration::from_secs(30) + Duration::from_millis(wait * 500)).await;
        assert_eq!(stands(&kit, run, RunStatus::Waiting).await, 1);
        after(Duration::from_millis(wait * 500) + Duration::from_secs(30)).await;
        assert_eq!(stands(&kit, run, RunStatus::Running).await, 2);
        kit.project.pause(run, None).await.unwrap();
        assert_eq!(stands(&kit, run, RunStatus::Paused).await, 2);
        after(Duration::from_secs(60)).await;
        assert_eq!(stands(&kit, run, RunStatus::Paused).await, 2);
        kit.project.resume(run, None).await.unwrap();
        after(Duration::from_secs(1)).await;
        assert_eq!(stands(&kit, run, RunStatus::Succeeded).await, 2);
        kit.finish(run).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_costs_a_commit_only_where_it_changes_without_an_event() {
    let kit = Kit::start();
    let retry = json!({ "initial": "1s", "factor": 1, "jitter": "none" });
    let slug = kit.publish("effect", effect(&json!({ "retry": retry }))).await;
    let commits = async |fails: usize| {
        let failed = || Err(Failure::retryable("http_status", "status 503").into());
        kit.effects.script.lock().unwrap().extend((0..fails).map(|_| failed()));
        let before = kit.store.transactions().of(Operation::Commit);
        kit.run(&slug, json!(1)).await;
        kit.store.transactions().of(Operation::Commit) - before
    };
    assert_eq!(commits(0).await, 2);
    assert_eq!(commits(1).await, 4);
}
