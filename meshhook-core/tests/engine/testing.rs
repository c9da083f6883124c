//! The kit for testing workflows.

use std::time::Duration;

use meshhook_core::event::RunStatus;
use meshhook_core::testing::{Reply, WorkflowTest};
use serde_json::{Value, json};

fn two_calls() -> Value {
    let call = |id: &str| {
        json!({ "id": id, "type": "http_call", "config": { "method": "POST", "url": "https://example.com/",
            "headers": { "Authorization": "Bearer {{ secrets.token }}" } } })
    };
    json!({ "name": "Two", "nodes": [call("one"), call("two")], "edges": [{ "from": "one", "to": "two" }] })
}

#[test]
fn a_workflow_comes_to_the_same_end_whenever_its_process_is_killed() {
    let test = || {
        WorkflowTest::new(two_calls())
            .secret("token", "s3cret-token")
            .reply("one", Reply::output(json!({ "id": 7 })).after(Duration::from_secs(20)))
    };
    let undisturbed = test().run(json!(null));
    assert_eq!(undisturbed.status, RunStatus::Succeeded);
    assert_eq!(undisturbed.calls.len(), 2);
    assert_eq!(undisturbed.calls[0].config["headers"]["Authorization"], "Bearer s3cret-token");
    assert!(!format!("{:?}", undisturbed.events).contains("s3cret-token"));
    for polls in 1..60 {
        let run = test().crash_after(polls).crash_after(polls).run(json!(null));
        assert_eq!(run.status, RunStatus::Succeeded, "killed at poll {polls}: {:?}", run.error);
        assert_eq!(run.output, undisturbed.output);
        for (node, calls) in [("one", run.calls_of("one")), ("two", run.calls_of("two"))] {
            assert!(calls.iter().all(|call| call.idempotency_key == calls[0].idempotency_key), "{node}");
        }
    }
}

#[test]
fn events_from_outside_arrive_when_they_are_sent() {
    let definition = json!({ "name": "Wait", "nodes": [
        { "id": "paid", "type": "wait", "config": { "event": "paid", "timeout": "7d" } } ] });
    let test = WorkflowTest::new(definition.clone()).event(
        Duration::from_secs(3_600),
        "paid",
        None,
        json!({ "by": "ann" }),
    );
    let run = test.run(json!(null));
    assert_eq!(*run.output.unwrap(), json!({ "by": "ann" }));
    assert_eq!(run.took, Duration::from_secs(3_600));
    let late = WorkflowTest::new(definition).run(json!(null));
    assert_eq!(late.error.unwrap()["code"], "timed_out");
}
