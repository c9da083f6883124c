use serde_json::{Value, json};

use crate::kit::Server;

#[tokio::test(start_paused = true)]
async fn expressions_and_templates_are_tried_on_a_sample() {
    let server = Server::open();
    let sample = json!({ "input": { "n": 20, "who": "Ada" } });
    for (body, expected) in [
        (json!({ "expression": "input.n + `1`", "sample": sample }), json!(21)),
        (json!({ "expression": "$", "sample": sample }), sample.clone()),
        (
            json!({ "template": { "a": "{{ input.n }}", "b": "Hi {{ input.who }}" }, "sample": sample }),
            json!({ "a": 20, "b": "Hi Ada" }),
        ),
        (json!({ "template": null, "sample": sample }), Value::Null),
        (json!({ "expression": "[1:].a", "sample": [{ "a": 1 }, { "a": 2 }] }), json!([2])),
        (json!({ "expression": "@", "sample": "text" }), json!("text")),
        (json!({ "expression": "`1`" }), json!(1)),
    ] {
        let reply = server.post("/preview", body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({ "result": expected })), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_says_why_and_where() {
    let server = Server::open();
    for (body, code, position, path) in [
        (json!({ "expression": "a..b", "sample": {} }), "expression_syntax", json!(2), Value::Null),
        (json!({ "expression": "abs('x')", "sample": {} }), "expression_invalid_type", json!(0), Value::Null),
        (
            json!({ "expression": "nope(@)", "sample": {} }),
            "expression_unknown_function",
            json!(0),
            Value::Null,
        ),
        (
            json!({ "expression": "`1` / `0`", "sample": {} }),
            "expression_invalid_value",
            json!(4),
            Value::Null,
        ),
        (json!({ "template": ["x", "{{ a. }}"], "sample": {} }), "expression_syntax", json!(6), json!("[1]")),
        (json!({ "template": "{{ a", "sample": {} }), "expression_syntax", json!(0), json!("")),
        (
            json!({ "template": "{{ secrets.token }}", "sample": {} }),
            "secret_not_allowed",
            json!(3),
            json!(""),
        ),
    ] {
        let reply = server.post("/preview", body.clone()).await;
        assert_eq!((reply.problem().0, reply.problem().1.as_str()), (422, code), "{body}");
        assert_eq!(
            (reply.json()["position"].clone(), reply.json()["path"].clone()),
            (position, path),
            "{body}: {reply:?}"
        );
    }
    for body in [
        json!({}),
        json!({ "expression": "a", "template": 1 }),
        json!({ "expression": 1 }),
        json!({ "expression": "a", "sample": {}, "other": 1 }),
    ] {
        assert_eq!(server.post("/preview", body.clone()).await.problem().0, 400, "{body}");
    }
}
