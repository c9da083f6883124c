//! Events as canonical JSON text, and back.
//!
//! The text of an event is its identity: it is what is stored, hashed and compared by `verify`. Members stand in
//! canonical order (RFC 8785), so that equal events have equal bytes. The API shows the same, but for one thing: a
//! webhook's body is also its run's input, and is written once, as `trigger.body`; where it is shown, `input` is there.

mod object;

use std::sync::Arc;

use serde_json::Value;

use self::object::{Members, ObjectWriter};
use super::{Event, EventData, RunCreated, RunStatus, RunTrigger, StepRef};
use crate::exec::Level;
use crate::failure::Failure;
use crate::json::{self, JsonLimits};
use crate::time::Timestamp;

/// Stored text that is not a list of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// It is not JSON, or not canonical JSON's shape.
    #[error("the stored events are no JSON array: {0}")]
    Malformed(String),
    /// A member is missing, unknown or of another type.
    #[error("event {seq:?} of type {kind:?}: member `{member}` is missing or malformed")]
    Member {
        /// The event's position, if it could be read.
        seq: Option<u64>,
        /// The event's name, if it could be read.
        kind: String,
        /// The member at fault.
        member: String,
    },
    /// An event name that this release does not know.
    #[error("event {seq} has the unknown type {kind:?}")]
    UnknownType {
        /// The event's position.
        seq: u64,
        /// Its name.
        kind: String,
    },
}

/// Writes events as a canonical JSON array.
#[must_use]
pub fn encode_events(events: &[Event]) -> String {
    let mut text = String::with_capacity(events.len() * 160);
    text.push('[');
    for (place, event) in events.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        event.encode(&mut text);
    }
    text.push(']');
    text
}

/// Reads what [`encode_events`] wrote.
///
/// # Errors
///
/// [`CodecError`] when the text is not a list of events that this release knows.
pub fn decode_events(text: &str) -> Result<Vec<Event>, CodecError> {
    let parsed = parse(text)?;
    match parsed {
        Value::Array(items) => items.into_iter().map(Event::decode).collect(),
        _ => Err(CodecError::Malformed("no array".into())),
    }
}

/// Reads the text of events, which wrap values that were within the depth limit in a few levels of their own.
fn parse(text: &str) -> Result<Value, CodecError> {
    let limits = JsonLimits::default().with_max_depth(JsonLimits::default().max_depth + EVENT_LEVELS);
    json::parse(text.as_bytes(), &limits).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// More levels than events add to the values that they hold.
const EVENT_LEVELS: usize = 16;

impl Event {
    /// Appends the event's canonical text.
    pub fn encode(&self, text: &mut String) {
        let mut object = ObjectWriter::open(text);
        object.text("at", &self.at.to_string());
        object.raw("data", |text| self.data.encode(text));
        object.number("seq", self.seq);
        if let Some(step) = &self.step {
            object.text("step", step.as_str());
        }
        object.text("type", self.data.kind());
        object.close();
    }

    /// The event as the API shows it: `{seq, at, type, step?, data}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut text = String::new();
        self.encode(&mut text);
        let mut value = parse(&text)
            .expect("an event's own text is JSON within the limits that its values were let in by");
        if let EventData::RunCreated(created) = &self.data {
            value["data"]["input"] = Value::clone(&created.input);
        }
        value
    }

    fn decode(value: Value) -> Result<Self, CodecError> {
        let Value::Object(mut object) = value else {
            return Err(CodecError::Malformed("an event is no object".into()));
        };
        let seq = object.get("seq").and_then(Value::as_u64);
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let fault = |member: &str| CodecError::Member { seq, kind: kind.clone(), member: member.to_owned() };
        let at: Timestamp =
            text_of(object.get("at")).and_then(|at| at.parse().ok()).ok_or_else(|| fault("at"))?;
        let seq = seq.ok_or_else(|| fault("seq"))?;
        let step = match object.get("step") {
            None => None,
            Some(step) => {
                Some(text_of(Some(step)).and_then(|s| s.parse().ok()).ok_or_else(|| fault("step"))?)
            }
        };
        let Some(Value::Object(data)) = object.remove("data") else { return Err(fault("data")) };
        let known = |name: &String| matches!(name.as_str(), "at" | "seq" | "step" | "type");
        if let Some(extra) = object.keys().find(|name| !known(name)) {
            return Err(fault(extra));
        }
        let mut members = Members { data, fault: &fault };
        let data = EventData::decode(&kind, &mut members)?
            .ok_or_else(|| CodecError::UnknownType { seq, kind: kind.clone() })?;
        if let Some(extra) = members.data.keys().next() {
            return Err(fault(extra));
        }
        Ok(Event { seq, at, step, data })
    }
}

impl EventData {
    fn encode(&self, text: &mut String) {
        let mut object = ObjectWriter::open(text);
        match self {
            EventData::RunCreated(created) => {
                object.text("digest", created.digest.as_str());
                if !created.input_is_body() {
                    object.value("input", &created.input);
                }
                if let Some(parent) = &created.parent {
                    object.raw("parent", |text| encode_step_ref(parent, text));
                }
                if let Some(from) = &created.resumed_from {
                    object.raw("resumed_from", |text| encode_step_ref(from, text));
                }
                object.number("semantics", u64::from(created.semantics));
                if created.test {
                    object.value("test", &Value::Bool(true));
                }
                object.raw("trigger", |text| created.trigger.encode(text));
            }
            EventData::RunClaimed { worker, epoch } => {
                object.number("epoch", *epoch);
                object.text("worker", worker.as_str());
            }
            EventData::RunPaused { by }
            | EventData::RunResumed { by }
            | EventData::RunCancelRequested { by }
            | EventData::RunRetried { by } => {
                if let Some(by) = by {
                    object.text("by", by);
                }
            }
            EventData::RunSucceeded { output, response } => {
                object.value("output", output);
                if let Some(response) = response {
                    object.value("response", response);
                }
            }
            EventData::RunFailed { failure, failed_step, response } => {
                object.value("failure", &failure.to_value());
                if let Some(response) = response {
                    object.value("response", response);
                }
                if let Some(step) = failed_step {
                    object.text("step", step.as_str());
                }
            }
            EventData::RunCancelled | EventData::StepSkipped => {}
            EventData::StepStarted { input, idempotency_key } => {
                object.text("idempotency_key", idempotency_key);
                object.value("input", input);
            }
            EventData::AttemptFailed { attempt, failure, retry_at } => {
                object.number("attempt", u64::from(*attempt));
                object.value("failure", &failure.to_value());
                if let Some(at) = retry_at {
                    object.text("retry_at", &at.to_string());
                }
            }
            EventData::StepSucceeded { port, output, attempts } => {
                if let Some(attempts) = attempts {
                    object.number("attempts", u64::from(*attempts));
                }
                object.value("output", output);
                if let Some(port) = port {
                    object.text("port", port);
                }
            }
            EventData::StepFailed { failure, port, attempts } => {
                if let Some(attempts) = attempts {
                    object.number("attempts", u64::from(*attempts));
                }
                object.value("failure", &failure.to_value());
                if let Some(port) = port {
                    object.text("port", port);
                }
            }
            EventData::TimerSet { at, purpose } | EventData::TimerFired { at, purpose } => {
                object.text("at", &at.to_string());
                object.text("purpose", purpose.as_str());
            }
            EventData::EventReceived { name, key, payload } => {
                if let Some(key) = key {
                    object.text("key", key);
                }
                object.text("name", name);
                object.value("payload", payload);
            }
            EventData::ChildStarted { run_id } => object.text("run_id", &run_id.to_string()),
            EventData::ChildFinished { run_id, status, output, failure } => {
                if let Some(failure) = failure {
                    object.value("failure", &failure.to_value());
                }
                if let Some(output) = output {
                    object.value("output", output);
                }
                object.text("run_id", &run_id.to_string());
                object.text("status", status.as_str());
            }
            EventData::StepLogged { level, message, fields } => {
                if let Some(fields) = fields {
                    object.value("fields", fields);
                }
                object.text("level", level.as_str());
                object.text("message", message);
            }
        }
        object.close();
    }

    /// Takes the members of an event of the given name; `None` when the name is unknown.
    fn decode(kind: &str, m: &mut Members<'_>) -> Result<Option<Self>, CodecError> {
        Ok(Some(match kind {
            "run_created" => {
                let trigger: RunTrigger = m.object("trigger")?.into();
                // A webhook's body is the run's input where that does not stand for itself.
                let input = m.optional_value("input").or_else(|| trigger.body().cloned());
                EventData::RunCreated(RunCreated {
                    input: input.ok_or_else(|| (m.fault)("input"))?,
                    trigger,
                    digest: m.parsed("digest")?,
                    semantics: m.number("semantics")?,
                    resumed_from: m.optional("resumed_from", decode_step_ref)?,
                    parent: m.optional("parent", decode_step_ref)?,
                    test: m.optional("test", |value| value.as_bool())?.unwrap_or(false),
                })
            }
            "run_claimed" => EventData::RunClaimed { worker: m.parsed("worker")?, epoch: m.number("epoch")? },
            "run_paused" => EventData::RunPaused { by: m.optional_text("by")? },
            "run_resumed" => EventData::RunResumed { by: m.optional_text("by")? },
            "run_cancel_requested" => EventData::RunCancelRequested { by: m.optional_text("by")? },
            "run_retried" => EventData::RunRetried { by: m.optional_text("by")? },
            "run_succeeded" => {
                EventData::RunSucceeded { output: m.value("output")?, response: m.optional_value("response") }
            }
            "run_failed" => EventData::RunFailed {
                failure: m.failure("failure")?,
                failed_step: m.optional("step", |value| value.as_str()?.parse().ok())?,
                response: m.optional_value("response"),
            },
            "run_cancelled" => EventData::RunCancelled,
            "step_started" => EventData::StepStarted {
                input: m.value("input")?,
                idempotency_key: m.text("idempotency_key")?,
            },
            "attempt_failed" => EventData::AttemptFailed {
                attempt: m.number("attempt")?,
                failure: m.failure("failure")?,
                retry_at: m.optional("retry_at", |value| value.as_str()?.parse().ok())?,
            },
            "step_succeeded" => EventData::StepSucceeded {
                port: m.optional_text("port")?.map(Arc::from),
                output: m.value("output")?,
                attempts: m.optional("attempts", |value| value.as_u64()?.try_into().ok())?,
            },
            "step_failed" => EventData::StepFailed {
                failure: m.failure("failure")?,
                port: m.optional_text("port")?.map(Arc::from),
                attempts: m.optional("attempts", |value| value.as_u64()?.try_into().ok())?,
            },
            "step_skipped" => EventData::StepSkipped,
            "timer_set" => EventData::TimerSet { at: m.parsed("at")?, purpose: m.purpose()? },
            "timer_fired" => EventData::TimerFired { at: m.parsed("at")?, purpose: m.purpose()? },
            "event_received" => EventData::EventReceived {
                name: m.text("name")?,
                key: m.optional_text("key")?,
                payload: m.value("payload")?,
            },
            "child_started" => EventData::ChildStarted { run_id: m.parsed("run_id")? },
            "child_finished" => EventData::ChildFinished {
                run_id: m.parsed("run_id")?,
                status: m.with("status", |value| RunStatus::from_name(value.as_str()?))?,
                output: m.optional_value("output"),
                failure: m.optional("failure", Failure::from_value)?,
            },
            "step_logged" => EventData::StepLogged {
                level: m.with("level", |value| Level::from_name(value.as_str()?))?,
                message: m.text("message")?,
                fields: m.optional_value("fields"),
            },
            _ => return Ok(None),
        }))
    }
}

fn encode_step_ref(reference: &StepRef, text: &mut String) {
    let mut object = ObjectWriter::open(text);
    object.text("run_id", &reference.run_id.to_string());
    object.text("step", reference.step.as_str());
    object.close();
}

fn decode_step_ref(value: &Value) -> Option<StepRef> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    Some(StepRef {
        run_id: object.get("run_id")?.as_str()?.parse().ok()?,
        step: object.get("step")?.as_str()?.parse().ok()?,
    })
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TimerPurpose;
    use crate::id::{Digest, RunId, WorkerId};
    use serde_json::json;

    fn all_kinds() -> Vec<EventData> {
        let failure = Failure::retryable("http_status", "status 503").with_details(json!({"status": 503}));
        let run_id = RunId::new(Timestamp::EPOCH, [9; 8]);
        let value = || Arc::new(json!({"b": [1, 2.5, null], "a": "é\n"}));
        let step: crate::id::StepKey = "each[3].post".parse().unwrap();
        let trigger = json!({"type": "manual", "b": [1, 2.5, null]}).as_object().unwrap().clone().into();
        let mut created = RunCreated::new(Digest::new(&"a".repeat(64)).unwrap(), trigger, value());
        created.test = true;
        created.parent = Some(StepRef { run_id, step: step.clone() });
        created.resumed_from = Some(StepRef { run_id, step: step.clone() });
        let timer = (Timestamp::EPOCH, TimerPurpose::Delay);
        vec![
            EventData::RunCreated(created),
            EventData::RunClaimed { worker: WorkerId::new("w1").unwrap(), epoch: 2 },
            EventData::RunPaused { by: Some("ann".into()) },
            EventData::RunResumed { by: None },
            EventData::RunCancelRequested { by: None },
            EventData::RunRetried { by: None },
            EventData::RunSucceeded { output: value(), response: Some(value()) },
            EventData::RunFailed { failure: failure.clone(), failed_step: Some(step), response: None },
            EventData::RunCancelled,
            EventData::StepStarted { input: value(), idempotency_key: "k".into() },
            EventData::AttemptFailed {
                attempt: 1,
                failure: failure.clone(),
                retry_at: Some(Timestamp::EPOCH),
            },
            EventData::StepSucceeded { port: Some("out".into()), output: value(), attempts: Some(2) },
            EventData::StepFailed { failure: failure.clone(), port: Some("error".into()), attempts: Some(3) },
            EventData::StepSkipped,
            EventData::TimerSet { at: timer.0, purpose: timer.1 },
            EventData::TimerFired { at: timer.0, purpose: timer.1 },
            EventData::EventReceived { name: "paid".into(), key: None, payload: Arc::new(Value::Null) },
            EventData::ChildStarted { run_id },
            EventData::ChildFinished {
                run_id,
                status: RunStatus::Failed,
                output: Some(Arc::new(Value::Null)),
                failure: Some(failure),
            },
            EventData::StepLogged { level: Level::Warn, message: "m".into(), fields: Some(value()) },
        ]
    }

    #[test]
    fn every_event_reads_back_and_is_canonical() {
        let step: crate::id::StepKey = "post".parse().unwrap();
        let events: Vec<Event> = all_kinds()
            .into_iter()
            .zip(1..)
            .map(|(data, seq)| Event::new(seq, Timestamp::EPOCH, (seq % 2 == 0).then(|| step.clone()), data))
            .collect();
        let text = encode_events(&events);
        assert_eq!(decode_events(&text).unwrap(), events);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json::to_canonical_string(&value), text);
        assert_eq!(events[8].to_value()["type"], "run_cancelled");
    }

    #[test]
    fn a_webhooks_body_is_written_once_and_shown_twice() {
        let created = |trigger: Value, input: Value| {
            let digest = Digest::new(&"a".repeat(64)).unwrap();
            let trigger = trigger.as_object().unwrap().clone().into();
            let data = EventData::RunCreated(RunCreated::new(digest, trigger, Arc::new(input)));
            Event::new(1, Timestamp::EPOCH, None, data)
        };
        let body = json!({ "order": "o-12345" });
        for (trigger, input, times) in [
            (json!({ "type": "webhook", "body": body }), body.clone(), 1),
            (json!({ "type": "webhook", "body": null }), Value::Null, 0),
            (json!({ "type": "webhook", "body": body }), json!({ "other": 1 }), 1),
            (json!({ "type": "manual", "body": body }), body.clone(), 2),
            (json!({ "type": "manual" }), body, 1),
        ] {
            let event = created(trigger, input.clone());
            let text = encode_events(std::slice::from_ref(&event));
            assert_eq!(text.matches("o-12345").count(), times, "{text}");
            assert_eq!(event.to_value()["data"]["input"], input);
            assert_eq!(decode_events(&text).unwrap(), [event]);
        }
    }

    #[test]
    fn an_input_that_stands_nowhere_is_missed() {
        let text = r#"[{"at":"1970-01-01T00:00:00Z","data":{"digest":"DIGEST","semantics":1,"trigger":{"type":"TYPE"}},"seq":1,"type":"run_created"}]"#;
        for kind in ["manual", "webhook"] {
            let text = text.replace("DIGEST", &"a".repeat(64)).replace("TYPE", kind);
            let Err(CodecError::Member { member, .. }) = decode_events(&text) else { panic!("{text}") };
            assert_eq!(member, "input");
        }
    }

    #[test]
    fn values_at_the_depth_limit_read_back() {
        let mut deep = json!("bottom");
        for _ in 0..JsonLimits::default().max_depth {
            deep = json!([deep]);
        }
        let deep = Arc::new(json!({ "body": { "predecessor": deep } }));
        let step: crate::id::StepKey = "post".parse().unwrap();
        let data = EventData::StepStarted { input: deep.clone(), idempotency_key: "k".into() };
        let event = Event::new(1, Timestamp::EPOCH, Some(step), data);
        assert_eq!(event.to_value()["data"]["input"], *deep);
        assert_eq!(decode_events(&encode_events(std::slice::from_ref(&event))).unwrap(), [event]);
    }

    #[test]
    fn events_that_this_release_does_not_know_are_refused() {
        let at = "1970-01-01T00:00:00.000000Z";
        for (event, wanted) in [
            (json!({"at": at, "data": {}, "seq": 1, "type": "run_vanished"}), "unknown type"),
            (json!({"at": at, "data": {"x": 1}, "seq": 1, "type": "run_cancelled"}), "`x`"),
            (json!({"at": at, "data": {}, "seq": 1, "type": "run_succeeded"}), "`output`"),
            (json!({"at": "now", "data": {}, "seq": 1, "type": "run_cancelled"}), "`at`"),
            (json!({"at": at, "data": {}, "type": "run_cancelled"}), "`seq`"),
            (json!({"at": at, "data": {}, "seq": 1, "type": "run_cancelled", "extra": 1}), "`extra`"),
            (json!({"at": at, "data": {}, "seq": 1, "type": "step_skipped", "step": "a.b"}), "`step`"),
            (json!("x"), "no object"),
        ] {
            let error = decode_events(&json!([event]).to_string()).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
