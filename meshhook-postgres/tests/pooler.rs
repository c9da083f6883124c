//! Behind a pooler that hands each transaction to another session (PgBouncer in transaction mode).
//!
//! Where there is no PgBouncer to be had these tests fail, unless `MESHHOOK_TEST_WITHOUT_POOLER` is set; `cargo xtask test`
//! installs one where it can.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests are tests, and say what was skipped"
)]

mod support;

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meshhook_core::engine::{Engine, EngineOptions, StartRequest};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{ProjectId, WorkerId, WorkflowSlug};
use meshhook_core::store::{Ledger as _, RunFilter, RunReader as _};
use meshhook_postgres::{PgOptions, PgStore};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, Row as _};
use support::Database;

const SOON: Duration = Duration::from_secs(30);

/// The URL through the pooler, or `None`, said so, where one is to be done without.
fn pooled(database: &Database) -> Option<String> {
    let url = database.pooled_url();
    if url.is_none() {
        println!("skipped: there is to be no pooler");
    }
    url
}

/// Whether the server keeps sessions of the application in which something was prepared or set for good.
async fn traces(url: &str) -> (i64, Vec<String>) {
    let (mut prepared, mut projects) = (0, Vec::new());
    // One transaction each, all at once, so that each has another session.
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let settings = PgConnectOptions::from_str(url).unwrap().extra_float_digits(None);
        let mut session = settings.connect().await.unwrap();
        session.execute("BEGIN").await.unwrap();
        let look = "SELECT (SELECT count(*) FROM pg_prepared_statements), \
             coalesce(current_setting('meshhook.project', true), ''), current_setting('enable_seqscan')";
        let row = sqlx::raw_sql(look).fetch_one(&mut session).await.unwrap();
        prepared += row.get::<i64, _>(0);
        projects.push(format!("{}{}", row.get::<String, _>(1), row.get::<String, _>(2)));
        sessions.push(session);
    }
    (prepared, projects)
}

#[tokio::test]
async fn a_pooler_is_found_without_being_told_and_nothing_is_left_in_its_sessions() {
    let database = Database::new();
    let Some(url) = pooled(&database) else { return };
    let store = Arc::new(PgStore::connect(&url, PgOptions::new()).await.unwrap());
    let mut options = EngineOptions::default();
    options.poll = Duration::from_millis(50);
    let engine = Engine::builder(store.clone()).options(options).start().unwrap();
    let definition = json!({
        "name": "Hello",
        "nodes": [
            { "id": "pause", "type": "delay", "config": { "for": "10ms" } },
            { "id": "greet", "type": "transform", "config": { "template": "Hello, {{ input.who }}!" } },
        ],
        "edges": [{ "from": "pause", "to": "greet" }],
    });
    let slug = WorkflowSlug::new("hello").unwrap();
    let tasks = ["acme", "beta", "default"].map(|name| {
        let (engine, store, slug, definition) =
            (engine.clone(), store.clone(), slug.clone(), definition.clone());
        tokio::spawn(async move {
            let id = ProjectId::new(name).unwrap();
            if name != "default" {
                engine.create_project(&id, None).await.unwrap();
            }
            let project = engine.project(&id);
            project.create_workflow(&slug, definition).await.unwrap();
            project.publish(&slug).await.unwrap();
            for _ in 0..20 {
                let run =
                    project.start_run(&slug, StartRequest::new(json!({ "who": name }))).await.unwrap().run;
                assert_eq!(project.wait_for_end(run, SOON).await.unwrap(), RunStatus::Succeeded);
                let output = project.run(run).await.unwrap().output;
                assert_eq!(output.as_deref(), Some(&json!(format!("Hello, {name}!"))));
            }
            assert_eq!(store.runs(&id, RunFilter::default()).await.unwrap().items.len(), 20);
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    engine.shutdown(SOON).await;
    let (prepared, projects) = traces(&url).await;
    assert_eq!((prepared, &projects[..]), (0, &["on", "on", "on"].map(String::from)[..]));
}

#[tokio::test]
async fn a_server_without_a_pooler_is_not_taken_for_one() {
    let database = Database::new();
    let store = database.store(PgOptions::new()).await;
    store.renew(&WorkerId::new("ann").unwrap(), SOON).await.unwrap();
    let prepared = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%lease_v1(%' AND datname = current_database() \
         AND pid <> pg_backend_pid() AND query NOT LIKE '%pg_stat_activity%'";
    assert_eq!(database.sql(prepared), "1");
}

/// A place to connect to that leads to one place first and to another later.
struct Switch {
    folder: std::path::PathBuf,
    to: Arc<std::sync::Mutex<std::path::PathBuf>>,
}

impl Switch {
    fn before(url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("meshhook-switch-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(".s.PGSQL.5432");
        let _ = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let switch = Self { folder, to: Arc::default() };
        switch.lead_to(url);
        let to = switch.to.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = to.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut server = tokio::net::UnixStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        switch
    }

    /// Leads new connections to where a URL does.
    fn lead_to(&self, url: &str) {
        let settings = PgConnectOptions::from_str(url).unwrap();
        let socket = settings.get_socket().unwrap().join(format!(".s.PGSQL.{}", settings.get_port()));
        *self.to.lock().unwrap() = socket;
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{}@localhost:5432/{database}?host={}", support::APP, self.folder.display())
    }
}

#[tokio::test]
async fn a_pooler_that_comes_later_is_found_when_another_session_answers() {
    let database = Database::new();
    let Some(pooled) = pooled(&database) else { return };
    let switch = Switch::before(&database.url());
    let name = database.sql("SELECT current_database()");
    let store =
        PgStore::connect(&switch.url(&name), PgOptions::new().connections(1).listen(false)).await.unwrap();
    let ann = WorkerId::new("ann").unwrap();
    let renewed = async || while store.renew(&ann, SOON).await.is_err() {};
    renewed().await;
    switch.lead_to(&pooled);
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    database.sql(&kill);
    renewed().await;
    let settings = PgConnectOptions::from_str(&pooled).unwrap().extra_float_digits(None);
    // The server's session that the store knows is somebody else's, and another has the same prepared.
    let mut holder = settings.connect().await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    let mut twin = settings.connect().await.unwrap();
    let lease = include_str!("../queries/lease.sql");
    let query = sqlx::query(lease).bind(None::<i64>).bind("bob").bind(1_i64).bind(true);
    query.fetch_one(&mut twin).await.unwrap();
    renewed().await;
    // From the next call on nothing rests on a session.
    renewed().await;
    let last = format!(
        "SELECT string_agg(query, ' ' ORDER BY query) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    assert_eq!(database.sql(&last), "BEGIN COMMIT");
    std::fs::remove_dir_all(&switch.folder).unwrap();
}

#[tokio::test]
async fn what_another_session_does_not_see_is_looked_for_again() {
    let database = Database::new();
    let Some(pooled) = pooled(&database) else { return };
    let id = "01a19467-e800-7000-8000-000000000000";
    database.sql(&format!(
        "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, last_holder, digest) \
         VALUES (0, 1, 1, 0, 0, '{id}', false, 'acme', 'flow', 'waiting', 'w', decode(repeat('aa', 32), 'hex'))"
    ));
    let switch = Switch::before(&database.url());
    let name = database.sql("SELECT current_database()");
    let store =
        PgStore::connect(&switch.url(&name), PgOptions::new().connections(1).listen(false)).await.unwrap();
    let (acme, run) = (ProjectId::new("acme").unwrap(), id.parse().unwrap());
    assert!(store.run_record(&acme, run).await.unwrap().is_some());
    switch.lead_to(&pooled);
    let kill = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}' AND datname = current_database()",
        support::APP
    );
    database.sql(&kill);
    while store.run_record(&acme, run).await.is_err() {}
    let settings = PgConnectOptions::from_str(&pooled).unwrap().extra_float_digits(None);
    // The session that was told of the project is somebody else's, and another has the same prepared.
    let mut holder = settings.connect().await.unwrap();
    holder.execute("BEGIN").await.unwrap();
    let mut twin = settings.connect().await.unwrap();
    let look = include_str!("../queries/run_record.sql");
    let look = sqlx::query(look).bind("acme").bind(sqlx::types::Uuid::nil());
    assert!(look.fetch_optional(&mut twin).await.unwrap().is_none());
    assert!(store.run_record(&acme, run).await.unwrap().is_some(), "the look believed that there is nothing");
    std::fs::remove_dir_all(&switch.folder).unwrap();
}
