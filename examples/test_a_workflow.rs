//! Run with `cargo run --example test_a_workflow --features testing`: a workflow of your own under test, with virtual time,
//! mocked side effects and killed processes. In a project of your own these would be `#[test]` functions.
//!
//! A node that no reply was given for succeeds with `null`.

use std::time::Duration;

use meshhook::event::RunStatus;
use meshhook::exec::{Attempt, AttemptError, Node, Outcome};
use meshhook::testing::{Reply, WorkflowTest};
use serde_json::{Value, json};

/// Charges a card, reminds the customer a day later if that failed.
fn dunning() -> Value {
    json!({
        "name": "Dunning",
        "nodes": [
            { "id": "order", "type": "transform", "config": { "expression": "input" } },
            { "id": "charge", "type": "http_call",
              "config": { "method": "POST", "url": "https://pay.example.com/charges",
                          "auth": { "type": "bearer", "token": "{{ secrets.pay_token }}" },
                          "body": { "customer": "{{ input.customer }}", "amount": "{{ input.amount }}" } },
              "retry": { "max_attempts": 3, "initial": "10s", "jitter": "none" } },
            { "id": "pause", "type": "delay", "config": { "for": "1d" } },
            { "id": "remind", "type": "http_call",
              "config": { "method": "POST", "url": "https://mail.example.com/send",
                          "body": { "customer": "{{ nodes.order.output.customer }}", "text": "Your payment failed: {{ input.code }}" } } },
        ],
        "edges": [
            { "from": "order", "to": "charge" },
            { "from": "charge", "port": "error", "to": "pause" },
            { "from": "pause", "to": "remind" },
        ],
    })
}

fn test() -> WorkflowTest {
    WorkflowTest::new(dunning()).secret("pay_token", "a-token-for-tests")
}

fn a_charge_that_succeeds_reminds_nobody() {
    let run = test()
        .reply("charge", Reply::output(json!({ "status": 201 })))
        .run(json!({ "customer": 7, "amount": 100 }));
    assert_eq!(run.status, RunStatus::Succeeded);
    assert_eq!(run.calls_of("charge")[0].config["body"], json!({ "amount": 100, "customer": 7 }));
    assert!(run.calls_of("remind").is_empty());
}

fn a_declined_card_is_reminded_a_day_later() {
    let declined = Reply::permanent("http_status", "status 402");
    let run = test().reply("charge", declined).run(json!({ "customer": 7, "amount": 100 }));
    assert_eq!(run.calls_of("charge").len(), 1);
    let mail = json!({ "customer": 7, "text": "Your payment failed: http_status" });
    assert_eq!(run.calls_of("remind")[0].config["body"], mail);
    assert!(run.took >= Duration::from_secs(86_400));
}

fn an_outage_is_ridden_out_with_one_idempotency_key() {
    let outage = || Reply::retryable("http_status", "status 503");
    let run = test()
        .reply("charge", outage())
        .reply("charge", outage())
        .reply("charge", Reply::output(json!({ "status": 201 })))
        .run(json!({ "customer": 7, "amount": 100 }));
    let calls = run.calls_of("charge");
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(calls.iter().all(|call| call.idempotency_key == calls[0].idempotency_key));
}

fn a_killed_process_changes_nothing_but_the_number_of_calls() {
    for polls in 1..20 {
        let slow = Reply::output(json!({ "status": 201 })).after(Duration::from_secs(5));
        let run =
            test().reply("charge", slow).crash_after(polls).run(json!({ "customer": 7, "amount": 100 }));
        assert_eq!(run.status, RunStatus::Succeeded, "killed at poll {polls}");
        let calls = run.calls_of("charge");
        assert!(calls.iter().all(|call| call.idempotency_key == calls[0].idempotency_key));
    }
}

/// A node type of the service's own.
struct SendSms;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Sms {
    to: String,
}

#[async_trait::async_trait]
impl Node for SendSms {
    const KIND: &'static str = "send_sms";
    type Config = Sms;

    async fn execute(&self, config: Sms, _attempt: &Attempt) -> Result<Outcome, AttemptError> {
        unreachable!("in a test nobody sends to {}", config.to)
    }
}

fn a_node_type_of_your_own_is_registered_and_scripted_like_any_other() {
    let sms = json!({ "id": "sms", "type": "send_sms", "config": { "to": "{{ input.phone }}" } });
    let run = WorkflowTest::new(json!({ "name": "Text", "nodes": [sms] }))
        .configure(|builder| builder.node(SendSms))
        .reply("sms", Reply::output(json!({ "sent": true })))
        .run(json!({ "phone": "+1 555 0100" }));
    assert_eq!(run.calls_of("sms")[0].config["to"], "+1 555 0100");
    assert_eq!(run.output.as_deref(), Some(&json!({ "sent": true })));
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() {
    let tests: [(&str, fn()); 5] = [
        ("a charge that succeeds reminds nobody", a_charge_that_succeeds_reminds_nobody),
        ("a declined card is reminded a day later", a_declined_card_is_reminded_a_day_later),
        (
            "an outage is ridden out with one idempotency key",
            an_outage_is_ridden_out_with_one_idempotency_key,
        ),
        (
            "a killed process changes nothing but the number of calls",
            a_killed_process_changes_nothing_but_the_number_of_calls,
        ),
        (
            "a node type of your own is registered and scripted like any other",
            a_node_type_of_your_own_is_registered_and_scripted_like_any_other,
        ),
    ];
    for (name, test) in tests {
        test();
        println!("ok: {name}");
    }
}
