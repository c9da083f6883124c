//! A host starts runs in transactions of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineError, Project, StartRequest};
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::store::CommitOutcome;
use meshhook_postgres::{PgOptions, PgStore};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use support::Database;

struct Host {
    store: Arc<PgStore>,
    engine: Engine,
    project: Project,
    connection: PgConnection,
    database: Database,
}

fn hello() -> WorkflowSlug {
    WorkflowSlug::new("hello").unwrap()
}

impl Host {
    async fn new() -> Self {
        let database = Database::new();
        database.sql(&format!("CREATE TABLE orders (id int); GRANT ALL ON orders TO {}", support::APP));
        let store = Arc::new(database.store(PgOptions::new()).await);
        let engine = Engine::builder(store.clone()).start().unwrap();
        let project = engine.project(&ProjectId::default_project());
        let definition = json!({
            "name": "Hello",
            "nodes": [
                { "id": "pause", "type": "delay", "config": { "for": "1ms" } },
                { "id": "greet", "type": "transform", "config": { "template": "Hello, {{ vars.who }}!" } },
            ],
            "vars": { "who": "Ada" },
            "edges": [{ "from": "pause", "to": "greet" }],
        });
        project.create_workflow(&hello(), definition).await.unwrap();
        project.publish(&hello()).await.unwrap();
        let connection = PgConnection::connect(&database.url()).await.unwrap();
        Self { store, engine, project, connection, database }
    }

    /// Orders something and starts a run for it, in one transaction that is still open.
    async fn order(&mut self, key: &str) -> (meshhook_core::id::RunId, CommitOutcome) {
        let request = StartRequest::new(json!({ "order": 1 })).idempotency_key(key);
        let planned = self.project.plan_run(&hello(), request).await.unwrap();
        self.connection.execute("BEGIN").await.unwrap();
        self.connection.execute("INSERT INTO orders VALUES (1)").await.unwrap();
        let outcome = self.store.start_in(&mut self.connection, &planned).await.unwrap();
        (planned.run(), outcome)
    }

    async fn end(mut self) {
        self.connection.execute("ROLLBACK").await.unwrap();
        self.engine.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn a_run_exists_if_and_only_if_the_host_commits() {
    let mut host = Host::new().await;
    let (gone, outcome) = host.order("a").await;
    assert_eq!(outcome, CommitOutcome::Committed);
    host.connection.execute("ROLLBACK").await.unwrap();
    assert!(host.project.run(gone).await.is_err());
    assert_eq!(host.database.sql("SELECT count(*) FROM orders"), "0");

    // The key that was not kept is free.
    let (run, outcome) = host.order("a").await;
    assert_eq!(outcome, CommitOutcome::Committed);
    assert!(host.project.run(run).await.is_err());
    host.connection.execute("COMMIT").await.unwrap();
    let status = host.project.wait_for_end(run, Duration::from_secs(20)).await.unwrap();
    assert!(status.is_terminal());
    assert_eq!(host.project.run(run).await.unwrap().output.as_deref(), Some(&json!("Hello, Ada!")));
    assert_eq!(host.database.sql("SELECT count(*) FROM orders"), "1");

    let (_, outcome) = host.order("a").await;
    assert_eq!(outcome, CommitOutcome::Duplicate { run, same: true });
    host.end().await;
}

#[tokio::test]
async fn the_hosts_transaction_stays_behind_the_wall() {
    let mut host = Host::new().await;
    host.order("a").await;
    let row = host.connection.fetch_one("SELECT count(*) FROM meshhook.live_runs").await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 0);
    host.connection.execute("SET LOCAL meshhook.project = 'default'").await.unwrap();
    let row = host.connection.fetch_one("SELECT count(*) FROM meshhook.live_runs").await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 1);
    host.end().await;
}

#[tokio::test]
async fn a_key_in_an_open_transaction_refuses_its_own_start_and_no_other() {
    let mut host = Host::new().await;
    let (run, _) = host.order("a").await;
    let keyed = |key: &str| StartRequest::new(json!({ "order": 1 })).idempotency_key(key);
    let started = tokio::time::Instant::now();
    let (project, flow) = (&host.project, hello());
    let (same, other, none) = tokio::join!(
        project.start_run(&flow, keyed("a")),
        project.start_run(&flow, keyed("b")),
        project.start_run(&flow, StartRequest::new(json!({}))),
    );
    assert!(matches!(same, Err(EngineError::Overloaded)), "{same:?}");
    assert!(!other.unwrap().duplicate);
    assert!(!none.unwrap().duplicate);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    host.connection.execute("COMMIT").await.unwrap();
    let again = host.project.start_run(&hello(), keyed("a")).await.unwrap();
    assert_eq!((again.run, again.duplicate), (run, true));
    host.end().await;
}

#[tokio::test]
async fn a_host_that_waits_for_a_key_learns_who_has_it() {
    let mut host = Host::new().await;
    let (run, _) = host.order("a").await;
    let request = StartRequest::new(json!({ "order": 1 })).idempotency_key("a");
    let planned = host.project.plan_run(&hello(), request).await.unwrap();
    let mut other = PgConnection::connect(&host.database.url()).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    let waiting = host.store.start_in(&mut other, &planned);
    let ending = async {
        host.database.somebody_waits().await;
        host.connection.execute("COMMIT").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(waiting, ending);
    assert_eq!(outcome.unwrap(), CommitOutcome::Duplicate { run, same: true });
    other.execute("COMMIT").await.unwrap();
    host.end().await;
}

#[tokio::test]
async fn a_start_that_is_refused_holds_nobodys_key_while_the_hosts_transaction_goes_on() {
    let mut host = Host::new().await;
    let (run, _) = host.order("a").await;
    host.connection.execute("COMMIT").await.unwrap();
    let (_, outcome) = host.order("a").await;
    assert_eq!(outcome, CommitOutcome::Duplicate { run, same: true });
    assert_eq!(
        host.database.sql("SELECT count(*) FROM (SELECT 1 FROM meshhook.dedupe FOR UPDATE NOWAIT) k"),
        "1"
    );
    host.end().await;
}

#[tokio::test]
async fn a_transaction_of_another_isolation_level_is_refused() {
    let mut host = Host::new().await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let planned = host.project.plan_run(&hello(), StartRequest::new(json!({}))).await.unwrap();
        let begin: &'static str = format!("BEGIN ISOLATION LEVEL {level}").leak();
        host.connection.execute(begin).await.unwrap();
        let refused = host.store.start_in(&mut host.connection, &planned).await.unwrap_err();
        let why = refused.source().unwrap().to_string();
        assert!(why.contains(level) && why.contains("READ COMMITTED"), "{why}");
        host.connection.execute("ROLLBACK").await.unwrap();
    }
    host.end().await;
}
