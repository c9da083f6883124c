//! A live hook: what its trigger says, and what it makes of a request's parts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::intake::MAX_KEY_BYTES;
use super::project::Project;
use super::recorder::cut;
use super::refusal::{BODY_SCHEMA, HookRefusal, INPUT_SCHEMA, MAX_QUOTED, body_refusal};
use super::{EngineError, Inner};
use crate::definition::{Trigger, TriggerKind, ValidDefinition, WebhookTrigger};
use crate::expr::{Env, View};
use crate::id::{ProjectId, WorkflowSlug};
use crate::json;
use crate::policy::Bucket;
use crate::store::{Dedupe, HookRoute};
use crate::time::Timestamp;
use crate::webhook::{
    BodyError, BodyKind, BodyLimits, HeadError, HookPath, RawRequest, Refusal, Refused, Verified,
    VerifyConfig, headers_value, query_value, read_body,
};

/// A live hook.
#[derive(Debug, Clone)]
pub struct LiveHook {
    pub(super) inner: Arc<Inner>,
    pub(super) project: ProjectId,
    pub(super) path: String,
    pub(super) route: HookRoute,
    pub(super) definition: ValidDefinition,
    pub(super) trigger: usize,
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
        self.handshakes(&self.trigger().1.verify).any(|rule| rule.method == method)
    }

    /// The largest body that the hook takes, in bytes: on the wire, and decoded.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        usize::try_from(self.trigger().1.max_body_bytes).unwrap_or(usize::MAX)
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

    /// Whether the filter wants a request; if not, why, in words. One that fails does not.
    pub(super) fn wants(&self, read: &Read) -> Result<(), String> {
        let Some(filter) = &self.trigger().1.filter else { return Ok(()) };
        match filter.evaluate_truthy(&read.root(), &self.env()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("the filter said no: {}", cut(filter.text(), MAX_QUOTED))),
            Err(error) => Err(format!("the filter failed: {error}")),
        }
    }

    /// What does not please the hook's schema, or that of the workflow's input. The body is the run's input, so it has to
    /// please both.
    pub(super) fn violation(&self, read: &Read) -> Option<HookRefusal> {
        let schemas = [
            (BODY_SCHEMA, self.trigger().1.body_schema.as_ref()),
            (INPUT_SCHEMA, self.definition.input_schema()),
        ];
        schemas.into_iter().find_map(|schema| HookRefusal::by_schema(schema, &read.body, None))
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
            let verified = verify.verify(request, &values, now).and_then(|verified| {
                let key = verified.key_index.and_then(|index| *values.get(index)?);
                if key.is_some_and(|key| self.could_be_asked_for(request.body, key, &secrets)) {
                    let detail = "the handshake gives the signature of such a body to anybody";
                    return Err(Refused::new(Refusal::Mismatch, detail));
                }
                Ok(verified)
            });
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
    pub(super) fn rate(&self, read: &Read) -> Result<Option<([u8; 32], Bucket)>, HookRefusal> {
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

    /// What keys of a kind are unique in: they count per trigger of a workflow.
    fn key_scope(&self, kind: &str) -> String {
        format!("{kind}:{}/{}", self.route.workflow, self.trigger().0)
    }

    /// A key of a kind, as it is kept: of a long one its hash.
    pub(super) fn dedupe(&self, kind: &str, mut key: String, fingerprint: [u8; 32]) -> Dedupe {
        if key.len() > MAX_KEY_BYTES {
            key = format!("sha256:{}", STANDARD.encode(Sha256::digest(key)));
        }
        Dedupe { scope: self.key_scope(kind), key, fingerprint, window: self.trigger().1.dedupe.window }
    }

    pub(super) fn env(&self) -> Env<'static> {
        Env::new(self.inner.time.now(), b"filter")
    }
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) headers: Value,
    pub(super) query: Value,
    pub(super) body: Value,
    pub(super) bytes: usize,
    pub(super) method: Value,
}

impl Read {
    /// What a hook's expressions see.
    pub(super) fn root(&self) -> View<'_> {
        View::object(self.members())
    }

    /// What those about an item see.
    pub(super) fn root_of_item<'a>(&'a self, item: &'a Value, index: &'a Value) -> View<'a> {
        let item = [("item", View::from(item)), ("index", View::from(index))];
        View::object(self.members().into_iter().chain(item))
    }

    fn members(&self) -> [(&'static str, View<'_>); 4] {
        [
            ("headers", View::from(&self.headers)),
            ("query", View::from(&self.query)),
            ("body", View::from(&self.body)),
            ("method", View::from(&self.method)),
        ]
    }
}

/// The name of the secret that accepted a request.
pub(super) fn matched_key(verify: &VerifyConfig, verified: &Verified) -> Option<String> {
    verified.key_index.and_then(|index| verify.secret_names().get(index)).map(ToString::to_string)
}
