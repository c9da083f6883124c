//! The inbox: what others want from a run.
//!
//! Only a run's owner writes its history. Everybody else leaves a message; the owner turns it into events and
//! removes it in the same commit, so that a message takes effect once.

use async_trait::async_trait;
use serde_json::Value;

use super::{Listing, StoreError};
use crate::event::RunStatus;
use crate::failure::Failure;
use crate::id::{ProjectId, RunId, WorkerId};
use crate::json::{self, JsonLimits};

/// The most messages that are read at once.
pub const MAX_MESSAGES_READ: usize = 64;

/// Keeps messages for runs.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Leaves messages, in order, and answers for each. A released run becomes due at once; a run that is held is
    /// left to its owner, who is named in the answer, even if its lease has ended. [`Message::Retry`] makes a failed
    /// run due; until the next commit its record still says `failed`, and it takes any message as a released run does.
    ///
    /// A message is refused while as many wait for its run as it has [room](Message::room) among.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; nothing was left, or, with an unknown outcome, all or nothing.
    /// [`StoreError::Internal`] when a message [does not read back](Message::from_text).
    async fn post(&self, posts: Vec<Post>) -> Result<Vec<Posted>, StoreError>;

    /// The messages for one run, in the order in which they were left, behind a place. A part holds at most
    /// [`MAX_MESSAGES_READ`].
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn messages_for(
        &self,
        project: &ProjectId,
        run: RunId,
        after: Option<InboxId>,
    ) -> Result<Listing<InboxItem>, StoreError>;

    /// The places of the first and of the last message that wait for one run; `None` when none does. The owner takes
    /// messages in their order, so one has taken effect when the first that waits is behind it.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn messages_waiting(
        &self,
        project: &ProjectId,
        run: RunId,
    ) -> Result<Option<(InboxId, InboxId)>, StoreError>;
}

/// A message to leave.
#[derive(Debug, Clone)]
pub struct Post {
    /// The run's project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// What is wanted.
    pub message: Message,
}

impl Post {
    /// The message's [text](Message::to_text), once it is sure that it reads back.
    ///
    /// # Errors
    ///
    /// [`StoreError::Internal`] when it does not.
    pub fn checked_text(&self) -> Result<String, StoreError> {
        let text = self.message.to_text();
        match Message::from_text(&text) {
            Some(_) => Ok(text),
            None => Err(StoreError::internal("a message does not read back as it was given")),
        }
    }
}

/// What is wanted from a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Start nothing new.
    Pause {
        /// Who asks.
        by: Option<String>,
    },
    /// Go on.
    Resume {
        /// Who asks.
        by: Option<String>,
    },
    /// End.
    Cancel {
        /// Who asks.
        by: Option<String>,
    },
    /// Start the failed steps again.
    Retry {
        /// Who asks.
        by: Option<String>,
    },
    /// An external event.
    Event {
        /// Its name.
        name: String,
        /// Its key.
        key: Option<String>,
        /// What it carries.
        payload: Value,
    },
    /// A run that this one called has ended.
    ChildFinished {
        /// The child.
        run: RunId,
        /// How it ended.
        status: RunStatus,
        /// Its output, if it succeeded.
        output: Option<Value>,
        /// Its failure, if it failed.
        failure: Option<Failure>,
    },
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Posted {
    /// It waits for the run's owner.
    Held {
        /// The owner.
        worker: WorkerId,
    },
    /// It waits, and the run is due.
    Due,
    /// There is no such run in that project; nothing was left.
    NotFound,
    /// The run has ended and the message is not one that an ended run takes; nothing was left.
    Ended,
    /// Too many messages wait for the run already; nothing was left.
    Full,
}

/// A message's place in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxId(pub i64);

/// A message that waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InboxItem {
    /// Its place.
    pub id: InboxId,
    /// The run's project.
    pub project: ProjectId,
    /// The run.
    pub run: RunId,
    /// What is wanted.
    pub message: Message,
}

impl InboxItem {
    /// A message that waits.
    #[must_use]
    pub fn new(id: InboxId, project: ProjectId, run: RunId, message: Message) -> Self {
        Self { id, project, run, message }
    }
}

impl Message {
    /// How many messages may wait for a run before this one is refused: fewer than 100 for external events, a few more
    /// for what people ask for, so that a run whose inbox is full can still be cancelled. A child that ended is never
    /// refused: its parent knows how many there are, and waits for each.
    #[must_use]
    pub fn room(&self) -> usize {
        match self {
            Message::Event { .. } => 100,
            Message::Pause { .. }
            | Message::Resume { .. }
            | Message::Cancel { .. }
            | Message::Retry { .. } => 120,
            Message::ChildFinished { .. } => usize::MAX,
        }
    }

    /// The message as a store keeps it: an object with a `type`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let by = |kind: &str, by: &Option<String>| serde_json::json!({ "type": kind, "by": by });
        match self {
            Message::Pause { by: who } => by("pause", who),
            Message::Resume { by: who } => by("resume", who),
            Message::Cancel { by: who } => by("cancel", who),
            Message::Retry { by: who } => by("retry", who),
            Message::Event { name, key, payload } => {
                serde_json::json!({ "type": "event", "name": name, "key": key, "payload": payload })
            }
            Message::ChildFinished { run, status, output, failure } => serde_json::json!({
                "type": "child_finished",
                "run": run,
                "status": status.as_str(),
                "output": output.as_ref().map(|output| serde_json::json!([output])),
                "failure": failure.as_ref().map(Failure::to_value),
            }),
        }
    }

    /// The message as canonical JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        json::to_canonical_string(&self.to_value())
    }

    /// Reads what [`to_text`](Self::to_text) made; `None` when it is something else, or a payload is nested deeper than
    /// anything that the engine accepts.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let limits = JsonLimits::default().with_max_depth(JsonLimits::DEPTH_CEILING);
        Self::from_value(&json::parse(text.as_bytes(), &limits).ok()?)
    }

    /// Reads what [`to_value`](Self::to_value) made; `None` when it has another shape.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let by = text("by");
        Some(match value.get("type")?.as_str()? {
            "pause" => Message::Pause { by },
            "resume" => Message::Resume { by },
            "cancel" => Message::Cancel { by },
            "retry" => Message::Retry { by },
            "event" => Message::Event {
                name: text("name")?,
                key: text("key"),
                payload: value.get("payload")?.clone(),
            },
            "child_finished" => Message::ChildFinished {
                run: text("run")?.parse().ok()?,
                status: RunStatus::from_name(&text("status")?)?,
                output: value.get("output").and_then(|output| output.get(0)).cloned(),
                failure: value.get("failure").and_then(Failure::from_value),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use serde_json::json;

    #[test]
    fn messages_read_back_as_written() {
        let run = RunId::new(Timestamp::EPOCH, [3; 8]);
        for message in [
            Message::Pause { by: None },
            Message::Resume { by: Some("ann".into()) },
            Message::Cancel { by: None },
            Message::Retry { by: None },
            Message::Event { name: "paid".into(), key: Some("7".into()), payload: json!(null) },
            Message::ChildFinished {
                run,
                status: RunStatus::Succeeded,
                output: Some(json!(null)),
                failure: None,
            },
            Message::ChildFinished {
                run,
                status: RunStatus::Failed,
                output: None,
                failure: Some(Failure::permanent("x", "y")),
            },
        ] {
            assert_eq!(Message::from_text(&message.to_text()).as_ref(), Some(&message));
            assert_eq!(Message::from_value(&message.to_value()), Some(message));
        }
        assert_eq!(Message::from_value(&json!({"type": "other"})), None);
    }
}
