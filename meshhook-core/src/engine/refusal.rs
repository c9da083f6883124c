//! Why a hook refuses a request.

use std::time::Duration;

use serde_json::Value;

use super::EngineError;
use super::hook::LiveHook;
use super::recorder::cut;
use crate::definition::Schema;
use crate::id::RunId;
use crate::webhook::{BodyError, Refused, Verdict};

/// Why a hook refuses a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookRefusal {
    /// The hook does not take that method.
    #[error("this hook does not take that method")]
    MethodNotAllowed,
    /// The body is larger, deeper or has more parts than the hook takes; which limit, in words.
    #[error("{0}")]
    TooLarge(String),
    /// Who sends is not who may. Why is for the hook's owner: a sender is told no more than the message says.
    #[error("the signature was not accepted")]
    Unauthorized(Refused),
    /// The body's encoding, or its type where JSON is needed, is not supported.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The body is declared as JSON and is none.
    #[error("{0}")]
    InvalidJson(String),
    /// The request does not parse as what it says it is.
    #[error("{0}")]
    Malformed(String),
    /// The key was sent with another body.
    #[error("the delivery's key was used with another body")]
    KeyReused {
        /// The run that has the key.
        run: RunId,
    },
    /// The id of an item came with other content earlier.
    #[error("the id of item {item} was used with other content")]
    ItemReused {
        /// The item's place, from 0.
        item: usize,
        /// The run that has the id.
        run: RunId,
    },
    /// Two items of the request have the same id and are not the same.
    #[error("items {earlier} and {item} have the same id and differ")]
    ItemsDiffer {
        /// The place of the first, from 0.
        earlier: usize,
        /// The place of the other.
        item: usize,
    },
    /// The body, or an item of it, does not match a schema.
    #[error("{} does not match {schema}: {violation}", part(*.item))]
    SchemaViolation {
        /// Which one: `body_schema` of the hook, or `input_schema` of the workflow.
        schema: &'static str,
        /// The item's place, from 0, where it is one.
        item: Option<usize>,
        /// What does not match.
        violation: String,
    },
    /// More came than the hook's rate limit lets in.
    #[error("the hook takes no more for now")]
    RateLimited {
        /// How long to wait.
        wait: Duration,
    },
    /// The engine cannot take it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl HookRefusal {
    /// What in a value does not please the schema of this name, if there is one.
    pub(super) fn by_schema(
        (name, schema): (&'static str, Option<&Schema>),
        value: &Value,
        item: Option<usize>,
    ) -> Option<Self> {
        let violations = schema?.validate(value).err()?;
        let violation = violations.first().map(ToString::to_string).unwrap_or_default();
        Some(Self::SchemaViolation { schema: name, item, violation })
    }

    /// What was found, in one word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::MethodNotAllowed => Verdict::MethodNotAllowed,
            Self::TooLarge(_) => Verdict::TooLarge,
            Self::Unauthorized(refused) => refused.refusal.into(),
            Self::UnsupportedMedia(_) => Verdict::UnsupportedMedia,
            Self::InvalidJson(_) | Self::Malformed(_) => Verdict::Malformed,
            Self::KeyReused { .. } | Self::ItemReused { .. } | Self::ItemsDiffer { .. } => Verdict::KeyReused,
            Self::SchemaViolation { .. } => Verdict::InvalidSchema,
            Self::RateLimited { .. } => Verdict::RateLimited,
            Self::Engine(error) if error.is_transient() => Verdict::Overloaded,
            Self::Engine(EngineError::Vault { .. } | EngineError::NoMasterKey) => Verdict::Overloaded,
            Self::Engine(_) => Verdict::Internal,
        }
    }
}

impl LiveHook {
    /// What is wrong with a request that the hook refuses, in words for the hook's owner.
    #[must_use]
    pub fn detail(&self, refusal: &HookRefusal) -> String {
        match (refusal, &self.trigger().1.rate_limit) {
            (HookRefusal::MethodNotAllowed, _) => {
                let methods: Vec<String> =
                    self.methods().iter().map(|method| format!("`{method}`")).collect();
                format!("this hook takes {} only", methods.join(", "))
            }
            (HookRefusal::RateLimited { .. }, Some(limit)) => {
                let per_second = in_thousandths(limit.per_kilosecond);
                let each = limit.key.as_ref().map_or(String::new(), |key| {
                    format!(", for each value of {}", cut(key.text(), MAX_QUOTED))
                });
                let burst = limit.burst;
                format!(
                    "the hook takes no more for now: its limit is {per_second} per second, and {burst} at once{each}"
                )
            }
            (HookRefusal::Unauthorized(refused), _) => refused.detail.clone(),
            (told, _) => told.to_string(),
        }
    }
}

/// A thousandth of a number.
fn in_thousandths(number: u64) -> String {
    let text = format!("{}.{:03}", number / 1_000, number % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The most characters of an expression that are quoted.
pub(super) const MAX_QUOTED: usize = 200;

/// What a violation is about.
fn part(item: Option<usize>) -> String {
    item.map_or_else(|| "the body".to_owned(), |item| format!("item {item}"))
}

/// The names of the schemas that a request has to please.
pub(super) const BODY_SCHEMA: &str = "body_schema";
pub(super) const INPUT_SCHEMA: &str = "input_schema";

pub(super) fn engine_refusal(error: EngineError) -> HookRefusal {
    match error {
        EngineError::KeyReused { run } => HookRefusal::KeyReused { run },
        error => error.into(),
    }
}

pub(super) fn body_refusal(error: &BodyError) -> HookRefusal {
    match error.status() {
        400 if matches!(error, BodyError::Json(_)) => HookRefusal::InvalidJson(error.to_string()),
        413 => HookRefusal::TooLarge(error.to_string()),
        415 => HookRefusal::UnsupportedMedia(error.to_string()),
        _ => HookRefusal::Malformed(error.to_string()),
    }
}
