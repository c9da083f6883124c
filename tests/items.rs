//! Batched webhooks over HTTP, on the databases that a host has.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use meshhook::axum::{OpenLoopback, RouterOptions, router};
use meshhook::engine::Engine;
use meshhook::id::{ProjectId, WorkflowSlug};
use meshhook::postgres::{PgOptions, PgStore, migrate};
use meshhook::sqlite::{SqliteOptions, SqliteStore};
use meshhook::store::{RunFilter, Store};
use reqwest::Client;
use serde_json::{Value, json};
use throwaway_postgres::Server;

/// Items in a batch: more than the engine commits at once otherwise.
const ITEMS: usize = 400;

/// A process's engine and its address.
async fn serve(store: Arc<dyn Store>) -> (Engine, String) {
    let engine = Engine::builder(store).start().unwrap();
    let app = router(engine.clone(), RouterOptions::new(OpenLoopback));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (engine, url)
}

async fn publish(engine: &Engine) {
    let project = engine.project(&ProjectId::default_project());
    let slug = WorkflowSlug::new("mail").unwrap();
    let each = json!({ "items": "body", "id": "item.sg_event_id" });
    let hook = json!({ "verify": { "scheme": "none" }, "each": each });
    let definition = json!({ "name": "Mail",
        "triggers": [{ "id": "sendgrid", "type": "webhook", "config": hook }],
        "nodes": [{ "id": "a", "type": "transform", "config": { "expression": "input.email" } }] });
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
}

/// Answers the status, and each item's run with whether it is a duplicate.
async fn send(client: &Client, url: &str, body: &str) -> (u16, Vec<(String, bool)>) {
    let request = client.post(format!("{url}/hooks/default/mail")).header("content-type", "application/json");
    let response = request.body(body.to_owned()).send().await.unwrap();
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    let of_item =
        |item: &Value| (item["run_id"].as_str().unwrap().to_owned(), item["duplicate"] == json!(true));
    (status, answer["runs"].as_array().unwrap_or(&Vec::new()).iter().map(of_item).collect())
}

/// How many runs there are.
async fn count(engine: &Engine) -> usize {
    let project = engine.project(&ProjectId::default_project());
    let (mut count, mut filter) = (0, RunFilter::default());
    filter.page.limit = 100;
    loop {
        let part = project.runs(filter.clone()).await.unwrap();
        count += part.items.len();
        filter.page.after = part.items.last().map(|run| run.id);
        if !part.more {
            return count;
        }
    }
}

fn batch(count: usize) -> Value {
    let event = |n| json!({ "email": format!("{n}@example.com"), "event": "delivered", "sg_event_id": format!("e{n}") });
    (0..count).map(event).collect()
}

/// Sends a batch many times at once, to each address, until all are answered 202.
async fn hammer(engine: &Engine, urls: &[String]) {
    let (client, body) = (Client::new(), batch(ITEMS).to_string());
    let senders: Vec<_> = (0..10)
        .map(|n| {
            let (client, body, url) = (client.clone(), body.clone(), urls[n % urls.len()].clone());
            tokio::spawn(async move {
                loop {
                    // A key that another process is about to take cannot be judged at once.
                    match send(&client, &url, &body).await {
                        (202, items) => return items,
                        (status, _) => assert_eq!(status, 503),
                    }
                }
            })
        })
        .collect();
    let (mut answers, mut runs) = (BTreeSet::new(), BTreeSet::new());
    for sender in senders {
        let items = sender.await.unwrap();
        assert_eq!(items.len(), ITEMS);
        runs.extend(items.iter().map(|(run, _)| run.clone()));
        answers.insert(items.into_iter().map(|(run, _)| run).collect::<Vec<_>>());
    }
    assert_eq!((answers.len(), runs.len()), (1, ITEMS), "everybody is told the same runs");
    let again = send(&client, &urls[0], &body).await.1;
    assert!(again.iter().all(|(_, duplicate)| *duplicate), "all are there");
    let mut other = batch(2);
    other[1]["email"] = json!("else@example.com");
    assert_eq!(send(&client, &urls[0], &other.to_string()).await.0, 409);
    assert_eq!(count(engine).await, ITEMS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_sent_ten_times_at_once_is_as_many_runs_as_items_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("items.db"), SqliteOptions::new()).await.unwrap();
    let (engine, url) = serve(Arc::new(store)).await;
    publish(&engine).await;
    hammer(&engine, &[url]).await;
    engine.shutdown(std::time::Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_sent_ten_times_at_once_is_as_many_runs_as_items_in_two_processes_on_postgres() {
    let server = Server::shared();
    let name = format!("meshhook_items_{}", std::process::id());
    server.sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    let url = server.url(&name);
    migrate(&url).await.unwrap();
    let mut engines = Vec::new();
    for _ in 0..2 {
        let store = PgStore::connect(&url, PgOptions::new()).await.unwrap();
        engines.push(serve(Arc::new(store)).await);
    }
    publish(&engines[0].0).await;
    let urls: Vec<_> = engines.iter().map(|(_, url)| url.clone()).collect();
    hammer(&engines[0].0, &urls).await;
    for (engine, _) in engines {
        engine.shutdown(std::time::Duration::from_secs(10)).await;
    }
    server.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
}
