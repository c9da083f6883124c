//! A note of a delivery: what becomes a row.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sent::Sent;
use super::{HookConfig, OfItems, Runs, Seen, WRITTEN_RUN};
use crate::id::{DeliveryId, ProjectId, RunId, WorkflowSlug};
use crate::time::Timestamp;
use crate::webhook::Verdict;

/// A delivery on its way to the store.
pub(in crate::engine) struct Note {
    pub(super) project: ProjectId,
    pub(super) id: DeliveryId,
    pub(super) at: Timestamp,
    pub(super) workflow: Option<WorkflowSlug>,
    pub(super) verdict: Verdict,
    pub(super) facts: Facts,
    pub(super) is_known: bool,
    pub(super) config: Option<HookConfig>,
    pub(super) kept: Kept,
}

/// What there is of a request besides what became of it.
pub(super) enum Kept {
    Nothing,
    /// Its headers, to be masked and shown.
    Headers(HeaderMap),
    /// All of it, to be sealed, and its headers as well.
    Request(Sent),
}

/// What a row says of a delivery, besides what lists go by. Fields are added, never changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) trigger: Option<String>,
    pub(in crate::engine) method: String,
    pub(in crate::engine) path: String,
    pub(in crate::engine) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) run_id: Option<RunId>,
    /// The first runs of its items, and how many there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::engine) runs: Vec<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) runs_total: Option<u64>,
    /// The first run of its items that it started itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) new_run: Option<RunId>,
    /// The run that it would have started, where nobody knows whether it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) may_be_run: Option<RunId>,
    /// What the ids of its items' runs are made from, where it is refused and there may be some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) items_seed: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) delivery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) signed_at: Option<Timestamp>,
    /// The time that signatures were judged by: the receiving machine's.
    pub(in crate::engine) judged_at: Option<Timestamp>,
    /// How long the body was, where it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) headers: Option<Value>,
    /// Whether what was sent is sealed in the row, and as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) is_whole: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::engine) detail: Option<String>,
}

impl Note {
    /// A note of what was seen at a time, by the store's clock and by this machine's.
    pub(super) fn of(
        seen: Seen<'_>,
        kept: Kept,
        (at, judged_at): (Timestamp, Timestamp),
        id: DeliveryId,
    ) -> Self {
        let Runs { one: run_id, of_items } = seen.runs;
        let (runs, runs_total, new_run) = match of_items {
            None => (Vec::new(), None, None),
            Some(OfItems { first, total, new }) => (first, Some(total), new),
        };
        let facts = Facts {
            trigger: seen.trigger.map(str::to_owned),
            method: cut(seen.request.method, MAX_METHOD),
            path: seen.path.to_owned(),
            status: seen.status,
            run_id,
            runs,
            runs_total,
            new_run,
            may_be_run: seen.may_be_run,
            items_seed: seen.items_seed,
            key: seen.key,
            delivery_id: seen.delivery_id,
            signed_at: seen.signed_at,
            judged_at: Some(judged_at),
            bytes: seen.bytes,
            headers: None,
            is_whole: None,
            detail: seen.detail,
        };
        Self {
            project: seen.project.clone(),
            id,
            at,
            workflow: seen.workflow.cloned(),
            verdict: seen.verdict,
            facts,
            is_known: seen.is_known,
            config: seen.config,
            kept,
        }
    }

    /// How much memory it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let kept = match &self.kept {
            Kept::Nothing => 0,
            Kept::Headers(headers) => headers_len(headers),
            Kept::Request(sent) => {
                headers_len(&sent.headers) + sent.url.len() + sent.query.len() + sent.body.len()
            }
        };
        1_024
            + self.facts.path.len()
            + WRITTEN_RUN * self.facts.runs.len()
            + self.facts.detail.as_ref().map_or(0, String::len)
            + kept
    }
}

/// How many bytes a text takes in JSON, at most.
pub(super) fn written_len(text: &[u8]) -> usize {
    let len = |byte: &u8| match byte {
        0x80.. => 3,
        ..0x20 | 0x7F => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.iter().map(len).sum()
}

/// The same for headers, with what stands around each.
pub(super) fn headers_len(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + written_len(value.as_bytes()) + 8).sum()
}

/// The first characters of a text.
pub(in crate::engine) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The most characters of a method, a path and what is wrong.
pub(super) const MAX_METHOD: usize = 32;
pub(super) const MAX_PATH: usize = 256;
pub(super) const MAX_DETAIL: usize = 1_000;
