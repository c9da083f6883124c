//! Sessions that die, callers that go away, and too few connections.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{
    Claim, Commit, CommitOutcome, HeldRun, Hold, Ledger as _, Message, Post, PublishWorkflow,
    PublishedSchedule, RunFilter, RunReader as _, ScheduleKey, ScheduleStore as _, StartRun, StoreError,
    WorkflowStore as _,
};
use meshhook_core::store::{CreateWorkflow, Inbox as _, Page};
use meshhook_core::time::Timestamp;
use meshhook_postgres::{PgError, PgOptions, PgStore};
use sqlx::{Connection as _, Executor as _, PgConnection};
use support::Database;
use throwaway_postgres::{Server, Settings};

const STEP: Duration = Duration::from_secs(1);

fn acme() -> ProjectId {
    ProjectId::new("acme").unwrap()
}

fn worker() -> WorkerId {
    WorkerId::new("ann").unwrap()
}

fn run(number: u32) -> RunId {
    let mut random = [7; 8];
    random[4..].copy_from_slice(&number.to_be_bytes());
    RunId::new(Timestamp::from_micros(1_767_000_000_000_000), random)
}

fn start(number: u32) -> Commit {
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    let meta =
        RunMeta::new(run(number), acme(), WorkflowSlug::new("flow").unwrap(), digest, Timestamp::EPOCH);
    let chunk = Chunk::from_parts(1, 1, "[1,1]".into(), ChunkHash([1; 32]));
    let hold = Hold::Keep { status: RunStatus::Running };
    Commit::Start(StartRun { meta, dedupe: None, worker: worker(), chunk, hold })
}

fn post(number: u32) -> Post {
    Post { project: acme(), run: run(number), message: Message::Cancel { by: None } }
}

/// Ends all sessions of the application, as an administrator would.
fn kill_sessions(database: &Database) {
    database.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    ));
}

fn sessions_in_transactions(database: &Database) -> String {
    database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    )
}

/// Makes a call until it is done, as callers of stores do.
async fn settled<T, F: Future<Output = Result<T, StoreError>>>(call: impl Fn() -> F) -> T {
    for _ in 0..100 {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the call does not succeed");
}

#[tokio::test]
async fn sessions_that_died_are_replaced() {
    let database = Database::new();
    let store = database.store(PgOptions::new().connections(4)).await;
    let project = acme();
    for number in 0..20 {
        let outcomes = settled(|| store.commit(vec![start(number)])).await;
        assert!(matches!(outcomes[..], [CommitOutcome::Committed | CommitOutcome::Exists]), "{outcomes:?}");
        kill_sessions(&database);
        // What only reads never says that its outcome is unknown.
        match store.run_record(&acme(), run(number)).await {
            Ok(record) => assert!(record.is_some()),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
        assert!(settled(|| store.run_record(&project, run(number))).await.is_some());
    }
    let page = Page { limit: 50, after: None };
    let runs =
        settled(|| store.runs(&project, RunFilter { page: page.clone(), ..RunFilter::default() })).await;
    assert_eq!(runs.items.len(), 20);
}

#[tokio::test]
async fn callers_that_go_away_leave_no_transaction_open() {
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new().connections(2)).await);
    let project = acme();
    store.renew(&worker(), STEP * 60).await.unwrap();
    for number in 0..40 {
        let at = Timestamp::EPOCH;
        let slug = WorkflowSlug::new(&format!("w{number}")).unwrap();
        let create = CreateWorkflow { project: acme(), slug, draft: "{}".into(), at };
        // Each future is polled a few times at the most.
        for polls in 0..3 {
            let mut writing = pin!(store.commit(vec![start(number * 3 + polls)]));
            let mut creating = pin!(store.create_workflow(create.clone()));
            let mut reading = pin!(store.run(&project, run(number)));
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                let _: Poll<_> = writing.as_mut().poll(&mut context);
                let _: Poll<_> = creating.as_mut().poll(&mut context);
                let _: Poll<_> = reading.as_mut().poll(&mut context);
                tokio::task::yield_now().await;
            }
        }
    }
    // What was begun ends by itself; then both connections are free and clean.
    for _ in 0..200 {
        if sessions_in_transactions(&database) == "0" && store.ping().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(sessions_in_transactions(&database), "0");
    let seen = store.runs(&ProjectId::new("beta").unwrap(), RunFilter::default()).await.unwrap();
    assert_eq!(seen.items.len(), 0);
    assert_eq!(store.commit(vec![start(999)]).await.unwrap(), [CommitOutcome::Committed]);
}

async fn everything_at_once(store: Arc<PgStore>) {
    store.renew(&worker(), STEP * 60).await.unwrap();
    let tasks = (0..64_u32).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            assert_eq!(store.commit(vec![start(number)]).await.unwrap(), [CommitOutcome::Committed]);
            store.post(vec![post(number), post((number + 1) % 64)]).await.unwrap();
            let other = WorkerId::new(&format!("w{number}")).unwrap();
            let claim = Claim {
                worker: other,
                limit: 2,
                suspects: 1,
                bytes: usize::MAX,
                messages: 9,
                lease: STEP * 60,
            };
            store.claim(claim).await.unwrap();
            assert!(store.run(&acme(), run(number)).await.unwrap().is_some());
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn one_connection_is_enough_for_many_tasks() {
    let database = Database::new();
    let store = database.store(PgOptions::new().connections(1).acquire_timeout(STEP * 30)).await;
    everything_at_once(Arc::new(store)).await;
}

#[tokio::test]
async fn two_connections_are_enough_for_many_tasks() {
    let database = Database::new();
    let store = database.store(PgOptions::new().connections(2).acquire_timeout(STEP * 30)).await;
    everything_at_once(Arc::new(store)).await;
}

#[tokio::test]
async fn a_pooled_store_keeps_nothing_in_a_session() {
    let database = Database::new();
    let store = database.store(PgOptions::new().connections(2).pooled(true).acquire_timeout(STEP * 30)).await;
    everything_at_once(Arc::new(store)).await;
}

#[tokio::test]
async fn a_call_that_gets_no_connection_in_time_is_unavailable() {
    let database = Database::new();
    let options = PgOptions::new().connections(1).acquire_timeout(Duration::from_millis(200));
    let store = Arc::new(database.store(options).await);
    let mut locked = PgConnection::connect(&database.owner_url()).await.unwrap();
    locked.execute("BEGIN; LOCK TABLE meshhook.live_runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let committing = store.clone();
    let blocked = tokio::spawn(async move { committing.commit(vec![start(1)]).await });
    database.somebody_waits().await;
    let refused = store.ping().await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    locked.execute("COMMIT").await.unwrap();
    assert_eq!(blocked.await.unwrap().unwrap(), [CommitOutcome::Committed]);
}

/// A worker's look that takes what it can, and asks for no messages.
fn claim(worker: WorkerId) -> Claim {
    Claim { worker, limit: 10, suspects: 1, bytes: usize::MAX, messages: 0, lease: STEP * 60 }
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_set_aside_and_keeps_no_other() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    store.commit((0..4).map(start).collect()).await.unwrap();
    store.retire(&worker()).await.unwrap();
    for (number, damage) in [
        (0, "UPDATE meshhook.live_runs SET digest = '' WHERE run_id = "),
        (1, "UPDATE meshhook.history SET hash = '\\x00' WHERE run_id = "),
        (2, "UPDATE meshhook.live_runs SET workflow = 'Not a slug' WHERE run_id = "),
    ] {
        database.sql(&format!("{damage} '{}'", run(number)));
    }
    let bob = WorkerId::new("bob").unwrap();
    let claimed = store.claim(claim(bob.clone())).await.unwrap();
    assert_eq!(claimed.runs.iter().map(|run| run.record.meta.run).collect::<Vec<_>>(), [run(3)]);
    assert_eq!(store.held(&bob).await.unwrap(), [claimed.runs[0].held()]);
    let later = "SELECT count(*) FROM meshhook.live_runs \
         WHERE owner IS NULL AND wake_at > meshhook.now_or(NULL) + 500000000";
    assert_eq!(database.sql(later), "3");
    assert_eq!(store.claim(claim(bob)).await.unwrap().runs.len(), 0);
}

#[tokio::test]
async fn who_asks_what_it_holds_waits_for_its_claim_that_is_under_way() {
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new()).await);
    store.commit(vec![start(1)]).await.unwrap();
    store.retire(&worker()).await.unwrap();
    // A claim of bob's whose reply bob does not wait for.
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    session.execute("BEGIN").await.unwrap();
    let look = "SELECT place FROM meshhook.claim_v1(NULL, 'bob', 60000000, 64, 1, 8388608, 0)";
    assert_eq!(session.fetch_all(look).await.unwrap().len(), 2);
    let (asked, bob) = (store.clone(), WorkerId::new("bob").unwrap());
    let mut held = tokio::spawn(async move { asked.held(&bob).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut held).await.is_err(), "it does not wait");
    session.execute("COMMIT").await.unwrap();
    assert_eq!(held.await.unwrap().unwrap(), [HeldRun { project: acme(), run: run(1), claim: 2 }]);
}

#[tokio::test]
async fn calls_that_wait_leave_leases_claims_and_commits_a_connection() {
    for connections in [2, 3, 8] {
        let database = Database::new();
        let options = PgOptions::new().connections(connections).acquire_timeout(STEP * 30);
        let store = Arc::new(database.store(options).await);
        store.renew(&worker(), STEP * 60).await.unwrap();
        let mut locked = PgConnection::connect(&database.owner_url()).await.unwrap();
        locked.execute("BEGIN; LOCK TABLE meshhook.inbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let waiting: Vec<_> = (0..20)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { store.messages_for(&acme(), run(number), None).await })
            })
            .collect();
        database.somebody_waits().await;
        let working = async {
            store.renew(&worker(), STEP * 60).await.unwrap();
            assert_eq!(store.commit(vec![start(1)]).await.unwrap(), [CommitOutcome::Committed]);
            store.claim(claim(worker())).await.unwrap();
        };
        tokio::time::timeout(STEP * 10, working).await.expect("work goes on");
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "{connections} connections");
        locked.execute("ROLLBACK").await.unwrap();
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap().unwrap().items.len(), 0);
        }
    }
}

#[tokio::test]
async fn a_schedule_that_is_resumed_while_its_workflow_is_unpublished_starts_nothing() {
    let database = Arc::new(Database::new());
    let store = database.store(PgOptions::new()).await;
    let slug = WorkflowSlug::new("flow").unwrap();
    let at = Timestamp::EPOCH;
    let create = CreateWorkflow { project: acme(), slug: slug.clone(), draft: "{}".into(), at };
    store.create_workflow(create).await.unwrap();
    let (cron, timezone) = ("* * * * *".into(), "UTC".into());
    let publish = PublishWorkflow {
        project: acme(),
        slug: slug.clone(),
        revision: 1,
        digest: Digest::new(&"a".repeat(64)).unwrap(),
        definition: "{}".into(),
        hooks: Vec::new(),
        schedules: vec![PublishedSchedule { trigger: "clock".into(), cron, timezone }],
        at,
    };
    store.publish(publish).await.unwrap();
    let key = ScheduleKey { project: acme(), workflow: slug, trigger: "clock".into() };
    assert!(store.pause_schedule(&key).await.unwrap());
    // As unpublishing does, slowly.
    let unpublishing = tokio::task::spawn_blocking({
        let database = database.clone();
        move || {
            database.sql(
                "BEGIN; SELECT FROM meshhook.workflows FOR UPDATE; \
                 UPDATE meshhook.schedules SET wake_at = NULL, turn = turn + 1; \
                 UPDATE meshhook.workflows SET published_version = NULL; SELECT pg_sleep(1); COMMIT",
            )
        }
    });
    let sleeping = "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while database.sql(sleeping) == "0" {
        tokio::task::yield_now().await;
    }
    assert!(!store.resume_schedule(&key).await.unwrap());
    drop(unpublishing.await.unwrap());
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.schedules WHERE wake_at IS NOT NULL"), "0");
}

#[tokio::test]
async fn overlapping_batches_in_any_order_all_succeed() {
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new()).await);
    store.renew(&worker(), STEP * 60).await.unwrap();
    store.commit((0..40).map(start).collect()).await.unwrap();
    let writers = (0..16_u32).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                // Every writer goes through the runs in steps of its own.
                let posts = (0..20).map(|step| post((writer * 7 + round + step * (2 * writer + 1)) % 40));
                store.post(posts.collect()).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    println!("{} deadlocks, none of which anybody saw", database.sql(deadlocks));
}

#[tokio::test]
async fn the_databases_default_isolation_is_not_what_the_store_works_with() {
    let database = Database::new();
    database.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', \
         current_database(), 'repeatable read'); END $$",
    );
    for pooled in [false, true] {
        let store = database.store(PgOptions::new().pooled(pooled)).await;
        let found = store.doctor().await.unwrap();
        assert!(found.iter().any(|finding| finding.code == "isolation"), "{found:?}");
        store.renew(&worker(), STEP * 60).await.unwrap();
        let number = u32::from(pooled);
        store.commit(vec![start(number)]).await.unwrap();
        store.retire(&worker()).await.unwrap();
        // What bob's claim did while it was waited for must be seen after it.
        let mut session = PgConnection::connect(&database.url()).await.unwrap();
        session.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await.unwrap();
        let look = "SELECT place FROM meshhook.claim_v1(NULL, 'bob', 60000000, 64, 1, 8388608, 0)";
        assert_eq!(session.fetch_all(look).await.unwrap().len(), 2);
        let bob = WorkerId::new("bob").unwrap();
        let committing = async {
            database.somebody_waits().await;
            session.execute("COMMIT").await.unwrap();
        };
        let (held, ()) = tokio::join!(store.held(&bob), committing);
        assert!(held.unwrap().contains(&HeldRun { project: acme(), run: run(number), claim: 2 }));
    }
}

#[tokio::test]
async fn a_store_that_was_closed_keeps_no_session() {
    let database = Database::new();
    let store = Arc::new(database.store(PgOptions::new().listen(false)).await);
    store.renew(&worker(), STEP * 60).await.unwrap();
    let mut locked = PgConnection::connect(&database.owner_url()).await.unwrap();
    locked.execute("BEGIN; LOCK TABLE meshhook.inbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reader = store.clone();
    let reading = tokio::spawn(async move { reader.messages_for(&acme(), run(1), None).await });
    database.somebody_waits().await;
    store.close();
    locked.execute("ROLLBACK").await.unwrap();
    // A call that had begun ends well; its session is not kept for another.
    assert_eq!(reading.await.unwrap().unwrap().items.len(), 0);
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    for _ in 0..500 {
        if database.sql(&sessions) == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} sessions are left", database.sql(&sessions));
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused() {
    let database = Database::new();
    database.sql("DROP SCHEMA meshhook CASCADE");
    let refused = PgStore::connect(&database.url(), PgOptions::new()).await.unwrap_err();
    assert!(refused.to_string().contains("run `migrate` first"), "{refused}");
    let unreachable =
        PgStore::connect("postgres://nobody@127.0.0.1:1/none", PgOptions::new()).await.unwrap_err();
    assert!(unreachable.to_string().contains("cannot connect"), "{unreachable}");
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_to_run() {
    let revoke = |what: &str| format!("REVOKE {what} FROM {}", support::APP);
    for (taken, named) in [
        (revoke("ALL ON SCHEMA meshhook"), "schema meshhook"),
        (revoke("ALL ON meshhook.migrations"), "migrations"),
        (revoke("INSERT ON meshhook.history"), "history (INSERT)"),
        (revoke("ALL ON FUNCTION meshhook.now_or(bigint)"), "now_or"),
        (revoke("ALL ON ALL FUNCTIONS IN SCHEMA meshhook"), "permission denied"),
    ] {
        let database = Database::new();
        database.sql(&taken);
        let refused = PgStore::connect(&database.url(), PgOptions::new()).await.unwrap_err();
        assert!(matches!(refused, PgError::MissingRights(_)), "{taken}: {refused:?}");
        assert!(refused.to_string().contains("`migrate`") && refused.to_string().contains("`grant_sql`"));
        let mut texts = Vec::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&refused);
        while let Some(error) = cause {
            texts.push(error.to_string());
            cause = error.source();
        }
        assert!(texts.concat().contains(named), "{taken}: {texts:?}");
    }
}

/// An administrator reads the server's log; a warning in it should mean something.
#[tokio::test]
async fn a_refused_call_ends_no_transaction_that_it_did_not_begin() {
    let server = Server::start(&Settings::default()).unwrap();
    let url = server.url("postgres");
    meshhook_postgres::migrate(&url).await.unwrap();
    for pooled in [false, true] {
        let store = PgStore::connect(&url, PgOptions::new().pooled(pooled)).await.unwrap();
        store.renew(&worker(), STEP * 60).await.unwrap();
        for _ in 0..3 {
            store.commit(vec![start(1)]).await.unwrap();
            // A run twice goes in two waves, within one transaction.
            assert_eq!(store.commit(vec![start(2), start(1), start(2)]).await.unwrap().len(), 3);
        }
    }
    let log = std::fs::read_to_string(server.folder().unwrap().join("log")).unwrap();
    assert!(log.contains("duplicate key"), "nothing was refused: {log}");
    assert!(!log.contains("no transaction in progress"), "{log}");
}

#[tokio::test]
async fn migrating_again_and_at_once_changes_nothing() {
    let database = Database::new();
    let url = database.owner_url();
    let migrations = (0..4).map(|_| meshhook_postgres::migrate(&url));
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap();
    }
    let applied = database.sql("SELECT count(*) FROM meshhook.migrations");
    assert_eq!(applied, meshhook_postgres::MIGRATIONS.len().to_string());
    database.sql("DROP SCHEMA meshhook CASCADE");
    let migrations = (0..4).map(|_| meshhook_postgres::migrate(&url));
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap();
    }
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.migrations"), applied);
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    let codes = async || -> Vec<&str> {
        store.doctor().await.unwrap().into_iter().map(|finding| finding.code).collect()
    };
    // The throwaway server keeps nothing for good.
    assert_eq!(codes().await, ["fsync", "full_page_writes"]);
    database.sql(&format!(
        "ALTER TABLE meshhook.inbox NO FORCE ROW LEVEL SECURITY; REVOKE INSERT ON meshhook.history FROM {}",
        support::APP
    ));
    assert_eq!(codes().await, ["fsync", "full_page_writes", "table_without_wall", "missing_rights"]);
}
