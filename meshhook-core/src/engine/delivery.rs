//! Deliveries as people look at them; and trying what was refused again.
//!
//! ```text
//!   refused ──► check    the bytes as they came, at the time at which they came, against the hook's present config or
//!                        another one: says what it would be now. Changes nothing.
//!           ──► replay   the same bytes through filter, key and schema; whoever asks for it vouches for the sender
//! ```
//!
//! Of a sender that went away, or a commit without an answer, nobody knows whether there is a run; but which one it would be
//! was noted. So whoever looks, and a replay, looks whether it is there. Of a request with items, a replay looks for all.
//!
//! A replay starts a run unless there is one for its key: the hook's own key where the request has one, else the
//! delivery's id, so that the same delivery replayed twice is one run. Its trigger says `replay_of`. A handshake starts no
//! run, whoever vouches for it.
//!
//! A list shows of what stands in runs no more than the rows say, or it would read as many histories. What cannot be read,
//! a run, a row of a newer release, or what is sealed under a key that is gone, leaves a gap in its own delivery and
//! nowhere else.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::each::NO_ITEMS;
use super::hearing::Found;
use super::hook::LiveHook;
use super::project::Project;
use super::receive::{Received, Start};
use super::recognize::{Recognized, Wanted};
use super::recorder::{Facts, Sent, stands_in_run};
use super::refusal::HookRefusal;
use super::{EngineError, vault};
use crate::definition::Problem;
use crate::event::EventData;
use crate::id::{DeliveryId, RunId, WorkflowSlug};
use crate::store::{DeliveryFilter, DeliveryRecord, Listing, MAX_LISTING_BYTES, StoreError};
use crate::time::Timestamp;
use crate::webhook::{BodyLimits, RawRequest, RecordedVerdict, Verdict, VerifyConfig, read_body};

/// A delivery.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DeliveryView {
    /// Its id.
    pub id: DeliveryId,
    /// When it came.
    pub at: Timestamp,
    /// The workflow that it was sent to; `None` where no hook listens.
    pub workflow: Option<WorkflowSlug>,
    /// The trigger's id.
    pub trigger: Option<String>,
    /// The method.
    pub method: String,
    /// The path, below the project's hooks.
    pub path: String,
    /// What became of it.
    pub verdict: RecordedVerdict,
    /// What is wrong, in words.
    pub detail: Option<String>,
    /// The status that its sender was answered with.
    pub status: u16,
    /// The run that it started, or that has its key. Where nobody knew whether there is one, a list leaves it out.
    pub run: Option<RunId>,
    /// The runs of its items, at most the first 100, where it has items.
    pub runs: Vec<RunId>,
    /// How many runs its items have, where it has items.
    pub runs_total: Option<u64>,
    /// The name of the secret that accepted it.
    pub key: Option<String>,
    /// Its identity by the scheme, as it says.
    pub delivery_id: Option<String>,
    /// When it was signed, as it says.
    pub signed_at: Option<Timestamp>,
    /// How many milliseconds the signature's time was ahead of the receiver's clock; negative: behind it.
    pub skew_millis: Option<i64>,
    /// The length of the body in bytes, if it was received.
    pub bytes: Option<u64>,
    /// The headers, without credentials; empty in a list where they stand in the run.
    pub headers: Value,
    /// The body, read as it is declared where it can be, with secrets masked; null where it is not kept, and in a list where
    /// it stands in the run.
    pub body: Value,
    /// What is kept of the request.
    pub kept: KeptRequest,
}

/// What is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeptRequest {
    /// All of it, as it came.
    Whole,
    /// Its head, and the first part of its body.
    Cut,
    /// It stands in its run; in a list, without a look at whether the run is still there.
    InRun,
    /// Its headers stand in the first run that it started, and each item in its own.
    InRuns,
    /// Its masked headers at most.
    None,
}

impl KeptRequest {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeptRequest::Whole => "whole",
            KeptRequest::Cut => "cut",
            KeptRequest::InRun => "in_run",
            KeptRequest::InRuns => "in_runs",
            KeptRequest::None => "none",
        }
    }
}

/// What a delivery would be now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedDelivery {
    /// In one word; `accepted` is without a look at whether its key is taken, its rate, or the load.
    pub verdict: Verdict,
    /// What is wrong, in words.
    pub detail: Option<String>,
    /// The name of the secret that accepts it.
    pub key: Option<String>,
    /// Its identity by the scheme.
    pub delivery_id: Option<String>,
    /// When it was signed.
    pub signed_at: Option<Timestamp>,
}

impl Project {
    /// Deliveries, newest first. Headers and body of those that stand in runs are left out:
    /// [`delivery`](Self::delivery) shows them.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Listing<DeliveryView>, EngineError> {
        let limit = filter.page.limit;
        self.inner.recorder.flush().await;
        let Listing { items, more, .. } = self.inner.store.deliveries(&self.id, filter).await?;
        let (found, mut views, mut held) = (items.len(), Vec::with_capacity(items.len()), 0_usize);
        for record in items {
            let view = self.delivery_view(record, Look::InList).await?;
            held = held.saturating_add(view.bytes_held());
            views.push(Ok(view));
            // A body that was sent compressed is larger than its row.
            if held > MAX_LISTING_BYTES {
                break;
            }
        }
        let more = more || views.len() < found;
        let mut part = Listing::gather::<EngineError>(views, limit, DeliveryView::bytes_held)?;
        part.more |= more;
        Ok(part)
    }

    /// One delivery.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn delivery(&self, id: DeliveryId) -> Result<DeliveryView, EngineError> {
        let record = self.delivery_record(id).await?;
        self.delivery_view(record, Look::Alone).await
    }

    /// Says what a delivery would be now, by the bytes and at the time of its arrival: with its hook's present config, or
    /// with another `verify` (as in a trigger's config, its secrets by name). Nothing is changed.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when there is no such delivery or no hook listens at its path any more,
    /// [`EngineError::HasRun`] when its request stands in a run, [`EngineError::NotKept`] when what was sent is not there as
    /// a whole, [`EngineError::InvalidDefinition`] with the
    /// problems of `verify`, or a store error.
    pub async fn check_delivery(
        &self,
        id: DeliveryId,
        verify: Option<&Value>,
    ) -> Result<CheckedDelivery, EngineError> {
        let verify = verify.map(parse_verify).transpose()?;
        let record = self.delivery_record(id).await?;
        let (hook, sent, judged_at) = self.sent_again(&record, &known_facts(&record)?).await?;
        hook.check(&sent, verify.as_ref(), judged_at).await
    }

    /// Routes a delivery again through its path's hook as it is now, whatever its signature: who asks for it vouches for the
    /// sender. `actor` says who that is, for the log.
    ///
    /// # Errors
    ///
    /// As for [`check_delivery`](Self::check_delivery), and [`EngineError::Refused`] when the request does not parse or
    /// please the schema, [`EngineError::KeyReused`], [`EngineError::ItemReused`],
    /// [`EngineError::Overloaded`].
    pub async fn replay_delivery(
        &self,
        id: DeliveryId,
        actor: Option<&str>,
    ) -> Result<Received, EngineError> {
        let record = self.delivery_record(id).await?;
        let facts = known_facts(&record)?;
        if let Some(run) = self.run_that_may_be(&facts).await? {
            return Ok(Received::Accepted { run, duplicate: true });
        }
        let (hook, sent, _) = self.sent_again(&record, &facts).await?;
        if hook.asks(&sent.request()) {
            return Err(EngineError::NotKept { why: "the delivery is a handshake, which starts no run" });
        }
        let replayed = hook.replay(&sent, id, facts.items_seed).await;
        tracing::info!(project_id = %self.id, delivery_id = %id, actor, is_taken = replayed.is_ok(), "replayed a delivery");
        replayed
    }

    async fn delivery_record(&self, id: DeliveryId) -> Result<DeliveryRecord, EngineError> {
        self.inner.recorder.flush().await;
        let found = self.inner.store.delivery(&self.id, id).await?;
        found.ok_or(EngineError::NotFound { what: "delivery" })
    }

    /// What was sent with a delivery, the hook at its path, and the time by which it was judged.
    async fn sent_again(
        &self,
        record: &DeliveryRecord,
        facts: &Facts,
    ) -> Result<(LiveHook, Sent, Timestamp), EngineError> {
        let not_kept = |why| EngineError::NotKept { why };
        let has_run = record.verdict.known().is_some_and(stands_in_run);
        if has_run && facts.runs_total.is_some() {
            return Err(not_kept(
                "the items of the delivery stand in runs: to do their work again, start runs with the same inputs, by \
                 POST /workflows/{slug}/runs",
            ));
        }
        if has_run {
            return Err(EngineError::HasRun { run: facts.run_id });
        }
        let sent = match (&record.sealed, facts.is_whole) {
            (Some(_), Some(true)) => self.open_sent(record, true).await?,
            (Some(_), _) => return Err(not_kept("the body was too large to be kept as a whole")),
            (None, _) => return Err(not_kept("what was sent is not kept")),
        };
        let hook = self.hook(&facts.path).await?.ok_or(EngineError::NotFound { what: "hook" })?;
        Ok((hook, sent, facts.judged_at.unwrap_or(record.at)))
    }

    /// The run of a delivery of which nobody knew whether it started one, if it did.
    async fn run_that_may_be(&self, facts: &Facts) -> Result<Option<RunId>, EngineError> {
        let Some(run) = facts.may_be_run else { return Ok(None) };
        Ok(self.inner.store.run_record(&self.id, run).await?.map(|_| run))
    }

    async fn open_sent(&self, record: &DeliveryRecord, is_whole: bool) -> Result<Sent, EngineError> {
        let sealed = record.sealed.as_deref().unwrap_or_default();
        let opened = self.inner.vault.open_delivery(&self.id, record.id, sealed).await?;
        let corrupt = || StoreError::corrupt(format!("what was sent with delivery {}", record.id));
        Ok(Sent::decode(&opened, is_whole).ok_or_else(corrupt)?)
    }

    async fn delivery_view(&self, record: DeliveryRecord, look: Look) -> Result<DeliveryView, EngineError> {
        let known = facts_of(&record);
        let is_known = known.is_some();
        let facts = known.unwrap_or_default();
        let run = match look {
            Look::Alone if facts.run_id.is_none() => self.run_that_may_be(&facts).await?,
            _ => facts.run_id,
        };
        let detail = match look {
            Look::Alone if record.verdict == Verdict::UnknownPath && is_known => {
                match self.why_astray(&facts.path).await {
                    Ok(why) => Some(why),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, delivery_id = %record.id, "cannot look up why no hook is at a path");
                        facts.detail
                    }
                }
            }
            _ => facts.detail,
        };
        let (mut headers, mut body, mut kept) = (facts.headers, Value::Null, KeptRequest::None);
        if let (Some(is_whole), Some(_)) = (facts.is_whole, &record.sealed) {
            match self.open_sent(&record, is_whole).await {
                Ok(sent) => {
                    body = shown_body(&sent, &*self.inner.unsealed(&self.id).await?);
                    kept = if is_whole { KeptRequest::Whole } else { KeptRequest::Cut };
                }
                // The vault has told of it.
                Err(EngineError::NotKept { .. }) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, delivery_id = %record.id, "cannot open what was sent with a delivery");
                }
            }
        } else if record.verdict.known().is_some_and(stands_in_run)
            // An item that is a repetition has the run of another request.
            && let Some(run) = facts.run_id.or(facts.new_run).or(facts.runs.first().copied())
        {
            let has_items = facts.runs_total.is_some();
            let found = if has_items { KeptRequest::InRuns } else { KeptRequest::InRun };
            match look {
                Look::InList => kept = found,
                Look::Alone => {
                    if let Some(mut trigger) = self.readable_trigger_of(run).await? {
                        headers = headers.or_else(|| trigger.get_mut("headers").map(Value::take));
                        if !has_items {
                            body = trigger.get_mut("body").map(Value::take).unwrap_or_default();
                        }
                        kept = found;
                    }
                }
            }
        }
        let skew =
            |signed: Timestamp, judged: Timestamp| signed.as_millis().saturating_sub(judged.as_millis());
        Ok(DeliveryView {
            id: record.id,
            at: record.at,
            workflow: record.workflow,
            trigger: facts.trigger,
            method: facts.method,
            path: facts.path,
            verdict: record.verdict,
            detail,
            status: facts.status,
            run,
            runs: facts.runs,
            runs_total: facts.runs_total,
            key: facts.key,
            delivery_id: facts.delivery_id,
            signed_at: facts.signed_at,
            skew_millis: facts.signed_at.zip(facts.judged_at).map(|(signed, judged)| skew(signed, judged)),
            bytes: facts.bytes,
            headers: headers.unwrap_or_else(|| json!({})),
            body,
            kept,
        })
    }

    /// What started a run, if the run is still there and can be read.
    async fn readable_trigger_of(&self, run: RunId) -> Result<Option<Value>, EngineError> {
        match self.trigger_of(run).await {
            Err(error) if error.is_unreadable() => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, run_id = %run, "cannot read the run of a delivery");
                Ok(None)
            }
            found => found,
        }
    }

    /// What started a run, if the run is still there.
    async fn trigger_of(&self, run: RunId) -> Result<Option<Value>, EngineError> {
        let first = self.inner.store.chunks_after(&self.id, run, 0, 1).await?;
        let Some(first) = first.items.first() else { return Ok(None) };
        let unreadable = |error: crate::event::CodecError| StoreError::corrupt(error.to_string());
        let event = first.events().map_err(unreadable)?.into_iter().next();
        Ok(event.and_then(|event| match event.data {
            EventData::RunCreated(created) => Some(created.trigger.to_value()),
            _ => None,
        }))
    }
}

/// Where a delivery is shown.
#[derive(Debug, Clone, Copy)]
enum Look {
    InList,
    Alone,
}

impl DeliveryView {
    /// How large it is, for lists.
    fn bytes_held(&self) -> usize {
        super::long_work::text_len(&self.body).saturating_add(super::long_work::text_len(&self.headers))
    }
}

impl LiveHook {
    async fn check(
        &self,
        sent: &Sent,
        verify: Option<&VerifyConfig>,
        at: Timestamp,
    ) -> Result<CheckedDelivery, EngineError> {
        let request = sent.request();
        let verify = verify.unwrap_or(&self.trigger().1.verify);
        let mut found = Found::default();
        let recognized = self.recognize(verify, &request, at, &mut found).await;
        let judged = recognized.and_then(|recognized| self.judge(recognized, &request));
        let verified = found.verified.unwrap_or_default();
        let mut checked = CheckedDelivery {
            verdict: Verdict::Accepted,
            detail: None,
            key: found.key,
            delivery_id: verified.delivery_id,
            signed_at: verified.timestamp,
        };
        match judged {
            Ok(Recognized::Wanted(_)) => {}
            Ok(Recognized::Handshake(_)) => checked.verdict = Verdict::Handshake,
            Ok(Recognized::Unwanted(why)) => {
                checked.verdict = Verdict::Filtered;
                checked.detail = Some(why);
            }
            Err(HookRefusal::Engine(error)) => return Err(error),
            Err(refusal) => {
                checked.verdict = refusal.verdict();
                checked.detail = Some(self.detail(&refusal));
                checked.signed_at = checked.signed_at.or_else(|| verify.claims(&request).timestamp);
            }
        }
        Ok(checked)
    }

    /// What the schemas say of a delivery, before its key is looked at.
    fn judge(&self, recognized: Recognized, request: &RawRequest<'_>) -> Result<Recognized, HookRefusal> {
        let Recognized::Wanted(wanted) = &recognized else { return Ok(recognized) };
        let Wanted { read, key } = &**wanted;
        let (violation, is_empty) = match &self.trigger().1.each {
            Some(each) => {
                let items = self.items(each, read, key.as_deref(), request)?;
                (self.violation_of_items(read, &items), items.is_empty())
            }
            None => (self.violation(read), false),
        };
        match violation {
            Some(violation) => Err(violation),
            None if is_empty => Ok(Recognized::Unwanted(NO_ITEMS.to_owned())),
            None => Ok(recognized),
        }
    }

    async fn replay(
        &self,
        sent: &Sent,
        id: DeliveryId,
        earlier_seed: Option<RunId>,
    ) -> Result<Received, EngineError> {
        let request = sent.request();
        let refused = |refusal| match refusal {
            HookRefusal::KeyReused { run } => EngineError::KeyReused { run },
            HookRefusal::ItemReused { item, run } => EngineError::ItemReused { item, run: Some(run) },
            HookRefusal::ItemsDiffer { item, .. } => EngineError::ItemReused { item, run: None },
            HookRefusal::Engine(error) => error,
            HookRefusal::SchemaViolation { item, .. } => {
                EngineError::Refused { message: refusal.to_string(), item }
            }
            refusal => EngineError::Refused { message: refusal.to_string(), item: None },
        };
        let claimed = self.trigger().1.verify.claims(&request).delivery_id;
        let recognized = self.recognize_delivery(&request, claimed.as_deref());
        let judged = recognized.and_then(|recognized| self.judge(recognized, &request));
        let Recognized::Wanted(wanted) = judged.map_err(refused)? else { return Ok(Received::Ignored) };
        let Wanted { read, key } = *wanted;
        let key = key.or_else(|| Some(format!("replay of {id}")));
        let start =
            Start { key, delivery_id: claimed, replay_of: Some(id), earlier_seed, prospect: Arc::default() };
        self.start(&request, read, start).await.map_err(refused)
    }
}

/// What a row says of a delivery, where it can be read.
fn facts_of(record: &DeliveryRecord) -> Option<Facts> {
    let unreadable = |error: &serde_json::Error| {
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, delivery_id = %record.id, "cannot read what is known of a delivery");
    };
    serde_json::from_str(&record.facts).inspect_err(unreadable).ok()
}

/// What a row says of a delivery, for whoever goes by it: where this release cannot tell what became of it, there may be a
/// run.
fn known_facts(record: &DeliveryRecord) -> Result<Facts, EngineError> {
    let facts = record.verdict.known().and_then(|_| facts_of(record));
    facts.ok_or(EngineError::NotKept { why: "a newer release knows what became of the delivery" })
}

fn parse_verify(verify: &Value) -> Result<VerifyConfig, EngineError> {
    let parsed = VerifyConfig::parse(verify, "verify");
    parsed.map_err(|problems: Vec<Problem>| EngineError::InvalidDefinition { problems })
}

/// A body as people see it: as a workflow would, else as text, else as bytes. What is compressed and cannot be read is not
/// shown: nobody would find a secret in it.
fn shown_body(sent: &Sent, secrets: &vault::Unsealed) -> Value {
    let masker = secrets.masker();
    let limits = BodyLimits::with_max_bytes(sent.body.len().saturating_mul(4).max(1 << 20));
    let read = if sent.is_whole { read_body(&sent.headers, &sent.body, &limits).ok() } else { None };
    if let Some(body) = read {
        let mut body = body.value;
        masker.mask_value(&mut body);
        return body;
    }
    let encodings = sent.headers.get_all(http::header::CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Value::Null;
    }
    match std::str::from_utf8(&sent.body) {
        Ok(text) if sent.is_whole => masker.mask_str(text).into(),
        Ok(text) => masker.mask_cut_str(text).into(),
        // Cut within a character.
        Err(error) if !sent.is_whole && error.error_len().is_none() => {
            let text = String::from_utf8_lossy(&sent.body[..error.valid_up_to()]);
            masker.mask_cut_str(&text).into()
        }
        Err(_) if sent.is_whole => json!({ "raw": STANDARD.encode(masker.mask_bytes(&sent.body)) }),
        Err(_) => json!({ "raw": STANDARD.encode(masker.mask_cut_bytes(&sent.body)) }),
    }
}
