//! Deliveries that carry several items, each of which is a run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use meshhook_core::engine::{EngineOptions, HookRefusal, ItemRun, KeptRequest, Received};
use meshhook_core::id::RunId;
use meshhook_core::store::memory::{Fault, Loss, MemoryStore, Operation};
use meshhook_core::store::{DeliveryFilter, RunFilter};
use meshhook_core::testing::VirtualClock;
use meshhook_core::webhook::{RawRequest, Verdict};
use serde_json::{Value, json};

use crate::kit::{Kit, Plan};

/// A workflow with a hook that takes items; deliveries have keys where they name one.
fn taking(config: impl Into<Value>) -> Value {
    let mut all = json!({ "path": "in", "verify": { "scheme": "none" }, "each": { "items": "body" },
        "dedupe": { "key": "headers.\"x-id\"" } });
    all.as_object_mut().unwrap().extend(config.into().as_object().unwrap().clone());
    json!({ "name": "Taking", "triggers": [{ "id": "hook", "type": "webhook", "config": all }],
        "nodes": [{ "id": "a", "type": "transform", "config": { "expression": "input" } }] })
}

fn with_ids() -> Value {
    taking(json!({ "each": { "items": "body", "id": "item.id" } }))
}

fn item(id: impl Into<Value>, n: u32) -> Value {
    json!({ "id": id.into(), "n": n })
}

async fn send(kit: &Kit, body: &Value) -> Result<Received, HookRefusal> {
    send_as(kit, body, None).await
}

async fn send_as(kit: &Kit, body: &Value, id: Option<&'static str>) -> Result<Received, HookRefusal> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(id) = id {
        headers.insert("x-id", HeaderValue::from_static(id));
    }
    send_with(kit, body, headers).await
}

async fn send_with(kit: &Kit, body: &Value, headers: HeaderMap) -> Result<Received, HookRefusal> {
    let hook = kit.project.hook("in").await.unwrap().unwrap();
    let (url, body) = ("https://example.com/hooks/default/in", body.to_string());
    let request = RawRequest { method: "POST", url, query: "", headers: &headers, body: body.as_bytes() };
    hook.receive(&request).await
}

fn items(received: Result<Received, HookRefusal>) -> Vec<ItemRun> {
    match received {
        Ok(Received::Items(items)) => items,
        other => panic!("{other:?}"),
    }
}

/// Why a request is refused, and in which words.
fn refused(received: Result<Received, HookRefusal>) -> (Verdict, String) {
    let refusal = received.unwrap_err();
    (refusal.verdict(), refusal.to_string())
}

fn new(items: &[ItemRun]) -> Vec<bool> {
    items.iter().map(|item| !item.duplicate).collect()
}

fn runs(items: &[ItemRun]) -> Vec<RunId> {
    items.iter().map(|item| item.run).collect()
}

async fn count(kit: &Kit) -> usize {
    let mut filter = RunFilter::default();
    filter.page.limit = 5_000;
    kit.project.runs(filter).await.unwrap().items.len()
}

#[tokio::test(start_paused = true)]
async fn each_item_is_a_run_with_the_item_as_its_input() {
    let kit = Kit::start();
    kit.publish("flow", taking(json!({ "each": { "items": "body.events" } }))).await;
    let values = [json!({ "n": 1 }), json!("two"), json!(null)];
    let started = items(send_as(&kit, &json!({ "events": values, "more": "of it" }), Some("d")).await);
    assert_eq!(new(&started), [true; 3]);
    assert!(runs(&started).is_sorted(), "{started:?}");
    for ((run, value), index) in runs(&started).into_iter().zip(values).zip(0..) {
        let run = kit.finish(run).await;
        assert_eq!((&*run.input, run.output.as_deref()), (&value, Some(&value)));
        let trigger = &run.trigger;
        assert_eq!((&trigger["item"], &trigger["body"]), (&json!(index), &value));
        assert_eq!((&trigger["type"], &trigger["headers"]["x-id"]), (&json!("webhook"), &json!("d")));
    }
    assert_eq!(items(send(&kit, &json!({ "events": [] })).await), []);
    assert_eq!(count(&kit).await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_item_whose_id_came_before_starts_nothing() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    let first = items(send(&kit, &json!([item("a", 1), item(7, 1)])).await);
    let again = items(send(&kit, &json!([item(8, 1), item(7, 1), item("a", 1)])).await);
    assert_eq!(new(&again), [true, false, false]);
    assert_eq!([again[2].run, again[1].run], [first[0].run, first[1].run]);
    // As everywhere, 7 and "7" are one key, and objects are keys as well.
    assert!(matches!(send(&kit, &json!([item("7", 2)])).await, Err(HookRefusal::ItemReused { item: 0, .. })));
    let long = json!({ "long": "x".repeat(10_000) });
    assert_eq!(new(&items(send(&kit, &json!([item(long.clone(), 1)])).await)), [true]);
    assert_eq!(new(&items(send(&kit, &json!([item(long, 1)])).await)), [false]);
    assert_eq!(count(&kit).await, 4);
}

/// As the reference says of HubSpot and Xero.
#[tokio::test(start_paused = true)]
async fn items_that_count_their_tries_or_only_stand_in_a_sequence_are_known_again() {
    let kit = Kit::start();
    let each = json!({ "items": "body[].from_entries(to_entries(@)[?key != 'attemptNumber'])",
        "id": "to_json([item.subscriptionId, item.eventId, item.occurredAt, item.objectId])" });
    let flow = kit.publish("flow", taking(json!({ "each": each }))).await;
    let event =
        |attempt| json!([{ "eventId": 1, "subscriptionId": 2, "objectId": 3, "attemptNumber": attempt }]);
    let first = items(send(&kit, &event(0)).await);
    assert_eq!(new(&items(send(&kit, &event(1)).await)), [false]);
    assert_eq!(
        *kit.finish(first[0].run).await.input,
        json!({ "eventId": 1, "subscriptionId": 2, "objectId": 3 })
    );
    let each = json!({ "items": "body.events", "id": "body.firstEventSequence + index" });
    kit.project.save_draft(&flow, taking(json!({ "each": each })), None).await.unwrap();
    kit.project.publish(&flow).await.unwrap();
    let batch = |first, events: Value| json!({ "events": events, "firstEventSequence": first });
    assert_eq!(new(&items(send(&kit, &batch(7, json!(["a", "b"]))).await)), [true; 2]);
    assert_eq!(new(&items(send(&kit, &batch(8, json!(["b", "c"]))).await)), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn items_without_ids_go_by_their_delivery() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    let body = json!([item(json!(null), 1), item("a", 1), item(json!(null), 1)]);
    let first = items(send_as(&kit, &body, Some("d")).await);
    assert_eq!(new(&first), [true; 3]);
    let again = items(send_as(&kit, &body, Some("d")).await);
    assert_eq!((new(&again), runs(&again)), (vec![false; 3], runs(&first)));
    let other = items(send_as(&kit, &body, Some("e")).await);
    assert_eq!((new(&other), other[1].run), (vec![true, false, true], first[1].run));
    // Nobody can tell whether what has no key at all came before.
    assert_eq!(new(&items(send(&kit, &body).await)), [true, false, true]);
    // The same delivery with another body is refused, also where it has more items.
    let longer = json!([item(json!(null), 1), item("a", 1), item(json!(null), 1), item("new", 1)]);
    let refusal = send_as(&kit, &longer, Some("d")).await.unwrap_err();
    assert!(matches!(refusal, HookRefusal::KeyReused { run } if run == first[0].run), "{refusal:?}");
    assert_eq!(count(&kit).await, 7);
}

#[tokio::test(start_paused = true)]
async fn two_items_with_one_id_are_one_run_if_they_are_the_same() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    let started = items(send(&kit, &json!([item("a", 1), item("b", 1), item("a", 1)])).await);
    assert_eq!((new(&started), started[2].run), (vec![true, true, false], started[0].run));
    let clash = refused(send(&kit, &json!([item("c", 1), item("d", 1), item("c", 2)])).await);
    assert_eq!(clash, (Verdict::KeyReused, "items 0 and 2 have the same id and differ".into()));
    // Those before it are no runs either.
    assert_eq!(count(&kit).await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_was_used_with_other_content_refuses_the_whole_request() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    let first = items(send(&kit, &json!([item("a", 1)])).await);
    let refusal = send(&kit, &json!([item("b", 1), item("a", 2)])).await.unwrap_err();
    let expected = |item, run| item == 1 && run == first[0].run;
    assert!(matches!(refusal, HookRefusal::ItemReused { item, run } if expected(item, run)), "{refusal:?}");
    assert_eq!(count(&kit).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_array_or_too_long_or_has_no_id_is_refused() {
    let kit = Kit::start();
    let each =
        json!({ "items": "body.length && range(body.length) || body.items", "id": "item.x && abs(item.x)" });
    kit.publish("flow", taking(json!({ "each": each }))).await;
    let (malformed, large) = (Verdict::Malformed, Verdict::TooLarge);
    for (body, verdict, words) in [
        (json!({ "items": {} }), malformed, "each.items gives an object, not an array"),
        (json!({}), malformed, "each.items gives null, not an array"),
        (json!({ "length": "x" }), malformed, "the items cannot be computed: "),
        (json!({ "length": 1001 }), large, "the request has 1001 items; this hook takes at most 1000"),
        (json!({ "length": 1_000_000 }), large, "the items cannot be computed: "),
        (json!({ "items": [{}, { "x": "no" }] }), malformed, "the id of item 1 cannot be computed: "),
    ] {
        let (found, said) = refused(send(&kit, &body).await);
        assert!(found == verdict && said.starts_with(words), "{body}: {found} {said}");
    }
    assert_eq!(count(&kit).await, 0);
    let started = items(send(&kit, &json!({ "length": 1000 })).await);
    assert_eq!((runs(&started).is_sorted(), new(&started)), (true, vec![true; 1000]));
    assert_eq!(count(&kit).await, 1000);
}

#[tokio::test(start_paused = true)]
async fn many_items_cannot_have_long_headers_each() {
    let kit = Kit::start();
    kit.publish("flow", taking(json!({}))).await;
    let with = |count: u32, bytes: usize| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-long", HeaderValue::from_str(&"x".repeat(bytes)).unwrap());
        let body: Value = (0..count).map(Value::from).collect();
        let kit = &kit;
        async move { send_with(kit, &body, headers).await }
    };
    let (verdict, said) = refused(with(1_000, 20_000).await);
    assert!(verdict == Verdict::TooLarge && said.contains("headers"), "{verdict} {said}");
    assert_eq!(count(&kit).await, 0);
    assert_eq!(items(with(500, 20_000).await).len(), 500);
    assert_eq!(items(with(1_000, 2_000).await).len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn ids_share_one_budget() {
    let kit = Kit::start();
    let each = json!({ "items": "range(`1000`)", "id": "length(to_string(body))" });
    kit.publish("flow", taking(json!({ "each": each }))).await;
    let (verdict, said) = refused(send(&kit, &json!("x".repeat(500_000))).await);
    assert!(verdict == Verdict::Malformed && said.contains("too many steps"), "{verdict} {said}");
}

#[tokio::test(start_paused = true)]
async fn the_filter_and_the_body_schema_see_the_request_and_the_input_schema_each_item() {
    let kit = Kit::start();
    let config = json!({ "filter": "length(body) < `5`", "body_schema": { "minItems": 2 },
        "each": { "items": "body", "id": "item.id" } });
    let mut definition = taking(config);
    definition["input_schema"] = json!({ "properties": { "n": { "maximum": 5 } } });
    let flow = kit.publish("flow", definition.clone()).await;
    let five = (0..5).map(|n| item(n, 1)).collect::<Value>();
    assert!(matches!(send(&kit, &five).await, Ok(Received::Ignored)));
    let (verdict, said) = refused(send(&kit, &json!([item("a", 1)])).await);
    assert!(verdict == Verdict::InvalidSchema && said.starts_with("the body does not match body_schema: "));
    let (verdict, said) = refused(send(&kit, &json!([item("a", 1), item("b", 6)])).await);
    assert!(
        verdict == Verdict::InvalidSchema && said.starts_with("item 1 does not match input_schema: "),
        "{said}"
    );
    assert_eq!(count(&kit).await, 0);
    let both = json!([item("a", 1), item("b", 5)]);
    let first = items(send(&kit, &both).await);
    // What came before is that, whatever the schema says now.
    definition["input_schema"] = json!(false);
    kit.project.save_draft(&flow, definition, None).await.unwrap();
    kit.project.publish(&flow).await.unwrap();
    let again = items(send(&kit, &both).await);
    assert_eq!((new(&again), runs(&again)), (vec![false; 2], runs(&first)));
    let (verdict, said) = refused(send(&kit, &json!([item("a", 1), item("c", 5)])).await);
    assert!(
        verdict == Verdict::InvalidSchema && said.starts_with("item 1 does not match input_schema: "),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_one_token_however_many_items_it_has() {
    let kit = Kit::start();
    let config = json!({ "rate_limit": { "per_second": 0.001, "burst": 2 }, "each": { "items": "body", "id": "item" } });
    kit.publish("flow", taking(config)).await;
    let numbers = |from: u32| (from..from + 10).map(Value::from).collect::<Value>();
    assert_eq!(new(&items(send(&kit, &numbers(0)).await)), [true; 10]);
    assert_eq!(new(&items(send(&kit, &numbers(0)).await)), [false; 10]);
    assert_eq!(new(&items(send(&kit, &numbers(10)).await)), [true; 10]);
    assert!(matches!(send(&kit, &numbers(20)).await, Err(HookRefusal::RateLimited { .. })));
    assert_eq!(new(&items(send(&kit, &numbers(5)).await)), [false; 10]);
    assert_eq!(count(&kit).await, 20);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_items_passes_schema_and_rate_like_any_other() {
    let kit = Kit::start();
    let config = json!({ "body_schema": { "required": ["items"] }, "each": { "items": "body.items || `[]`" },
        "rate_limit": { "per_second": 0.001, "burst": 2 } });
    kit.publish("flow", taking(config)).await;
    let empty = json!({ "items": [] });
    assert_eq!(refused(send(&kit, &json!({})).await).0, Verdict::InvalidSchema);
    assert_eq!(items(send(&kit, &empty).await), []);
    assert_eq!(items(send(&kit, &empty).await), []);
    assert!(matches!(send(&kit, &empty).await, Err(HookRefusal::RateLimited { .. })));
    let rows = kit.project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    let filtered = rows.iter().find(|row| row.verdict == Verdict::Filtered).unwrap();
    assert_eq!((filtered.status, filtered.detail.as_deref()), (202, Some("the request has no items")));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_sent_many_times_at_once_is_as_many_runs_as_items() {
    let kit = Arc::new(Kit::start());
    kit.publish("flow", with_ids()).await;
    let body: Arc<Value> = Arc::new((0..50).map(|n| item(n, n)).collect());
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (kit, body) = (kit.clone(), body.clone());
            tokio::spawn(async move { items(send(&kit, &body).await) })
        })
        .collect();
    let mut found = BTreeSet::new();
    let mut started = 0;
    for task in tasks {
        let items = task.await.unwrap();
        assert_eq!(items.len(), 50);
        started += items.iter().filter(|item| !item.duplicate).count();
        found.insert(runs(&items));
    }
    assert_eq!((found.len(), started, count(&kit).await), (1, 50, 50));
}

#[tokio::test(start_paused = true)]
async fn two_requests_that_use_an_id_at_the_same_moment_are_judged_by_the_commit() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    kit.publish("flow", with_ids()).await;
    // The second request is looked up before the first one is durable.
    plan.delay(Operation::Commit, Duration::from_secs(1));
    let (one, two) = (json!([item("a", 1), item("b", 1)]), json!([item("c", 1), item("b", 2)]));
    let (one, two) = tokio::join!(send(&kit, &one), send(&kit, &two));
    let (taken, refused) = if one.is_ok() { (items(one), two) } else { (items(two), one) };
    let expected = |item, run| item == 1 && run == taken[1].run;
    assert!(
        matches!(refused, Err(HookRefusal::ItemReused { item, run }) if expected(item, run)),
        "{refused:?}"
    );
    // What else it had is a run, and found where it comes again; its row names it beside the one that is in the way.
    assert_eq!(count(&kit).await, 3);
    let rows = kit.project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    let row = rows.iter().find(|row| row.verdict == Verdict::KeyReused).unwrap();
    assert_eq!((row.run, row.runs.len(), row.runs_total), (Some(taken[1].run), 1, Some(1)));
    assert_eq!(new(&items(send(&kit, &json!([item("a", 1), item("c", 1)])).await)), [false; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_items_of_a_delivery_are_durable_together() {
    let kit = Kit::start();
    let mut definition = with_ids();
    definition["nodes"][0] =
        json!({ "id": "a", "type": "http_call", "config": { "method": "GET", "url": "https://x.example" } });
    kit.publish("flow", definition).await;
    let before = kit.store.transactions().of(Operation::Commit);
    // More than a transaction takes otherwise.
    let body: Value = (0..600).map(|n| item(n, n)).collect();
    let started = items(send(&kit, &body).await);
    assert_eq!(kit.store.transactions().of(Operation::Commit) - before, 1);
    for run in runs(&started) {
        kit.finish(run).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_looked_up_for_each_item() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    kit.publish("flow", with_ids()).await;
    for (loss, turn) in [(Loss::ReplyLost, 1), (Loss::RequestLost, 2)] {
        let body: Value = (0..20).map(|n| item(100 * turn + n, n)).collect();
        plan.lose(Operation::Commit, loss);
        let before = kit.store.transactions().of(Operation::Commit);
        let items = items(send(&kit, &body).await);
        assert_eq!((new(&items), count(&kit).await), (vec![true; 20], 20 * turn as usize), "{loss:?}");
        assert!(plan.is_used_up());
        // However many there are, they are looked up at once.
        assert!(kit.store.transactions().of(Operation::Commit) - before <= 2, "{loss:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_finds_the_runs_of_items_without_keys_that_a_lost_sender_left() {
    let clock = VirtualClock::new();
    let plan = Arc::new(Plan::default());
    let store = plan.store(clock);
    let mut options = EngineOptions::default();
    options.max_batch_bytes = 20_000;
    let kit = Kit::sealing(store, clock, options);
    let mut definition = taking(json!({}));
    definition["nodes"][0]["config"]["expression"] = json!("join('', range(`1000`)[*].to_string(@))");
    kit.publish("flow", definition).await;
    let body: Value = (0..30).map(|n| item(n, n)).collect();
    // The second part is not committed.
    plan.push(Operation::Commit, Fault::default());
    for _ in 0..30 {
        plan.lose(Operation::Commit, Loss::RequestLost);
    }
    let (verdict, _) = refused(send(&kit, &body).await);
    plan.clear();
    let left = count(&kit).await;
    assert!(verdict == Verdict::Overloaded && (1..30).contains(&left), "{verdict} {left}");
    let row = kit.project.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0);
    assert_eq!((row.kept, row.runs_total), (KeptRequest::Whole, Some(left as u64)));
    for expected in [left, 30] {
        let replayed = items(Ok(kit.project.replay_delivery(row.id, None).await.unwrap()));
        assert_eq!(replayed.iter().filter(|item| item.duplicate).count(), expected);
        assert_eq!(replayed[..row.runs.len()].iter().map(|item| item.run).collect::<Vec<_>>(), row.runs);
        assert_eq!(count(&kit).await, 30);
    }
}

#[tokio::test(start_paused = true)]
async fn ids_are_in_the_order_of_items_up_to_the_ceiling() {
    let kit = Kit::start();
    kit.publish("flow", taking(json!({ "each": { "items": "range(`1000`)" } }))).await;
    for _ in 0..2 {
        let started = runs(&items(send(&kit, &json!(null)).await));
        assert!(started.is_sorted());
        assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_named_like_an_items_place_is_another() {
    let kit = Kit::start();
    let flow = kit.publish("flow", taking(json!({}))).await;
    items(send_as(&kit, &json!([1]), Some("d")).await);
    let mut single = taking(json!({}));
    single["triggers"][0]["config"].as_object_mut().unwrap().remove("each");
    kit.project.save_draft(&flow, single, None).await.unwrap();
    kit.project.publish(&flow).await.unwrap();
    assert!(matches!(
        send_as(&kit, &json!([2]), Some("d#0")).await,
        Ok(Received::Accepted { duplicate: false, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_shows_its_own_headers_also_where_its_first_item_came_before() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    items(send_as(&kit, &json!([item("a", 1)]), Some("first")).await);
    tokio::time::sleep(Duration::from_millis(5)).await;
    items(send_as(&kit, &json!([item("a", 1), item("b", 1)]), Some("second")).await);
    let row = kit.project.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0);
    let shown = kit.project.delivery(row.id).await.unwrap();
    assert_eq!((&shown.headers["x-id"], shown.runs_total), (&json!("second"), Some(2)));
}

#[tokio::test(start_paused = true)]
async fn runs_that_make_much_of_little_are_committed_part_by_part() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    let mut options = EngineOptions::default();
    options.max_batch_bytes = 20_000;
    let kit = Kit::with(store.clone(), clock, options);
    let mut definition = with_ids();
    definition["nodes"][0]["config"]["expression"] = json!("join('', range(`1000`)[*].to_string(@))");
    kit.publish("flow", definition).await;
    let commits = || store.transactions().of(Operation::Commit);
    let before = commits();
    let body: Value = (0..30).map(|n| item(n, n)).collect();
    assert_eq!(new(&items(send(&kit, &body).await)), [true; 30]);
    assert_eq!((count(&kit).await, commits() - before), (30, 8));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_items_is_one_row_with_its_runs() {
    let kit = Kit::start();
    kit.publish("flow", with_ids()).await;
    let of = |numbers: std::ops::Range<u32>| numbers.map(|n| item(n, n)).collect::<Value>();
    let first = items(send_as(&kit, &of(0..120), Some("d")).await);
    let bodies =
        [of(0..0), of(0..120), json!([item("a", 1), item("b", 1), item("a", 1)]), json!([item(1, 7)])];
    for body in &bodies {
        // Rows of one millisecond have no order.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let _ = send(&kit, body).await;
    }
    let rows = kit.project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.verdict.known().unwrap(), row.runs.len(), row.runs_total, row.run))
        .collect();
    assert_eq!(
        told,
        [
            (Verdict::KeyReused, 0, None, Some(first[1].run)),
            (Verdict::Accepted, 2, Some(2), None),
            (Verdict::Duplicate, 100, Some(120), None),
            (Verdict::Filtered, 0, None, None),
            (Verdict::Accepted, 100, Some(120), None),
        ]
    );
    let accepted = kit.project.delivery(rows[4].id).await.unwrap();
    assert_eq!(accepted.runs, runs(&first)[..100]);
    assert_eq!((accepted.kept, &accepted.body), (KeptRequest::InRuns, &Value::Null));
    assert_eq!(accepted.headers["x-id"], "d");
    assert_eq!(rows[0].detail.as_deref(), Some("the id of item 0 was used with other content"));
}
