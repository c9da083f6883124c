//! A host starts runs in transactions of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{Engine, Project, StartRequest};
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
