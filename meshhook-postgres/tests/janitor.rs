//! What is done beside the work: months that are there before they are needed, old sessions that are closed, and nothing for
//! a store that is closed itself.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::time::Duration;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{Claim, Claimed, Commit, Hold, Ledger as _, StartRun, StoreError};
use meshhook_core::time::Timestamp;
use meshhook_postgres::{PgOptions, PgStore};
use sqlx::{Connection as _, Executor as _, PgConnection};
use support::Database;

const PARTITIONS: &str = "SELECT count(*) FROM meshhook.partitions()";

/// A database that nobody has worked with for months.
fn left_alone() -> Database {
    let database = Database::new();
    let drop = "SELECT meshhook.drop_partitions('infinity')";
    while database.sql(drop) != "0" {}
    assert_eq!(database.sql(PARTITIONS), "0");
    database
}

async fn claim(store: &PgStore) -> Result<Claimed, StoreError> {
    let worker = WorkerId::new("ann").unwrap();
    let lease = Duration::from_secs(60);
    store.claim(Claim { worker, limit: 1, suspects: 1, bytes: 1, messages: 1, lease }).await
}

fn start(database: &Database) -> Commit {
    let now = database.sql("SELECT (extract(epoch FROM now()) * 1000000)::bigint").parse().unwrap();
    let run = RunId::new(Timestamp::from_micros(now), [7; 8]);
    let (project, flow) = (ProjectId::new("acme").unwrap(), WorkflowSlug::new("flow").unwrap());
    let meta = RunMeta::new(run, project, flow, Digest::new(&"a".repeat(64)).unwrap(), Timestamp::EPOCH);
    let chunk = Chunk::from_parts(1, 1, "[1]".into(), ChunkHash([1; 32]));
    let hold = Hold::Keep { status: RunStatus::Running };
    Commit::Start(StartRun { meta, dedupe: None, worker: WorkerId::new("ann").unwrap(), chunk, hold })
}

#[tokio::test]
async fn the_first_claim_after_months_finds_its_months() {
    let database = left_alone();
    let store = database.store(PgOptions::new()).await;
    assert_eq!(database.sql(PARTITIONS), "0");
    claim(&store).await.unwrap();
    assert_eq!(database.sql(PARTITIONS), "6");
}

#[tokio::test]
async fn a_run_that_is_started_first_after_months_lies_in_its_month() {
    let database = left_alone();
    let store = database.store(PgOptions::new().connections(1)).await;
    store.commit(vec![start(&database)]).await.unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history"), "1");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history_other"), "0");
}

#[tokio::test]
async fn migrating_what_is_up_to_date_makes_the_months_that_are_missing() {
    let database = left_alone();
    meshhook_postgres::migrate(&database.owner_url()).await.unwrap();
    assert_eq!(database.sql(PARTITIONS), "6");
}

#[tokio::test]
async fn a_first_start_waits_a_moment_for_its_month_and_goes_on_without() {
    let database = left_alone();
    let store = database.store(PgOptions::new()).await;
    let mut reader = PgConnection::connect(&database.owner_url()).await.unwrap();
    reader.execute("BEGIN; LOCK TABLE meshhook.history_other IN ACCESS SHARE MODE").await.unwrap();
    let began = tokio::time::Instant::now();
    store.commit(vec![start(&database)]).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history_other"), "1");
    reader.execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn nothing_is_begun_for_a_store_that_is_closed() {
    let database = Database::new();
    let store = database.store(PgOptions::new().listen(false)).await;
    claim(&store).await.unwrap();
    store.close();
    assert!(matches!(claim(&store).await, Err(StoreError::Unavailable(_))));
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        assert!(tokio::time::Instant::now() < until, "somebody goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_session_that_was_idle_for_long_is_not_used_again() {
    let database = Database::new();
    let store = database.store(PgOptions::new().listen(false)).await;
    let server = async || {
        store.ping().await.unwrap();
        let last = format!(
            "SELECT pid FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database() \
             ORDER BY query_start DESC NULLS LAST LIMIT 1",
            support::APP
        );
        database.sql(&last)
    };
    let first = server().await;
    assert_eq!(server().await, first);
    // The clock of timers is moved, while nobody waits for anything.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_ne!(server().await, first);
}
