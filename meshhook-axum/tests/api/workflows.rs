use axum::body::Body;
use serde_json::{Value, json};

use crate::kit::{Server, api, doubling};

#[tokio::test(start_paused = true)]
async fn a_workflow_is_created_read_saved_and_deleted() {
    let server = Server::open();
    let created = server.post("/workflows", json!({ "slug": "w", "definition": doubling() })).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("etag"), "\"1\"");
    let body = created.json();
    assert_eq!(body["slug"], "w");
    assert_eq!(body["draft"], doubling());
    assert_eq!(body["problems"], json!([]));
    assert_eq!(body["latest_version"], Value::Null);
    assert_eq!(body["triggers"], json!([]));

    let read = server.get("/workflows/w").await;
    assert_eq!((read.status.as_u16(), read.header("etag"), read.json()), (200, "\"1\"", body));

    let saved = server.call("PUT", "/workflows/w", json!({ "definition": { "name": 5 } })).await;
    assert_eq!((saved.status.as_u16(), saved.header("etag")), (200, "\"2\""));
    let problems = saved.json()["problems"].clone();
    assert!(
        problems.as_array().unwrap().iter().any(|p| p["code"] == "missing_field" && p["path"] == "nodes")
    );

    assert_eq!(server.call("DELETE", "/workflows/w", Value::Null).await.status, 204);
    assert_eq!(server.get("/workflows/w").await.problem().0, 404);
    assert_eq!(server.call("DELETE", "/workflows/w", Value::Null).await.problem().0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_stale_tag_saves_nothing_and_none_overwrites() {
    let server = Server::open();
    server.post("/workflows", json!({ "slug": "w", "definition": doubling() })).await;
    let save = |tag: Option<&'static str>, name: &str| {
        let body = json!({ "definition": { "name": name } }).to_string();
        let mut request = api("PUT", "/workflows/w").header("content-type", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        server.send(request.body(Body::from(body)).unwrap())
    };
    assert_eq!(save(Some("\"1\""), "a").await.header("etag"), "\"2\"");
    let stale = save(Some("\"1\""), "b").await;
    assert_eq!(stale.problem(), (412, "precondition_failed".into(), "header.if-match".into()));
    assert_eq!(stale.header("etag"), "\"2\"");
    assert_eq!(save(Some("W/\"2\""), "b").await.problem().0, 412);
    assert_eq!(
        save(Some("nonsense"), "b").await.problem(),
        (400, "invalid_request".into(), "header.if-match".into())
    );
    assert_eq!(server.get("/workflows/w").await.json()["draft"]["name"], "a");
    assert_eq!(save(Some("\"1\", \"2\""), "c").await.header("etag"), "\"3\"");
    assert_eq!(save(Some("*"), "d").await.header("etag"), "\"4\"");
    assert_eq!(save(None, "e").await.header("etag"), "\"5\"");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_created_is_refused_with_its_place() {
    let server = Server::open();
    server.post("/workflows", json!({ "slug": "taken", "definition": {} })).await;
    for (body, expected) in [
        (json!({ "slug": "taken", "definition": {} }), (409, "slug_taken", "")),
        (json!({ "slug": "-", "definition": {} }), (422, "invalid_slug", "body.slug")),
        (json!({ "slug": "Üb", "definition": {} }), (422, "invalid_slug", "body.slug")),
        (json!({ "slug": 5, "definition": {} }), (400, "invalid_request", "body.slug")),
        (json!({ "definition": {} }), (400, "invalid_request", "body.slug")),
        (json!({ "slug": "a" }), (400, "invalid_request", "body.definition")),
        (json!({ "slug": "a", "definition": [] }), (400, "invalid_request", "")),
        (json!({ "slug": "a", "definition": {}, "x-y": 1 }), (400, "invalid_request", "body[\"x-y\"]")),
        (json!([]), (400, "invalid_request", "body")),
    ] {
        let (status, code, path) = server.post("/workflows", body.clone()).await.problem();
        assert_eq!((status, code.as_str(), path.as_str()), expected, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_creates_a_workflow_saves_its_draft_as_well_but_not_another_ones() {
    let server = Server::open();
    let body = json!({ "slug": "mine", "definition": { "name": "x" } });
    server.post("/workflows", body.clone()).await;
    let again = server.post("/workflows", body.clone()).await.json();
    assert!(again["detail"].as_str().unwrap().contains("PUT …/workflows/mine"), "{again}");
    assert_eq!(server.call("PUT", "/workflows/mine", body.clone()).await.status, 200);
    assert_eq!(server.post("/workflows/mine/validate", body).await.status, 200);
    let other = json!({ "slug": "other", "definition": {} });
    let (status, code, path) = server.call("PUT", "/workflows/mine", other).await.problem();
    assert_eq!((status, code.as_str(), path.as_str()), (400, "invalid_request", "body.slug"));
}

#[tokio::test(start_paused = true)]
async fn publishing_tells_what_only_warns() {
    let server = Server::open();
    let verify = json!({ "scheme": "github", "secret": "not_there" });
    let trigger = json!({ "id": "t", "type": "webhook", "config": { "verify": verify } });
    let node = json!({ "id": "n", "type": "terminate" });
    let definition = json!({ "name": "x", "triggers": [trigger], "nodes": [node] });
    server.post("/workflows", json!({ "slug": "w", "definition": definition })).await;
    let published = server.post("/workflows/w/publish", Value::Null).await;
    assert_eq!(published.status, 201);
    let published = published.json();
    assert_eq!(published["problems"][0]["code"], "unknown_secret", "{published}");
    assert_eq!(published["problems"][0]["severity"], "warning", "{published}");
    server.call("PUT", "/secrets/not_there", json!({ "value": "it-is-a-secret-to-everybody" })).await;
    let again = server.post("/workflows/w/publish", Value::Null).await.json();
    assert_eq!(again.get("problems"), None, "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_draft_may_be_as_large_and_deep_as_the_limits_say() {
    let server = Server::open();
    let of_size = |bytes: usize| json!({ "description": "x".repeat(bytes - r#"{"description":""}"#.len()) });
    let save = |slug: &'static str, definition: Value| {
        let server = &server;
        async move { server.post("/workflows", json!({ "slug": slug, "definition": definition })).await }
    };
    assert_eq!(save("at-limit", of_size(1 << 20)).await.status, 201);
    assert_eq!(save("past-limit", of_size((1 << 20) + 1)).await.problem().1, "payload_too_large");
    assert_eq!(save("far-past", of_size(3 << 20)).await.problem().1, "payload_too_large");
    let deep = |levels: usize| {
        let nested = (2..levels).fold(json!([]), |inner, _| json!([inner]));
        json!({ "vars": nested })
    };
    assert_eq!(save("deep", deep(128)).await.status, 201);
    assert_eq!(save("deeper", deep(129)).await.problem().0, 400);
    assert_eq!(save("deepest", deep(200)).await.problem().1, "invalid_json");
}

#[tokio::test(start_paused = true)]
async fn yaml_is_read_with_its_wrapper() {
    let server = Server::open();
    let yaml = "slug: w\ndefinition:\n  name: Double\n  nodes:\n    - id: double\n      type: transform\n      config: {expression: 'input'}\n";
    let send = |method: &'static str, path: &'static str, media: &'static str, text: String| {
        server.send(api(method, path).header("content-type", media).body(Body::from(text)).unwrap())
    };
    let created = send("POST", "/workflows", "application/yaml", yaml.into()).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.json()["draft"]["nodes"][0]["id"], "double");
    assert_eq!(created.json()["problems"], json!([]));
    let anchored = "definition: &a {x: *a}";
    assert_eq!(send("PUT", "/workflows/w", "application/yaml", anchored.into()).await.problem().0, 400);
    let duplicate = "definition: {}\ndefinition: {}";
    assert_eq!(
        send("PUT", "/workflows/w", "application/yaml; charset=utf-8", duplicate.into()).await.problem().0,
        400
    );
    // Only definitions may be YAML.
    let refused = send("POST", "/workflows/w/runs", "application/yaml", "input: 1".into()).await;
    assert_eq!(refused.problem().1, "unsupported_media_type");
}

#[tokio::test(start_paused = true)]
async fn validation_answers_all_problems_of_the_draft_or_of_a_document() {
    let server = Server::open();
    server.post("/workflows", json!({ "slug": "w", "definition": doubling() })).await;
    let path = "/workflows/w/validate";
    assert_eq!(server.post(path, Value::Null).await.json(), json!({ "valid": true, "problems": [] }));
    let bad = json!({ "definition": { "name": "x", "nodes": [{ "id": "a", "type": "nope" }], "colour": 1 } });
    let found = server.post(path, bad).await.json();
    assert_eq!(found["valid"], false);
    let codes: Vec<&str> =
        found["problems"].as_array().unwrap().iter().map(|p| p["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"unknown_type") && codes.contains(&"unknown_field"), "{codes:?}");
    assert_eq!(server.post(path, json!({})).await.problem().2, "body.definition");
    assert_eq!(server.post("/workflows/nope/validate", Value::Null).await.problem().0, 404);
}

#[tokio::test(start_paused = true)]
async fn publishing_numbers_versions_and_shows_urls() {
    let server = Server::open();
    let mut definition = doubling();
    definition["triggers"] = json!([
        { "id": "hook", "type": "webhook", "config": { "path": "in/here", "verify": { "scheme": "none" } } }
    ]);
    server.post("/workflows", json!({ "slug": "w", "definition": definition })).await;
    let request =
        || api("POST", "/workflows/w/publish").header("host", "127.0.0.1:9").body(Body::empty()).unwrap();
    let first = server.send(request()).await;
    assert_eq!(first.status, 201);
    let first = first.json();
    assert_eq!(first["version"], 1);
    let url = "http://127.0.0.1:9/hooks/default/in/here";
    assert_eq!(first["triggers"], json!([{ "id": "hook", "type": "webhook", "url": url }]));
    let again = server.send(request()).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, first.clone()));

    definition["description"] = "changed".into();
    server.call("PUT", "/workflows/w", json!({ "definition": definition })).await;
    assert_eq!(server.send(request()).await.json()["version"], 2);
    assert_eq!(server.get("/workflows/w").await.json()["latest_version"], 2);

    let listed = server.get("/workflows/w/versions").await.json();
    let numbers: Vec<_> = listed["items"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(numbers, [json!(2), json!(1)]);
    let version = server.get("/workflows/w/versions/1").await.json();
    assert_eq!(version["digest"], first["digest"]);
    assert_eq!(version["definition"]["name"], "Double");
    for missing in ["3", "0", "01", "-1", "x", "99999999999"] {
        assert_eq!(
            server.get(&format!("/workflows/w/versions/{missing}")).await.problem().0,
            404,
            "{missing}"
        );
    }

    assert_eq!(server.post("/workflows/w/unpublish", Value::Null).await.status, 204);
    assert_eq!(server.get("/workflows/w").await.json()["triggers"], json!([]));
    assert_eq!(server.post("/workflows/w/runs", json!({})).await.problem().1, "not_published");
}

#[tokio::test(start_paused = true)]
async fn a_definition_with_errors_is_not_published() {
    let server = Server::open();
    server.post("/workflows", json!({ "slug": "w", "definition": { "name": "x", "nodes": [] } })).await;
    let refused = server.post("/workflows/w/publish", Value::Null).await;
    assert_eq!((refused.problem().0, refused.problem().1.as_str()), (422, "invalid_definition"));
    assert_eq!(refused.json()["problems"], server.get("/workflows/w").await.json()["problems"]);
}

#[tokio::test(start_paused = true)]
async fn lists_come_newest_first_in_pages_that_meet() {
    let server = Server::open();
    for number in 0..7 {
        let slug = format!("w{number}");
        server.post("/workflows", json!({ "slug": slug, "definition": {} })).await;
    }
    let mut seen = Vec::new();
    let mut path = "/workflows?limit=3".to_owned();
    loop {
        let page = server.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|w| w["slug"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/workflows?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["w6", "w5", "w4", "w3", "w2", "w1", "w0"]);
}

#[tokio::test(start_paused = true)]
async fn details_say_how_a_request_is_meant() {
    let server = Server::open();
    let detail = |reply: crate::kit::Reply| reply.json()["detail"].as_str().unwrap().to_owned();
    let bare = server.post("/workflows", doubling()).await;
    assert_eq!(detail(bare), "the body is {\"slug\", \"definition\"}; slug is required");
    let bare = server.call("PUT", "/workflows/w", doubling()).await;
    assert_eq!(detail(bare), "the body is {\"definition\"}; definition is required");
    let unknown = json!({ "slug": "w", "definition": doubling(), "draft": 1 });
    let unknown = server.post("/workflows", unknown).await;
    assert_eq!(detail(unknown), "unknown member \"draft\"; members are slug, definition");
    let named = server.post("/workflows", json!({ "slug": "My Flow", "definition": {} })).await;
    assert!(detail(named).starts_with("\"My Flow\" is no slug: workflow must match [a-z0-9]"));
    let form = api("POST", "/workflows").header("content-type", "application/x-www-form-urlencoded");
    let form = server.send(form.body(Body::from("{}")).unwrap()).await;
    assert_eq!(
        detail(form),
        "the body must be application/json or application/yaml, in UTF-8, not application/x-www-form-urlencoded"
    );
    let slash = server.send_unchecked(api("GET", "/workflows/").body(Body::empty()).unwrap()).await;
    assert_eq!(detail(slash), "no such page: paths have no trailing slash");
}
