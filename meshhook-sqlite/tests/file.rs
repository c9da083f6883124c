//! What only a file can show: that it outlives the process, belongs to one, and can be full, old, new or foreign.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::policy::Bucket;
use meshhook_core::run::RunMeta;
use meshhook_core::store::{
    Admit, Claim, Commit, CommitOutcome, CreateWorkflow, Hold, Inbox as _, Ledger as _, Message, Page, Post,
    ProjectStore as _, RateStore as _, RunFilter, RunReader as _, SecretStore as _, StartRun, StoreError,
    WakeUp, WorkflowStore as _,
};
use meshhook_core::time::Timestamp;
use meshhook_sqlite::{OpenError, SqliteOptions, SqliteStore};

fn acme() -> ProjectId {
    ProjectId::new("acme").unwrap()
}

fn ann() -> WorkerId {
    WorkerId::new("ann").unwrap()
}

fn slug() -> WorkflowSlug {
    WorkflowSlug::new("flow").unwrap()
}

fn run(number: u32) -> RunId {
    RunId::new(Timestamp::EPOCH.after(Duration::from_secs(u64::from(number))), [3; 8])
}

fn start(number: u32, text: String) -> Commit {
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    Commit::Start(StartRun {
        meta: RunMeta::new(run(number), acme(), slug(), digest, Timestamp::EPOCH),
        dedupe: None,
        worker: ann(),
        chunk: Chunk::from_parts(1, 1, text, ChunkHash([1; 32])),
        hold: Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Waiting },
    })
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::new()).await.unwrap()
}

async fn refusal(path: &Path) -> OpenError {
    SqliteStore::open(path, SqliteOptions::new()).await.unwrap_err()
}

#[tokio::test]
async fn a_rate_limit_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let bucket = Bucket::per_kilosecond(1, 5);
    let take = async |store: &SqliteStore, wanted| {
        let admit = Admit { project: acme(), key: [1; 32], bucket, wanted };
        store.admit(vec![admit]).await.unwrap()[0].tokens
    };
    let store = open(&path).await;
    assert_eq!(take(&store, 3).await, 3);
    store.close().await;
    let store = open(&path).await;
    assert_eq!(take(&store, 9).await, 2);
}

#[tokio::test]
async fn a_reopened_file_holds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let store = open(&path).await;
    store.commit(vec![start(1, "one".into()), start(2, "two".into())]).await.unwrap();
    let message = Message::Pause { by: None };
    store.post(vec![Post { project: acme(), run: run(1), message: message.clone() }]).await.unwrap();
    let at = Timestamp::EPOCH;
    let create = CreateWorkflow { project: acme(), slug: slug(), draft: "{}".into(), at };
    store.create_workflow(create).await.unwrap();
    store.put_secret(&acme(), "token", 1, vec![7], at).await.unwrap();
    store.close().await;
    let store = open(&path).await;
    let runs = store.runs(&acme(), RunFilter::default()).await.unwrap().items;
    let texts: Vec<&str> = runs.iter().map(|stored| stored.chunks[0].text.as_str()).collect();
    assert_eq!(texts, ["two", "one"]);
    assert_eq!(store.messages_for(&acme(), run(1), None).await.unwrap().items[0].message, message);
    assert!(store.workflow(&acme(), &slug()).await.unwrap().is_some());
    assert_eq!(store.secrets(&acme()).await.unwrap()[0].sealed, [7]);
    let claim = Claim {
        worker: ann(),
        limit: 9,
        suspects: 9,
        bytes: usize::MAX,
        messages: 9,
        lease: Duration::from_secs(9),
    };
    assert_eq!(store.claim(claim).await.unwrap().runs.len(), 2);
}

#[tokio::test]
async fn a_second_open_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let first = open(&path).await;
    let refused = refusal(&path).await;
    assert!(matches!(&refused, OpenError::InUse { path: named } if *named == path), "{refused:?}");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    first.commit(vec![start(1, "one".into())]).await.unwrap();
    drop(first);
    assert!(open(&path).await.run(&acme(), run(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn runs_of_a_process_that_died_are_claimable_when_the_file_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let store = open(&path).await;
    store.renew(&ann(), Duration::from_secs(3_600)).await.unwrap();
    let Commit::Start(held) = start(1, "one".into()) else { unreachable!() };
    store
        .commit(vec![Commit::Start(StartRun { hold: Hold::Keep { status: RunStatus::Running }, ..held })])
        .await
        .unwrap();
    drop(store);
    let store = open(&path).await;
    let worker = WorkerId::new("bob").unwrap();
    let claim = Claim {
        worker,
        limit: 9,
        suspects: 9,
        bytes: usize::MAX,
        messages: 9,
        lease: Duration::from_secs(9),
    };
    let claimed = store.claim(claim).await.unwrap().runs;
    assert_eq!((claimed.len(), claimed[0].strikes), (1, 1));
}

#[tokio::test]
async fn a_closed_store_refuses_calls() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("meshhook.db")).await;
    store.close().await;
    store.close().await;
    let write = store.commit(vec![start(1, "one".into())]).await.unwrap_err();
    let read = store.run(&acme(), run(1)).await.unwrap_err();
    for error in [write, read] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn calls_that_wait_are_answered_before_a_store_closes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let store = Arc::new(open(&path).await);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(&store);
        calls.spawn(async move { (number, store.commit(vec![start(number, "x".into())]).await) });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let store = open(&path).await;
    while let Some(answer) = calls.join_next().await {
        let (number, answer) = answer.unwrap();
        let kept = store.run(&acme(), run(number)).await.unwrap().is_some();
        match answer {
            Ok(outcomes) => assert!(kept && outcomes == [CommitOutcome::Committed]),
            Err(error) => assert!(!kept && matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_and_readers_never_meet_a_busy_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory.path().join("meshhook.db")).await);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for n in 0..40 {
                let number = writer * 100 + n;
                store.commit(vec![start(number, "x".into())]).await.unwrap();
                assert!(store.run(&acme(), run(number)).await.unwrap().is_some());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let all =
        RunFilter { page: meshhook_core::store::Page { limit: 999, after: None }, ..RunFilter::default() };
    assert_eq!(store.runs(&acme(), all).await.unwrap().items.len(), 320);
}

#[tokio::test]
async fn a_full_file_refuses_what_does_not_fit_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let options = SqliteOptions::new().max_bytes(1 << 20);
    let store = Arc::new(SqliteStore::open(&path, options).await.unwrap());
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        let size = if number == 7 { 2 << 20 } else { 10 };
        calls.spawn(async move { (number, store.commit(vec![start(number, "x".repeat(size))]).await) });
    }
    while let Some(answer) = calls.join_next().await {
        let (number, answer) = answer.unwrap();
        match answer {
            Ok(_) => assert_ne!(number, 7),
            Err(error) => assert!(number == 7 && matches!(error, StoreError::Full(_)), "{number}: {error:?}"),
        }
        assert_eq!(store.run(&acme(), run(number)).await.unwrap().is_some(), number != 7);
    }
}

#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../migrations/0001_ledger.sql")).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x6d657368; PRAGMA user_version = 1;
         INSERT INTO workers (worker, lease_until, retired) VALUES ('ann', 0, 0);
         INSERT INTO runs SELECT 'acme', zeroblob(16), 'flow', NULL, printf('%.64c', 'a'), 0, 0, 'running', NULL,
             NULL, 'ann', NULL, 0, 1, 1, 'ann', 0, 0;
         INSERT INTO history VALUES ('acme', zeroblob(16), 1, 1, '[]', zeroblob(32));",
    )
    .unwrap();
    drop(old);
    let store = open(&path).await;
    let claim = Claim {
        worker: WorkerId::new("bob").unwrap(),
        limit: 9,
        suspects: 9,
        bytes: usize::MAX,
        messages: 9,
        lease: Duration::from_secs(9),
    };
    assert_eq!(store.claim(claim).await.unwrap().runs.len(), 1);
    assert!(store.put_secret(&acme(), "token", 1, vec![7], Timestamp::EPOCH).await.unwrap());
}

#[tokio::test]
async fn projects_that_were_used_before_there_was_a_list_exist() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../migrations/0001_ledger.sql")).unwrap();
    old.execute_batch(include_str!("../migrations/0002_workflows.sql")).unwrap();
    old.execute_batch(
        "PRAGMA application_id = 0x6d657368; PRAGMA user_version = 2;
         INSERT INTO workflows VALUES ('acme', 'a', '{}', 1, NULL, NULL, 7, 7), ('default', 'a', '{}', 1, NULL, NULL, 8, 8);
         INSERT INTO secrets VALUES ('acme', 'a', 1, NULL, 5, 5), ('beta', 'a', 1, NULL, 9, 9);",
    )
    .unwrap();
    drop(old);
    let projects = open(&path).await.projects(Page { limit: 9, after: None }).await.unwrap().items;
    let made: Vec<_> = projects.iter().map(|made| (made.id.as_str(), made.created_at.as_micros())).collect();
    assert_eq!(made, [("beta", 9), ("acme", 5), ("default", 0)]);
}

#[tokio::test]
async fn a_file_of_a_later_release_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    open(&path).await.close().await;
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = refusal(&path).await;
    assert!(matches!(refused, OpenError::NewerSchema { found: 99, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE things (id INTEGER)").unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "dear diary ".repeat(1_000)).unwrap();
    for path in [&foreign, &text] {
        let refused = refusal(path).await;
        assert!(matches!(refused, OpenError::NotMeshHook { .. }), "{refused:?}");
    }
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("dear diary"));
    let mode: String = rusqlite::Connection::open(&foreign)
        .unwrap()
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "delete");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing").join("meshhook.db");
    for path in [missing.as_path(), directory.path()] {
        let refused = refusal(path).await;
        assert!(matches!(refused, OpenError::CannotOpen { .. }), "{refused:?}");
    }
}

/// The other half of the test below: writes until it is killed, when told where.
#[tokio::test]
async fn a_child_process_writes_when_asked() {
    let Ok(path) = std::env::var("MESHHOOK_SQLITE_TEST_CHILD") else { return };
    let store = open(Path::new(&path)).await;
    for number in 0.. {
        store.commit(vec![start(number, "x".repeat(3_000))]).await.unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_killed_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meshhook.db");
    let mut expected = 0;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_child_process_writes_when_asked", "--nocapture"])
            .env("MESHHOOK_SQLITE_TEST_CHILD", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok).filter_map(|line| {
            // The test harness's own words stand before the first.
            line.split_once("acknowledged ").and_then(|(_, number)| number.parse::<u32>().ok())
        });
        let acknowledged = lines.by_ref().find(|number| *number >= round * 37).unwrap();
        let refused = refusal(&path).await;
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        expected = expected.max(lines.last().unwrap_or(acknowledged));
        let store = open(&path).await;
        for number in 0..=expected {
            let kept = store.run(&acme(), run(number)).await.unwrap();
            assert!(
                kept.is_some_and(|kept| kept.chunks[0].text.len() == 3_000),
                "run {number}, round {round}"
            );
        }
        store.close().await;
    }
}
