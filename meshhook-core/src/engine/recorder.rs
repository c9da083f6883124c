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
//! Of an accepted delivery the row says little: headers and body stand in its run. What started no run is kept as it came,
//! since somebody may want to know why, and to try again; sealed under the master key, because it may hold credentials.
//! Without a master key there are only the masked headers.
//!
//! Anybody can send anything to a hook. So that nobody fills the table, there is a [bucket](Bucket) of rows and one of
//! bytes for each path, and one for all paths of a project that lead nowhere. A row without room for its bytes says only
//! what became of the request; one without room for itself is only counted. Senders whom the hook knows have buckets of
//! their own. Nothing of a stranger's request is parsed before there is room for it, and then by the writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::contained::contained;
use super::deadline::answer;
use super::{EngineError, EngineOptions, Inner};
use crate::definition::{TriggerKind, ValidDefinition};
use crate::id::{DeliveryId, ProjectId, RunId, WorkflowSlug};
use crate::json;
use crate::policy::Bucket;
use crate::secret::{MASK, Masker};
use crate::store::{DeliveryRecord, StoreError};
use crate::time::Timestamp;
use crate::webhook::{RawRequest, Verdict, VerifyConfig, headers_value, redact_headers};

/// Takes notes of deliveries.
#[derive(Debug)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Queued>,
    /// How many bytes there is room for in the queue.
    room: Arc<Semaphore>,
    buckets: Mutex<HashMap<(ProjectId, String), Buckets>>,
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

/// When the buckets of a path will be full.
#[derive(Debug, Clone, Copy)]
struct Buckets {
    rows: Timestamp,
    bytes: Timestamp,
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
    pub(super) run: Option<RunId>,
    /// The name of the secret that matched.
    pub(super) key: Option<String>,
    /// The delivery's identity by the scheme.
    pub(super) delivery_id: Option<String>,
    /// When it was signed.
    pub(super) signed_at: Option<Timestamp>,
    /// What is wrong, in words.
    pub(super) detail: Option<String>,
}

/// What is kept of a request that started no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// As much as there is room for.
    All,
    /// Its masked headers: its body was not received, or is a secret that the hook's owner is yet to set.
    Headers,
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

/// A delivery on its way to the store.
pub(super) struct Note {
    project: ProjectId,
    id: DeliveryId,
    at: Timestamp,
    workflow: Option<WorkflowSlug>,
    verdict: Verdict,
    facts: Facts,
    is_known: bool,
    config: Option<HookConfig>,
    sent: Option<Sent>,
}

/// What a row says of a delivery, besides what lists go by. Fields are added, never changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trigger: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed_at: Option<Timestamp>,
    /// The time that signatures were judged by: the receiving machine's.
    pub(super) judged_at: Option<Timestamp>,
    /// How long the body was, where it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<Value>,
    /// Whether what was sent is sealed in the row, and as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_whole: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

/// What was sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Its body, or the first part of it.
    pub(super) body: Vec<u8>,
    /// Whether all of the body is here.
    pub(super) is_whole: bool,
    /// Whether it is to be kept, or only its headers are to be shown.
    is_kept: bool,
}

/// The head of a sealed request; its body follows after a line feed, which canonical JSON has none of.
#[derive(Serialize, Deserialize)]
struct Head {
    method: String,
    url: String,
    query: String,
    /// Names and values, each byte of a value as one character.
    headers: Vec<(String, String)>,
}

impl Sent {
    /// As bytes to be sealed.
    fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let head = Head {
            method: self.method.clone(),
            url: self.url.clone(),
            query: self.query.clone(),
            headers: headers.collect(),
        };
        let head = serde_json::to_value(&head).unwrap_or_default();
        let mut bytes = json::to_canonical_string(&head).into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Reads back what was sealed; `None` when it is something else.
    pub(super) fn decode(bytes: &[u8], is_whole: bool) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let Head { method, url, query, headers: pairs } = serde_json::from_slice(&bytes[..end]).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value: Vec<u8> = value.chars().map(u8::try_from).collect::<Result<_, _>>().ok()?;
            let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, http::HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self { method, url, query, headers, body: bytes[end + 1..].to_vec(), is_whole, is_kept: true })
    }

    pub(super) fn request(&self) -> RawRequest<'_> {
        let Self { method, url, query, headers, body, .. } = self;
        RawRequest { method, url, query, headers, body }
    }
}

impl Recorder {
    /// A recorder, and what its writer reads.
    pub(super) fn new(options: &EngineOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let recorder = Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)),
            buckets: Mutex::default(),
            retention: options.delivery_retention,
            max_body_bytes: options.max_kept_body_bytes,
        };
        (recorder, queued)
    }

    fn record(&self, seen: Seen<'_>, now: (Timestamp, Timestamp), id: DeliveryId) {
        if self.retention.is_zero() {
            return;
        }
        let (at, judged_at) = now;
        let request = seen.request;
        let detail = seen.detail.unwrap_or_default();
        let headers_bytes: usize = request.headers.iter().map(header_len).sum();
        let body_bytes = request.body.len().min(self.max_body_bytes);
        let target_bytes = written_len(request.url.as_bytes()) + written_len(request.query.as_bytes());
        // The body of a repetition stands in the run that the first delivery started.
        let wants_body = seen.keep == Keep::All && !stands_in_run(seen.verdict);
        let (mut keeps_headers, mut is_kept) = (false, false);
        if seen.verdict != Verdict::Accepted {
            let known_path = if seen.workflow.is_some() { seen.path } else { "" };
            let bucket = (seen.project, known_path, seen.is_known);
            let words = written_len(seen.path.as_bytes()).min(4 * MAX_PATH)
                + written_len(detail.as_bytes()).min(4 * MAX_DETAIL);
            let head = words + headers_bytes;
            // What is sealed has the headers once more.
            let whole = head + headers_bytes + target_bytes + body_bytes;
            let wanted = match (headers_bytes <= MAX_HEADER_BYTES, wants_body) {
                (true, true) => [whole, head, words],
                (true, false) => [head, head, words],
                (false, _) => [words; 3],
            };
            match self.room_for(bucket, &wanted, judged_at) {
                None => return unrecorded("flood", 1),
                Some(kept) => {
                    keeps_headers = headers_bytes <= MAX_HEADER_BYTES && kept >= head;
                    is_kept = keeps_headers && wants_body && kept >= whole;
                }
            }
        }
        let sent = keeps_headers.then(|| Sent {
            method: cut(request.method, MAX_METHOD),
            url: request.url.to_owned(),
            query: request.query.to_owned(),
            headers: request.headers.clone(),
            body: if is_kept { request.body[..body_bytes].to_vec() } else { Vec::new() },
            is_whole: body_bytes == request.body.len(),
            is_kept,
        });
        let facts = Facts {
            trigger: seen.trigger.map(str::to_owned),
            method: cut(request.method, MAX_METHOD),
            path: seen.path.to_owned(),
            status: seen.status,
            run_id: seen.run,
            key: seen.key,
            delivery_id: seen.delivery_id,
            signed_at: seen.signed_at,
            judged_at: Some(judged_at),
            bytes: seen.bytes,
            headers: None,
            is_whole: None,
            detail: (!detail.is_empty()).then_some(detail),
        };
        let bytes = 1_024
            + facts.path.len()
            + facts.detail.as_ref().map_or(0, String::len)
            + sent.as_ref().map_or(0, |sent| sent.body.len() + target_bytes + headers_bytes);
        let note = Note {
            project: seen.project.clone(),
            id,
            at,
            workflow: seen.workflow.cloned(),
            verdict: seen.verdict,
            facts,
            is_known: seen.is_known,
            config: seen.config,
            sent,
        };
        let room = u32::try_from(bytes.min(MAX_QUEUED_BYTES)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(room) else { return unrecorded("queue", 1) };
        if self.queue.try_send(Queued::Note(Box::new(note), room)).is_err() {
            unrecorded("queue", 1);
        }
    }

    /// Waits until what this process has taken note of is written, for a moment at most: whoever looks sees what was just
    /// answered.
    pub(super) async fn flush(&self) {
        let (written, answer) = oneshot::channel();
        if self.queue.try_send(Queued::Flush(written)).is_ok() {
            let _ = tokio::time::timeout(FLUSHED_WITHIN, answer).await;
        }
    }

    /// Whether there is room for a row; and for how many bytes in it, of these amounts the first that there is, else 0.
    fn room_for(
        &self,
        (project, path, is_known): (&ProjectId, &str, bool),
        wanted: &[usize],
        now: Timestamp,
    ) -> Option<usize> {
        let rows = if path.is_empty() { ASTRAY } else { ROWS };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, bucket| bucket.rows > now || bucket.bytes > now);
        }
        // Known senders have buckets of their own, which strangers cannot empty.
        let of = if is_known { format!("{path} ") } else { path.to_owned() };
        let key = (project.clone(), of);
        let known = buckets.get(&key).copied();
        if known.is_none() && buckets.len() >= MAX_BUCKETS {
            return None;
        }
        let row = rows.take(known.map(|known| known.rows), now, 1).ok()?;
        let full_at = known.map(|known| known.bytes);
        let taken = wanted.iter().find_map(|&bytes| {
            let tokens = u32::try_from(bytes).unwrap_or(u32::MAX);
            BYTES.take(full_at, now, tokens).ok().map(|then| (bytes, then))
        });
        let (kept, then) = taken.unwrap_or((0, full_at.unwrap_or(now)));
        buckets.insert(key, Buckets { rows: row, bytes: then });
        Some(kept)
    }
}

impl Inner {
    /// Takes note of a request that was answered.
    pub(super) fn record(&self, seen: Seen<'_>) {
        let at = self.time.now();
        let mut random = [0; 10];
        if self.entropy.fill(&mut random).is_err() {
            return unrecorded("entropy", 1);
        }
        let verdict = seen.verdict.as_str();
        metrics::counter!("meshhook_deliveries_total", "verdict" => verdict).increment(1);
        self.recorder.record(seen, (at, self.time.by_own_clock()), DeliveryId::new(at, random));
    }

    /// What is stored of a delivery.
    async fn write_down(&self, note: Note) -> Result<DeliveryRecord, EngineError> {
        let Note { project, id, at, workflow, verdict, mut facts, is_known, config, sent } = note;
        let secrets = self.unsealed(&project).await?;
        let masker = secrets.masker();
        let verify = config.as_ref().and_then(HookConfig::verify);
        let mut sealed = None;
        if let Some(sent) = sent {
            let credentials = verify.map(VerifyConfig::credential_headers).unwrap_or_default();
            if let (false, true, Some(verify)) = (is_known, sent.is_kept, verify) {
                let claims = verify.claims(&sent.request());
                (facts.delivery_id, facts.signed_at) = (claims.delivery_id, claims.timestamp);
            }
            facts.headers = headers_value(&sent.headers).ok().map(|mut headers| {
                mask_headers(&mut headers, &credentials, masker);
                headers
            });
            if sent.is_kept
                && let Some(row) = self.vault.seal_delivery(&project, id, &sent.encode()).await?
            {
                facts.is_whole = Some(sent.is_whole);
                sealed = Some(row);
            }
        }
        masker.mask_string(&mut facts.path);
        for text in [&mut facts.detail, &mut facts.delivery_id].into_iter().flatten() {
            masker.mask_string(text);
        }
        // Half a secret would not be found.
        facts.path = cut(&facts.path, MAX_PATH);
        facts.detail = facts.detail.map(|detail| cut(&detail, MAX_DETAIL));
        let facts = serde_json::to_value(&facts).map_err(|error| StoreError::internal(error.to_string()))?;
        let expires_at = at.after(self.recorder.retention);
        let mut record = DeliveryRecord::new(project, id, (at, expires_at), verdict);
        record.workflow = workflow;
        record.facts = json::to_canonical_string(&facts);
        record.sealed = sealed;
        Ok(record)
    }

    async fn write_batch(&self, queued: Vec<Queued>) {
        let mut batch = Vec::with_capacity(queued.len());
        // Room in the queue is given back, and whoever wants to see is told, when the batch is written.
        let (mut rooms, mut flushes) = (Vec::with_capacity(queued.len()), Vec::new());
        for one in queued {
            let note = match one {
                Queued::Flush(written) => {
                    flushes.push(written);
                    continue;
                }
                Queued::Note(note, room) => {
                    rooms.push(room);
                    note
                }
            };
            match contained(self.write_down(*note)).await.flatten() {
                Ok(record) => batch.push(record),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "could not write a delivery down"
                    );
                    unrecorded("store", 1);
                }
            }
            tokio::task::yield_now().await;
        }
        let mut wait = Duration::from_millis(100);
        while !batch.is_empty() {
            let stored = answer(self.options.lease, self.store.record_deliveries(batch.clone()));
            match contained(stored).await.and_then(|stored| Ok(stored?)) {
                Ok(()) => break,
                Err(error) if error.is_transient() && wait < Duration::from_secs(2) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, deliveries = batch.len(), "could not record deliveries");
                    unrecorded("store", batch.len() as u64);
                    break;
                }
            }
        }
        drop(rooms);
        for written in flushes {
            let _ = written.send(());
        }
    }
}

/// Writes what is recorded, until the engine is to drop everything; then what waits is written once more.
///
/// What comes is gathered for a moment, so that a delivery seldom costs a transaction of its own.
pub(super) async fn write(inner: Arc<Inner>, mut queued: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let end = inner.stopping.abandon.clone();
    while !end.is_cancelled() {
        tokio::select! {
            biased;
            () = end.cancelled() => break,
            received = queued.recv_many(&mut batch, MAX_BATCH) => {
                if received == 0 {
                    return;
                }
            }
        }
        let gathered = Instant::now() + GATHER;
        while batch.len() < MAX_BATCH && !batch.iter().any(|one| matches!(one, Queued::Flush(_))) {
            let room = MAX_BATCH - batch.len();
            tokio::select! {
                biased;
                () = end.cancelled() => break,
                () = tokio::time::sleep_until(gathered) => break,
                received = queued.recv_many(&mut batch, room) => {
                    if received == 0 {
                        break;
                    }
                }
            }
        }
        let too_late = async {
            end.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            () = inner.write_batch(std::mem::take(&mut batch)) => {}
            () = too_late => tracing::warn!("deliveries were left unrecorded at the end"),
        }
    }
    while let Ok(one) = queued.try_recv() {
        batch.push(one);
    }
    if tokio::time::timeout(LAST_WORDS, inner.write_batch(batch)).await.is_err() {
        tracing::warn!("deliveries were left unrecorded at the end");
    }
}

fn unrecorded(reason: &'static str, count: u64) {
    metrics::counter!("meshhook_deliveries_unrecorded_total", "reason" => reason).increment(count);
}

/// Hides credentials: by the headers that carry one, by those whose name says so, and wherever a secret of the project
/// stands.
pub(super) fn mask_headers(headers: &mut Value, credentials: &[&str], masker: &Masker) {
    redact_headers(headers, credentials);
    if let Value::Object(members) = headers {
        for (name, value) in members.iter_mut() {
            if TELLING.iter().any(|part| name.contains(part)) {
                *value = Value::String(MASK.to_owned());
            }
        }
    }
    masker.mask_value(headers);
}

/// What stands in the names of headers that carry a credential. A request that was sent to the wrong place carries one that
/// no hook knows of.
const TELLING: [&str; 7] = ["authorization", "token", "secret", "password", "api-key", "apikey", "cookie"];

/// Whether what was sent stands in a run.
pub(super) fn stands_in_run(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Accepted | Verdict::Duplicate)
}

/// How many bytes a text takes in JSON, at most.
fn written_len(text: &[u8]) -> usize {
    let len = |byte: &u8| match byte {
        0x80.. => 3,
        ..0x20 | 0x7F => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.iter().map(len).sum()
}

/// The same for a header, with what stands around it.
fn header_len((name, value): (&http::HeaderName, &http::HeaderValue)) -> usize {
    name.as_str().len() + written_len(value.as_bytes()) + 8
}

/// The first characters of a text.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The most deliveries that wait to be written, and the most bytes in them.
const MAX_QUEUED: usize = 4_096;
const MAX_QUEUED_BYTES: usize = 16 << 20;
/// The most deliveries that are written at once.
const MAX_BATCH: usize = 256;
/// The most characters of a method, a path and what is wrong.
const MAX_METHOD: usize = 32;
const MAX_PATH: usize = 256;
const MAX_DETAIL: usize = 1_000;
/// The most bytes of headers that are kept.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// The most paths whose buckets are not full.
const MAX_BUCKETS: usize = 20_000;
/// How long deliveries are gathered before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How long somebody who looks waits for what was not written yet.
const FLUSHED_WITHIN: Duration = Duration::from_secs(1);
/// How long what waits at the end is still written for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Rows of one path that started no run: two a second, and as many as people look at in one go.
const ROWS: Bucket = Bucket { every_micros: 500_000, burst: 500 };
/// The same for all paths of a project that lead nowhere.
const ASTRAY: Bucket = Bucket { every_micros: 5_000_000, burst: 50 };
/// Bytes of rows of one path: 4 KiB a second, of which 1 GiB comes together in three days.
const BYTES: Bucket = Bucket { every_micros: 244, burst: 16 << 20 };
