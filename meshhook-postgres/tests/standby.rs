//! Two servers: what holds on a standby, and after it has taken over.
//!
//! Both are started here; with another server named in the environment these tests say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests, and say what was skipped"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineOptions, StartRequest};
use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{
    Claim, Commit, CommitOutcome, Hold, Ledger as _, RunReader as _, StartRun, StoreError,
};
use meshhook_core::time::Timestamp;
use meshhook_postgres::{PgOptions, PgStore};
use serde_json::json;
use throwaway_postgres::{Server, Settings, URL_VARIABLE};

const LEASE: Duration = Duration::from_secs(30);
/// How many runs are written before the primary dies.
const ENOUGH: u32 = 200;

/// A migrated primary and its standby.
async fn servers(settings: &[&str]) -> Option<(Server, Server)> {
    if std::env::var_os(URL_VARIABLE).is_some() {
        println!("skipped: {URL_VARIABLE} is set, and that server is not ours to copy");
        return None;
    }
    let settings = settings.iter().map(ToString::to_string).collect();
    let primary = Server::start(&Settings { settings, ..Settings::default() }).unwrap();
    meshhook_postgres::migrate(&primary.url("postgres")).await.unwrap();
    let standby = primary.follow().unwrap();
    Some((primary, standby))
}

fn ann() -> WorkerId {
    WorkerId::new("ann").unwrap()
}

fn start(number: u32) -> StartRun {
    let mut random = [7; 8];
    random[4..].copy_from_slice(&number.to_be_bytes());
    let run = RunId::new(Timestamp::from_micros(1_767_000_000_000_000), random);
    let slug = WorkflowSlug::new("flow").unwrap();
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    let meta = RunMeta::new(run, ProjectId::default_project(), slug, digest, Timestamp::EPOCH);
    let chunk = Chunk::from_parts(1, 1, "[1,1]".into(), ChunkHash([1; 32]));
    StartRun { meta, dedupe: None, worker: ann(), chunk, hold: Hold::Keep { status: RunStatus::Running } }
}

fn claim() -> Claim {
    Claim { worker: ann(), limit: 10, suspects: 1, bytes: usize::MAX, messages: 10, lease: LEASE }
}

#[tokio::test]
async fn a_standby_is_unavailable_until_it_takes_over() {
    let Some((_primary, standby)) = servers(&[]).await else { return };
    for pooled in [false, true] {
        let options = PgOptions::new().pooled(pooled);
        let store = PgStore::connect(&standby.url("postgres"), options).await.unwrap();
        for refused in [
            store.claim(claim()).await.map(drop),
            store.renew(&ann(), LEASE).await.map(drop),
            store.commit(vec![Commit::Start(start(1))]).await.map(drop),
            store.ping().await.map(drop),
        ] {
            let Err(StoreError::Unavailable(why)) = refused else { panic!("{refused:?}") };
            assert!(why.to_string().contains("read-only"), "{why}");
        }
        let found = store.doctor().await.unwrap();
        assert!(found.iter().any(|finding| finding.code == "standby"), "{found:?}");
    }
    // An engine that was started too early finds the server when it is one.
    let store = Arc::new(PgStore::connect(&standby.url("postgres"), PgOptions::new()).await.unwrap());
    let log = standby.folder().unwrap().join("log");
    let refusals = || std::fs::read_to_string(&log).unwrap().matches("in a read-only transaction").count();
    let before = refusals();
    let engine = Engine::builder(store).options(EngineOptions::default()).start().unwrap();
    while refusals() == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.check_ready().await.unwrap_err();
    assert_eq!(standby.sql("postgres", "SELECT pg_promote()").unwrap(), "t");
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("hello").unwrap();
    let definition = json!({
        "name": "Hello",
        "nodes": [{ "id": "pause", "type": "delay", "config": { "for": "10ms" } }],
    });
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
    let run = project.start_run(&slug, StartRequest::new(json!(null))).await.unwrap().run;
    assert_eq!(project.wait_for_end(run, LEASE).await.unwrap(), RunStatus::Succeeded);
    engine.shutdown(LEASE).await;
}

#[tokio::test]
async fn what_a_synchronous_standby_has_acknowledged_is_there_after_the_primary_died() {
    let Some((mut primary, standby)) = servers(&["synchronous_commit=on"]).await else { return };
    primary
        .sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
        .and_then(|_| primary.sql("postgres", "SELECT pg_reload_conf()"))
        .unwrap();
    let waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    while primary.sql("postgres", waits).unwrap() != "1" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let store = Arc::new(PgStore::connect(&primary.url("postgres"), PgOptions::new()).await.unwrap());
    store.renew(&ann(), LEASE).await.unwrap();
    let written = Arc::new(AtomicU32::new(0));
    let writers: Vec<_> = (0..4_u32)
        .map(|writer| {
            let (store, written) = (store.clone(), written.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0_u32.. {
                    let start = start(number * 4 + writer);
                    let run = start.meta.run;
                    match store.commit(vec![Commit::Start(start)]).await {
                        Ok(outcomes) => assert_eq!(outcomes, [CommitOutcome::Committed]),
                        Err(_) => break,
                    }
                    acknowledged.push(run);
                    written.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        })
        .collect();
    while written.load(Ordering::Relaxed) < ENOUGH {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    primary.crash().unwrap();
    assert_eq!(standby.sql("postgres", "SELECT pg_promote()").unwrap(), "t");
    let store = PgStore::connect(&standby.url("postgres"), PgOptions::new()).await.unwrap();
    let mut kept = 0;
    for writer in writers {
        for run in writer.await.unwrap() {
            let record = store.run_record(&ProjectId::default_project(), run).await.unwrap();
            assert!(record.is_some(), "{run} was acknowledged and is lost");
            kept += 1;
        }
    }
    println!("{kept} acknowledged runs, 0 lost");
    assert!(kept >= ENOUGH as usize);
    store.renew(&ann(), LEASE).await.unwrap();
    assert!(store.held(&ann()).await.unwrap().len() >= kept);
}
