//! The writer: masks and seals what was noted, and stores it batch by batch.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::note::{Kept, MAX_DETAIL, MAX_PATH, Note, cut};
use super::{HookConfig, Queued, unrecorded};
use crate::engine::contained::contained;
use crate::engine::deadline::answer;
use crate::engine::trouble::Trouble;
use crate::engine::{EngineError, Inner};
use crate::json;
use crate::secret::{MASK, Masker};
use crate::store::{DeliveryRecord, StoreError};
use crate::webhook::{VerifyConfig, headers_value, redact_headers};

/// Writes what is recorded, until the engine is to drop everything; then what waits is written once more.
///
/// What comes is gathered for a moment, so that a delivery seldom costs a transaction of its own.
pub(in crate::engine) async fn write(inner: Arc<Inner>, mut queued: mpsc::Receiver<Queued>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let trouble =
        Trouble::new("could not record deliveries", "the store is back: recording deliveries again");
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
            () = inner.write_batch(std::mem::take(&mut batch), &trouble) => {}
            () = too_late => tracing::warn!("deliveries were left unrecorded at the end"),
        }
    }
    let the_rest = async {
        loop {
            let batch: Vec<_> = std::iter::from_fn(|| queued.try_recv().ok()).take(MAX_BATCH).collect();
            if batch.is_empty() {
                break;
            }
            inner.write_batch(batch, &trouble).await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, the_rest).await.is_err() {
        tracing::warn!("deliveries were left unrecorded at the end");
    }
}

impl Inner {
    /// What is stored of a delivery.
    async fn write_down(&self, note: Note) -> Result<DeliveryRecord, EngineError> {
        let Note { project, id, at, workflow, verdict, mut facts, is_known, config, kept } = note;
        let secrets = self.unsealed(&project).await?;
        let masker = secrets.masker();
        let verify = config.as_ref().and_then(HookConfig::verify);
        let headers = match &kept {
            Kept::Nothing => None,
            Kept::Headers(headers) => Some(headers),
            Kept::Request(sent) => Some(&sent.headers),
        };
        facts.headers = headers.and_then(|headers| headers_value(headers).ok()).map(|mut headers| {
            let credentials = verify.map(VerifyConfig::credential_headers).unwrap_or_default();
            mask_headers(&mut headers, &credentials, masker);
            headers
        });
        let mut sealed = None;
        if let Kept::Request(sent) = &kept {
            if let (false, Some(verify)) = (is_known, verify) {
                let claims = verify.claims(&sent.request());
                (facts.delivery_id, facts.signed_at) = (claims.delivery_id, claims.timestamp);
            }
            sealed = self.vault.seal_delivery(&project, id, &sent.encode()).await?;
            facts.is_whole = sealed.is_some().then_some(sent.is_whole);
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

    async fn write_batch(&self, queued: Vec<Queued>, trouble: &Trouble) {
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
                Ok(()) => {
                    trouble.over();
                    break;
                }
                Err(error) if error.is_transient() && wait < Duration::from_secs(2) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => {
                    trouble.met(&error);
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

/// Hides credentials: by the headers that carry one, by those whose name says so, and wherever a secret of the project
/// stands.
fn mask_headers(headers: &mut Value, credentials: &[&str], masker: &Masker) {
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

/// The most deliveries that are written at once.
const MAX_BATCH: usize = 256;
/// How long deliveries are gathered before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How long what waits at the end is still written for.
const LAST_WORDS: Duration = Duration::from_millis(500);
