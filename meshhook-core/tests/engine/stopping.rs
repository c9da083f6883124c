//! Stopping keeps to its time, and says what it left.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::Stopped;
use meshhook_core::event::RunStatus;
use meshhook_core::store::memory::Operation;
use serde_json::json;
use tokio::time::Instant;

use crate::faults::effect;
use crate::kit::{Kit, Plan};

const GRACE: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn an_idle_engine_stops_at_once() {
    let kit = Kit::start();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = Instant::now();
    assert_eq!(kit.engine.shutdown(GRACE).await, Stopped::Clean);
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_may_finish_within_the_grace_period() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect()).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(14);
    let run = kit.start_run(&slug, json!(1)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(kit.engine.shutdown(GRACE).await, Stopped::Clean);
    assert_eq!(kit.project.run(run).await.unwrap().status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_is_handed_back_within_the_grace_period() {
    for grace in [Duration::ZERO, Duration::from_secs(2), GRACE] {
        let kit = Kit::start();
        let slug = kit.publish("effect", effect()).await;
        *kit.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
        let run = kit.start_run(&slug, json!(1)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let began = Instant::now();
        assert_eq!(kit.engine.shutdown(grace).await, Stopped::Clean);
        assert!(began.elapsed() <= grace.max(Duration::from_secs(1)), "{grace:?}: {:?}", began.elapsed());
        let next = Kit::on(kit.store.clone(), kit.clock);
        let began = Instant::now();
        assert_eq!(next.finish(run).await.status, RunStatus::Succeeded);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_not_waited_for_beyond_the_grace_period() {
    for operation in [Operation::Commit, Operation::Renew, Operation::Claim, Operation::Retire] {
        let plan = Arc::new(Plan::default());
        let kit = Kit::disturbed(&plan);
        let slug = kit.publish("effect", effect()).await;
        *kit.effects.takes.lock().unwrap() = Duration::from_secs(1_000);
        kit.start_run(&slug, json!(1)).await;
        for _ in 0..1_000 {
            plan.delay(operation, Duration::from_secs(3_600));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        let stopped = kit.engine.shutdown(GRACE).await;
        assert!(began.elapsed() <= GRACE, "{operation:?}: {:?}", began.elapsed());
        // A claim or a renewal is given up in time, and nothing is lost by it.
        let is_lost = matches!(operation, Operation::Commit | Operation::Retire);
        assert_eq!(stopped == Stopped::Unfinished, is_lost, "{operation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_brings_the_lease_back_that_was_ended() {
    for operation in [Operation::Renew, Operation::Claim] {
        let plan = Arc::new(Plan::default());
        let kit = Kit::disturbed(&plan);
        for _ in 0..1_000 {
            plan.delay(operation, Duration::from_secs(3));
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        // One is under way, or will be.
        assert_eq!(kit.engine.shutdown(GRACE).await, Stopped::Clean);
        let done = kit.store.transactions();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(kit.store.transactions(), done);
        assert_eq!(done.of(Operation::Retire), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_that_end_at_once_leave_nothing_held() {
    let kit = Arc::new(Kit::start());
    let slug = kit.publish("effect", effect()).await;
    let start = || {
        let (kit, slug) = (kit.clone(), slug.clone());
        tokio::spawn(async move { kit.start_run(&slug, json!(1)).await })
    };
    let starting: Vec<_> = (0..300).map(|_| start()).collect();
    for started in starting {
        kit.finish(started.await.unwrap()).await;
    }
    // Stopping waits until it is told that none is held, by whoever is last.
    let began = Instant::now();
    assert_eq!(kit.engine.shutdown(GRACE).await, Stopped::Clean);
    assert!(began.elapsed() < GRACE / 2, "{:?}", began.elapsed());
}
