//! What the executor and the crates below it write to logs, at their most talkative.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::server::{Server, answer};
use crate::{call, tls};

/// Keeps the text of every span and event, those of the other tests included.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        writeln!(self.0.lock().unwrap(), "{} {}", record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn logs_hold_no_values_at_any_level() {
    let everything = Everything::default();
    log::set_boxed_logger(Box::new(everything.clone())).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    tracing::subscriber::set_global_default(everything.clone()).unwrap();

    let server = Server::always(answer("503 Oops", &[("X-Echo", "CANARY")], "CANARY")).await;
    let (port, _) = tls::serve(tls::ok()).await;
    let config = |url: String| {
        json!({
            "method": "POST", "url": url, "body": "CANARY", "query": {"q": "CANARY"},
            "headers": {"X-Key": "CANARY"}, "auth": {"type": "bearer", "token": "CANARY"},
        })
    };
    assert!(call(config(server.url("/CANARY"))).await.is_err());
    let trusting = tls::builder().root_certificates(tls::AUTHORITY);
    assert!(tls::get(trusting, config(format!("https://tls.example:{port}/CANARY"))).await.is_ok());

    let seen = everything.0.lock().unwrap().clone();
    for expected in ["host=127.0.0.1", "verdict=Failing", "reqwest"] {
        assert!(seen.contains(expected), "{expected} is not in {seen}");
    }
    let leak = seen.lines().find(|line| line.to_uppercase().contains("CANARY"));
    assert_eq!(leak, None);
}
