//! Hooks that take several items in one request.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::kit::{Server, doubling};

async fn serving(config: Value) -> Server {
    let server = Server::open();
    let mut definition = doubling();
    let mut all = json!({ "path": "in", "verify": { "scheme": "none" },
        "each": { "items": "body", "id": "item.id" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    definition["triggers"] = json!([{ "id": "hook", "type": "webhook", "config": all }]);
    server.publish_with_warnings("w", definition).await;
    server
}

fn post(body: &Value) -> Request<Body> {
    let request = Request::post("/hooks/default/in").header("content-type", "application/json");
    request.header("x-key", "the right one").body(Body::from(body.to_string())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_answer_has_a_run_for_each_item() {
    let server = serving(json!({})).await;
    let reply = server.send(post(&json!([{ "id": "a", "n": 1 }, { "id": "b", "n": 4 }]))).await;
    let answer = reply.json();
    let ids = [0, 1].map(|at| answer["runs"][at]["run_id"].as_str().unwrap().to_owned());
    let runs = json!([{ "run_id": ids[0] }, { "run_id": ids[1] }]);
    assert_eq!((reply.status.as_u16(), &answer), (202, &json!({ "status": "accepted", "runs": runs })));
    let run = server.get(&format!("/runs/{}", ids[1])).await.json();
    assert_eq!((&run["input"]["n"], &run["output"]), (&json!(4), &json!({ "doubled": 8 })));
    assert_eq!(run["trigger"]["item"], 1);

    let again = server.send(post(&json!([{ "id": "b", "n": 4 }, { "id": "c", "n": 0 }]))).await;
    let new = again.json()["runs"][1]["run_id"].clone();
    let runs = json!([{ "run_id": ids[1], "duplicate": true }, { "run_id": new }]);
    assert_eq!((again.status.as_u16(), again.json()["runs"].clone()), (202, runs));

    let none = server.send(post(&json!([]))).await;
    assert_eq!((none.status.as_u16(), none.json()), (202, json!({ "status": "accepted", "runs": [] })));

    let list = server.get("/deliveries").await.json();
    let totals: Vec<_> = list["items"].as_array().unwrap().iter().map(|row| &row["runs_total"]).collect();
    assert_eq!(totals.iter().filter(|total| ***total == json!(2)).count(), 2);
    assert_eq!(totals.iter().filter(|total| total.is_null()).count(), 1);
    let first = list["items"].as_array().unwrap().iter().find(|row| row["runs"] == json!(ids)).unwrap();
    assert_eq!((&first["runs_total"], &first["kept"]), (&json!(2), &json!("in_runs")));
    assert_eq!((first.get("run_id"), &first["verdict"]), (None, &json!("accepted")));
    let path = format!("/deliveries/{}/replay", first["id"].as_str().unwrap());
    assert_eq!(server.post(&path, Value::Null).await.problem().1, "invalid_state");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_for_an_item_names_it() {
    let server = serving(json!({})).await;
    let first = server.send(post(&json!([{ "id": "a", "n": 1 }]))).await.json();
    let other = server.send(post(&json!([{ "id": "b", "n": 1 }, { "id": "a", "n": 2 }]))).await;
    assert_eq!(other.problem().1, "conflict");
    let problem = other.json();
    assert_eq!((&problem["item"], &problem["run_id"]), (&json!(1), &first["runs"][0]["run_id"]));
    let within = server.send(post(&json!([{ "id": "b", "n": 1 }, { "id": "b", "n": 2 }]))).await;
    assert_eq!((within.problem().0, &within.json()["item"]), (409, &json!(1)));
    assert_eq!(within.json()["detail"], "items 0 and 1 have the same id and differ");
    let many = server.send(post(&(0..1_001).map(|n| json!({ "id": n })).collect())).await;
    assert_eq!(many.problem().1, "payload_too_large");
    assert_eq!(server.send(post(&json!({}))).await.problem().1, "invalid_request");
    assert_eq!(server.get("/runs").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_can_be_checked_and_replayed_and_sent_again() {
    let verify = json!({ "scheme": "api_key", "header": "x-key", "secret": "key" });
    let server = serving(json!({ "verify": verify })).await;
    let body = json!([{ "id": "a", "n": 1 }, { "id": "b", "n": 2 }]);
    assert_eq!(server.send(post(&body)).await.status, 401);
    let id = server.get("/deliveries").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    server.call("PUT", "/secrets/key", json!({ "value": "the right one" })).await;
    let checked = server.post(&format!("/deliveries/{id}/check"), Value::Null).await.json();
    assert_eq!(checked["verdict"], "accepted");
    let replay = async || server.post(&format!("/deliveries/{id}/replay"), Value::Null).await;
    let first = replay().await;
    let ids = [0, 1].map(|at| first.json()["runs"][at]["run_id"].clone());
    let expected = json!({ "status": "accepted", "runs": [{ "run_id": ids[0] }, { "run_id": ids[1] }] });
    assert_eq!((first.status.as_u16(), first.json()), (201, expected));
    let run = server.get(&format!("/runs/{}", ids[1].as_str().unwrap())).await.json();
    assert_eq!((&run["trigger"]["replay_of"], &run["trigger"]["item"]), (&json!(id), &json!(1)));
    let known = json!([{ "run_id": ids[0], "duplicate": true }, { "run_id": ids[1], "duplicate": true }]);
    let second = replay().await;
    assert_eq!((second.status.as_u16(), &second.json()["runs"]), (200, &known));
    let sent = server.send(post(&body)).await;
    assert_eq!((sent.status.as_u16(), &sent.json()["runs"]), (202, &known));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_wrong_expression_emptied_can_be_replayed_once_it_is_mended() {
    let server = serving(json!({ "each": { "items": "body.event || `[]`" } })).await;
    let sent = server.send(post(&json!({ "events": [{ "n": 1 }, { "n": 2 }] }))).await;
    assert_eq!((sent.status.as_u16(), sent.json()), (202, json!({ "status": "accepted", "runs": [] })));
    let row = server.get("/deliveries").await.json()["items"][0].clone();
    let told = ["verdict", "status", "detail", "kept"].map(|member| row[member].clone());
    assert_eq!(json!(told), json!(["filtered", 202, "the request has no items", "whole"]));
    let path = |what| format!("/deliveries/{}/{what}", row["id"].as_str().unwrap());
    let checked = server.post(&path("check"), Value::Null).await.json();
    assert_eq!(
        json!([checked["verdict"], checked["detail"]]),
        json!(["filtered", "the request has no items"])
    );
    assert_eq!(server.post(&path("replay"), Value::Null).await.json()["status"], "ignored");
    let mut mended = server.get("/workflows/w").await.json()["draft"].clone();
    mended["triggers"][0]["config"]["each"]["items"] = json!("body.events");
    server.call("PUT", "/workflows/w", json!({ "definition": mended })).await;
    server.post("/workflows/w/publish", Value::Null).await;
    assert_eq!(server.post(&path("check"), Value::Null).await.json()["verdict"], "accepted");
    let replayed = server.post(&path("replay"), Value::Null).await;
    assert_eq!((replayed.status.as_u16(), replayed.json()["runs"].as_array().unwrap().len()), (201, 2));
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_refused_for_an_item_names_it() {
    let verify = json!({ "scheme": "api_key", "header": "x-key", "secret": "key" });
    let server = serving(json!({ "verify": verify })).await;
    let mut definition = server.get("/workflows/w").await.json()["draft"].clone();
    definition["input_schema"] = json!({ "properties": { "n": { "maximum": 5 } } });
    server.call("PUT", "/workflows/w", json!({ "definition": definition })).await;
    server.post("/workflows/w/publish", Value::Null).await;
    let refused = async |body: Value| {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        server.send(post(&body)).await;
        server.get("/deliveries").await.json()["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let clash = refused(json!([{ "id": "b", "n": 1 }, { "id": "a", "n": 2 }])).await;
    let within = refused(json!([{ "id": "c", "n": 1 }, { "id": "c", "n": 2 }])).await;
    let large = refused(json!([{ "id": "d", "n": 1 }, { "id": "e", "n": 6 }])).await;
    server.call("PUT", "/secrets/key", json!({ "value": "the right one" })).await;
    let first = server.send(post(&json!([{ "id": "a", "n": 1 }]))).await.json();
    let replay = async |id: String| {
        let reply = server.post(&format!("/deliveries/{id}/replay"), Value::Null).await;
        let problem = reply.json();
        json!([reply.status.as_u16(), problem["code"], problem["item"], problem["run_id"]])
    };
    let run = &first["runs"][0]["run_id"];
    assert_eq!(replay(clash).await, json!([409, "idempotency_key_reused", 1, run]));
    assert_eq!(replay(within).await, json!([409, "idempotency_key_reused", 1, null]));
    assert_eq!(replay(large).await, json!([422, "input_invalid", 1, null]));
    let sent = server.send(post(&json!([{ "id": "e", "n": 6 }]))).await.json();
    assert_eq!(json!([sent["status"], sent["item"]]), json!([422, 0]));
}
