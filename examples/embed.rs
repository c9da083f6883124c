//! Run with `cargo run --example embed`: a service of its own that embeds the engine.
//!
//! It has routes of its own, takes webhooks at `/flows/hooks/default/greet`, and starts runs from code. Everything is in
//! `./embed.db`. It has no master key, and so no secrets: see `EngineBuilder::key_provider`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use meshhook::axum::{OpenLoopback, RouterOptions, router};
use meshhook::engine::{Engine, EngineError, Project, StartRequest};
use meshhook::http::HttpExecutor;
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::sqlite::{SqliteOptions, SqliteStore};
use serde_json::json;

async fn greet(State(project): State<Project>, Path(name): Path<String>) -> Result<String, String> {
    let slug = WorkflowSlug::new("greet").map_err(|error| error.to_string())?;
    let request = StartRequest::new(json!({ "name": name }));
    let started = project.start_run(&slug, request).await.map_err(|error| error.to_string())?;
    let run = project.run(started.run).await.map_err(|error| error.to_string())?;
    Ok(format!("run {} says {}\n", run.id, run.output.unwrap_or_default()))
}

async fn publish(project: &Project) -> Result<(), Box<dyn Error>> {
    let slug = WorkflowSlug::new("greet")?;
    let definition = json!({
        "name": "Greet",
        "triggers": [{ "id": "hook", "type": "webhook", "config": { "verify": { "scheme": "none" } } }],
        "nodes": [{ "id": "say", "type": "transform", "config": { "template": "Hello, {{ input.name }}!" } }],
    });
    match project.create_workflow(&slug, definition.clone()).await {
        Ok(_) => {}
        Err(EngineError::SlugTaken) => {
            project.save_draft(&slug, definition, None).await?;
        }
        Err(error) => return Err(error.into()),
    }
    project.publish(&slug).await?;
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(SqliteStore::open("./embed.db", SqliteOptions::new()).await?);
    let engine =
        Engine::builder(store.clone()).http_call(Arc::new(HttpExecutor::builder().build()?)).start()?;
    let project = engine.project(&ProjectId::default_project());
    publish(&project).await?;

    let app = Router::new()
        .route("/greet/{name}", get(greet))
        .with_state(project)
        .nest("/flows", router(engine.clone(), RouterOptions::new(OpenLoopback)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("try: curl http://127.0.0.1:3000/greet/ada");
    println!(
        "     curl -H 'content-type: application/json' -d '{{\"name\":\"ada\"}}' http://127.0.0.1:3000/flows/hooks/default/greet"
    );
    // Without a key the router lets in this machine only, so it must know where requests come from.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async {
            // Without a handler the process just ends; nothing accepted is lost then either.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    engine.shutdown(Duration::from_secs(10)).await;
    store.close().await;
    Ok(())
}
