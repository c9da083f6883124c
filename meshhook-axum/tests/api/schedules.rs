use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::Server;

/// The kit's clock shows 2026-01-02T03:04:05Z at the start.
fn scheduled(triggers: &[(&str, &str)]) -> Value {
    let trigger =
        |(id, cron): &(&str, &str)| json!({ "id": id, "type": "schedule", "config": { "cron": cron } });
    json!({
        "name": "Scheduled",
        "triggers": triggers.iter().map(trigger).collect::<Vec<_>>(),
        "nodes": [{ "id": "end", "type": "terminate" }],
    })
}

#[tokio::test(start_paused = true)]
async fn schedules_are_shown_with_their_next_and_last_times() {
    let server = Server::open();
    assert_eq!(server.get("/schedules").await.json(), json!({ "items": [], "next_cursor": null }));
    server.publish("nightly", scheduled(&[("b", "30 2 * * *"), ("a", "*/10 * * * *")])).await;
    server.publish("early", scheduled(&[("c", "0 5 * * *")])).await;
    let listed = server.get("/schedules").await.json();
    let names: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("{}/{}", item["workflow"].as_str().unwrap(), item["trigger"].as_str().unwrap()))
        .collect();
    assert_eq!(names, ["early/c", "nightly/a", "nightly/b"]);
    let shown = &listed["items"][1];
    let times = ["10", "20", "30", "40", "50"].map(|minute| format!("2026-01-02T03:{minute}:00.000000Z"));
    let expected = json!({
        "workflow": "nightly", "trigger": "a", "cron": "*/10 * * * *", "timezone": "UTC", "paused": false,
        "next_at": times[0], "last_at": null, "upcoming": times,
    });
    assert_eq!(*shown, expected);
    tokio::time::sleep(Duration::from_secs(400)).await;
    let later = &server.get("/schedules").await.json()["items"][1];
    assert_eq!((&later["last_at"], &later["next_at"]), (&json!(times[0]), &json!(times[1])));
    let runs = server.get("/runs").await.json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
    assert_eq!(runs["items"][0]["trigger"], json!({ "type": "schedule", "id": "a", "slot": times[0] }));
}

#[tokio::test(start_paused = true)]
async fn schedules_come_in_parts() {
    let server = Server::open();
    server.publish("flow", scheduled(&[("a", "0 5 * * *"), ("b", "0 6 * * *"), ("c", "0 7 * * *")])).await;
    let first = server.get("/schedules?limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.get(&format!("/schedules?limit=2&cursor={cursor}")).await.json();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert_eq!((&second["items"][0]["trigger"], &second["next_cursor"]), (&json!("c"), &Value::Null));
    assert_eq!(server.get("/schedules?limit=0").await.status, 400);
    assert_eq!(server.get("/schedules?paused=true").await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_paused_and_resumed() {
    let server = Server::open();
    server.publish("flow", scheduled(&[("a", "* * * * *")])).await;
    for (action, paused) in [("pause", true), ("pause", true), ("resume", false), ("resume", false)] {
        assert_eq!(server.post(&format!("/schedules/flow/a/{action}"), Value::Null).await.status, 204);
        let shown = server.get("/schedules").await.json()["items"][0].clone();
        assert_eq!(shown["paused"], json!(paused));
        assert_eq!(shown["next_at"].is_null(), paused);
        assert_eq!(shown["upcoming"].as_array().unwrap().is_empty(), paused);
    }
    for path in ["/schedules/flow/b/pause", "/schedules/none/a/pause", "/schedules/No%00/a/resume"] {
        let (status, code, _) = server.post(path, Value::Null).await.problem();
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    assert_eq!(server.post("/schedules/flow/a/pause", json!({ "by": "me" })).await.problem().2, "body.by");
    assert_eq!(server.post("/workflows/flow/unpublish", Value::Null).await.status, 204);
    assert_eq!(server.get("/schedules").await.json()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_not_live_is_published_before_it_is_paused() {
    let server = Server::open();
    let definition = scheduled(&[("a", "* * * * *")]);
    let created = server.post("/workflows", json!({ "slug": "flow", "definition": definition })).await;
    assert_eq!(created.status, 201);
    let problem = async |path: &str| {
        let (status, code, _) = server.post(path, Value::Null).await.problem();
        (status, code)
    };
    assert_eq!(problem("/schedules/flow/a/pause").await, (409, "not_published".to_owned()));
    assert_eq!(problem("/schedules/flow/a/resume").await, (409, "not_published".to_owned()));
    assert_eq!(problem("/schedules/flow/b/pause").await, (404, "not_found".to_owned()));
    assert_eq!(server.post("/workflows/flow/publish", Value::Null).await.status, 201);
    assert_eq!(server.post("/schedules/flow/a/pause", Value::Null).await.status, 204);
    assert_eq!(server.post("/workflows/flow/unpublish", Value::Null).await.status, 204);
    assert_eq!(problem("/schedules/flow/a/pause").await, (409, "not_published".to_owned()));
}
