//! The recorder: what was sent to hooks is written down beside the work, and never in its way.
//!
//! ```text
//!   receive ─► verdict ─► answer
//!                 │ is there room for another of its kind?   no: counted
//!                 ▼
//!          [ bounded queue ]                                 full: counted
//!                 ▼
//!       one writer: masks, seals ─► store.record_deliveries  batch by batch, ten a second
//! ```
//!
//! A run is durable before its sender gets a `202`; its delivery is a note about it, written a moment later. So a delivery
//! may be lost: when the process dies in that moment, when the queue is full, or when the store cannot be reached for long.
//! What is lost is counted, in `meshhook_deliveries_unrecorded_total`.
//!
//! Whoever looks at deliveries has what waits in this process written first.
//!
//! Of an accepted delivery the row says little: headers and body stand in its run, or each item of it in its own. What
//! started no run is kept as it came, since somebody may want to know why, and to try again; sealed under the master key,
//! because it may hold credentials. Without a master key there are only the masked headers.
//!
//! Anybody can send anything to a hook. So that nobody fills the table, what strangers may add to it has bounds
//! (`recorder/allowance.rs`): a row without room for its bytes says only what became of the request; one without room for
//! itself is only counted. Nothing of a stranger's request is parsed before there is room for it, and then by the writer.

mod allowance;
mod note;
mod sent;
mod writer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::allowance::{Allowance, Bearer};
pub(super) use self::note::{Facts, cut};
use self::note::{Kept, MAX_DETAIL, MAX_PATH, Note, headers_len, written_len};
pub(super) use self::sent::Sent;
pub(super) use self::writer::write;
use super::receive::ItemRun;
use super::{EngineOptions, Inner};
use crate::definition::{TriggerKind, ValidDefinition};
use crate::id::{DeliveryId, ProjectId, RunId, WorkflowSlug};
use crate::time::Timestamp;
use crate::webhook::{RawRequest, Verdict, VerifyConfig};

/// Takes notes of deliveries.
#[derive(Debug)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Queued>,
    /// How many bytes there is room for in the queue.
    room: Arc<Semaphore>,
    allowance: Allowance,
    retention: Duration,
    max_body_bytes: usize,
}

/// What waits for the writer.
pub(super) enum Queued {
    /// A delivery to be written, and its share of the queue's room.
    Note(Box<Note>, OwnedSemaphorePermit),
    /// Somebody wants to see what came before.
    Flush(oneshot::Sender<()>),
}

/// A request that was answered.
pub(super) struct Seen<'a> {
    pub(super) project: &'a ProjectId,
    pub(super) workflow: Option<&'a WorkflowSlug>,
    pub(super) trigger: Option<&'a str>,
    /// The hook's path, or what came in its place.
    pub(super) path: &'a str,
    pub(super) request: &'a RawRequest<'a>,
    /// How long the body was, if it was received.
    pub(super) bytes: Option<u64>,
    /// Whether what was sent may be kept.
    pub(super) keep: Keep,
    /// Whether the sender is who may send.
    pub(super) is_known: bool,
    /// The hook's config.
    pub(super) config: Option<HookConfig>,
    pub(super) verdict: Verdict,
    pub(super) status: u16,
    pub(super) runs: Runs,
    /// The run that it would have started, where nobody knows whether it did.
    pub(super) may_be_run: Option<RunId>,
    /// What the ids of its items' runs are made from, where it is refused and there may be some.
    pub(super) items_seed: Option<RunId>,
    /// The name of the secret that matched.
    pub(super) key: Option<String>,
    /// The delivery's identity by the scheme.
    pub(super) delivery_id: Option<String>,
    /// When it was signed.
    pub(super) signed_at: Option<Timestamp>,
    /// What is wrong, in words.
    pub(super) detail: Option<String>,
}

/// The runs that a request has.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    /// Its run, or the one that is in its way.
    pub(super) one: Option<RunId>,
    /// Those of its items.
    pub(super) of_items: Option<OfItems>,
}

/// The runs of items.
#[derive(Debug, Clone)]
pub(super) struct OfItems {
    /// The first ones.
    first: Vec<RunId>,
    /// How many there are.
    total: u64,
    /// One that the request started itself.
    new: Option<RunId>,
}

impl Runs {
    pub(super) fn one(run: RunId) -> Self {
        Self { one: Some(run), of_items: None }
    }
}

impl OfItems {
    /// The runs of items; one that several items have counts once.
    pub(super) fn new<'a>(items: impl IntoIterator<Item = &'a ItemRun>) -> Self {
        let (mut known, mut first, mut new) = (HashSet::new(), Vec::new(), None);
        for item in items {
            if known.insert(item.run) && first.len() < MAX_RUNS {
                first.push(item.run);
            }
            if !item.duplicate {
                new = new.or(Some(item.run));
            }
        }
        Self { first, total: known.len() as u64, new }
    }
}

/// What is kept of a request that started no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// As much as there is room for.
    All,
    /// Its masked headers: its body was not received, or is a secret that the hook's owner is yet to set.
    Headers,
    /// What became of it, and no more.
    Nothing,
}

/// The config of a hook, for as long as it is needed.
#[derive(Debug, Clone)]
pub(super) struct HookConfig {
    pub(super) definition: ValidDefinition,
    /// Which of its triggers.
    pub(super) trigger: usize,
}

impl HookConfig {
    fn verify(&self) -> Option<&VerifyConfig> {
        match &self.definition.triggers().get(self.trigger)?.kind {
            TriggerKind::Webhook(webhook) => Some(&webhook.verify),
            _ => None,
        }
    }
}

impl Recorder {
    /// A recorder, and what its writer reads.
    pub(super) fn new(options: &EngineOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let recorder = Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)),
            allowance: Allowance::default(),
            retention: options.delivery_retention,
            max_body_bytes: options.max_kept_body_bytes,
        };
        (recorder, queued)
    }

    fn record(&self, seen: Seen<'_>, now: (Timestamp, Timestamp), id: DeliveryId) {
        if self.retention.is_zero() {
            return;
        }
        let Some(kept) = self.keep(&seen, now.1) else { return unrecorded("flood", 1) };
        let note = Note::of(seen, kept, now, id);
        let room = u32::try_from(note.bytes().min(MAX_QUEUED_BYTES)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(room) else { return unrecorded("queue", 1) };
        if self.queue.try_send(Queued::Note(Box::new(note), room)).is_err() {
            unrecorded("queue", 1);
        }
    }

    /// What is kept of a request, as far as there is room for it; `None` where there is none for a row.
    fn keep(&self, seen: &Seen<'_>, now: Timestamp) -> Option<Kept> {
        if seen.verdict == Verdict::Accepted {
            return Some(Kept::Nothing);
        }
        let request = seen.request;
        let body = &request.body[..request.body.len().min(self.max_body_bytes)];
        let headers = headers_len(request.headers);
        let words = written_len(seen.path.as_bytes()).min(4 * MAX_PATH)
            + seen.detail.as_ref().map_or(0, |detail| written_len(detail.as_bytes()).min(4 * MAX_DETAIL))
            + seen.runs.of_items.as_ref().map_or(0, |runs| WRITTEN_RUN * runs.first.len());
        let target = written_len(request.url.as_bytes()) + written_len(request.query.as_bytes());
        // What is sealed has the headers once more.
        let all = words + headers + headers + target + body.len();
        let wanted = [(Keep::All, all), (Keep::Headers, words + headers), (Keep::Nothing, words)];
        let wanted = match seen.keep {
            _ if headers > MAX_HEADER_BYTES => &wanted[2..],
            // The body of a repetition stands in the run that the first delivery started.
            Keep::All if !stands_in_run(seen.verdict) => &wanted,
            Keep::All | Keep::Headers => &wanted[1..],
            Keep::Nothing => &wanted[2..],
        };
        let path = seen.workflow.map(|_| seen.path);
        let bearer = Bearer { project: seen.project, path, is_known: seen.is_known };
        Some(match self.allowance.take(&bearer, wanted, now)? {
            Keep::All => Kept::Request(Sent::of(request, body)),
            Keep::Headers => Kept::Headers(request.headers.clone()),
            Keep::Nothing => Kept::Nothing,
        })
    }

    /// Waits until what this process has taken note of is written, for a moment at most: whoever looks sees what was just
    /// answered.
    pub(super) async fn flush(&self) {
        let (written, answer) = oneshot::channel();
        if self.queue.try_send(Queued::Flush(written)).is_ok() {
            let _ = tokio::time::timeout(FLUSHED_WITHIN, answer).await;
        }
    }
}

impl Inner {
    /// Takes note of a request that was answered.
    pub(super) fn record(&self, seen: Seen<'_>) {
        let verdict = seen.verdict.as_str();
        metrics::counter!("meshhook_deliveries_total", "verdict" => verdict).increment(1);
        let at = self.time.now();
        let mut random = [0; 8];
        if self.entropy.fill(&mut random).is_err() {
            return unrecorded("entropy", 1);
        }
        self.recorder.record(seen, (at, self.time.by_own_clock()), DeliveryId::new(at, random));
    }
}

/// Whether what was sent stands in a run.
pub(super) fn stands_in_run(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Accepted | Verdict::Duplicate)
}

fn unrecorded(reason: &'static str, count: u64) {
    metrics::counter!("meshhook_deliveries_unrecorded_total", "reason" => reason).increment(count);
}

/// The most deliveries that wait to be written, and the most bytes in them.
const MAX_QUEUED: usize = 4_096;
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// The most runs of a delivery's items that are named.
const MAX_RUNS: usize = 100;
/// How many bytes a run's id takes in a row.
const WRITTEN_RUN: usize = 40;
/// The most bytes of headers that are kept.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// How long somebody who looks waits for what was not written yet.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);
