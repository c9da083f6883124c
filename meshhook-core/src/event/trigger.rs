//! What started a run.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::expr::View;
use crate::json;

/// What started a run, as expressions see it in `trigger`: an object with a `type`.
///
/// A webhook's body is usually its run's input as well, and by far the largest part of both. It is held apart from the
/// rest, so that a run shares it with its input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunTrigger {
    members: Map<String, Value>,
    body: Option<Arc<Value>>,
}

impl RunTrigger {
    /// The body of the webhook that it was, if it was one.
    #[must_use]
    pub fn body(&self) -> Option<&Arc<Value>> {
        self.body.as_ref()
    }

    /// A member of it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.body.as_deref().filter(|_| name == BODY).or_else(|| self.members.get(name))
    }

    /// All of it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut members = self.members.clone();
        if let Some(body) = &self.body {
            members.insert(BODY.to_owned(), Value::clone(body));
        }
        Value::Object(members)
    }

    /// All of it, as expressions see it.
    pub(crate) fn view(&self) -> View<'_> {
        View::object(self.iter().map(|(name, value)| (name, View::from(value))))
    }

    /// Appends its canonical text.
    pub(super) fn encode(&self, text: &mut String) {
        let mut members: Vec<(&str, &Value)> = self.iter().collect();
        members.sort_by(|(a, _), (b, _)| json::compare_keys(a, b));
        for ((name, value), place) in members.into_iter().zip(0..) {
            text.push(if place == 0 { '{' } else { ',' });
            json::write_canonical_str(name, text);
            text.push(':');
            json::write_canonical(value, text);
        }
        text.push('}');
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let body = self.body.as_deref().map(|body| (BODY, body));
        self.members.iter().map(|(name, value)| (&**name, value)).chain(body)
    }
}

const BODY: &str = "body";

impl From<Map<String, Value>> for RunTrigger {
    fn from(mut members: Map<String, Value>) -> Self {
        let is_webhook = members.get("type").is_some_and(|kind| kind == "webhook");
        let body = if is_webhook { members.remove(BODY).map(Arc::new) } else { None };
        Self { members, body }
    }
}
