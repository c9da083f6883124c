//! Webhooks: from a request to a committed run.
//!
//! ```text
//!   path ─► method ─► size ─► signature ─► body ─► filter ─► duplicate ─► schema ─► rate, load ─► commit ─► answer
//!    404     405       413      401      415, 400   ignored    202, 409     422      429, 503               202
//! ```
//!
//! What a request is, up to its key, is found out where [checks of deliveries](super::delivery) find it out as well
//! (`recognize.rs`); what follows from it happens here.
//!
//! A delivery is one run, or one for each of its [items](super::each).
//!
//! Whether the key is taken is decided by the commit, which costs an accepted delivery nothing. Only where the schema or
//! the load would refuse a delivery, or a rate limit counts it, its key is looked up first, so that the answers are those of this order.
//!
//! The order is part of the contract. A body is read for the workflow only once its sender is known; where a signature or a
//! handshake stands in it, it is parsed earlier to find that. Nothing is answered as accepted before it is durable.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::each::NO_ITEMS;
use super::hearing::{Found, Hearing, Outcome, Prospect, Waiting};
use super::hook::{LiveHook, Read};
use super::intake::{NewRun, Started};
use super::recognize::Recognized;
use super::recorder::{Keep, OfItems, Runs};
use super::refusal::{HookRefusal, engine_refusal};
use crate::definition::Respond;
use crate::id::{DeliveryId, RunId};
use crate::store::Dedupe;
use crate::webhook::{HandshakeAnswer, RawRequest, Verdict, redact_headers};

/// What a hook makes of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// A run was committed, or an earlier one has the same key.
    Accepted {
        /// The run.
        run: RunId,
        /// Whether it is an earlier one.
        duplicate: bool,
    },
    /// A run was committed, and its end is to be waited for, as the hook says.
    Waiting(Box<Waiting>),
    /// A run was committed for each item, or earlier ones have the same key: one for each, in order. None where the request
    /// has no items: its delivery is recorded as filtered.
    Items(Vec<ItemRun>),
    /// The filter does not want the request.
    Ignored,
    /// It was no delivery, but a provider's question.
    Handshake(HandshakeAnswer),
}

/// The run of an item of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ItemRun {
    /// The run.
    pub run: RunId,
    /// Whether it is an earlier one, or that of an earlier item.
    pub duplicate: bool,
}

impl Received {
    /// What became of the request, in one word, and the status that its sender is answered with.
    fn verdict(&self) -> (Verdict, u16) {
        match self {
            Self::Accepted { duplicate: true, .. } => (Verdict::Duplicate, Verdict::Duplicate.status()),
            Self::Items(runs) if runs.is_empty() => (Verdict::Filtered, Verdict::Accepted.status()),
            Self::Items(runs) if runs.iter().all(|item| item.duplicate) => {
                (Verdict::Duplicate, Verdict::Duplicate.status())
            }
            Self::Accepted { .. } | Self::Waiting(_) | Self::Items(_) => {
                (Verdict::Accepted, Verdict::Accepted.status())
            }
            Self::Ignored => (Verdict::Filtered, Verdict::Filtered.status()),
            Self::Handshake(answer) => (Verdict::Handshake, answer.status),
        }
    }

    fn runs(&self) -> Runs {
        match self {
            Self::Accepted { run, .. } => Runs::one(*run),
            Self::Waiting(waiting) => Runs::one(waiting.run()),
            Self::Items(items) if items.is_empty() => Runs::default(),
            Self::Items(items) => Runs { one: None, of_items: Some(OfItems::new(items)) },
            Self::Ignored | Self::Handshake(_) => Runs::default(),
        }
    }

    /// What may be kept of the request: not the key that a provider made, and shows nowhere else.
    fn keep(&self) -> Keep {
        match self {
            Self::Handshake(answer) if answer.tell.is_some() => Keep::Headers,
            _ => Keep::All,
        }
    }
}

impl LiveHook {
    /// Takes a request: verifies, reads, filters, and commits a run, for whose end the sender is to wait where the hook says
    /// so. What became of it is recorded as a delivery.
    ///
    /// # Errors
    ///
    /// [`HookRefusal`]; nothing was stored, except where the engine's error is
    /// [transient](super::EngineError::is_transient): then the run may exist, and the same delivery sent again finds it. Of a
    /// request with items, some may be runs then, also where another request took the key of one of them in the same
    /// moment; the delivery says which.
    pub async fn receive(&self, request: &RawRequest<'_>) -> Result<Received, HookRefusal> {
        let mut hearing = Hearing { hook: self, request, found: Found::default(), is_noted: false };
        let mut outcome = self.take(request, &mut hearing.found).await;
        match &mut outcome {
            Ok(Received::Waiting(waiting)) => {
                hearing.is_noted = true;
                waiting.found = std::mem::take(&mut hearing.found);
            }
            Ok(received) => {
                let (verdict, status) = received.verdict();
                let (runs, keep) = (received.runs(), received.keep());
                let detail = match received {
                    Received::Items(runs) if runs.is_empty() => Some(NO_ITEMS.to_owned()),
                    _ => hearing.found.unwanted.take(),
                };
                hearing.note(Outcome { verdict, status, runs, detail, bytes: None, keep });
            }
            Err(refusal) => {
                let verdict = refusal.verdict();
                let one = match refusal {
                    HookRefusal::KeyReused { run } | HookRefusal::ItemReused { run, .. } => Some(*run),
                    _ => None,
                };
                let runs = Runs { one, of_items: hearing.found.prospect.runs.get().cloned() };
                let detail = Some(self.detail(refusal));
                let status = verdict.status();
                hearing.note(Outcome { verdict, status, runs, detail, bytes: None, keep: Keep::All });
                self.tell(verdict);
            }
        }
        outcome
    }

    async fn take(&self, request: &RawRequest<'_>, found: &mut Found) -> Result<Received, HookRefusal> {
        let now = self.inner.time.by_own_clock();
        let wanted = match self.recognize(&self.trigger().1.verify, request, now, found).await? {
            Recognized::Handshake(answer) => {
                if let Some(key) = &answer.tell {
                    self.tell_key(key).await?;
                }
                return Ok(Received::Handshake(answer));
            }
            Recognized::Unwanted(why) => {
                found.unwanted = Some(why);
                return Ok(Received::Ignored);
            }
            Recognized::Wanted(wanted) => *wanted,
        };
        let start = Start {
            key: wanted.key,
            delivery_id: found.verified.as_ref().and_then(|verified| verified.delivery_id.clone()),
            replay_of: None,
            earlier_seed: None,
            prospect: found.prospect.clone(),
        };
        self.start(request, wanted.read, start).await
    }

    /// Starts a run with what was read, unless there is one for its key.
    pub(super) async fn start(
        &self,
        request: &RawRequest<'_>,
        read: Read,
        start: Start,
    ) -> Result<Received, HookRefusal> {
        let webhook = self.trigger().1;
        if let Some(each) = &webhook.each {
            return self.start_each(each, read, request, start).await;
        }
        let fingerprint = || webhook.verify.fingerprint(request, &read.body);
        let dedupe = start.key.clone().map(|key| self.dedupe("hook", key, fingerprint()));
        let wait = match webhook.respond {
            Respond::Wait(wait) if start.replay_of.is_none() => Some(wait),
            _ => None,
        };
        let accepted = |Started { run, duplicate, .. }| Received::Accepted { run, duplicate };
        if let Some(violation) = self.violation(&read) {
            // A repetition is one also when the schema has changed since.
            let first = self.inner.started_before(&self.project, dedupe.as_ref()).await;
            return match first.map_err(engine_refusal)? {
                Some(first) => Ok(accepted(first)),
                None => Err(violation),
            };
        }
        if webhook.rate_limit.is_some() && start.replay_of.is_none() {
            // A repetition takes no token. Elsewhere the commit tells whether it is one, for nothing; here it has to be known.
            let first = self.inner.started_before(&self.project, dedupe.as_ref()).await;
            if let Some(first) = first.map_err(engine_refusal)? {
                return Ok(accepted(first));
            }
            if let Some((key, bucket)) = self.rate(&read)?
                && let Some(wait) = self.inner.admitter.admit(&self.project, key, bucket).await?
            {
                return Err(HookRefusal::RateLimited { wait });
            }
        }
        let bytes = read.bytes;
        let (mut trigger, body) = self.run_trigger(read, &start);
        trigger.insert("body".to_owned(), body);
        let new =
            NewRun { wait, prospect: Some(start.prospect.clone()), ..self.new_run(trigger, bytes, dedupe) };
        let (started, awaited) = self.inner.commit_run(new).await.map_err(engine_refusal)?;
        let Some(awaited) = awaited else { return Ok(accepted(started)) };
        Ok(Received::Waiting(Box::new(Waiting {
            awaited,
            hook: self.clone(),
            method: request.method.to_owned(),
            bytes: request.body.len() as u64,
            found: Found::default(),
            is_noted: false,
        })))
    }
}

impl LiveHook {
    /// What a run's trigger says of a request, and the request's body.
    pub(super) fn run_trigger(&self, read: Read, start: &Start) -> (Map<String, Value>, Value) {
        let (id, webhook) = self.trigger();
        // The filter saw the credentials; nothing that is kept does.
        let Read { mut headers, query, body, method, .. } = read;
        redact_headers(&mut headers, &webhook.verify.credential_headers());
        let mut trigger: Map<String, Value> = [
            ("type", Value::from("webhook")),
            ("id", id.into()),
            ("method", method),
            ("path", self.path.clone().into()),
            ("headers", headers),
            ("query", query),
            ("delivery_id", start.delivery_id.clone().into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
        if let Some(delivery) = start.replay_of {
            trigger.insert("replay_of".to_owned(), delivery.to_string().into());
        }
        (trigger, body)
    }

    /// A run of the hook's workflow, whose input is the trigger's body; nobody waits for its end.
    pub(super) fn new_run(
        &self,
        trigger: Map<String, Value>,
        bytes: usize,
        dedupe: Option<Dedupe>,
    ) -> NewRun {
        NewRun {
            project: self.project.clone(),
            workflow: self.route.workflow.clone(),
            version: Some(self.route.version),
            definition: self.definition.clone(),
            trigger,
            input: None,
            bytes,
            test: false,
            dedupe,
            wait: None,
            prospect: None,
        }
    }
}

/// How a run is to be started.
#[derive(Debug)]
pub(super) struct Start {
    /// What repetitions have in common.
    pub(super) key: Option<String>,
    /// The delivery's identity by the scheme.
    pub(super) delivery_id: Option<String>,
    /// The delivery that somebody wants to be routed again.
    pub(super) replay_of: Option<DeliveryId>,
    /// What the ids of the items' runs were made from, where they may exist already.
    pub(super) earlier_seed: Option<RunId>,
    /// Where it is told what may be started, before it is.
    pub(super) prospect: Arc<Prospect>,
}
