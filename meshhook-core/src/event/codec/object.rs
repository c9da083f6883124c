//! Objects member by member: written in canonical order, and taken apart until nothing is left.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::CodecError;
use crate::event::TimerPurpose;
use crate::failure::Failure;
use crate::json;

/// Writes an object whose members are given in canonical order.
pub(super) struct ObjectWriter<'a> {
    text: &'a mut String,
    last: &'static str,
}

impl<'a> ObjectWriter<'a> {
    pub(super) fn open(text: &'a mut String) -> Self {
        text.push('{');
        Self { text, last: "" }
    }

    pub(super) fn raw(&mut self, name: &'static str, write: impl FnOnce(&mut String)) {
        debug_assert!(self.last < name, "member {name} after {}", self.last);
        if !self.last.is_empty() {
            self.text.push(',');
        }
        self.last = name;
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        write(self.text);
    }

    pub(super) fn value(&mut self, name: &'static str, value: &Value) {
        self.raw(name, |text| json::write_canonical(value, text));
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.raw(name, |text| json::write_canonical_str(value, text));
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.raw(name, |text| text.push_str(&value.to_string()));
    }

    pub(super) fn close(self) {
        self.text.push('}');
    }
}

/// The members of an event's data that have not been taken yet.
pub(super) struct Members<'a> {
    pub(super) data: Map<String, Value>,
    pub(super) fault: &'a dyn Fn(&str) -> CodecError,
}

impl Members<'_> {
    pub(super) fn value(&mut self, name: &str) -> Result<Arc<Value>, CodecError> {
        self.data.remove(name).map(Arc::new).ok_or_else(|| (self.fault)(name))
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Map<String, Value>, CodecError> {
        match self.data.remove(name) {
            Some(Value::Object(members)) => Ok(members),
            _ => Err((self.fault)(name)),
        }
    }

    pub(super) fn optional_value(&mut self, name: &str) -> Option<Arc<Value>> {
        self.data.remove(name).map(Arc::new)
    }

    pub(super) fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, CodecError> {
        self.data.remove(name).as_ref().and_then(read).ok_or_else(|| (self.fault)(name))
    }

    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, CodecError> {
        match self.data.remove(name) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| (self.fault)(name)),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, CodecError> {
        self.with(name, |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, CodecError> {
        self.optional(name, |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<T, CodecError> {
        self.with(name, |value| value.as_str()?.parse().ok())
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, name: &str) -> Result<T, CodecError> {
        self.with(name, |value| value.as_u64()?.try_into().ok())
    }

    pub(super) fn failure(&mut self, name: &str) -> Result<Failure, CodecError> {
        self.with(name, Failure::from_value)
    }

    pub(super) fn purpose(&mut self) -> Result<TimerPurpose, CodecError> {
        self.with("purpose", |value| TimerPurpose::from_name(value.as_str()?))
    }
}
