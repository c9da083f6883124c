//! Hints reach other processes soon, and losing them loses nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineOptions, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, WorkerId, WorkflowSlug};
use meshhook_core::store::Ledger as _;
use meshhook_postgres::{PgOptions, PgStore};
use serde_json::json;
use support::Database;

/// Long past what a notification takes, long before anybody would look by themselves.
const SOON: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_secs(600);

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

/// Lets the first hints pass: everybody is woken once when a connection is made.
async fn listening(store: &PgStore, worker: &WorkerId) {
    while tokio::time::timeout(Duration::from_millis(500), store.hinted(worker)).await.is_ok() {}
}

#[tokio::test]
async fn a_hint_wakes_the_worker_that_it_names_and_no_other() {
    let database = Database::new();
    let here = database.store(PgOptions::new()).await;
    let there = database.store(PgOptions::new()).await;
    let (ann, bob) = (worker("ann"), worker("bob"));
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("a connection wakes everybody");
    listening(&here, &ann).await;
    listening(&here, &bob).await;
    there.hint(Some(&ann));
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("ann is woken");
    let bobs = tokio::time::timeout(Duration::from_millis(300), here.hinted(&bob)).await;
    assert!(bobs.is_err(), "bob is left alone");
    there.hint(None);
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("ann is woken");
    tokio::time::timeout(SOON, here.hinted(&bob)).await.expect("bob is woken");
}

#[tokio::test]
async fn a_listener_that_was_cut_off_wakes_everybody_and_listens_again() {
    let database = Database::new();
    let here = database.store(PgOptions::new()).await;
    let there = database.store(PgOptions::new()).await;
    let ann = worker("ann");
    listening(&here, &ann).await;
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    );
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("what was lost meanwhile is looked for");
    listening(&here, &ann).await;
    there.hint(Some(&ann));
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("ann is woken");
}

/// The server's process for the listening session, and in which state that is.
const LISTENER: &str = "SELECT pid, state FROM pg_stat_activity WHERE query LIKE 'LISTEN%' \
     AND datname = current_database()";

#[tokio::test]
async fn a_listener_is_in_no_transaction() {
    let database = Database::new();
    let here = database.store(PgOptions::new()).await;
    listening(&here, &worker("ann")).await;
    assert!(database.sql(LISTENER).ends_with("|idle"), "{}", database.sql(LISTENER));
}

#[tokio::test]
async fn a_listener_whose_other_end_is_silent_wakes_everybody_and_listens_again() {
    let database = Database::new();
    let here = database
        .store(PgOptions::new().call_timeout(Duration::from_secs(1)).acquire_timeout(Duration::from_secs(1)))
        .await;
    let ann = worker("ann");
    listening(&here, &ann).await;
    let pid = database.sql(LISTENER).split('|').next().unwrap_or_default().to_owned();
    let signal =
        |name: &str| std::process::Command::new("kill").args([name, &*pid]).status().unwrap().success();
    // As half of a connection: it is open, and nothing comes.
    if !signal("-STOP") {
        println!("skipped: the server's processes are not ours to stop");
        return;
    }
    let woken = tokio::time::timeout(SOON, here.hinted(&ann)).await;
    assert!(signal("-CONT"));
    woken.expect("what was lost meanwhile is looked for");
    listening(&here, &ann).await;
    let there = database.store(PgOptions::new()).await;
    there.hint(Some(&ann));
    tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("ann is woken");
}

#[tokio::test]
async fn an_event_from_another_process_does_not_wait_for_the_next_look() {
    let database = Database::new();
    let mut options = EngineOptions::default();
    options.poll = NEVER;
    // Waits stay in memory, with their owner.
    options.hold = NEVER * 10;
    let engine = async |works: bool| {
        let mut options = options.clone();
        options.works = works;
        let store = Arc::new(database.store(PgOptions::new()).await);
        Engine::builder(store).options(options).start().unwrap()
    };
    let owner = engine(true).await;
    let project = owner.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("waits").unwrap();
    let definition = json!({
        "name": "Waits",
        "nodes": [{ "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "1h" } }],
    });
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
    let run = project.start_run(&slug, StartRequest::new(json!(null))).await.unwrap().run;

    let other = engine(false).await;
    let elsewhere = other.project(&ProjectId::default_project());
    tokio::time::sleep(Duration::from_secs(1)).await;
    elsewhere.send_event(run, "paid", None, json!({ "cents": 100 })).await.unwrap();
    let status = project.wait_for_end(run, SOON).await.unwrap();
    assert_eq!(status, RunStatus::Succeeded);

    // What another process takes in is taken over as soon.
    let taken_in = elsewhere.start_run(&slug, StartRequest::new(json!(null))).await.unwrap().run;
    elsewhere.send_event(taken_in, "paid", None, json!(1)).await.unwrap();
    let status = project.wait_for_end(taken_in, SOON).await.unwrap();
    assert_eq!(status, RunStatus::Succeeded);
    other.shutdown(SOON).await;
    owner.shutdown(SOON).await;
}
