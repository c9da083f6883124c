//! What is recorded of deliveries, and what keeps it from being shown or recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use meshhook_core::engine::{Engine, EngineError, HookRefusal, KeptRequest, Project, Received};
use meshhook_core::id::{DeliveryId, ProjectId, WorkflowSlug};
use meshhook_core::secret::{MasterKey, StaticKeys};
use meshhook_core::store::memory::{Fault, FaultPlan, Loss, MemoryStore, Operation};
use meshhook_core::store::{DeliveryFilter, DeliveryRecord, DeliveryStore as _, Page, RunFilter};
use meshhook_core::testing::VirtualClock;
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::{RawRequest, RecordedVerdict, Verdict};
use serde_json::{Value, json};

use crate::kit::Plan;

fn process(store: &Arc<MemoryStore>, key: u8) -> Project {
    let keys = Arc::new(StaticKeys::new(MasterKey::from_bytes([key; 32])));
    let builder = Engine::builder(store.clone()).clock(Arc::new(VirtualClock::new()));
    builder.key_provider(keys).start().unwrap().project(&ProjectId::default_project())
}

async fn publish(project: &Project, config: Value) {
    let mut all = json!({ "path": "in", "verify": { "scheme": "none" } });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let nodes = json!([{ "id": "a", "type": "transform", "config": { "expression": "input" } }]);
    let triggers = json!([{ "id": "hook", "type": "webhook", "config": all }]);
    let slug = WorkflowSlug::new("flow").unwrap();
    let definition = json!({ "name": "Hooked", "triggers": triggers, "nodes": nodes });
    project.create_workflow(&slug, definition).await.unwrap();
    project.publish(&slug).await.unwrap();
}

async fn send(project: &Project, headers: &HeaderMap, body: &[u8]) -> Result<Received, HookRefusal> {
    let hook = project.hook("in").await.unwrap().unwrap();
    let url = "https://example.com/hooks/default/in";
    hook.receive(&RawRequest { method: "POST", url, query: "", headers, body }).await
}

fn as_json() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers
}

fn guarded() -> Value {
    json!({ "verify": { "scheme": "api_key", "header": "x-key", "secret": "absent" } })
}

/// Whatever is stored.
async fn stored(store: &MemoryStore) -> Vec<DeliveryRecord> {
    let (mut all, mut after): (Vec<DeliveryRecord>, _) = (Vec::new(), None);
    loop {
        let filter = DeliveryFilter { page: Page { limit: 200, after }, ..DeliveryFilter::default() };
        let part = store.deliveries(&ProjectId::default_project(), filter).await.unwrap();
        all.extend(part.items);
        if !part.more {
            return all;
        }
        after = all.last().map(|record| record.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_long_heads_does_not_fill_the_table() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let project = process(&store, 1);
    publish(&project, guarded()).await;
    let mut headers = as_json();
    headers.insert("x-long", HeaderValue::from_bytes(&[b'a'; 60 << 10]).unwrap());
    let hook = project.hook("in").await.unwrap().unwrap();
    let url = "https://example.com/hooks/default/in";
    let request = RawRequest { method: "POST", url, query: "", headers: &headers, body: b"{}" };
    for n in 0..700 {
        if n % 2 == 0 {
            assert!(hook.receive(&request).await.is_err());
        } else {
            hook.turn_away(&request, Verdict::MethodNotAllowed, 405);
        }
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rows = stored(&store).await;
    let bytes: usize = rows.iter().map(DeliveryRecord::bytes).sum();
    assert!((500..520).contains(&rows.len()), "{}", rows.len());
    assert!((4 << 20..17 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_under_a_key_that_is_gone_is_not_kept() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let old = process(&store, 1);
    publish(&old, guarded()).await;
    send(&old, &as_json(), b"{}").await.unwrap_err();
    let sealed = old.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0);
    assert_eq!(sealed.kept, KeptRequest::Whole);
    let new = process(&store, 2);
    let seen = new.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0);
    assert_eq!((seen.id, seen.kept, &seen.body), (sealed.id, KeptRequest::None, &Value::Null));
    let checked = new.check_delivery(sealed.id, None).await;
    assert!(matches!(checked, Err(EngineError::NotKept { .. })), "{checked:?}");
    let replayed = new.replay_delivery(sealed.id, None).await;
    assert!(matches!(replayed, Err(EngineError::NotKept { .. })), "{replayed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_is_shown_as_far_as_it_can_be() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let project = process(&store, 1);
    publish(&project, guarded()).await;
    send(&project, &as_json(), b"{}").await.unwrap_err();
    let at = Timestamp::from_micros(1);
    let later = Timestamp::from_micros(i64::MAX);
    let id = DeliveryId::new(at, [7; 8]);
    let mut strange = DeliveryRecord::new(ProjectId::default_project(), id, (at, later), Verdict::Accepted);
    strange.facts = r#"{"method":7}"#.into();
    store.record_deliveries(vec![strange]).await.unwrap();
    let all = project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    assert_eq!((all.len(), all[0].kept, all[1].id), (2, KeptRequest::Whole, id));
    assert_eq!((all[1].kept, project.delivery(id).await.unwrap().id), (KeptRequest::None, id));
}

#[tokio::test(start_paused = true)]
async fn a_row_of_a_newer_release_is_shown_with_the_verdict_that_it_has() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let project = process(&store, 1);
    publish(&project, guarded()).await;
    send(&project, &as_json(), b"{}").await.unwrap_err();
    project.deliveries(DeliveryFilter::default()).await.unwrap();
    let mut newer = stored(&store).await.remove(0);
    newer.id = DeliveryId::new(Timestamp::from_micros(1), [7; 8]);
    newer.verdict = RecordedVerdict::from_name("quarantined");
    newer.facts = newer.facts.replacen('{', r#"{"told":["by","whom"],"#, 1);
    store.record_deliveries(vec![newer.clone()]).await.unwrap();
    let all = project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    assert_eq!((all[1].verdict.as_str(), all[1].verdict.known()), ("quarantined", None));
    assert_eq!((all[1].path.as_str(), all[1].detail.is_some()), ("in", true));
    assert_eq!(project.delivery(newer.id).await.unwrap(), all[1]);
    // Nobody here knows whether it has a run.
    newer.id = DeliveryId::new(Timestamp::from_micros(2), [8; 8]);
    (newer.verdict, newer.facts) = (Verdict::Mismatch.into(), r#"{"method":7}"#.into());
    store.record_deliveries(vec![newer.clone()]).await.unwrap();
    for id in [all[1].id, newer.id] {
        let refused = project.replay_delivery(id, None).await.unwrap_err();
        assert_eq!(refused.to_string(), "a newer release knows what became of the delivery");
        let refused = project.check_delivery(id, None).await.unwrap_err();
        assert!(matches!(refused, EngineError::NotKept { .. }), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_hook_would_take_is_told_of_what_it_does_not() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let project = process(&store, 1);
    let limit = json!({ "per_second": 0.5, "burst": 1, "key": "body.of" });
    let filter = format!("body.n > `0.{}`", "0".repeat(300));
    publish(&project, json!({ "methods": ["POST", "PUT"], "rate_limit": limit, "filter": filter })).await;
    let hook = project.hook("in").await.unwrap().unwrap();
    let url = "https://example.com/hooks/default/in";
    let get = RawRequest { method: "GET", url, query: "", headers: &as_json(), body: b"" };
    hook.receive(&get).await.unwrap_err();
    hook.turn_away(&get, Verdict::MethodNotAllowed, 405);
    send(&project, &as_json(), br#"{"n":1}"#).await.unwrap();
    send(&project, &as_json(), br#"{"n":2}"#).await.unwrap_err();
    send(&project, &as_json(), br#"{"n":0}"#).await.unwrap();
    let told = project.deliveries(DeliveryFilter::default()).await.unwrap().items;
    let mut told: Vec<_> = told.into_iter().map(|told| told.detail.unwrap_or_default()).collect();
    // They came within one moment.
    told.sort();
    let cut = format!("the filter said no: body.n > `0.{}…", "0".repeat(188));
    let limit = "the hook takes no more for now: its limit is 0.5 per second, and 1 at once, for each value of body.of";
    let methods = "this hook takes `POST`, `PUT` only";
    assert_eq!(told, ["", &cut, limit, methods, methods]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_astray_is_shown_with_what_is_there_and_also_when_that_cannot_be_looked_up() {
    let plan = Arc::new(Plan::default());
    let project = process(&plan.store(VirtualClock::new()), 1);
    let (url, headers) = ("https://example.com/hooks/default/in/", as_json());
    let request = RawRequest { method: "POST", url, query: "", headers: &headers, body: b"" };
    project.turn_away("in/", &request);
    let id = project.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0).id;
    let told = async || project.delivery(id).await.unwrap().detail;
    let slashed =
        |why: &str| format!("no hook's path has a slash at an end, or two in a row; as for `in`: {why}");
    assert_eq!(told().await.unwrap(), slashed("no workflow has a hook there"));
    publish(&project, json!({})).await;
    assert_eq!(told().await.unwrap(), slashed("a hook of the workflow `flow` is live there"));
    plan.push(Operation::Read, Fault::default());
    plan.lose(Operation::Read, Loss::Unavailable);
    assert_eq!(told().await, None);
}

/// Panics once at each of these.
#[derive(Debug, Default)]
struct Panics {
    recording: AtomicBool,
    admitting: AtomicBool,
}

impl FaultPlan for Panics {
    fn next(&self, operation: Operation) -> Fault {
        let armed = match operation {
            Operation::DeliveryWrite => &self.recording,
            Operation::RateWrite => &self.admitting,
            _ => return Fault::default(),
        };
        assert!(!armed.swap(false, Ordering::SeqCst), "injected panic");
        Fault::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_what_met_it_and_nothing_after_it() {
    let panics = Arc::new(Panics::default());
    let store = MemoryStore::new(Arc::new(VirtualClock::new())).with_faults(panics.clone());
    let store = Arc::new(store);
    let project = process(&store, 1);
    publish(&project, json!({ "rate_limit": { "per_second": 1, "burst": 9 } })).await;
    panics.admitting.store(true, Ordering::SeqCst);
    let refused = send(&project, &as_json(), b"1").await.unwrap_err();
    assert_eq!(refused.verdict(), Verdict::Overloaded);
    panics.recording.store(true, Ordering::SeqCst);
    assert!(project.deliveries(DeliveryFilter::default()).await.unwrap().items.is_empty());
    assert!(matches!(send(&project, &as_json(), b"2").await, Ok(Received::Accepted { .. })));
    assert_eq!(project.deliveries(DeliveryFilter::default()).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_finds_the_run_of_a_sender_that_went_away() {
    let plan = Arc::new(Plan::default());
    let project = process(&plan.store(VirtualClock::new()), 1);
    publish(&project, json!({})).await;
    let second = Duration::from_secs(1);
    let gone = async |fault: Fault| {
        plan.push(Operation::Commit, Fault { delay_before: Some(second), ..fault });
        let answer = tokio::time::timeout(second / 10, send(&project, &as_json(), b"1")).await;
        assert!(answer.is_err(), "{answer:?}");
        tokio::time::sleep(second * 60).await;
        let listed = project.deliveries(DeliveryFilter::default()).await.unwrap().items.remove(0);
        assert_eq!((listed.verdict.as_str(), listed.run), ("incomplete", None));
        project.delivery(listed.id).await.unwrap()
    };
    let replayed = async |id: DeliveryId| match project.replay_delivery(id, None).await.unwrap() {
        Received::Accepted { run, duplicate } => (run, duplicate),
        other => panic!("{other:?}"),
    };
    let runs = async || project.runs(RunFilter::default()).await.unwrap().items.len();
    // The run was committed after its sender had gone.
    let committed = gone(Fault::default()).await;
    assert_eq!(runs().await, 1);
    assert_eq!(replayed(committed.id).await, (committed.run.unwrap(), true));
    assert_eq!(runs().await, 1);
    // It never was.
    let lost = gone(Fault { loss: Some(Loss::Unavailable), ..Fault::default() }).await;
    assert_eq!((lost.run, runs().await), (None, 1));
    let (run, duplicate) = replayed(lost.id).await;
    assert_eq!((duplicate, replayed(lost.id).await, runs().await), (false, (run, true), 2));
}
