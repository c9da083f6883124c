//! Webhooks: from a request to a committed run.
//!
//! ```text
//!   path ─► method ─► size ─► signature ─► body ─► filter ─► duplicate ─► schema ─► load ─► commit ─► answer
//!    404     405       413      401      415, 400   ignored    202, 409     422      503               202
//! ```
//!
//! A handshake is answered after the path check, whatever methods the hook takes: it is no delivery, starts no run and
//! leaves no key. Where the provider signs it, only with its valid signature; without one it goes the way of deliveries.
//!
//! Whether the key is taken is decided by the commit, which costs an accepted delivery nothing. Only where the schema or
//! the load would refuse a delivery, its key is looked up first, so that the answers are those of this order.
//!
//! The order is part of the contract. Nothing is parsed before its sender is known, and nothing is answered as accepted
//! before it is durable.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fresh::Fresh;
use super::intake::{NewRun, Started};
use super::project::Project;
use super::{EngineError, Inner};
use crate::definition::{Respond, Trigger, TriggerKind, ValidDefinition, WebhookTrigger};
use crate::expr::{Env, Expression, View};
use crate::id::{ProjectId, RunId, WorkflowSlug};
use crate::json;
use crate::run::RunEnd;
use crate::store::{Dedupe, HookRoute};
use crate::webhook::{
    BodyError, BodyKind, BodyLimits, HandshakeAnswer, HandshakeRule, HookPath, RawRequest, Refusal, Trust,
    Verified, headers_value, query_value, read_body, redact_headers,
};

/// A live hook.
#[derive(Debug, Clone)]
pub struct LiveHook {
    inner: Arc<Inner>,
    project: ProjectId,
    path: String,
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
    /// A run was committed, and its end was waited for, as the hook says.
    Waited {
        /// The run.
        run: RunId,
        /// How it ended, if it did in time.
        end: Option<RunEnd>,
    },
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
    /// The engine cannot take it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl HookRefusal {
    /// What was found, as a stable name: for logs and metrics.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge(_) => "too_large",
            Self::Unauthorized(refusal) => refusal.code(),
            Self::UnsupportedMedia(_) => "unsupported_media_type",
            Self::InvalidJson(_) => "invalid_json",
            Self::Malformed(_) => "malformed",
            Self::KeyReused { .. } => "key_reused",
            Self::SchemaViolation(_) => "schema_violation",
            Self::Engine(error) if error.is_transient() => "unavailable",
            Self::Engine(_) => "internal",
        }
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
}

impl LiveHook {
    fn trigger(&self) -> (&str, &WebhookTrigger) {
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

    /// Takes a request: verifies, reads, filters, commits a run, and waits for its end where the hook says so.
    ///
    /// # Errors
    ///
    /// [`HookRefusal`]; nothing was stored, except where the engine's error is
    /// [transient](EngineError::is_transient): then the run may exist, and the same delivery sent again finds it.
    pub async fn receive(&self, request: &RawRequest<'_>) -> Result<Received, HookRefusal> {
        self.take(request).await.inspect_err(|refusal| self.tell(refusal))
    }

    /// Says why a request was refused: in the log only the first time in a while, since anybody can send anything.
    fn tell(&self, refusal: &HookRefusal) {
        let verdict = refusal.verdict();
        metrics::counter!("meshhook_deliveries_refused_total", "reason" => verdict).increment(1);
        if self.inner.refusals.is_first((self.project.clone(), self.path.clone(), verdict)) {
            tracing::warn!(project_id = %self.project, path = self.path, workflow = %self.route.workflow, verdict, "hook refused");
        }
    }

    async fn take(&self, request: &RawRequest<'_>) -> Result<Received, HookRefusal> {
        let (id, webhook) = self.trigger();
        if request.body.len() > self.max_body_bytes() {
            return Err(body_refusal(&BodyError::TooLarge { max_bytes: self.max_body_bytes() }));
        }
        if let Some(answer) = self.greet(webhook, request).await? {
            return Ok(Received::Handshake(answer));
        }
        let verified = match self.verify(webhook, request).await {
            // Whoever cannot show that it is a handshake has only a method that the hook does not take.
            Err(HookRefusal::Unauthorized(_)) if !self.takes(request.method) => {
                return Err(HookRefusal::MethodNotAllowed);
            }
            verified => verified?,
        };
        if let Some(answer) = self.greet_signed(webhook, request, &verified).await? {
            return Ok(Received::Handshake(answer));
        }
        if !self.takes(request.method) {
            return Err(HookRefusal::MethodNotAllowed);
        }
        let headers =
            headers_value(request.headers).map_err(|error| HookRefusal::Malformed(error.to_string()))?;
        let query = query_value(request.query).map_err(|error| HookRefusal::Malformed(error.to_string()))?;
        let limits = BodyLimits::with_max_bytes(self.max_body_bytes());
        let body = read_body(request.headers, request.body, &limits).map_err(|error| body_refusal(&error))?;
        if webhook.body_schema.is_some() && body.kind != BodyKind::Json {
            return Err(HookRefusal::UnsupportedMedia("this hook takes JSON only".into()));
        }
        let method = Value::from(request.method);
        let root = View::object([
            ("headers", View::from(&headers)),
            ("query", View::from(&query)),
            ("body", View::from(&body.value)),
            ("method", View::from(&method)),
        ]);
        let env = Env::new(self.inner.time.now(), b"filter");
        if let Some(filter) = &webhook.filter
            && !filter.evaluate_truthy(&root, &env).unwrap_or(false)
        {
            return Ok(Received::Ignored);
        }
        let key = self.dedupe_key(webhook.dedupe.key.as_ref(), &root, &env, &verified)?;
        let dedupe = key.map(|key| Dedupe {
            scope: format!("hook:{}/{id}", self.route.workflow),
            key,
            fingerprint: Sha256::digest(request.body).into(),
            window: webhook.dedupe.window,
        });
        let wait = match webhook.respond {
            Respond::Wait(wait) => Some(wait),
            _ => None,
        };
        let accepted = |Started { run, duplicate, end }| match wait {
            Some(_) if !duplicate => Received::Waited { run, end },
            _ => Received::Accepted { run, duplicate },
        };
        // The body is the run's input, so it has to please both.
        let schemas = [webhook.body_schema.as_ref(), self.definition.input_schema()];
        if let Some(violations) =
            schemas.into_iter().flatten().find_map(|schema| schema.validate(&body.value).err())
        {
            // A repetition is one also when the schema has changed since.
            let first = self.inner.started_before(&self.project, dedupe.as_ref()).await;
            return match first.map_err(engine_refusal)? {
                Some(first) => Ok(accepted(first)),
                None => Err(HookRefusal::SchemaViolation(
                    violations.first().map(ToString::to_string).unwrap_or_default(),
                )),
            };
        }
        // The filter saw the credentials; nothing that is kept does.
        let mut headers = headers;
        redact_headers(&mut headers, &webhook.verify.credential_headers());
        let members = [
            ("type", Value::from("webhook")),
            ("id", id.into()),
            ("method", method),
            ("path", self.path.clone().into()),
            ("headers", headers),
            ("query", query),
            ("body", body.value),
            ("delivery_id", verified.delivery_id.into()),
        ];
        let trigger = members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        let new = NewRun {
            project: self.project.clone(),
            workflow: self.route.workflow.clone(),
            version: Some(self.route.version),
            definition: self.definition.clone(),
            trigger: Value::Object(trigger),
            input: None,
            test: false,
            dedupe,
            wait,
        };
        self.inner.start_run(new).await.map(accepted).map_err(engine_refusal)
    }

    async fn verify(
        &self,
        webhook: &WebhookTrigger,
        request: &RawRequest<'_>,
    ) -> Result<Verified, HookRefusal> {
        let names = webhook.verify.secret_names();
        let verified = if names.is_empty() {
            webhook.verify.verify(request, &[], self.inner.time.by_own_clock())
        } else {
            let secrets = self.inner.unsealed(&self.project).await?;
            let values: Vec<_> = names.iter().map(|name| secrets.get(name.as_str())).collect();
            let verified = webhook.verify.verify(request, &values, self.inner.time.by_own_clock());
            // What one secret does not accept may be signed with the other, which nobody can tell now.
            let unopened = names.iter().find(|name| secrets.is_unopened(name.as_str()));
            if let (Err(_), Some(name)) = (&verified, unopened) {
                return Err(EngineError::SecretUnopened { name: name.to_string() }.into());
            }
            verified
        };
        verified.map_err(HookRefusal::Unauthorized)
    }

    /// All handshakes of the hook: that of its config, and those of its scheme.
    fn handshakes(&self) -> impl Iterator<Item = &HandshakeRule> {
        let webhook = self.trigger().1;
        let configured = webhook.handshake.iter().flat_map(|handshake| &handshake.rules);
        configured.chain(webhook.verify.handshakes())
    }

    /// The answer to a handshake that its provider does not sign.
    async fn greet(
        &self,
        webhook: &WebhookTrigger,
        request: &RawRequest<'_>,
    ) -> Result<Option<HandshakeAnswer>, HookRefusal> {
        let is_meant = |rule: &&HandshakeRule| rule.trust != Trust::Signature && rule.is_meant_by(request);
        let Some(rule) = self.handshakes().find(is_meant) else { return Ok(None) };
        let name = webhook.handshake.as_ref().and_then(|handshake| handshake.secret.as_ref());
        let secrets = match name {
            Some(_) => Some(self.inner.unsealed(&self.project).await?),
            None => None,
        };
        let named = name.zip(secrets.as_ref());
        if let Some((name, _)) = named.filter(|(name, secrets)| secrets.is_unopened(name.as_str())) {
            return Err(EngineError::SecretUnopened { name: name.to_string() }.into());
        }
        let secret = named.map(|(name, secrets)| secrets.get(name.as_str()));
        let answer = match secret {
            Some(None) => Err(Refusal::NeedsSecret),
            secret => rule.answer(request, secret.flatten()),
        };
        let answer = answer.map_err(HookRefusal::Unauthorized)?;
        if let Some(key) = &answer.tell {
            self.tell_key(webhook, key).await?;
        }
        Ok(Some(answer))
    }

    /// The answer to a handshake that came with a valid signature.
    async fn greet_signed(
        &self,
        webhook: &WebhookTrigger,
        request: &RawRequest<'_>,
        verified: &Verified,
    ) -> Result<Option<HandshakeAnswer>, HookRefusal> {
        let is_meant = |rule: &&HandshakeRule| rule.trust == Trust::Signature && rule.is_meant_by(request);
        let Some(rule) = self.handshakes().find(is_meant) else { return Ok(None) };
        let matched = verified.key_index.and_then(|index| webhook.verify.secret_names().get(index));
        let answer = match matched {
            Some(name) => {
                let secrets = self.inner.unsealed(&self.project).await?;
                rule.answer(request, secrets.get(name.as_str()))
            }
            None => rule.answer(request, None),
        };
        answer.map(Some).map_err(HookRefusal::Unauthorized)
    }

    /// Tells the hook's owner the key that a provider made for it, as long as the hook has none: the provider shows it
    /// nowhere else, and what anybody sends once there is a key is no news.
    async fn tell_key(&self, webhook: &WebhookTrigger, key: &str) -> Result<(), HookRefusal> {
        let secrets = self.inner.unsealed(&self.project).await?;
        if webhook.verify.secret_names().iter().all(|name| secrets.get(name.as_str()).is_none()) {
            let (project_id, path) = (&self.project, &self.path);
            tracing::info!(%project_id, path, key, "a provider made a key for this hook: confirm it there and set it as its secret");
        }
        Ok(())
    }

    fn dedupe_key(
        &self,
        key: Option<&Expression>,
        root: &View<'_>,
        env: &Env<'_>,
        verified: &Verified,
    ) -> Result<Option<String>, HookRefusal> {
        let Some(key) = key else { return Ok(verified.delivery_id.clone()) };
        match key.evaluate(root, env) {
            Ok(Value::Null) => Ok(None),
            Ok(Value::String(key)) => Ok(Some(key)),
            Ok(other) => Ok(Some(json::to_canonical_string(&other))),
            Err(error) => {
                Err(HookRefusal::Malformed(format!("the delivery's key cannot be computed: {error}")))
            }
        }
    }
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

/// Live hooks that were looked up, by project and path.
///
/// What this process publishes is live at once; what another one publishes, or takes down, after [`FRESH`] at the latest.
#[derive(Debug)]
pub(super) struct Routes(Fresh<(ProjectId, String), HookRoute>);

/// How long a route is believed.
const FRESH: Duration = Duration::from_secs(1);
/// The most routes kept.
const MAX_KNOWN: usize = 100_000;

impl Default for Routes {
    fn default() -> Self {
        Self(Fresh::new(FRESH, MAX_KNOWN))
    }
}

impl Routes {
    /// Forgets a project's routes: they were changed.
    pub(super) fn forget(&self, project: &ProjectId) {
        self.0.forget(|(known, _)| known == project);
    }
}

/// Refusals that the log tells of, by project, path and verdict: each once in [`TOLD`].
#[derive(Debug)]
pub(super) struct Refusals(Fresh<(ProjectId, String, &'static str), ()>);

/// For how long a refusal is not told again.
const TOLD: Duration = Duration::from_secs(60);

impl Default for Refusals {
    fn default() -> Self {
        Self(Fresh::new(TOLD, MAX_KNOWN))
    }
}

impl Refusals {
    fn is_first(&self, refusal: (ProjectId, String, &'static str)) -> bool {
        let is_first = self.0.get(&refusal).is_none();
        if is_first {
            self.0.keep(self.0.begin(), refusal, ());
        }
        is_first
    }
}

impl Inner {
    async fn route(&self, project: &ProjectId, path: &str) -> Result<Option<HookRoute>, EngineError> {
        let key = (project.clone(), path.to_owned());
        let routes = &self.routes.0;
        if let Some(route) = routes.get(&key) {
            return Ok(Some(route));
        }
        // Unknown paths are not remembered: whoever tries many of them must not fill the memory.
        let reading = routes.begin();
        let found = self.store.hook(project, path).await?;
        if let Some(route) = &found {
            routes.keep(reading, key, route.clone());
        }
        Ok(found)
    }
}

impl LiveHook {
    /// The workflow that the hook belongs to.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowSlug {
        &self.route.workflow
    }
}
