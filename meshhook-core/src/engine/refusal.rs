//! Why a hook refuses a request.

use std::time::Duration;

use super::EngineError;
use super::hook::LiveHook;
use super::recorder::cut;
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
    /// The id of an item came with other content: earlier, or in the same request.
    #[error("the id of item {item} was used with other content")]
    ItemReused {
        /// The item's place, from 0.
        item: usize,
        /// The run that has the id, unless an earlier item of the request has it.
        run: Option<RunId>,
    },
    /// The body does not match the hook's schema, or that of the workflow's input.
    #[error("the body does not match the schema: {0}")]
    SchemaViolation(String),
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
    /// What was found, in one word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::MethodNotAllowed => Verdict::MethodNotAllowed,
            Self::TooLarge(_) => Verdict::TooLarge,
            Self::Unauthorized(refused) => refused.refusal.into(),
            Self::UnsupportedMedia(_) => Verdict::UnsupportedMedia,
            Self::InvalidJson(_) | Self::Malformed(_) => Verdict::Malformed,
            Self::KeyReused { .. } | Self::ItemReused { .. } => Verdict::KeyReused,
            Self::SchemaViolation(_) => Verdict::InvalidSchema,
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
