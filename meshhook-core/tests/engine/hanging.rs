//! A store that hangs holds up nobody for ever.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::EngineError;
use meshhook_core::event::RunStatus;
use meshhook_core::store::RunFilter;
use meshhook_core::store::memory::{Fault, Loss, Operation};
use serde_json::json;

use crate::faults::effect;
use crate::kit::{Kit, Plan};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_never_answered_is_looked_up() {
    for applied in [false, true] {
        let (plan, hangs) = (Arc::new(Plan::default()), Some(HOUR));
        let kit = Kit::disturbed(&plan);
        let slug = kit.publish("effect", effect()).await;
        let fault = || match applied {
            false => Fault { delay_before: hangs, ..Fault::default() },
            true => Fault { delay_after: hangs, ..Fault::default() },
        };
        plan.push(Operation::Commit, fault());
        let run = kit.start_run(&slug, json!(1)).await;
        plan.push(Operation::Commit, fault());
        let view = tokio::time::timeout(Duration::from_secs(60), kit.finish(run)).await.unwrap();
        assert_eq!(view.status, RunStatus::Succeeded);
        assert_eq!(
            kit.kinds(run).await,
            ["run_created", "call step_started", "call step_succeeded", "run_succeeded"],
            "applied: {applied}"
        );
        assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn giving_runs_back_in_vain_holds_up_no_look() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let slug = kit.publish("effect", effect()).await;
    plan.lose(Operation::Commit, Loss::ReplyLost);
    for _ in 0..40 {
        plan.lose(Operation::Commit, Loss::Unavailable);
    }
    plan.delay(Operation::Forget, HOUR);
    let request = meshhook_core::engine::StartRequest::new(json!(1));
    kit.project.start_run(&slug, request).await.unwrap_err();
    plan.clear();
    plan.delay(Operation::Forget, HOUR);
    let runs = kit.project.runs(RunFilter::default()).await.unwrap().items;
    let view = tokio::time::timeout(Duration::from_secs(60), kit.finish(runs[0].id)).await.unwrap();
    assert_eq!(view.status, RunStatus::Succeeded);
    kit.engine.check_ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_looks_are_not_answered_is_not_ready() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    tokio::time::sleep(Duration::from_secs(5)).await;
    kit.engine.check_ready().await.unwrap();
    for _ in 0..100 {
        plan.delay(Operation::Claim, HOUR);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let why = kit.engine.check_ready().await.unwrap_err();
    assert!(why.is_transient() && matches!(why, EngineError::NotReady { .. }), "{why}");
    assert!(why.to_string().contains("last looked for what is due"), "{why}");
    plan.clear();
    tokio::time::sleep(Duration::from_secs(20)).await;
    kit.engine.check_ready().await.unwrap();
}
