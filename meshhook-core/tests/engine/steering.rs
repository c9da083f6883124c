//! How long it takes to be answered for asking something of a run.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::event::RunStatus;
use meshhook_core::store::memory::Operation;
use serde_json::json;
use tokio::time::Instant;

use crate::faults::effect;
use crate::kit::{Kit, Plan};

#[tokio::test(start_paused = true)]
async fn what_another_worker_holds_is_asked_for_without_waiting() {
    let owner = Kit::start();
    *owner.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
    let slug = owner.publish("effect", effect()).await;
    let run = owner.start_run(&slug, json!(1)).await;
    let other = Kit::on(owner.store.clone(), owner.clock);
    let began = Instant::now();
    other.project.pause(run, None).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(other.project.run(run).await.unwrap().status, RunStatus::Paused);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_is_answered_when_it_shows_whatever_else_waits() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
    let slug = kit.publish("effect", effect()).await;
    let run = kit.start_run(&slug, json!(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..1_000 {
        plan.delay(Operation::Commit, Duration::from_millis(200));
    }
    // Events come faster than they are recorded, so that something always waits.
    let project = kit.project.clone();
    let sending = tokio::spawn(async move {
        loop {
            project.send_event(run, "paid", None, json!(1)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(250)).await;
    let asked = Instant::now();
    kit.project.pause(run, None).await.unwrap();
    assert!(asked.elapsed() <= Duration::from_millis(600), "{:?}", asked.elapsed());
    assert_eq!(kit.project.run(run).await.unwrap().status, RunStatus::Paused);
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn what_another_process_takes_is_noticed() {
    let store = Kit::start();
    let slug = store.publish("effect", effect()).await;
    let failure = meshhook_core::failure::Failure::permanent("http_status", "status 404");
    store.effects.script.lock().unwrap().push_back(Err(failure.into()));
    let run = store.start_run(&slug, json!(1)).await;
    assert_eq!(store.finish(run).await.status, RunStatus::Failed);
    // Whichever of the two takes the failed run, the retry shows when it is answered.
    let other = Kit::on(store.store.clone(), store.clock);
    let began = Instant::now();
    other.project.retry(run, None).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_ne!(other.project.run(run).await.unwrap().status, RunStatus::Failed);
}
