//! The OpenAPI document.

use std::path::Path;

use serde_json::{Value, json};

use crate::kit::Server;

/// `UPDATE_OPENAPI=1 cargo test -p meshhook-axum --test api document` writes the file anew.
#[tokio::test]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let server = Server::open();
    let served = server.get("/api/openapi.json").await.json();
    assert_eq!(served["openapi"], "3.1.0");
    let text = format!("{}\n", serde_json::to_string_pretty(&served).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).unwrap_or_default();
    assert_eq!(kept, served, "run UPDATE_OPENAPI=1 cargo test -p meshhook-axum --test api document");
}

#[tokio::test]
async fn operations_are_described_and_named_once() {
    let server = Server::open();
    let mut names = Vec::new();
    for (path, method, operation) in server.operations() {
        let name = operation["operationId"].as_str().unwrap_or("").to_owned();
        assert!(!name.is_empty() && !names.contains(&name), "{method} {path}: {name:?}");
        names.push(name);
        assert!(operation["summary"].is_string(), "{method} {path}");
        let named = path.matches('{').count();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        assert_eq!(parameters.iter().filter(|p| p["in"] == "path").count(), named, "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
    }
    assert!(names.len() >= 30, "{}", names.len());
}

#[tokio::test]
async fn references_lead_somewhere() {
    let server = Server::open();
    let document = server.get("/api/openapi.json").await.json();
    let mut pending = vec![&document];
    let mut count = 0;
    while let Some(value) = pending.pop() {
        if let Some(Value::String(reference)) = value.get("$ref") {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            count += 1;
        }
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => pending.extend(members.values()),
            _ => {}
        }
    }
    assert!(count > 100, "{count}");
    assert_eq!(document["components"]["securitySchemes"]["key"]["scheme"], json!("bearer"));
}

#[tokio::test]
async fn node_types_are_listed() {
    let server = Server::open();
    let types = server.get("/api/node-types").await.json();
    let names: Vec<_> =
        types["items"].as_array().unwrap().iter().map(|t| t["type"].as_str().unwrap()).collect();
    assert!(names.contains(&"http_call") && names.contains(&"transform"), "{names:?}");
}
