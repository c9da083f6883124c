//! What went wrong in a step or a run, as the history keeps it.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::json;

/// A failure of a step or a run: durable, free of secrets, part of the history.
///
/// It is told apart by its [`code`](Failure::code), never by its message.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Stable name, lower case with underscores: one of [`code`]'s or a custom node's own.
    pub code: Cow<'static, str>,
    /// For people: lower case, no full stop, no secret. At most [`MAX_MESSAGE_BYTES`] bytes.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// More for people and `error` branches, of a shape that the code defines.
    pub details: Option<Box<Value>>,
}

/// The longest message that a failure keeps; the rest is cut off.
pub const MAX_MESSAGE_BYTES: usize = 2_048;
/// The most bytes that a failure's details may have as canonical JSON.
pub const MAX_DETAILS_BYTES: usize = 64 << 10;
/// How deep a failure's details may nest: less than an output, which may hold a failure that holds another.
pub const MAX_DETAILS_DEPTH: usize = 120;
/// The longest code that a failure may have.
pub const MAX_CODE_BYTES: usize = 64;

impl Failure {
    /// A failure that another attempt will not mend.
    ///
    /// A code is a lower-case name such as `card_declined`, of at most [`MAX_CODE_BYTES`] bytes; any other one is recorded
    /// as [`code::CUSTOM_FAILURE`], with itself in front of the message.
    #[must_use]
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: truncated(message.into()), retryable: false, details: None }
    }

    /// A failure that another attempt may mend.
    #[must_use]
    pub fn retryable(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::permanent(code, message) }
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The failure as a history may hold it, whoever made it: its message cut, details that are too large or hold a
    /// number out of range replaced by words, and a code that is none replaced by [`code::CUSTOM_FAILURE`].
    #[must_use]
    pub fn bounded(mut self) -> Self {
        if !is_code(&self.code) {
            self.message = format!("{}: {}", self.code, self.message);
            self.code = Cow::Borrowed(code::CUSTOM_FAILURE);
        }
        self.message = truncated(self.message);
        let too_large = |details: &mut Box<Value>| {
            json::depth(details) > MAX_DETAILS_DEPTH
                || json::normalize(details).is_err()
                || json::canonical_len_within(details, MAX_DETAILS_BYTES).is_none()
        };
        if self.details.as_mut().is_some_and(too_large) {
            self.details = Some(Box::new("the details were too large to keep".into()));
        }
        self
    }

    /// The failure as it stands in events and answers: `{code, details?, message, retryable}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut object = Map::new();
        object.insert("code".into(), self.code.as_ref().into());
        if let Some(details) = &self.details {
            object.insert("details".into(), (**details).clone());
        }
        object.insert("message".into(), self.message.as_str().into());
        object.insert("retryable".into(), self.retryable.into());
        Value::Object(object)
    }

    /// Reads what [`to_value`](Self::to_value) made; `None` when it has another shape.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let known = |name: &String| matches!(name.as_str(), "code" | "message" | "retryable" | "details");
        if !object.keys().all(known) {
            return None;
        }
        Some(Self {
            code: Cow::Owned(object.get("code")?.as_str()?.to_owned()),
            message: object.get("message")?.as_str()?.to_owned(),
            retryable: object.get("retryable")?.as_bool()?,
            details: object.get("details").cloned().map(Box::new),
        })
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        if self.retryable { f.write_str(" (retryable)") } else { Ok(()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

/// Whether a text is a code: lower-case letters, digits and underscores, the first one a letter.
fn is_code(text: &str) -> bool {
    text.len() <= MAX_CODE_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn truncated(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let end = (0..=MAX_MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
    }
    message
}

/// The codes that MeshHook itself uses. Expression errors add their `expression_*` codes.
pub mod code {
    /// The answer's status is not one that the node counts as success.
    pub const HTTP_STATUS: &str = "http_status";
    /// No connection could be made.
    pub const HTTP_CONNECT: &str = "http_connect";
    /// The connection broke, or the peer did not speak HTTP.
    pub const HTTP_TRANSPORT: &str = "http_transport";
    /// The decoded response body is larger than the node allows.
    pub const RESPONSE_TOO_LARGE: &str = "response_too_large";
    /// The response body does not parse as what it was asked to be.
    pub const RESPONSE_INVALID: &str = "response_invalid";
    /// The target's address is private, local or reserved.
    pub const ADDRESS_BLOCKED: &str = "address_blocked";
    /// A redirect leads where the node may not follow.
    pub const REDIRECT_REFUSED: &str = "redirect_refused";
    /// The rendered URL is not one that a request can go to.
    pub const INVALID_URL: &str = "invalid_url";
    /// A timeout or deadline passed.
    pub const TIMED_OUT: &str = "timed_out";
    /// A `terminate` node ended the run as failed.
    pub const TERMINATED: &str = "terminated";
    /// An item of `for_each` failed.
    pub const ITEM_FAILED: &str = "item_failed";
    /// `repeat` ran out of iterations.
    pub const ITERATIONS_EXHAUSTED: &str = "iterations_exhausted";
    /// A called workflow did not succeed.
    pub const CHILD_FAILED: &str = "child_failed";
    /// The called workflow does not exist or has no version.
    pub const WORKFLOW_NOT_FOUND: &str = "workflow_not_found";
    /// `items` is no array.
    pub const INVALID_ITEMS: &str = "invalid_items";
    /// A rendered duration or time is none.
    pub const INVALID_DURATION: &str = "invalid_duration";
    /// A value does not match its JSON Schema.
    pub const SCHEMA_VIOLATION: &str = "schema_violation";
    /// A step's output is larger than the limit.
    pub const OUTPUT_TOO_LARGE: &str = "output_too_large";
    /// A limit of the engine was reached.
    pub const LIMIT_EXCEEDED: &str = "limit_exceeded";
    /// A secret that the step needs is not in the vault.
    pub const SECRET_NOT_FOUND: &str = "secret_not_found";
    /// The run was cancelled.
    pub const CANCELLED: &str = "cancelled";
    /// The run's workers died again and again while they held it.
    pub const QUARANTINED: &str = "quarantined";
    /// Whether the effect happened is not known, and it must not happen twice.
    pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
    /// The configuration of a step, once rendered, is not one that its node accepts.
    pub const INVALID_CONFIG: &str = "invalid_config";
    /// A node failed with a code that is none: not lower case with digits and underscores, or too long.
    pub const CUSTOM_FAILURE: &str = "custom_failure";
    /// The executor of a node panicked.
    pub const EXECUTOR_PANICKED: &str = "executor_panicked";
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failures_read_back_as_written() {
        let failure =
            Failure::retryable(code::HTTP_STATUS, "status 503").with_details(json!({"status": 503}));
        let value = failure.to_value();
        assert_eq!(
            value,
            json!({"code": "http_status", "message": "status 503", "retryable": true, "details": {"status": 503}})
        );
        assert_eq!(Failure::from_value(&value), Some(failure));
        assert_eq!(
            Failure::from_value(&json!({"code": "x", "message": "y", "retryable": false, "extra": 1})),
            None
        );
    }

    #[test]
    fn a_bounded_failure_has_a_code_a_short_message_and_small_details() {
        let good = Failure::permanent("card_declined2", "no").with_details(json!({"a": [1]}));
        assert_eq!(good.clone().bounded(), good);
        for bad in ["", "Card", "2fast", "a b", "a-b", "é", "a.b", &"x".repeat(MAX_CODE_BYTES + 1)] {
            let failure = Failure::permanent(bad.to_owned(), "no").bounded();
            assert_eq!((&*failure.code, &*failure.message), ("custom_failure", &*format!("{bad}: no")));
        }
        let mut long = Failure::permanent("x", "");
        long.message = "m".repeat(MAX_MESSAGE_BYTES + 1);
        assert_eq!(long.bounded().message.len(), MAX_MESSAGE_BYTES);
        let details = |details: Value| Failure::permanent("x", "y").with_details(details).bounded().details;
        let fits = json!("d".repeat(MAX_DETAILS_BYTES - 2));
        assert_eq!(details(fits.clone()).as_deref(), Some(&fits));
        let replaced = Some(json!("the details were too large to keep"));
        assert_eq!(details(json!("d".repeat(MAX_DETAILS_BYTES - 1))).as_deref(), replaced.as_ref());
        let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| json!([inner]));
        assert_eq!(details(nested(MAX_DETAILS_DEPTH)).as_deref(), Some(&nested(MAX_DETAILS_DEPTH)));
        assert_eq!(details(nested(MAX_DETAILS_DEPTH + 1)).as_deref(), replaced.as_ref());
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let failure = Failure::permanent("x", "é".repeat(2_000));
        assert_eq!(failure.message.len(), MAX_MESSAGE_BYTES);
        let odd = Failure::permanent("x", format!("a{}", "é".repeat(2_000)));
        assert_eq!(odd.message.len(), MAX_MESSAGE_BYTES - 1);
    }
}
