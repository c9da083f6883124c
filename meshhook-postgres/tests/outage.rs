//! A disk that is full. A trigger raises what the server does then; the disk of a test is not filled.

mod support;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineError, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::store::StoreError;
use meshhook_postgres::PgOptions;
use serde_json::json;
use support::Database;

const FULL: &str = "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$; \
     CREATE TRIGGER full_disk BEFORE INSERT ON meshhook.history EXECUTE FUNCTION public.full_disk()";
const FREED: &str = "DROP TRIGGER full_disk ON meshhook.history";

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_taken_in_or_claimed_and_then_everything_goes_on() {
    const RUNS: usize = 200;
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new()).await);
    let engine = Engine::builder(store).start().unwrap();
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("timer").unwrap();
    let nodes = json!([{ "id": "pause", "type": "delay", "config": { "for": "4s" } }]);
    project.create_workflow(&slug, json!({ "name": "Timer", "nodes": nodes })).await.unwrap();
    project.publish(&slug).await.unwrap();
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
