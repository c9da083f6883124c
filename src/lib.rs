//! MeshHook: an embeddable, durable workflow engine for webhooks.
//!
//! Webhooks come in, JSON workflows run durably and replayably on the database that a service already has. This crate
//! puts the parts together: the [engine] and everything that it stands on, and behind features the adapters.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `sqlite` | [`sqlite`]: the store in one SQLite file |
//! | `postgres` | [`postgres`]: the store on Postgres, for any number of workers |
//! | `http` | [`http`]: the `http_call` node type |
//! | `axum` | [`axum`]: webhook intake, HTTP API and live streams as a router |
//! | `testing` | [`testing`]: workflows in virtual time, simulation, the conformance suite of stores |
//!
//! ```
//! # #[cfg(all(feature = "sqlite", feature = "http"))]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use meshhook::engine::{Engine, StartRequest};
//! use meshhook::http::HttpExecutor;
//! use meshhook::id::{ProjectId, WorkflowSlug};
//! use meshhook::sqlite::{SqliteOptions, SqliteStore};
//! use serde_json::json;
//!
//! let store = Arc::new(SqliteStore::open("./meshhook.db", SqliteOptions::new()).await?);
//! let engine = Engine::builder(store).http_call(Arc::new(HttpExecutor::builder().build()?)).start()?;
//!
//! let project = engine.project(&ProjectId::default_project());
//! let slug = WorkflowSlug::new("hello")?;
//! let definition = json!({
//!     "name": "Hello",
//!     "nodes": [{ "id": "greet", "type": "transform", "config": { "template": "Hello, {{ input.name }}!" } }],
//! });
//! project.create_workflow(&slug, definition).await?;
//! project.publish(&slug).await?;
//! let started = project.start_run(&slug, StartRequest::new(json!({ "name": "Ada" }))).await?;
//! assert_eq!(*project.run(started.run).await?.output.unwrap(), json!("Hello, Ada!"));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "axum")]
pub use meshhook_axum as axum;
#[cfg(feature = "testing")]
pub use meshhook_core::testing;
pub use meshhook_core::{
    clock, definition, engine, event, exec, expr, failure, id, json, node, policy, run, schedule, secret,
    store, time, webhook,
};
#[cfg(feature = "http")]
pub use meshhook_http as http;
#[cfg(feature = "postgres")]
pub use meshhook_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use meshhook_sqlite as sqlite;

/// The README's code is compiled as a test.
#[cfg(all(doctest, feature = "sqlite", feature = "http", feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the page on secrets is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/reference/secrets.md")]
struct SecretsPage;

/// The code of the page on Postgres is compiled as a test.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/reference/postgres.md")]
struct PostgresPage;
