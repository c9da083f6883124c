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
/// Until a connection that worked is made again, with some time to spare.
const AGAIN: Duration = Duration::from_secs(5);
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
    // A connection that worked is no failure: the third is made again as soon as the first.
    for _ in 0..3 {
        assert!(here.hears_hints());
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE query LIKE 'LISTEN%' AND datname = current_database()",
        );
        tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("what was lost meanwhile is looked for");
        assert!(!here.hears_hints());
        let again = tokio::time::timeout(AGAIN, here.hinted(&ann)).await;
        again.expect("what was lost before it listened is looked for");
        listening(&here, &ann).await;
        there.hint(Some(&ann));
        tokio::time::timeout(SOON, here.hinted(&ann)).await.expect("ann is woken");
    }
}

#[tokio::test]
async fn hints_are_said_and_heard_on_one_connection_which_ends_with_the_store() {
    let database = Database::new();
    let here = database.store(PgOptions::new()).await;
    let there = database.store(PgOptions::new()).await;
    let (ann, bob) = (worker("ann"), worker("bob"));
    listening(&here, &ann).await;
    listening(&there, &bob).await;
    // Of the stores only: whoever asks, and the server's own cleaning up, come and go.
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    let last = "SELECT query LIKE '%pg_notify%' FROM pg_stat_activity WHERE pid = ";
    let first = database.sql(&LISTENER.replace("pid, state", "min(pid)"));
    let other = database.sql(&LISTENER.replace("pid, state", "max(pid)"));
    let idle = database.sql(&sessions);
    here.hint(Some(&bob));
    tokio::time::timeout(SOON, there.hinted(&bob)).await.expect("bob is woken");
    assert_eq!(database.sql(&sessions), idle);
    let said = [first, other].map(|pid| database.sql(&format!("{last}{pid}")));
    assert!(said.contains(&"t".to_owned()), "{said:?}");
    for store in [&here, &there] {
        store.close();
        store.hint(Some(&worker("cid")));
        let hinted = tokio::time::timeout(Duration::from_millis(100), store.hinted(&worker("dan"))).await;
        assert!(hinted.is_err());
    }
    let end = tokio::time::Instant::now() + SOON;
    while database.sql(&sessions) != "0" {
        assert!(tokio::time::Instant::now() < end, "{}", database.sql(&sessions));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_hints_whoever_has_found_something_looks_again_sooner() {
    let database = Database::new();
    let mut options = EngineOptions::default();
    options.poll = Duration::from_secs(4);
    options.hold = NEVER;
    let engine = async |works: bool| {
        let mut options = options.clone();
        options.works = works;
        let store = Arc::new(database.store(PgOptions::new().listen(false)).await);
        Engine::builder(store).options(options).start().unwrap()
    };
    let (owner, other) = (engine(true).await, engine(false).await);
    let project = owner.project(&ProjectId::default_project());
    let elsewhere = other.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("waits").unwrap();
    let definition = json!({
        "name": "Waits",
        "nodes": [{ "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "1h" } }],
    });
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..2 {
        let run = project.start_run(&slug, StartRequest::new(json!(null))).await.unwrap().run;
        let began = tokio::time::Instant::now();
        elsewhere.send_event(run, "paid", None, json!(1)).await.unwrap();
        assert_eq!(project.wait_for_end(run, SOON).await.unwrap(), RunStatus::Succeeded);
        took.push(began.elapsed());
    }
    assert!(took[1] < Duration::from_secs(3), "{took:?}");
    other.shutdown(SOON).await;
    owner.shutdown(SOON).await;
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
