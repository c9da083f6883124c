use serde_json::{Value, json};

use crate::kit::Server;

#[tokio::test(start_paused = true)]
async fn values_go_in_and_never_out() {
    let server = Server::open();
    assert_eq!(server.call("PUT", "/secrets/token", json!({ "value": "correct-horse" })).await.status, 204);
    assert_eq!(server.call("PUT", "/secrets/other", json!({ "value": "battery-staple" })).await.status, 204);
    let listed = server.get("/secrets").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("horse"));
    let names: Vec<_> =
        listed.json()["items"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["token", "other"].map(Value::from));
    let first = server.get("/secrets?limit=1").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.get(&format!("/secrets?limit=1&cursor={cursor}")).await.json();
    assert_eq!((second["items"][0]["name"].as_str(), &second["next_cursor"]), (Some("other"), &Value::Null));
    assert_eq!(server.call("DELETE", "/secrets/token", Value::Null).await.status, 204);
    assert_eq!(server.call("DELETE", "/secrets/token", Value::Null).await.problem().0, 404);
    assert_eq!(server.call("GET", "/secrets/other", Value::Null).await.problem().0, 405);
}

#[tokio::test(start_paused = true)]
async fn malformed_secrets_are_refused() {
    let server = Server::open();
    for (name, body, expected) in [
        ("1x", json!({ "value": "v" }), (400, "path.name")),
        ("a-b", json!({ "value": "v" }), (400, "path.name")),
        ("a", json!({ "value": 5 }), (400, "body.value")),
        ("a", json!({ "value": null }), (400, "body.value")),
        ("a", json!({ "value": "" }), (400, "body.value")),
        ("a", json!({}), (400, "body.value")),
        ("a", json!({ "value": "v", "name": "a" }), (400, "body.name")),
        ("a", json!({ "value": "x".repeat(64 * 1024 + 1) }), (413, "")),
    ] {
        let (status, _, path) = server.call("PUT", &format!("/secrets/{name}"), body).await.problem();
        assert_eq!((status, path.as_str()), expected, "{name}");
    }
    let largest = json!({ "value": "x".repeat(64 * 1024) });
    assert_eq!(server.call("PUT", "/secrets/a", largest).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_a_master_key_says_what_to_do() {
    let server = Server::without_keys();
    for reply in [
        server.call("PUT", "/secrets/token", json!({ "value": "correct-horse" })).await,
        server.post("/secrets/rotate", Value::Null).await,
    ] {
        assert_eq!(reply.status, 503);
        assert_eq!(reply.json()["code"], "unavailable");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("EngineBuilder::key_provider"), "{detail}");
    }
    assert_eq!(server.get("/secrets").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn rotating_can_be_repeated_and_hides_no_secret() {
    let server = Server::open();
    for (name, value) in [("rotate", "correct-horse"), ("token", "battery-staple")] {
        let set = server.call("PUT", &format!("/secrets/{name}"), json!({ "value": value })).await;
        assert_eq!(set.status, 204, "{set:?}");
    }
    for _ in 0..2 {
        let rotated = server.post("/secrets/rotate", Value::Null).await;
        // All of them are under the only key there is.
        assert_eq!((rotated.status.as_u16(), rotated.json()), (200, json!({ "secrets": 2, "rewrapped": 0 })));
    }
    assert_eq!(server.post("/secrets/rotate", json!({ "key": "x" })).await.problem().2, "body.key");
    assert_eq!(server.post("/secrets/token", Value::Null).await.problem().0, 405);
    assert_eq!(server.call("DELETE", "/secrets/rotate", Value::Null).await.status, 204);
    assert_eq!(server.call("DELETE", "/secrets/rotate", Value::Null).await.problem().0, 404);
}
