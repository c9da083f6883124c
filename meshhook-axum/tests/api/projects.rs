use serde_json::{Value, json};

use crate::kit::{Server, doubling};

#[tokio::test(start_paused = true)]
async fn a_project_is_made_once_and_then_used_like_any_other() {
    let server = Server::open();
    assert_eq!(server.get("/api/projects/acme/workflows").await.problem().0, 404);
    let made = server.post("/api/projects", json!({ "slug": "acme", "name": "Acme Inc." })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["slug"], &made["name"]), (&json!("acme"), &json!("Acme Inc.")));
    let again = server.post("/api/projects", json!({ "slug": "acme" })).await;
    assert_eq!(again.problem(), (409, "slug_taken".into(), String::new()));
    let taken = server.post("/api/projects", json!({ "slug": "default" })).await;
    assert_eq!(taken.problem().1, "slug_taken");

    let definition = json!({ "slug": "w", "definition": doubling() });
    assert_eq!(server.post("/api/projects/acme/workflows", definition).await.status, 201);
    assert_eq!(server.get("/workflows/w").await.problem().0, 404, "it is not in the default project");
    assert_eq!(server.get("/api/projects/acme/workflows/w").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn projects_are_listed_newest_first() {
    let server = Server::open();
    let first = json!({ "slug": "default", "name": null, "created_at": "1970-01-01T00:00:00.000000Z" });
    let listed = server.get("/api/projects").await.json();
    assert_eq!(listed, json!({ "items": [first], "next_cursor": null }));
    for slug in ["a", "b"] {
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert_eq!(server.post("/api/projects", json!({ "slug": slug, "name": null })).await.status, 201);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/projects?limit=1".to_owned());
    loop {
        let page = server.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|project| project["slug"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/projects?limit=1&cursor={cursor}");
    }
    assert_eq!(seen, ["b", "a", "default"].map(Value::from));
}

#[tokio::test(start_paused = true)]
async fn malformed_projects_are_refused() {
    let server = Server::open();
    for (body, expected) in [
        (json!({}), (400, "invalid_request", "body.slug")),
        (json!({ "slug": 1 }), (400, "invalid_request", "body.slug")),
        (json!({ "slug": "a", "id": 1 }), (400, "invalid_request", "body.id")),
        (json!({ "slug": "a", "name": 1 }), (400, "invalid_request", "body.name")),
        (json!({ "slug": "a", "name": " " }), (400, "invalid_request", "")),
        (json!({ "slug": "a", "name": "x".repeat(201) }), (400, "invalid_request", "")),
        (json!({ "slug": "" }), (422, "invalid_slug", "body.slug")),
        (json!({ "slug": "A" }), (422, "invalid_slug", "body.slug")),
        (json!({ "slug": "-a" }), (422, "invalid_slug", "body.slug")),
        (json!({ "slug": "a".repeat(64) }), (422, "invalid_slug", "body.slug")),
    ] {
        let (status, code, path) = server.post("/api/projects", body.clone()).await.problem();
        assert_eq!((status, code.as_str(), path.as_str()), expected, "{body}");
    }
    for (slug, name) in [("a".repeat(63), "x".repeat(200)), ("0".into(), "\u{1F3ED}".into())] {
        let made = server.post("/api/projects", json!({ "slug": slug, "name": name })).await;
        assert_eq!((made.status.as_u16(), made.json()["name"].as_str()), (201, Some(name.as_str())));
    }
}
