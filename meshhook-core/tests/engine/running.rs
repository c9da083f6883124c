//! What runs do.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::engine::{EngineOptions, StartRequest};
use meshhook_core::event::{EventData, RunStatus};
use meshhook_core::exec::Outcome;
use meshhook_core::failure::Failure;
use meshhook_core::id::RunId;
use meshhook_core::store::memory::{MemoryStore, Operation};
use meshhook_core::testing::VirtualClock;
use serde_json::json;

use crate::kit::Kit;

fn pure() -> serde_json::Value {
    json!({
        "name": "Pure",
        "nodes": [
            { "id": "a", "type": "transform", "config": { "expression": "{n: input.n}" } },
            { "id": "big", "type": "branch", "config": { "condition": "input.n > `10`" } },
            { "id": "yes", "type": "transform", "config": { "template": { "text": "{{ nodes.a.output.n }} is big" } } },
            { "id": "no", "type": "transform", "config": { "expression": "'small'" } },
            { "id": "end", "type": "transform", "config": { "expression": "input" } },
        ],
        "edges": [
            { "from": "a", "to": "big" },
            { "from": "big", "port": "true", "to": "yes" },
            { "from": "big", "port": "false", "to": "no" },
            { "from": "yes", "to": "end" },
            { "from": "no", "to": "end" },
        ],
    })
}

fn two_calls() -> serde_json::Value {
    json!({
        "name": "Two",
        "nodes": [
            { "id": "one", "type": "http_call", "config": { "method": "POST", "url": "https://example.com/1" } },
            { "id": "two", "type": "http_call", "config": { "method": "POST", "url": "https://example.com/2" } },
        ],
        "edges": [{ "from": "one", "to": "two" }],
    })
}

fn effect(config: &serde_json::Value) -> serde_json::Value {
    let mut node = json!({ "id": "call", "type": "http_call", "config": { "method": "POST", "url": "https://example.com/" } });
    node.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    json!({ "name": "Effect", "nodes": [node] })
}

#[tokio::test(start_paused = true)]
async fn a_pure_run_is_finished_when_it_is_accepted() {
    let kit = Kit::start();
    let slug = kit.publish("pure", pure()).await;
    let before = kit.store.transactions().of(Operation::Commit);
    let started = kit.project.start_run(&slug, StartRequest::new(json!({ "n": 11 }))).await.unwrap();
    assert_eq!(started.end.unwrap().status, RunStatus::Succeeded);
    assert_eq!(kit.store.transactions().of(Operation::Commit) - before, 1);
    let view = kit.finish(started.run).await;
    assert_eq!(*view.output.unwrap(), json!({ "text": "11 is big" }));
    assert_eq!(
        kit.kinds(started.run).await,
        [
            "run_created",
            "a step_succeeded",
            "big step_succeeded",
            "no step_skipped",
            "yes step_succeeded",
            "end step_succeeded",
            "run_succeeded",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_run_of_this_process_is_told_its_end_and_asks_the_store_nothing() {
    let kit = Kit::start();
    let slug = kit.publish("two", two_calls()).await;
    let request = || StartRequest::new(json!(1)).wait(Duration::from_secs(9));
    kit.project.start_run(&slug, request()).await.unwrap();
    let before = kit.store.transactions().of(Operation::Read);
    let started = kit.project.start_run(&slug, request()).await.unwrap();
    // The workflow's record alone.
    assert_eq!(kit.store.transactions().of(Operation::Read) - before, 1);
    assert_eq!(started.end.unwrap().output.as_deref(), Some(&json!({ "ok": 1 })));
    assert_eq!(kit.finish(started.run).await.status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_the_end_of_a_run_that_another_process_ends() {
    let kit = Kit::start();
    let slug = kit.publish("two", two_calls()).await;
    let mut takes_in_only = EngineOptions::default();
    takes_in_only.works = false;
    let intake = Kit::with(kit.store.clone(), kit.clock, takes_in_only);
    let request = StartRequest::new(json!(1)).wait(Duration::from_secs(9));
    let started = intake.project.start_run(&slug, request).await.unwrap();
    assert_eq!(started.end.unwrap().output.as_deref(), Some(&json!({ "ok": 1 })));
}

#[tokio::test(start_paused = true)]
async fn who_repeats_a_start_waits_for_the_first_run() {
    let kit = Kit::start();
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(5);
    let slug = kit.publish("two", two_calls()).await;
    let request = || StartRequest::new(json!(1)).idempotency_key("k");
    let first = kit.project.start_run(&slug, request()).await.unwrap();
    let end = |seconds| {
        let (project, slug) = (kit.project.clone(), slug.clone());
        async move {
            let request = request().wait(Duration::from_secs(seconds));
            let again = project.start_run(&slug, request).await.unwrap();
            assert_eq!((again.run, again.duplicate), (first.run, true));
            again.end.and_then(|end| end.output).as_deref().cloned()
        }
    };
    assert_eq!(end(1).await, None);
    // Under way, and when it has ended; also where it could not be started any more.
    for _ in 0..2 {
        assert_eq!(end(60).await, Some(json!({ "ok": 1 })));
    }
    kit.project.unpublish(&slug).await.unwrap();
    assert_eq!(end(60).await, Some(json!({ "ok": 1 })));
}

#[tokio::test(start_paused = true)]
async fn who_waited_too_short_is_told_no_end() {
    let kit = Kit::start();
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(20);
    let slug = kit.publish("two", two_calls()).await;
    let request = StartRequest::new(json!(1)).wait(Duration::from_secs(9));
    let began = tokio::time::Instant::now();
    let started = kit.project.start_run(&slug, request).await.unwrap();
    assert_eq!((started.end, began.elapsed()), (None, Duration::from_secs(9)));
    assert_eq!(kit.finish(started.run).await.status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_one_commit_more_than_it_has_effects() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({}))).await;
    let before = kit.store.transactions().of(Operation::Commit);
    let view = kit.run(&slug, json!({ "x": 1 })).await;
    assert_eq!(*view.output.unwrap(), json!({ "ok": 1 }));
    assert_eq!(kit.store.transactions().of(Operation::Commit) - before, 2);
    assert_eq!(
        kit.kinds(view.id).await,
        ["run_created", "call step_started", "call step_succeeded", "run_succeeded"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_tried_again_with_the_same_key() {
    let kit = Kit::start();
    let slug =
        kit.publish("effect", effect(&json!({ "retry": { "max_attempts": 3, "jitter": "none" } }))).await;
    for _ in 0..2 {
        kit.effects
            .script
            .lock()
            .unwrap()
            .push_back(Err(Failure::retryable("http_status", "status 503").into()));
    }
    let start = tokio::time::Instant::now();
    let view = kit.run(&slug, json!(null)).await;
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.steps[0].attempts, 3);
    let seen = kit.effects.seen.lock().unwrap();
    assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(seen.iter().all(|one| one.2 == seen[0].2));
}

#[tokio::test(start_paused = true)]
async fn the_last_failed_attempt_fails_the_run() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({ "retry": { "max_attempts": 1 } }))).await;
    kit.effects.script.lock().unwrap().push_back(Err(Failure::retryable("http_status", "status 503").into()));
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.status, RunStatus::Failed);
    let error = view.error.unwrap();
    assert_eq!((&error["code"], &error["step"]), (&json!("http_status"), &json!("call")));
    assert_eq!(kit.kinds(view.id).await[2..], ["call attempt_failed", "call step_failed", "run_failed"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_its_timeout_is_abandoned() {
    let kit = Kit::start();
    let node = json!({ "timeout": "5s", "retry": { "max_attempts": 2, "initial": "1s", "jitter": "none" } });
    let slug = kit.publish("effect", effect(&node)).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(60);
    let start = tokio::time::Instant::now();
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.error.unwrap()["code"], "timed_out");
    assert!((11..13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_step_past_its_deadline_fails_with_its_last_failure() {
    let kit = Kit::start();
    let node = json!({ "deadline": "10s", "retry": { "max_attempts": 100, "initial": "4s", "factor": 1, "jitter": "none" } });
    let slug = kit.publish("effect", effect(&node)).await;
    for _ in 0..100 {
        kit.effects
            .script
            .lock()
            .unwrap()
            .push_back(Err(Failure::retryable("http_status", "status 503").into()));
    }
    let view = kit.run(&slug, json!(null)).await;
    let error = view.error.unwrap();
    assert_eq!(error["code"], "timed_out");
    assert_eq!(error["details"]["last_failure"]["code"], "http_status");
    assert_eq!(view.steps[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn the_only_attempt_of_a_step_past_its_deadline_counts() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({ "timeout": "1h", "deadline": "10s" }))).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(600);
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!((view.steps[0].attempts, view.error.unwrap()["code"].as_str()), (1, Some("timed_out")));
    assert_eq!(kit.kinds(view.id).await[2..], ["call attempt_failed", "call step_failed", "run_failed"]);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_past_its_deadline() {
    let kit = Kit::start();
    let policy = json!({ "deadline": "10s", "retry": { "initial": "4s", "factor": 1, "jitter": "none" } });
    let slug = kit.publish("effect", effect(&policy)).await;
    kit.effects.script.lock().unwrap().push_back(Err(Failure::retryable("http_status", "status 503").into()));
    let run = kit.start_run(&slug, json!(null)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    kit.project.pause(run, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    kit.project.resume(run, None).await.unwrap();
    let view = kit.finish(run).await;
    assert_eq!((view.steps[0].attempts, view.error.unwrap()["code"].as_str()), (1, Some("timed_out")));
    assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_past_its_timeout_fails() {
    let kit = Kit::start();
    let mut definition = effect(&json!({ "timeout": "1h" }));
    definition["timeout"] = json!("1m");
    let slug = kit.publish("effect", definition).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(600);
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.error.unwrap()["code"], "timed_out");
    assert_eq!(view.steps[0].attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_delay_is_held_by_nobody() {
    let kit = Kit::start();
    let definition = json!({
        "name": "Delay",
        "nodes": [
            { "id": "wait", "type": "delay", "config": { "for": "2h" } },
            { "id": "call", "type": "http_call", "config": { "method": "POST", "url": "https://example.com/" } },
        ],
        "edges": [{ "from": "wait", "to": "call" }],
    });
    let slug = kit.publish("delay", definition).await;
    let run = kit.start_run(&slug, json!({ "n": 1 })).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(kit.engine.held_runs(), 0);
    assert_eq!(kit.project.run(run).await.unwrap().status, RunStatus::Waiting);
    let start = tokio::time::Instant::now();
    let view = kit.finish(run).await;
    assert!((7_139..7_142).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(view.status, RunStatus::Succeeded);
    let kinds = kit.kinds(run).await;
    assert_eq!(kinds[1..4], ["wait timer_set", "wait timer_fired", "wait step_succeeded"]);
    assert!(!kinds.contains(&"run_claimed".to_owned()), "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_with_an_error_edge_goes_on_there() {
    let kit = Kit::start();
    let mut definition = effect(&json!({}));
    definition["nodes"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "id": "caught", "type": "transform", "config": { "expression": "input.code" } }));
    definition["edges"] = json!([{ "from": "call", "port": "error", "to": "caught" }]);
    let slug = kit.publish("caught", definition).await;
    kit.effects.script.lock().unwrap().push_back(Err(Failure::permanent("http_status", "status 404").into()));
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(*view.output.unwrap(), json!("http_status"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_retried_with_the_same_key_and_its_outputs() {
    let kit = Kit::start();
    let slug = kit.publish("two", two_calls()).await;
    kit.effects.script.lock().unwrap().extend([
        Ok(meshhook_core::exec::Outcome::out(json!("first"))),
        Err(Failure::permanent("http_status", "status 404").into()),
    ]);
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.status, RunStatus::Failed);
    kit.project.retry(view.id, Some("ann".into())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let view = kit.finish(view.id).await;
    assert_eq!(view.status, RunStatus::Succeeded, "{:?}", kit.kinds(view.id).await);
    let seen = kit.effects.seen.lock().unwrap();
    assert_eq!(
        seen.iter().map(|s| (s.0.as_str(), s.1)).collect::<Vec<_>>(),
        [("one", 1), ("two", 1), ("two", 2)]
    );
    assert_eq!(seen[1].2, seen[2].2);
    assert_ne!(seen[0].2, seen[1].2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_starts_nothing_until_it_is_resumed() {
    let kit = Kit::start();
    let slug = kit.publish("two", two_calls()).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1);
    let run = kit.start_run(&slug, json!(null)).await;
    kit.project.pause(run, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(kit.project.run(run).await.unwrap().status, RunStatus::Paused);
    assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
    kit.project.resume(run, None).await.unwrap();
    let view = kit.finish(run).await;
    assert_eq!(view.status, RunStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_at_once() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({}))).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(20);
    let run = kit.start_run(&slug, json!(null)).await;
    kit.project.cancel(run, None).await.unwrap();
    let view = kit.finish(run).await;
    assert_eq!(view.status, RunStatus::Cancelled);
    assert_eq!(kit.kinds(run).await[2..], ["run_cancel_requested", "run_cancelled"]);
    assert_eq!(view.steps[0].status.as_str(), "cancelled");
}

#[tokio::test(start_paused = true)]
async fn items_run_in_order_and_at_most_as_many_at_once_as_allowed() {
    let kit = Kit::start();
    let definition = json!({
        "name": "Each",
        "nodes": [{ "id": "each", "type": "for_each", "config": {
            "items": "input",
            "concurrency": 2,
            "body": { "nodes": [{ "id": "post", "type": "http_call", "config": {
                "method": "POST", "url": "https://example.com/", "body": "{{ index }}:{{ item }}" } }] },
        } }],
    });
    let slug = kit.publish("each", definition).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(1);
    let start = tokio::time::Instant::now();
    let view = kit.run(&slug, json!(["a", "b", "c"])).await;
    assert_eq!(*view.output.unwrap(), json!([{ "ok": 1 }, { "ok": 1 }, { "ok": 1 }]));
    assert_eq!(start.elapsed().as_secs(), 2);
    let seen = kit.effects.seen.lock().unwrap();
    assert_eq!(seen[2].0, "each[2].post");
    assert_eq!(seen[2].3["body"], "2:c");
}

#[tokio::test(start_paused = true)]
async fn a_wait_takes_an_event_and_keeps_early_ones() {
    let kit = Kit::start();
    let definition = json!({
        "name": "Wait",
        "nodes": [
            { "id": "pause", "type": "delay", "config": { "for": "10s" } },
            { "id": "paid", "type": "wait", "config": { "event": "paid", "key": "{{ trigger.type }}" } },
        ],
        "edges": [{ "from": "pause", "to": "paid" }],
    });
    let slug = kit.publish("wait", definition).await;
    let run = kit.start_run(&slug, json!(null)).await;
    kit.project.send_event(run, "paid", Some("other".into()), json!(1)).await.unwrap();
    kit.project.send_event(run, "paid", Some("manual".into()), json!(2)).await.unwrap();
    let view = kit.finish(run).await;
    assert_eq!(*view.output.unwrap(), json!(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_starts_one_run_and_refuses_other_input() {
    let kit = Kit::start();
    let slug = kit.publish("pure", pure()).await;
    let request = || StartRequest::new(json!({ "n": 1 })).idempotency_key("k");
    let first = kit.project.start_run(&slug, request()).await.unwrap();
    let second = kit.project.start_run(&slug, request()).await.unwrap();
    assert_eq!((second.run, second.duplicate), (first.run, true));
    let other = StartRequest::new(json!({ "n": 2 })).idempotency_key("k");
    let refused = kit.project.start_run(&slug, other).await.unwrap_err();
    assert!(matches!(refused, meshhook_core::engine::EngineError::KeyReused { run } if run == first.run));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_engine_hands_its_runs_to_the_next() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({ "timeout": "10m" }))).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(300);
    let run = kit.start_run(&slug, json!(null)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    kit.engine.shutdown(Duration::from_secs(5)).await;
    assert!(start.elapsed() < Duration::from_secs(7));
    let next = Kit::on(kit.store.clone(), kit.clock);
    let start = tokio::time::Instant::now();
    let view = next.finish(run).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(view.status, RunStatus::Succeeded);
    assert!(next.kinds(run).await.contains(&"run_claimed".to_owned()));
    assert_eq!(kit.effects.seen.lock().unwrap()[0].2, next.effects.seen.lock().unwrap()[0].2);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_takes_effect_in_order() {
    let kit = Kit::start();
    let slug = kit.publish("effect", effect(&json!({}))).await;
    *kit.effects.takes.lock().unwrap() = Duration::from_secs(5);
    let run = kit.start_run(&slug, json!(null)).await;
    kit.project.pause(run, None).await.unwrap();
    kit.project.resume(run, None).await.unwrap();
    assert!(kit.project.resume(run, None).await.is_err());
    kit.project.cancel(run, None).await.unwrap();
    assert!(kit.project.pause(run, None).await.is_err());
    let view = kit.finish(run).await;
    assert_eq!(view.status, RunStatus::Cancelled);
    assert_eq!(
        kit.kinds(run).await[2..],
        ["run_paused", "run_resumed", "run_cancel_requested", "run_cancelled"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_terminate_ended_cannot_be_retried() {
    let kit = Kit::start();
    let end = json!({ "id": "end", "type": "terminate", "config": { "status": "failed" } });
    let slug = kit.publish("end", json!({ "name": "End", "nodes": [end] })).await;
    let view = kit.run(&slug, json!(null)).await;
    assert_eq!(view.status, RunStatus::Failed);
    assert!(kit.project.retry(view.id, None).await.is_err());
}

/// The warnings and the end in a history.
async fn told(kit: &Kit, run: RunId) -> Vec<(String, String)> {
    let events = kit.events(run).await.into_iter().filter_map(|event| match event.data {
        EventData::StepLogged { message, .. } => Some(("logged".to_owned(), message)),
        EventData::RunFailed { failure, .. } => Some(("failed".to_owned(), failure.code.to_string())),
        _ => None,
    });
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn a_long_history_is_warned_of_before_it_is_too_long() {
    let clock = VirtualClock::new();
    let mut options = EngineOptions::default();
    options.max_history_bytes = 10_000;
    let kit = Kit::with(Arc::new(MemoryStore::new(Arc::new(clock))), clock, options);
    let slug = kit.publish("two", two_calls()).await;
    let body = |bytes: usize| json!({ "text": "x".repeat(bytes) });
    let is_warning = |(kind, message): &(String, String)| {
        kind == "logged"
            && message.starts_with("the history has ")
            && message.ends_with(" of at most 10000 bytes")
    };
    let too_long = ("failed".to_owned(), "limit_exceeded".to_owned());
    // The start alone.
    let view = kit.run(&slug, body(4_200)).await;
    let told_of = told(&kit, view.id).await;
    assert!(told_of.len() == 1 && is_warning(&told_of[0]), "{told_of:?}");
    assert_eq!(view.status, RunStatus::Succeeded);
    // The start alone is too long.
    let view = kit.run(&slug, body(20_000)).await;
    let told_of = told(&kit, view.id).await;
    assert!(told_of.len() == 2 && is_warning(&told_of[0]) && told_of[1] == too_long, "{told_of:?}");
    // From less than most of it to more than all at once.
    kit.effects.script.lock().unwrap().push_back(Ok(Outcome::out(body(20_000))));
    let view = kit.run(&slug, json!(1)).await;
    let told_of = told(&kit, view.id).await;
    assert!(told_of.len() == 2 && is_warning(&told_of[0]) && told_of[1] == too_long, "{told_of:?}");
    // Whoever has not much of it is told nothing.
    assert_eq!(told(&kit, kit.run(&slug, json!(1)).await.id).await, []);
}
