//! Webhooks: from a request to a committed run.
//!
//! ```text
//!   path ─► method ─► size ─► signature ─► body ─► filter ─► duplicate ─► schema ─► rate, load ─► commit ─► answer
//!    404     405       413      401      415, 400   ignored    202, 409     422      429, 503               202
//! ```
//!
//! A handshake is answered after the path check, whatever methods the hook takes: it is no delivery, starts no run and
//! leaves no key. Where the provider signs it, only with its valid signature; without one it goes the way of deliveries.
//!
//! Whether the key is taken is decided by the commit, which costs an accepted delivery nothing. Only where the schema or
//! the load would refuse a delivery, or a rate limit counts it, its key is looked up first, so that the answers are those of this order.
//!
//! The order is part of the contract. Nothing is parsed before its sender is known, and nothing is answered as accepted
//! before it is durable.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::intake::{Awaited, NewRun, Started};
use super::project::Project;
use super::recorder::{HookConfig, Keep, Seen};
use super::{EngineError, Inner};
use crate::definition::{Respond, Trigger, TriggerKind, ValidDefinition, WebhookTrigger};
use crate::event::RunStatus;
use crate::expr::{Env, View};
use crate::id::{DeliveryId, ProjectId, RunId, WorkflowSlug};
use crate::json;
use crate::node::TerminateResponse;
use crate::policy::Bucket;
use crate::run::RunEnd;
use crate::store::{Dedupe, HookRoute};
use crate::time::Timestamp;
use crate::webhook::{
    BodyError, BodyKind, BodyLimits, HandshakeAnswer, HeadError, HookPath, RawRequest, Refusal, Verdict,
    Verified, VerifyConfig, headers_value, query_value, read_body, redact_headers,
};

/// A live hook.
#[derive(Debug, Clone)]
pub struct LiveHook {
    pub(super) inner: Arc<Inner>,
    pub(super) project: ProjectId,
    pub(super) path: String,
    route: HookRoute,
    definition: ValidDefinition,
    trigger: usize,
}

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
    /// The filter does not want the request.
    Ignored,
    /// It was no delivery, but a provider's question.
    Handshake(HandshakeAnswer),
}

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
    /// Who sends is not who may. Why is for the operator: a sender is told no more than the message says.
    #[error("the signature was not accepted")]
    Unauthorized(Refusal),
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
            Self::Unauthorized(refusal) => (*refusal).into(),
            Self::UnsupportedMedia(_) => Verdict::UnsupportedMedia,
            Self::InvalidJson(_) | Self::Malformed(_) => Verdict::Malformed,
            Self::KeyReused { .. } => Verdict::KeyReused,
            Self::SchemaViolation(_) => Verdict::InvalidSchema,
            Self::RateLimited { .. } => Verdict::RateLimited,
            Self::Engine(error) if error.is_transient() => Verdict::Overloaded,
            Self::Engine(EngineError::Vault { .. } | EngineError::NoMasterKey) => Verdict::Overloaded,
            Self::Engine(_) => Verdict::Internal,
        }
    }
}

impl Received {
    /// What became of the request, in one word, and the status that its sender is answered with.
    fn verdict(&self) -> (Verdict, u16) {
        match self {
            Self::Accepted { duplicate: true, .. } => (Verdict::Duplicate, Verdict::Duplicate.status()),
            Self::Accepted { .. } | Self::Waiting(_) => (Verdict::Accepted, Verdict::Accepted.status()),
            Self::Ignored => (Verdict::Filtered, Verdict::Filtered.status()),
            Self::Handshake(answer) => (Verdict::Handshake, answer.status),
        }
    }

    fn run(&self) -> Option<RunId> {
        match self {
            Self::Accepted { run, .. } => Some(*run),
            Self::Waiting(waiting) => Some(waiting.run()),
            Self::Ignored | Self::Handshake(_) => None,
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

/// A run that was committed, whose end its sender waits for. Nothing of the request is needed for that but its method.
///
/// The delivery is recorded when the wait is over, or is given up by dropping this.
#[derive(Debug)]
pub struct Waiting {
    awaited: Awaited,
    hook: LiveHook,
    method: String,
    bytes: u64,
    found: Found,
    is_noted: bool,
}

impl Waiting {
    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.awaited.run
    }

    /// How the run ends, if it does in time.
    pub async fn end(mut self) -> Option<RunEnd> {
        let end = self.hook.inner.end_of_awaited(&mut self.awaited).await;
        let status = end.as_ref().map_or(Verdict::Accepted.status(), answered_with);
        self.note(status, None);
        end
    }

    fn note(&mut self, status: u16, detail: Option<String>) {
        self.is_noted = true;
        let headers = HeaderMap::new();
        let request = RawRequest { method: &self.method, url: "", query: "", headers: &headers, body: &[] };
        let outcome = Outcome {
            verdict: Verdict::Accepted,
            status,
            run: Some(self.awaited.run),
            detail,
            bytes: Some(self.bytes),
            keep: Keep::Headers,
        };
        self.hook.record(&request, std::mem::take(&mut self.found), outcome);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_noted {
            let detail = "the sender went away before the run's end";
            self.note(Verdict::Accepted.status(), Some(detail.into()));
        }
    }
}

/// The status that a sender who waited for a run's end is answered with.
fn answered_with(end: &RunEnd) -> u16 {
    match end.response.as_deref().and_then(TerminateResponse::from_value) {
        Some(response) => response.status,
        None if end.status == RunStatus::Succeeded => 200,
        None => 500,
    }
}

impl Project {
    /// The live hook at a path; `None` when there is none, or the path is none.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn hook(&self, path: &str) -> Result<Option<LiveHook>, EngineError> {
        let Ok(path) = HookPath::new(path) else { return Ok(None) };
        let Some(route) = self.inner.route(&self.id, path.as_str()).await? else { return Ok(None) };
        let definition = self.inner.registry.definition(&self.inner.store, &self.id, &route.digest).await?;
        let is_it = |trigger: &Trigger| {
            *trigger.id == *route.trigger && matches!(trigger.kind, TriggerKind::Webhook(_))
        };
        let Some(trigger) = definition.triggers().iter().position(is_it) else { return Ok(None) };
        let (inner, project, path) = (self.inner.clone(), self.id.clone(), path.as_str().to_owned());
        Ok(Some(LiveHook { inner, project, path, route, definition, trigger }))
    }

    /// Takes note of a request to a path at which no hook is live; its body was not received.
    pub fn turn_away(&self, path: &str, request: &RawRequest<'_>) {
        let verdict = Verdict::UnknownPath;
        self.inner.record(Seen {
            project: &self.id,
            workflow: None,
            trigger: None,
            path,
            request,
            bytes: None,
            keep: Keep::Headers,
            is_known: false,
            config: None,
            verdict,
            status: verdict.status(),
            run: None,
            key: None,
            delivery_id: None,
            signed_at: None,
            detail: None,
        });
    }
}

/// What came out while a request was looked at.
#[derive(Debug, Default)]
struct Found {
    /// The name of the secret that matched.
    key: Option<String>,
    verified: Option<Verified>,
}

impl LiveHook {
    /// The workflow that the hook belongs to.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowSlug {
        &self.route.workflow
    }

    pub(super) fn trigger(&self) -> (&str, &WebhookTrigger) {
        match &self.definition.triggers()[self.trigger] {
            Trigger { id, kind: TriggerKind::Webhook(webhook), .. } => (id, webhook),
            _ => unreachable!("a live hook is made from a webhook trigger"),
        }
    }

    /// The methods that the hook takes, in upper case.
    #[must_use]
    pub fn methods(&self) -> &[String] {
        &self.trigger().1.methods
    }

    /// Whether the hook takes requests of this method as deliveries.
    #[must_use]
    pub fn takes(&self, method: &str) -> bool {
        self.methods().iter().any(|known| known == method)
    }

    /// Whether a request of this method may be a handshake.
    #[must_use]
    pub fn greets(&self, method: &str) -> bool {
        self.handshakes().any(|rule| rule.method == method)
    }

    /// The largest body that the hook takes, in bytes: on the wire, and decoded.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        usize::try_from(self.trigger().1.max_body_bytes).unwrap_or(usize::MAX)
    }

    /// Takes a request: verifies, reads, filters, and commits a run, for whose end the sender is to wait where the hook says
    /// so. What became of it is recorded as a delivery.
    ///
    /// # Errors
    ///
    /// [`HookRefusal`]; nothing was stored, except where the engine's error is
    /// [transient](EngineError::is_transient): then the run may exist, and the same delivery sent again finds it.
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
                let (run, keep) = (received.run(), received.keep());
                hearing.note(Outcome { verdict, status, run, detail: None, bytes: None, keep });
            }
            Err(refusal) => {
                let verdict = refusal.verdict();
                let run = match refusal {
                    HookRefusal::KeyReused { run } => Some(*run),
                    _ => None,
                };
                let detail = (!matches!(refusal, HookRefusal::Unauthorized(_))).then(|| refusal.to_string());
                let status = verdict.status();
                hearing.note(Outcome { verdict, status, run, detail, bytes: None, keep: Keep::All });
                self.tell(verdict);
            }
        }
        outcome
    }

    /// Takes note of a request that was refused before its body was received, and answered with this status.
    pub fn turn_away(&self, request: &RawRequest<'_>, verdict: Verdict, status: u16) {
        let outcome = Outcome { verdict, status, run: None, detail: None, bytes: None, keep: Keep::Headers };
        self.record(request, Found::default(), outcome);
        self.tell(verdict);
    }

    fn record(&self, request: &RawRequest<'_>, found: Found, outcome: Outcome) {
        let is_known = found.verified.is_some();
        let Verified { delivery_id, timestamp: signed_at, .. } = found.verified.unwrap_or_default();
        let Outcome { verdict, status, run, detail, bytes, keep } = outcome;
        self.inner.record(Seen {
            project: &self.project,
            workflow: Some(&self.route.workflow),
            trigger: Some(self.trigger().0),
            path: &self.path,
            request,
            bytes,
            keep,
            is_known,
            config: Some(HookConfig { definition: self.definition.clone(), trigger: self.trigger }),
            verdict,
            status,
            run,
            key: found.key,
            delivery_id,
            signed_at,
            detail,
        });
    }

    /// Says why a request was refused: in the log only the first time in a while, since anybody can send anything.
    fn tell(&self, verdict: Verdict) {
        metrics::counter!("meshhook_deliveries_refused_total", "reason" => verdict.as_str()).increment(1);
        if self.inner.refusals.is_first((self.project.clone(), self.path.clone(), verdict)) {
            let verdict = verdict.as_str();
            tracing::warn!(project_id = %self.project, path = self.path, workflow = %self.route.workflow, verdict, "hook refused");
        }
    }

    async fn take(&self, request: &RawRequest<'_>, found: &mut Found) -> Result<Received, HookRefusal> {
        let webhook = self.trigger().1;
        if request.body.len() > self.max_body_bytes() {
            return Err(body_refusal(&BodyError::TooLarge { max_bytes: self.max_body_bytes() }));
        }
        if let Some(answer) = self.greet(webhook, request).await? {
            return Ok(Received::Handshake(answer));
        }
        let now = self.inner.time.by_own_clock();
        let verified = match self.verify(&webhook.verify, request, now).await {
            // Whoever cannot show that it is a handshake has only a method that the hook does not take.
            Err(HookRefusal::Unauthorized(_)) if !self.takes(request.method) => {
                return Err(HookRefusal::MethodNotAllowed);
            }
            verified => verified?,
        };
        found.key = matched_key(&webhook.verify, &verified);
        found.verified = Some(verified.clone());
        if let Some(answer) = self.greet_signed(webhook, request, &verified).await? {
            return Ok(Received::Handshake(answer));
        }
        if !self.takes(request.method) {
            return Err(HookRefusal::MethodNotAllowed);
        }
        let read = self.read(request)?;
        if !self.wants(&read) {
            return Ok(Received::Ignored);
        }
        let key = self.dedupe_key(&read, verified.delivery_id.as_deref())?;
        self.start(request, read, Start { key, delivery_id: verified.delivery_id, replay_of: None }).await
    }

    /// Reads a request as it declares itself.
    pub(super) fn read(&self, request: &RawRequest<'_>) -> Result<Read, HookRefusal> {
        let malformed = |error: HeadError| HookRefusal::Malformed(error.to_string());
        let headers = headers_value(request.headers).map_err(malformed)?;
        let query = query_value(request.query).map_err(malformed)?;
        let unread = |error: BodyError| body_refusal(&error);
        // Before it is read: of what is not taken at all, nobody wants to know whether it is well formed.
        if self.trigger().1.body_schema.is_some()
            && BodyKind::of(request.headers).map_err(unread)? != BodyKind::Json
        {
            return Err(HookRefusal::UnsupportedMedia("this hook takes JSON only".into()));
        }
        let limits = BodyLimits::with_max_bytes(self.max_body_bytes());
        let body = read_body(request.headers, request.body, &limits).map_err(unread)?;
        Ok(Read { headers, query, body: body.value, bytes: body.bytes, method: Value::from(request.method) })
    }

    /// Whether the filter wants a request. One that fails does not.
    pub(super) fn wants(&self, read: &Read) -> bool {
        let filter = self.trigger().1.filter.as_ref();
        filter.is_none_or(|filter| filter.evaluate_truthy(&read.root(), &self.env()).unwrap_or(false))
    }

    /// What does not please the hook's schema, or that of the workflow's input. The body is the run's input, so it has to
    /// please both.
    pub(super) fn violation(&self, read: &Read) -> Option<String> {
        let schemas = [self.trigger().1.body_schema.as_ref(), self.definition.input_schema()];
        let violations =
            schemas.into_iter().flatten().find_map(|schema| schema.validate(&read.body).err())?;
        Some(violations.first().map(ToString::to_string).unwrap_or_default())
    }

    /// Starts a run with what was read, unless there is one for its key.
    pub(super) async fn start(
        &self,
        request: &RawRequest<'_>,
        read: Read,
        start: Start,
    ) -> Result<Received, HookRefusal> {
        let (id, webhook) = self.trigger();
        let dedupe = start.key.map(|key| Dedupe {
            scope: format!("hook:{}/{id}", self.route.workflow),
            key,
            fingerprint: Sha256::digest(request.body).into(),
            window: webhook.dedupe.window,
        });
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
                None => Err(HookRefusal::SchemaViolation(violation)),
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
        // The filter saw the credentials; nothing that is kept does.
        let Read { mut headers, query, body, bytes, method } = read;
        redact_headers(&mut headers, &webhook.verify.credential_headers());
        let mut trigger: Map<String, Value> = [
            ("type", Value::from("webhook")),
            ("id", id.into()),
            ("method", method),
            ("path", self.path.clone().into()),
            ("headers", headers),
            ("query", query),
            ("body", body),
            ("delivery_id", start.delivery_id.into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
        if let Some(delivery) = start.replay_of {
            trigger.insert("replay_of".to_owned(), delivery.to_string().into());
        }
        let new = NewRun {
            project: self.project.clone(),
            workflow: self.route.workflow.clone(),
            version: Some(self.route.version),
            definition: self.definition.clone(),
            trigger,
            input: None,
            bytes,
            test: false,
            dedupe,
            wait,
        };
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

    /// Whether a request comes from whom it should, by a scheme with the project's secrets, at a time.
    pub(super) async fn verify(
        &self,
        verify: &VerifyConfig,
        request: &RawRequest<'_>,
        now: Timestamp,
    ) -> Result<Verified, HookRefusal> {
        let names = verify.secret_names();
        let verified = if names.is_empty() {
            verify.verify(request, &[], now)
        } else {
            let secrets = self.inner.unsealed(&self.project).await?;
            let values: Vec<_> = names.iter().map(|name| secrets.get(name.as_str())).collect();
            let verified = verify.verify(request, &values, now);
            // What one secret does not accept may be signed with the other, which nobody can tell now.
            let unopened = names.iter().find(|name| secrets.is_unopened(name.as_str()));
            if let (Err(_), Some(name)) = (&verified, unopened) {
                return Err(EngineError::SecretUnopened { name: name.to_string() }.into());
            }
            verified
        };
        verified.map_err(HookRefusal::Unauthorized)
    }

    /// What repetitions of a request have in common with it.
    pub(super) fn dedupe_key(
        &self,
        read: &Read,
        delivery_id: Option<&str>,
    ) -> Result<Option<String>, HookRefusal> {
        let Some(key) = &self.trigger().1.dedupe.key else { return Ok(delivery_id.map(str::to_owned)) };
        match key.evaluate(&read.root(), &self.env()) {
            Ok(Value::Null) => Ok(None),
            Ok(Value::String(key)) => Ok(Some(key)),
            Ok(other) => Ok(Some(json::to_canonical_string(&other))),
            Err(error) => {
                Err(HookRefusal::Malformed(format!("the delivery's key cannot be computed: {error}")))
            }
        }
    }

    /// The bucket that a request takes from, where the hook has a rate limit: that of its key, or of all whose key is null.
    fn rate(&self, read: &Read) -> Result<Option<([u8; 32], Bucket)>, HookRefusal> {
        let (id, webhook) = self.trigger();
        let Some(limit) = &webhook.rate_limit else { return Ok(None) };
        let key = limit.key.as_ref().map(|key| key.evaluate(&read.root(), &self.env())).transpose();
        let key = key.map_err(|error| {
            HookRefusal::Malformed(format!("the key of the rate limit cannot be computed: {error}"))
        })?;
        let of = format!(
            "rate:{}/{id}\n{}",
            self.route.workflow,
            json::to_canonical_string(&key.unwrap_or_default())
        );
        let bucket = Bucket::per_kilosecond(limit.per_kilosecond, limit.burst);
        Ok(Some((Sha256::digest(of).into(), bucket)))
    }

    fn env(&self) -> Env<'static> {
        Env::new(self.inner.time.now(), b"filter")
    }
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Read {
    headers: Value,
    query: Value,
    pub(super) body: Value,
    bytes: usize,
    method: Value,
}

impl Read {
    /// What a hook's expressions see.
    fn root(&self) -> View<'_> {
        View::object([
            ("headers", View::from(&self.headers)),
            ("query", View::from(&self.query)),
            ("body", View::from(&self.body)),
            ("method", View::from(&self.method)),
        ])
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
}

/// A request that is being looked at. Should its sender go away before it is answered, that is noted.
struct Hearing<'a> {
    hook: &'a LiveHook,
    request: &'a RawRequest<'a>,
    found: Found,
    is_noted: bool,
}

impl Hearing<'_> {
    fn note(&mut self, outcome: Outcome) {
        self.is_noted = true;
        let bytes = Some(self.request.body.len() as u64);
        self.hook.record(self.request, std::mem::take(&mut self.found), Outcome { bytes, ..outcome });
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            let verdict = Verdict::Incomplete;
            let detail = Some("the sender went away before it was answered: there may be a run".into());
            let status = verdict.status();
            self.note(Outcome { verdict, status, run: None, detail, bytes: None, keep: Keep::All });
        }
    }
}

/// How a request ended.
struct Outcome {
    verdict: Verdict,
    status: u16,
    run: Option<RunId>,
    detail: Option<String>,
    /// How long the body was, if it was received.
    bytes: Option<u64>,
    keep: Keep,
}

/// The name of the secret that accepted a request.
pub(super) fn matched_key(verify: &VerifyConfig, verified: &Verified) -> Option<String> {
    verified.key_index.and_then(|index| verify.secret_names().get(index)).map(ToString::to_string)
}

fn engine_refusal(error: EngineError) -> HookRefusal {
    match error {
        EngineError::KeyReused { run } => HookRefusal::KeyReused { run },
        error => error.into(),
    }
}

fn body_refusal(error: &BodyError) -> HookRefusal {
    match error.status() {
        400 if matches!(error, BodyError::Json(_)) => HookRefusal::InvalidJson(error.to_string()),
        413 => HookRefusal::TooLarge(error.to_string()),
        415 => HookRefusal::UnsupportedMedia(error.to_string()),
        _ => HookRefusal::Malformed(error.to_string()),
    }
}
