use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use meshhook_core::engine::StartRequest;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::json;

use crate::kit::Kit;

/// Keeps counters, by name and labels.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn of(&self, name: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        counters.get(name).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<String> = key.labels().map(|label| format!(" {}", label.value())).collect();
        let name = format!("{}{}", key.name(), labels.concat());
        Counter::from_arc(self.0.lock().unwrap().entry(name).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn test_runs_are_left_out_of_metrics() {
    let counters = Counters::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&counters, || {
        runtime.block_on(async {
            let kit = Kit::start();
            let pure = json!({ "name": "Pure", "nodes":
                [{ "id": "a", "type": "transform", "config": { "expression": "input" } }] });
            let slug = kit.publish("pure", pure).await;
            for request in [StartRequest::new(json!(1)), StartRequest::new(json!(2)).test()] {
                kit.project.start_run(&slug, request).await.unwrap();
            }
        });
    });
    assert_eq!(counters.of("meshhook_runs_started_total"), 1);
    assert_eq!(counters.of("meshhook_runs_ended_total succeeded"), 1);
}
