use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Server, calling, doubling, waiting};

#[tokio::test(start_paused = true)]
async fn a_run_is_started_waited_for_and_shown() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    let started = server.run("w", json!({ "n": 21 })).await;
    assert_eq!((&started["status"], &started["output"]), (&json!("succeeded"), &json!({ "doubled": 42 })));
    let id = started["run_id"].as_str().unwrap();

    let run = server.get(&format!("/runs/{id}")).await.json();
    assert_eq!(run["id"], id);
    assert_eq!((&run["workflow"], &run["version"], &run["test"]), (&json!("w"), &json!(1), &json!(false)));
    assert_eq!(run["trigger"], json!({ "type": "manual" }));
    assert_eq!(
        (&run["input"], &run["error"], &run["parent"]),
        (&json!({ "n": 21 }), &Value::Null, &Value::Null)
    );
    let step = &run["steps"][0];
    assert_eq!(
        (&step["step"], &step["node"], &step["type"]),
        (&json!("double"), &json!("double"), &json!("transform"))
    );
    assert_eq!(
        (&step["status"], &step["port"], &step["output"]),
        (&json!("succeeded"), &json!("out"), &json!({ "doubled": 42 }))
    );
    assert!(run.get("steps_truncated").is_none());

    let events = server.get(&format!("/runs/{id}/events")).await.json();
    let kinds: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run_created", "step_succeeded", "run_succeeded"]);
    let verdict = server.post(&format!("/runs/{id}/verify"), Value::Null).await.json();
    assert_eq!(verdict, json!({ "ok": true, "events": 3 }));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_short_answers_where_the_run_stands() {
    let server = Server::open();
    server.publish("w", calling()).await;
    *server.effects.takes.lock().unwrap() = Duration::from_secs(20);
    let reply = server.post("/workflows/w/runs?wait=10s", json!({})).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (201, &json!("running")));
    assert!(reply.json().get("output").is_none());
    for bad in ["61s", "-1s", "10", "", "1h"] {
        let refused = server.post(&format!("/workflows/w/runs?wait={bad}"), json!({})).await;
        assert_eq!(refused.problem(), (400, "invalid_request".into(), "query.wait".into()), "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_starts_one_run() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    let start =
        |input: Value| server.post("/workflows/w/runs", json!({ "input": input, "idempotency_key": "k" }));
    let first = start(json!({ "n": 1 })).await;
    assert_eq!((first.status.as_u16(), first.json().get("duplicate")), (201, None));
    let again = start(json!({ "n": 1 })).await;
    let expected = json!({ "run_id": first.json()["run_id"], "duplicate": true });
    assert_eq!((again.status.as_u16(), again.json()), (200, expected));
    let other = start(json!({ "n": 2 })).await;
    assert_eq!((other.problem().0, other.problem().1.as_str()), (409, "idempotency_key_reused"));
    assert_eq!(other.json()["run_id"], first.json()["run_id"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_key_is_answered_whatever_was_published_since() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    let start =
        |input: Value| server.post("/workflows/w/runs", json!({ "input": input, "idempotency_key": "k" }));
    let first = start(json!({ "n": 1 })).await.json();
    let mut definition = doubling();
    definition["input_schema"] = json!({ "type": "object", "required": ["m"] });
    server.call("PUT", "/workflows/w", json!({ "definition": definition })).await;
    assert_eq!(server.post("/workflows/w/publish", Value::Null).await.status, 201);
    let expected = json!({ "run_id": first["run_id"], "duplicate": true });
    let again = start(json!({ "n": 1 })).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected.clone()));
    assert_eq!(start(json!({ "n": 2 })).await.problem().1, "idempotency_key_reused");
    assert_eq!(server.post("/workflows/w/unpublish", Value::Null).await.status, 204);
    let again = start(json!({ "n": 1 })).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_is_refused() {
    let server = Server::open();
    let mut definition = doubling();
    definition["input_schema"] = json!({ "type": "object", "required": ["n"] });
    server.publish("w", definition).await;
    server.post("/workflows", json!({ "slug": "draft", "definition": doubling() })).await;
    server.post("/workflows", json!({ "slug": "broken", "definition": {} })).await;
    for (slug, body, expected) in [
        ("nope", json!({}), (404, "not_found", "")),
        ("draft", json!({}), (409, "not_published", "")),
        ("broken", json!({ "test": true }), (422, "invalid_definition", "")),
        ("w", json!({ "input": 5 }), (422, "input_invalid", "")),
        ("w", json!({ "input": { "n": 1 }, "version": 9 }), (404, "not_found", "")),
        ("w", json!({ "version": 0 }), (400, "invalid_request", "body.version")),
        ("w", json!({ "version": "1" }), (400, "invalid_request", "body.version")),
        ("w", json!({ "idempotency_key": 1 }), (400, "invalid_request", "body.idempotency_key")),
        ("w", json!({ "input": { "n": 1 }, "idempotency_key": "" }), (400, "invalid_request", "")),
        ("w", json!({ "test": "yes" }), (400, "invalid_request", "body.test")),
        ("w", json!({ "inptu": 1 }), (400, "invalid_request", "body.inptu")),
    ] {
        let (status, code, path) =
            server.post(&format!("/workflows/{slug}/runs"), body.clone()).await.problem();
        assert_eq!((status, code.as_str(), path.as_str()), expected, "{slug} {body}");
    }
    let test = server
        .post("/workflows/draft/runs?wait=1s", json!({ "test": true, "input": { "n": 1 } }))
        .await
        .json();
    let run = server.get(&format!("/runs/{}", test["run_id"].as_str().unwrap())).await.json();
    assert_eq!(
        (&run["test"], &run["version"], &run["status"]),
        (&json!(true), &Value::Null, &json!("succeeded"))
    );
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_by_filter_in_pages_that_meet() {
    let server = Server::open();
    server.publish("a", doubling()).await;
    server.publish("b", calling()).await;
    server.fail_next(1);
    let failed = server.run("b", Value::Null).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("http_status")));
    assert_eq!(failed["error"]["step"], "call");
    let mut ids = Vec::new();
    for n in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ids.push(server.run("a", json!({ "n": n })).await["run_id"].clone());
    }
    ids.reverse();
    let listed = |path: String| {
        let server = &server;
        async move {
            let page = server.get(&path).await.json();
            let ids: Vec<Value> =
                page["items"].as_array().unwrap().iter().map(|run| run["id"].clone()).collect();
            (ids, page["next_cursor"].as_str().map(str::to_owned), page["items"][0].clone())
        }
    };
    let (first, cursor, shown) = listed("/runs?workflow=a&limit=3".into()).await;
    assert_eq!(first, ids[..3]);
    assert!(shown.get("steps").is_none());
    let (rest, end, _) = listed(format!("/runs?workflow=a&limit=2&cursor={}", cursor.clone().unwrap())).await;
    assert_eq!((rest, end), (ids[3..].to_vec(), None));
    assert_eq!(listed("/runs?status=failed".into()).await.0, [failed["run_id"].clone()]);
    let at = |n: usize| {
        let id = ids[n].as_str().unwrap().to_owned();
        let server = &server;
        async move { server.get(&format!("/runs/{id}")).await.json()["created_at"].as_str().unwrap().to_owned() }
    };
    let (from, to) = (at(3).await, at(1).await);
    assert_eq!(listed(format!("/runs?from={from}&to={to}")).await.0, ids[2..=3]);
    // A cursor belongs to one filter and one list.
    let cursor = cursor.unwrap();
    for foreign in [
        "/runs?workflow=b&cursor=",
        "/runs?cursor=",
        "/workflows?cursor=",
        "/runs?workflow=a&status=failed&cursor=",
    ] {
        let (status, code, path) = server.get(&format!("{foreign}{cursor}")).await.problem();
        assert_eq!(
            (status, code.as_str(), path.as_str()),
            (400, "invalid_request", "query.cursor"),
            "{foreign}"
        );
    }
    for (query, path) in [
        ("status=done", "query.status"),
        ("from=yesterday", "query.from"),
        ("to=2026-01-01", "query.to"),
        ("workflow=-", "query.workflow"),
        ("limit=0", "query.limit"),
        ("cursor=", "query.cursor"),
        ("key=secret", "query.key"),
        ("status=failed&status=failed", "query.status"),
    ] {
        assert_eq!(server.get(&format!("/runs?{query}")).await.problem().2, path, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_paused_resumed_fed_and_cancelled() {
    let server = Server::open();
    server.publish("w", waiting()).await;
    let start = || async {
        server.post("/workflows/w/runs", json!({})).await.json()["run_id"].as_str().unwrap().to_owned()
    };
    let steer = |id: &str, what: &str| server.post_owned(format!("/runs/{id}/{what}"), Value::Null);
    let id = start().await;
    assert_eq!(steer(&id, "resume").await.problem().1, "invalid_state");
    assert_eq!(steer(&id, "retry").await.problem().1, "invalid_state");
    assert_eq!(steer(&id, "pause").await.status, 202);
    server.until(&id, "paused").await;
    assert_eq!(steer(&id, "pause").await.problem().1, "invalid_state");
    assert_eq!(steer(&id, "resume").await.status, 202);
    server.until(&id, "waiting").await;
    let events = format!("/runs/{id}/events/go");
    for (body, path) in [
        (json!({}), "body.payload"),
        (json!({ "payload": 1, "key": 5 }), "body.key"),
        (json!({ "payload": 1, "name": "go" }), "body.name"),
    ] {
        assert_eq!(server.post(&events, body).await.problem().2, path);
    }
    assert_eq!(
        server.post(&format!("/runs/{id}/events/a%2fb"), json!({ "payload": 1 })).await.problem().2,
        "path.name"
    );
    assert_eq!(server.post(&events, json!({ "payload": { "n": 1 } })).await.status, 202);
    server.until(&id, "succeeded").await;
    assert_eq!(server.get(&format!("/runs/{id}")).await.json()["output"], json!({ "n": 1 }));
    assert_eq!(server.post(&events, json!({ "payload": 1 })).await.problem().1, "invalid_state");

    let id = start().await;
    assert_eq!(steer(&id, "cancel").await.status, 202);
    server.until(&id, "cancelled").await;
    assert_eq!(steer(&id, "cancel").await.problem().1, "invalid_state");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_retried() {
    let server = Server::open();
    server.publish("w", calling()).await;
    server.fail_next(1);
    let failed = server.run("w", Value::Null).await;
    let id = failed["run_id"].as_str().unwrap();
    let retried = server.post(&format!("/runs/{id}/retry"), Value::Null).await;
    assert_eq!((retried.status.as_u16(), retried.json()), (202, json!({ "run_id": id })));
    // Who was answered does not see the failure that was retried.
    assert_ne!(server.get(&format!("/runs/{id}")).await.json()["status"], "failed");
    server.until(id, "succeeded").await;
    assert!(server.post(&format!("/runs/{id}/verify"), Value::Null).await.json()["ok"].as_bool().unwrap());
}

#[tokio::test(start_paused = true)]
async fn many_steps_are_cut_and_paged() {
    let server = Server::open();
    server
        .publish(
            "w",
            json!({ "name": "Many", "nodes": [{ "id": "each", "type": "for_each", "config": {
        "items": "range(`1100`)", "max_items": 2000, "body": { "nodes": [
            { "id": "x", "type": "transform", "config": { "expression": "item" } }
        ] }
    } }] }),
        )
        .await;
    let run = server.run("w", Value::Null).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let id = run["run_id"].as_str().unwrap();
    let shown = server.get(&format!("/runs/{id}")).await.json();
    assert_eq!((shown["steps"].as_array().unwrap().len(), &shown["steps_truncated"]), (1_000, &json!(true)));
    let mut seen = Vec::new();
    let mut path = format!("/runs/{id}/steps?limit=200");
    loop {
        let page = server.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/runs/{id}/steps?limit=200&cursor={cursor}");
    }
    assert_eq!(seen.len(), 1_101);
    assert_eq!(seen[..1_000], shown["steps"].as_array().unwrap()[..]);
}

#[tokio::test(start_paused = true)]
async fn events_are_paged_from_a_position() {
    let server = Server::open();
    server.publish("w", doubling()).await;
    let run = server.run("w", json!({ "n": 1 })).await;
    let path = format!("/runs/{}/events", run["run_id"].as_str().unwrap());
    let seqs = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let first = server.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(seqs(&first), [1, 2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = server.get(&format!("{path}?limit=2&cursor={cursor}")).await.json();
    assert_eq!((seqs(&second), &second["next_cursor"]), (vec![3], &Value::Null));
    assert_eq!(seqs(&server.get(&format!("{path}?after=1")).await.json()), [2, 3]);
    assert_eq!(seqs(&server.get(&format!("{path}?after=9")).await.json()), [0_u64; 0]);
    let behind = server.get(&format!("{path}?after=1&limit=1")).await.json();
    let cursor = behind["next_cursor"].as_str().unwrap();
    for query in [format!("cursor={cursor}"), format!("after=1&limit=1&cursor={cursor}")] {
        assert_eq!(seqs(&server.get(&format!("{path}?{query}")).await.json()), [3], "{query}");
    }
    for bad in ["after=-1", "after=x", "after=", "after=9223372036854775808"] {
        assert_eq!(server.get(&format!("{path}?{bad}")).await.problem().2, "query.after", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn ids_that_are_none_are_those_of_no_run() {
    let server = Server::open();
    for id in ["x", "01890a5d-ac96-774b-bcce-b302099a8057", "01890A5D-AC96-774B-BCCE-B302099A8057", "%00"] {
        for (method, path) in [
            ("GET", ""),
            ("GET", "/steps"),
            ("GET", "/events"),
            ("GET", "/stream"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("POST", "/verify"),
        ] {
            let reply = server.call(method, &format!("/runs/{id}{path}"), Value::Null).await;
            assert_eq!(reply.problem(), (404, "not_found".into(), String::new()), "{method} {id} {path}");
        }
        let reply = server.post(&format!("/runs/{id}/events/go"), json!({ "payload": 1 })).await;
        assert_eq!(reply.problem().0, 404);
    }
}
