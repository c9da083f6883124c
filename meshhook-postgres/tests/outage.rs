//! An engine whose database is full, or gone. A trigger raises what a full disk does; the disk of a test is not filled.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineError, Project, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::store::StoreError;
use meshhook_postgres::{PgOptions, PgStore};
use serde_json::json;
use support::Database;
use throwaway_postgres::{Server, Settings};
use tokio::time::Instant;

const FULL: &str = "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$; \
     CREATE TRIGGER full_disk BEFORE INSERT ON meshhook.history EXECUTE FUNCTION public.full_disk()";
const FREED: &str = "DROP TRIGGER full_disk ON meshhook.history";

/// An engine with a workflow that waits.
async fn timers(store: PgStore, pause: &str) -> (Engine, Project, WorkflowSlug) {
    let engine = Engine::builder(Arc::new(store)).start().unwrap();
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("timer").unwrap();
    let nodes = json!([{ "id": "pause", "type": "delay", "config": { "for": pause } }]);
    project.create_workflow(&slug, json!({ "name": "Timer", "nodes": nodes })).await.unwrap();
    project.publish(&slug).await.unwrap();
    (engine, project, slug)
}

#[tokio::test]
async fn a_start_while_the_server_is_gone_is_answered_within_seconds_and_the_runs_go_on_afterwards() {
    let mut server = Server::start(&Settings { durable: true, ..Settings::default() }).unwrap();
    let url = server.url("postgres");
    meshhook_postgres::migrate(&url).await.unwrap();
    let store = PgStore::connect(&url, PgOptions::new()).await.unwrap();
    let (engine, project, slug) = timers(store, "3s").await;
    let request = || StartRequest::new(json!(1)).idempotency_key("again");
    let before = project.start_run(&slug, StartRequest::new(json!(0))).await.unwrap().run;
    server.crash().unwrap();
    let mut refusals = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let refused = project.start_run(&slug, request()).await.unwrap_err();
        assert!(refused.is_transient(), "{refused:?}");
        refusals.push(began.elapsed());
    }
    assert!(refusals.iter().all(|took| *took < Duration::from_secs(6)), "{refusals:?}");
    server.recover().unwrap();
    let started = loop {
        match project.start_run(&slug, request()).await {
            Ok(started) => break started.run,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for run in [before, started] {
        let status = project.wait_for_end(run, Duration::from_secs(60)).await.unwrap();
        assert_eq!(status, RunStatus::Succeeded);
    }
    engine.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_taken_in_or_claimed_and_then_everything_goes_on() {
    const RUNS: usize = 200;
    let database = Database::new();
    let (engine, project, slug) = timers(database.store(PgOptions::new()).await, "4s").await;
    let starts = (0..RUNS).map(|number| project.start_run(&slug, StartRequest::new(json!(number))));
    let started = futures_util::future::join_all(starts).await;
    let runs: Vec<_> = started.into_iter().map(|started| started.unwrap().run).collect();

    database.sql(FULL);
    let refused = project.start_run(&slug, StartRequest::new(json!(0))).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    assert!(
        matches!(refused, EngineError::Store(StoreError::Full(_) | StoreError::Unavailable(_))),
        "{refused:?}"
    );
    // They come due meanwhile. The refused start told the worker, so that it takes none, or one to try.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let held = engine.held_runs();
    assert!(held < 64, "{held} runs are held that cannot go on");
    let again = project.start_run(&slug, StartRequest::new(json!(0))).await.unwrap_err();
    assert!(again.is_transient(), "{again:?}");

    database.sql(FREED);
    for run in runs {
        let status = project.wait_for_end(run, Duration::from_secs(60)).await.unwrap();
        assert_eq!(status, RunStatus::Succeeded);
        assert!(project.verify(run).await.unwrap().divergence.is_none());
    }
    engine.shutdown(Duration::from_secs(5)).await;
}
