//! Commits beside each other, and what they make of what the server says.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::failure::Failure;
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{
    AdvanceRun, Claim, Commit, CommitOutcome, Dedupe, Hold, Inbox as _, Ledger as _, Message, Post, StartRun,
    StoreError, WakeUp,
};
use meshhook_core::time::Timestamp;
use meshhook_postgres::PgOptions;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use support::Database;

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

fn run(number: u32) -> RunId {
    let mut random = [7; 8];
    random[4..].copy_from_slice(&number.to_be_bytes());
    RunId::new(Timestamp::from_micros(1_767_000_000_000_000), random)
}

fn chunk(seq: u64) -> Chunk {
    Chunk::from_parts(seq, seq, format!("[{seq}]"), ChunkHash([1; 32]))
}

fn kept() -> Hold {
    Hold::Keep { status: RunStatus::Running }
}

fn start(number: u32, owner: &str) -> StartRun {
    let (project, flow) = (ProjectId::new("acme").unwrap(), WorkflowSlug::new("flow").unwrap());
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    let meta = RunMeta::new(run(number), project, flow, digest, Timestamp::EPOCH);
    StartRun { meta, dedupe: None, worker: worker(owner), chunk: chunk(1), hold: kept() }
}

fn keyed(number: u32, key: u32) -> Commit {
    let window = Duration::from_secs(60);
    let dedupe = Dedupe { scope: "hook".into(), key: key.to_string(), fingerprint: [1; 32], window };
    Commit::Start(StartRun { dedupe: Some(dedupe), ..start(number, "ann") })
}

fn advance(number: u32, owner: &str, seq: u64) -> Commit {
    Commit::Advance(AdvanceRun {
        project: ProjectId::new("acme").unwrap(),
        run: run(number),
        worker: worker(owner),
        claim: 1,
        after: seq - 1,
        chunk: Some(chunk(seq)),
        hold: kept(),
        consumed: Vec::new(),
    })
}

/// What an error says, causes included.
fn story(error: &StoreError) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        story.push_str(&format!(": {why}"));
        cause = why.source();
    }
    story
}

#[tokio::test]
async fn a_batch_of_several_workers_commits_in_order() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    let batch = vec![
        Commit::Start(start(2, "bob")),
        Commit::Start(start(1, "ann")),
        advance(1, "bob", 2),
        advance(2, "bob", 2),
        advance(1, "ann", 2),
        advance(2, "bob", 3),
    ];
    use CommitOutcome::{Committed, Stale};
    let outcomes = store.commit(batch).await.unwrap();
    assert_eq!(outcomes, [Committed, Committed, Stale, Committed, Committed, Committed]);
}

#[tokio::test]
async fn batches_with_the_same_keys_at_once_admit_one_run_each() {
    const KEYS: u32 = 20;
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new().connections(8)).await);
    let tasks = (0..8_u32).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            // Each batch has every key twice, in an order of its own.
            let key = |place: u32| (place * 7 + task * 3) % KEYS;
            let batch: Vec<Commit> =
                (0..KEYS * 2).map(|place| keyed(task * 100 + place, key(place))).collect();
            loop {
                match store.commit(batch.clone()).await {
                    Ok(outcomes) if outcomes.contains(&CommitOutcome::Busy) => {}
                    Ok(outcomes) => return outcomes,
                    Err(error) => assert!(error.is_transient(), "{error:?}"),
                }
            }
        })
    });
    let mut duplicates = 0;
    for task in tasks.collect::<Vec<_>>() {
        let outcomes = task.await.unwrap();
        duplicates +=
            outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Duplicate { .. })).count();
    }
    assert!(duplicates >= 7 * KEYS as usize, "{duplicates}");
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT run_id) FROM meshhook.dedupe"), "20|20");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.live_runs"), "20");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history"), "20");
}

#[tokio::test]
async fn a_run_that_exists_is_told_whoever_has_its_key() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    let batch = vec![Commit::Start(start(1, "ann")), keyed(2, 1)];
    assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; 2]);
    assert_eq!(store.commit(vec![keyed(1, 1)]).await.unwrap(), [CommitOutcome::Exists]);
    assert_eq!(store.commit(vec![keyed(1, 3)]).await.unwrap(), [CommitOutcome::Exists]);
    let free = store.commit(vec![keyed(3, 3), keyed(4, 1)]).await.unwrap();
    assert_eq!(free, [CommitOutcome::Committed, CommitOutcome::Duplicate { run: run(2), same: true }]);
}

#[tokio::test]
async fn a_database_that_defaults_to_another_isolation_level_changes_nothing() {
    let database = Database::new();
    for (number, level) in (0..).zip(["repeatable read", "serializable"]) {
        let name = database.sql("SELECT current_database()");
        database.sql(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'"));
        for (pooled, number) in [(false, number * 2), (true, number * 2 + 1)] {
            let store = database.store(PgOptions::new().pooled(pooled)).await;
            store.renew(&worker("ann"), Duration::from_secs(60)).await.unwrap();
            let batch = vec![keyed(number, number), advance(number, "ann", 2)];
            assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; 2]);
            let claim = Claim {
                worker: worker("bob"),
                limit: 1,
                suspects: 1,
                bytes: usize::MAX,
                messages: 1,
                lease: Duration::from_secs(60),
            };
            assert_eq!(store.claim(claim).await.unwrap().runs.len(), 0);
            let findings = store.doctor().await.unwrap();
            assert!(findings.iter().any(|finding| finding.code == "isolation"), "{findings:?}");
        }
    }
    meshhook_postgres::migrate(&database.owner_url()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_only_reads_is_left_for_the_one_that_writes() {
    let database = Database::new();
    let name = database.sql("SELECT current_database()");
    let role = format!("ALTER ROLE {} IN DATABASE {name} SET default_transaction_read_only", support::APP);
    database.sql(&format!("{role} = on"));
    let store = database.store(PgOptions::new().connections(1)).await;
    let refused = store.commit(vec![Commit::Start(start(1, "ann"))]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    // Sessions that read only are not used again.
    database.sql(&format!("{role} = off"));
    let done = store.commit(vec![Commit::Start(start(1, "ann"))]).await.unwrap();
    assert_eq!(done, [CommitOutcome::Committed]);
}

#[tokio::test]
async fn what_is_not_set_up_is_said() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    let commit = || store.commit(vec![Commit::Start(start(1, "ann"))]);
    let app = support::APP;
    database.sql(&format!("REVOKE INSERT ON meshhook.history FROM {app}"));
    let missing = commit().await.unwrap_err();
    assert!(!missing.is_transient(), "{missing:?}");
    assert!(story(&missing).contains("grant_sql"), "{}", story(&missing));
    database.sql(&format!("GRANT INSERT ON meshhook.history TO {app}"));
    assert_eq!(commit().await.unwrap(), [CommitOutcome::Committed]);
    database.sql("ALTER TABLE meshhook.history RENAME TO history_before");
    assert!(story(&commit().await.unwrap_err()).contains("migrate"));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_rolled_back() {
    let database = Database::new();
    let options = PgOptions::new().connections(1).call_timeout(Duration::from_secs(2));
    let store = database.store(options).await;
    let mut holder = PgConnection::connect(&database.owner_url()).await.unwrap();
    holder.execute("BEGIN; LOCK meshhook.history").await.unwrap();
    let late = store.commit(vec![Commit::Start(start(1, "ann"))]).await.unwrap_err();
    // The server gave up before the store did, so the outcome is known.
    assert!(matches!(late, StoreError::Unavailable(_)), "{late:?}");
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(store.commit(vec![Commit::Start(start(1, "ann"))]).await.unwrap().len(), 1);
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history"), "1");
}

fn ended(number: u32, status: RunStatus) -> Commit {
    let failure = (status == RunStatus::Failed).then(|| Failure::permanent("broken", "broken"));
    match advance(number, "ann", 2) {
        Commit::Advance(advance) => Commit::Advance(AdvanceRun {
            hold: Hold::End { status, at: Timestamp::EPOCH, failure },
            ..advance
        }),
        other => other,
    }
}

fn event(number: u32) -> Post {
    let message = Message::Event { name: "paid".into(), key: None, payload: json!(1) };
    Post { project: ProjectId::new("acme").unwrap(), run: run(number), message }
}

#[tokio::test]
async fn messages_of_a_run_that_failed_are_looked_for_by_nobody_until_its_retry() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    store.renew(&worker("ann"), Duration::from_secs(60)).await.unwrap();
    store.commit(vec![Commit::Start(start(1, "ann"))]).await.unwrap();
    store.post(vec![event(1)]).await.unwrap();
    let looked_for = "SELECT count(*) FILTER (WHERE owner IS NOT NULL), count(*) FROM meshhook.inbox";
    assert_eq!(database.sql(looked_for), "1|1");
    store.commit(vec![ended(1, RunStatus::Failed)]).await.unwrap();
    assert_eq!(database.sql(looked_for), "0|1");
    let message = Message::Retry { by: None };
    store.post(vec![Post { message, ..event(1) }]).await.unwrap();
    let claim = Claim {
        worker: worker("bob"),
        limit: 1,
        suspects: 1,
        bytes: usize::MAX,
        messages: 1,
        lease: Duration::from_secs(60),
    };
    assert_eq!(store.claim(claim).await.unwrap().runs.len(), 1);
    assert_eq!(database.sql(looked_for), "2|2");
}

#[tokio::test]
async fn commits_that_release_and_end_runs_lock_them_in_the_order_of_posts() {
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new()).await);
    store.renew(&worker("ann"), Duration::from_secs(60)).await.unwrap();
    store.commit(vec![Commit::Start(start(1, "ann")), Commit::Start(start(2, "ann"))]).await.unwrap();
    let mut first = PgConnection::connect(&database.owner_url()).await.unwrap();
    let lock = |number: u32, how: &str| {
        format!("SELECT 1 FROM meshhook.live_runs WHERE run_id = '{}' FOR NO KEY UPDATE {how}", run(number))
    };
    first.execute("BEGIN; SET LOCAL meshhook.project = '*'").await.unwrap();
    assert_eq!(first.fetch_all(&*lock(1, "").leak()).await.unwrap().len(), 1);
    let committing = store.clone();
    let mut released = advance(2, "ann", 2);
    if let Commit::Advance(advance) = &mut released {
        advance.hold = Hold::Release { wake_up: WakeUp::Never, status: RunStatus::Waiting };
    }
    let batch = vec![ended(1, RunStatus::Succeeded), released];
    let commit = tokio::spawn(async move { committing.commit(batch).await });
    database.somebody_waits().await;
    // It waits for the first with nothing in hand.
    assert_eq!(first.fetch_all(&*lock(2, "NOWAIT").leak()).await.unwrap().len(), 1);
    first.execute("COMMIT").await.unwrap();
    assert_eq!(commit.await.unwrap().unwrap(), [CommitOutcome::Committed, CommitOutcome::Committed]);
}

#[tokio::test]
async fn a_key_that_could_not_be_judged_is_waited_for_once_and_then_asked_for_again() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    store.renew(&worker("ann"), Duration::from_secs(60)).await.unwrap();
    let mut holder = PgConnection::connect(&database.owner_url()).await.unwrap();
    holder
        .execute(
            "BEGIN; SET LOCAL meshhook.project = '*'; \
             INSERT INTO meshhook.dedupe (expires_at, run_id, project, key, fingerprint) \
             VALUES (253402207200000000, gen_random_uuid(), 'acme', sha256(int8send(4) || 'hook1'), '')",
        )
        .await
        .unwrap();
    for number in 2..12 {
        let batch = vec![keyed(number, 1), Commit::Start(start(100 + number, "ann"))];
        let outcomes = store.commit(batch).await.unwrap();
        assert_eq!(outcomes, [CommitOutcome::Busy, CommitOutcome::Committed]);
    }
    holder.execute("DELETE FROM meshhook.dedupe; COMMIT").await.unwrap();
    // It is free by now, whatever is remembered.
    assert_eq!(store.commit(vec![keyed(20, 1)]).await.unwrap(), [CommitOutcome::Committed]);
    store.close();
    drop(store);
    let left = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    // A try that waited in vain was rolled back; sessions tell that when they end at the latest.
    let given_up = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    while database.sql(&left) != "0" || database.sql(given_up) == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Slow machines may take longer than a key is remembered.
    let given_up: u32 = database.sql(given_up).parse().unwrap();
    assert!(given_up < 5, "{given_up} tries waited in vain");
}
