//! What a project's people and programs ask for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::contained::contained;
use super::intake::{Asked, MAX_KEY_BYTES, NewRun, StartRequest, Started, api_dedupe};
use super::vault::Rotated;
use super::view::{EventPage, RunView, Verdict, run_view, summary, verdict};
use super::{EngineError, Inner};
use crate::definition::{
    Checked, Problem, ProblemCode, Trigger, TriggerKind, ValidDefinition, WebhookPath, WebhookTrigger,
    regex_uses_within,
};
use crate::event::{CodecError, Event, RunStatus};
use crate::expr::{
    Env, ExprError, ExprErrorKind, Expression, Template, TemplateError, TemplateErrorKind, TemplateOptions,
    View,
};
use crate::id::{Digest, ProjectId, RunId, WorkflowSlug};
use crate::json::{self, JsonLimits};
use crate::run::ReplayError;
use crate::secret::{SecretName, SecretValue};
use crate::store::{
    CreateWorkflow, Hook, Listing, MAX_LISTING_BYTES, Page, PublishOutcome, PublishWorkflow, RunFilter,
    SaveDraft, StoreError, StoredRun, VersionRecord, WorkflowRecord, WorkflowStoreError,
};
use crate::time::Timestamp;
use crate::webhook::HookPath;

/// One project's workflows, runs and secrets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Project {
    pub(super) inner: Arc<Inner>,
    pub(super) id: ProjectId,
}

/// A workflow.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkflowView {
    /// Its record; the draft's text is in [`draft`](Self::draft) as a value.
    pub record: WorkflowRecord,
    /// Its draft.
    pub draft: Value,
    /// What is wrong with the draft.
    pub problems: Vec<Problem>,
    /// The triggers that are live: those of the published version.
    pub triggers: Vec<TriggerView>,
}

/// A live trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriggerView {
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: &'static str,
    /// The path of its hook below the project, if it is a webhook.
    pub path: Option<String>,
}

/// What a check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Validated {
    /// Whether the document could be published.
    pub valid: bool,
    /// Everything that was found, warnings included.
    pub problems: Vec<Problem>,
}

/// A version that is live.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Published {
    /// Its number.
    pub version: u32,
    /// Its definition's digest.
    pub digest: Digest,
    /// Whether it is new.
    pub is_new: bool,
    /// Its triggers.
    pub triggers: Vec<TriggerView>,
}

impl Project {
    pub(super) fn new(inner: Arc<Inner>, id: ProjectId) -> Self {
        Self { inner, id }
    }

    /// The project's id.
    #[must_use]
    pub fn id(&self) -> &ProjectId {
        &self.id
    }

    // ---- workflows ----

    /// Creates a workflow with a draft, which may have problems.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when the project does not exist, [`EngineError::SlugTaken`],
    /// [`EngineError::InvalidArgument`] when the draft is no object or nests too deep, [`EngineError::TooLarge`], or a
    /// store error.
    pub async fn create_workflow(
        &self,
        slug: &WorkflowSlug,
        draft: Value,
    ) -> Result<WorkflowView, EngineError> {
        let draft = self.accept_draft(draft)?;
        self.require_existing().await?;
        let at = self.inner.time.now();
        let create = CreateWorkflow { project: self.id.clone(), slug: slug.clone(), draft, at };
        let record = self.inner.store.create_workflow(create).await?;
        self.workflow_view(record).await
    }

    /// One workflow.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn workflow(&self, slug: &WorkflowSlug) -> Result<WorkflowView, EngineError> {
        let record = self.record(slug).await?;
        self.workflow_view(record).await
    }

    /// Workflows, newest first.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn workflows(
        &self,
        page: Page<(Timestamp, WorkflowSlug)>,
    ) -> Result<Listing<WorkflowView>, EngineError> {
        let Listing { items, more, .. } = self.inner.store.workflows(&self.id, page).await?;
        let views = self.workflow_views(items).await?;
        Ok(Listing::new(views, more))
    }

    /// Saves a draft, which may have problems; with `revision` only if that is still the current one.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::RevisionStale`], [`EngineError::InvalidArgument`],
    /// [`EngineError::TooLarge`], or a store error.
    pub async fn save_draft(
        &self,
        slug: &WorkflowSlug,
        draft: Value,
        revision: Option<u64>,
    ) -> Result<WorkflowView, EngineError> {
        let draft = self.accept_draft(draft)?;
        let at = self.inner.time.now();
        let save = SaveDraft { project: self.id.clone(), slug: slug.clone(), draft, revision, at };
        let record = self.inner.store.save_draft(save).await?;
        self.workflow_view(record).await
    }

    /// Checks a document as publishing it under this name would; without one, the draft.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn validate(
        &self,
        slug: &WorkflowSlug,
        document: Option<Value>,
    ) -> Result<Validated, EngineError> {
        let record = self.record(slug).await?;
        let document = match document {
            Some(document) => document,
            None => parse_stored(&record.draft)?,
        };
        let Checked { definition, problems, .. } = self.check(slug, &document).await?;
        Ok(Validated { valid: definition.is_some(), problems })
    }

    /// Publishes the draft as the next version and makes its triggers live.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidDefinition`], [`EngineError::RevisionStale`] when the draft was
    /// saved meanwhile, or a store error.
    pub async fn publish(&self, slug: &WorkflowSlug) -> Result<Published, EngineError> {
        let record = self.record(slug).await?;
        let document = parse_stored(&record.draft)?;
        let Checked { definition, problems, .. } = self.check(slug, &document).await?;
        let Some(definition) = definition else { return Err(EngineError::InvalidDefinition { problems }) };
        let live = record.live.map(|live| live.hooks).unwrap_or_default();
        let mut hooks = Vec::new();
        for trigger in definition.triggers() {
            if let TriggerKind::Webhook(webhook) = &trigger.kind {
                let path = self.hook_path(slug, &trigger.id, webhook, &live)?;
                hooks.push(Hook { path, trigger: trigger.id.to_string() });
            }
        }
        let publish = PublishWorkflow {
            project: self.id.clone(),
            slug: slug.clone(),
            revision: record.revision,
            digest: definition.digest().clone(),
            definition: json::to_canonical_string(definition.document()),
            hooks: hooks.clone(),
            at: self.inner.time.now(),
        };
        let outcome = self.inner.store.publish(publish).await;
        // Whatever the answer: it may have happened.
        self.inner.routes.forget(&self.id);
        let outcome = match outcome {
            Err(WorkflowStoreError::PathTaken { path }) => {
                // Somebody was faster between the check and the commit; the check would have said the same.
                let hook = hooks.iter().find(|hook| hook.path == path);
                let of_hook = |trigger: &Trigger| hook.is_some_and(|hook| *trigger.id == *hook.trigger);
                let place = definition.triggers().iter().position(of_hook);
                return Err(EngineError::InvalidDefinition { problems: vec![Problem::path_taken(place)] });
            }
            outcome => outcome?,
        };
        self.inner.registry.insert(&self.id, definition.clone());
        let (version, is_new) = match outcome {
            PublishOutcome::Published { version } => (version, true),
            PublishOutcome::Unchanged { version } => (version, false),
        };
        let hooks = if is_new { hooks } else { self.live_hooks(slug).await? };
        let triggers = trigger_views(&definition, &hooks);
        Ok(Published { version, digest: definition.digest().clone(), is_new, triggers })
    }

    /// Takes a workflow's triggers down; runs go on.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn unpublish(&self, slug: &WorkflowSlug) -> Result<(), EngineError> {
        let found = self.inner.store.unpublish(&self.id, slug).await;
        self.inner.routes.forget(&self.id);
        found?.then_some(()).ok_or(EngineError::NotFound { what: "workflow" })
    }

    /// Removes a workflow and takes its triggers down; runs go on.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn delete_workflow(&self, slug: &WorkflowSlug) -> Result<(), EngineError> {
        let found = self.inner.store.delete_workflow(&self.id, slug).await;
        self.inner.routes.forget(&self.id);
        found?.then_some(()).ok_or(EngineError::NotFound { what: "workflow" })
    }

    /// One version.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn version(&self, slug: &WorkflowSlug, version: u32) -> Result<VersionRecord, EngineError> {
        self.record(slug).await?;
        let found = self.inner.store.version(&self.id, slug, version).await?;
        found.ok_or(EngineError::NotFound { what: "version" })
    }

    /// Versions, newest first.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn versions(
        &self,
        slug: &WorkflowSlug,
        page: Page<u32>,
    ) -> Result<Listing<VersionRecord>, EngineError> {
        self.record(slug).await?;
        Ok(self.inner.store.versions(&self.id, slug, page).await?)
    }

    async fn record(&self, slug: &WorkflowSlug) -> Result<WorkflowRecord, EngineError> {
        let found = self.inner.store.workflow(&self.id, slug).await?;
        found.ok_or(EngineError::NotFound { what: "workflow" })
    }

    /// The hooks of a workflow that are live now.
    async fn live_hooks(&self, slug: &WorkflowSlug) -> Result<Vec<Hook>, EngineError> {
        let record = self.inner.store.workflow(&self.id, slug).await?;
        Ok(record.and_then(|record| record.live).map(|live| live.hooks).unwrap_or_default())
    }

    async fn workflow_view(&self, record: WorkflowRecord) -> Result<WorkflowView, EngineError> {
        let mut views = self.workflow_views(vec![record]).await?;
        Ok(views.pop().expect("there is one view for one record"))
    }

    /// Views of workflows. What they are checked against is looked up once for all of them.
    async fn workflow_views(&self, records: Vec<WorkflowRecord>) -> Result<Vec<WorkflowView>, EngineError> {
        let drafts = records.iter().map(|record| parse_stored(&record.draft));
        let drafts = drafts.collect::<Result<Vec<Value>, _>>()?;
        let surroundings = self.surroundings(records.iter().map(|record| &record.slug).zip(&drafts)).await?;
        let mut views = Vec::new();
        for (record, draft) in records.into_iter().zip(drafts) {
            let problems = self.problems(&surroundings, &record, &draft);
            let mut triggers = Vec::new();
            if let Some(live) = &record.live {
                let definition =
                    self.inner.registry.definition(&self.inner.store, &self.id, &live.digest).await?;
                triggers = trigger_views(&definition, &live.hooks);
            }
            views.push(WorkflowView { record, draft, problems, triggers });
        }
        Ok(views)
    }

    fn hook_path(
        &self,
        slug: &WorkflowSlug,
        trigger: &str,
        webhook: &WebhookTrigger,
        live: &[Hook],
    ) -> Result<String, EngineError> {
        Ok(match &webhook.path {
            WebhookPath::Slug => slug.to_string(),
            WebhookPath::Fixed(path) => path.as_str().to_owned(),
            WebhookPath::Random => {
                match live.iter().find(|hook| hook.trigger == trigger && is_random(&hook.path)) {
                    Some(hook) => hook.path.clone(),
                    None => {
                        let mut random = [0; 16];
                        self.inner.entropy.fill(&mut random).map_err(|_| EngineError::Overloaded)?;
                        HookPath::from_random(random).as_str().to_owned()
                    }
                }
            }
        })
    }

    /// Refuses what no draft may be; answers its canonical text.
    fn accept_draft(&self, mut draft: Value) -> Result<String, EngineError> {
        let refused = |message: String| Err(EngineError::InvalidArgument { message });
        let limits = self.inner.registry.limits();
        if !draft.is_object() {
            return refused("a definition must be an object".into());
        }
        if json::depth(&draft) > JsonLimits::default().max_depth {
            return refused(format!(
                "a definition may not nest deeper than {}",
                JsonLimits::default().max_depth
            ));
        }
        if json::normalize(&mut draft).is_err() {
            return refused("a definition may not hold numbers outside the range of a double".into());
        }
        match json::canonical_len_within(&draft, limits.max_bytes) {
            Some(_) => Ok(json::to_canonical_string(&draft)),
            None => Err(EngineError::TooLarge {
                message: format!("a definition may not be larger than {} bytes", limits.max_bytes),
            }),
        }
    }

    // ---- runs ----

    /// Starts a run.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for an unknown workflow or version, [`EngineError::NotPublished`],
    /// [`EngineError::InputInvalid`], [`EngineError::KeyReused`], [`EngineError::InvalidDefinition`] for a test run of
    /// a draft with errors, [`EngineError::Overloaded`], or a store error. When an error is
    /// [transient](EngineError::is_transient) the run may exist all the same; an idempotency key tells.
    pub async fn start_run(
        &self,
        slug: &WorkflowSlug,
        request: StartRequest,
    ) -> Result<Started, EngineError> {
        match self.new_run(slug, request).await? {
            Asked::New(new) => self.inner.start_run(new).await,
            Asked::Before(first) => Ok(first),
        }
    }

    /// A run to start, with everything looked up; or the one that was started before with the same key, where this one
    /// could not be started.
    pub(super) async fn new_run(
        &self,
        slug: &WorkflowSlug,
        request: StartRequest,
    ) -> Result<Asked, EngineError> {
        let record = self.record(slug).await?;
        let mut input = request.input.clone();
        if json::normalize(&mut input).is_err() || json::depth(&input) > JsonLimits::default().max_depth {
            return Err(EngineError::InvalidArgument {
                message: "the input nests too deep or holds a number out of range".into(),
            });
        }
        let dedupe = match &request.idempotency_key {
            Some(key) if key.is_empty() || key.len() > MAX_KEY_BYTES => {
                let message = format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes");
                return Err(EngineError::InvalidArgument { message });
            }
            key => key.as_deref().map(|key| api_dedupe(slug, key, &request, &input)),
        };
        let startable = self.startable(&record, &request).await;
        let startable = startable.and_then(|(version, definition)| {
            check_input(&definition, &input)?;
            Ok((version, definition))
        });
        let (version, definition) = match startable {
            Ok(startable) => startable,
            // What was started before is answered as it was then, whatever was published since.
            Err(refusal) => {
                let first = self.inner.started_before(&self.id, dedupe.as_ref()).await?;
                return first.map(Asked::Before).ok_or(refusal);
            }
        };
        let trigger = json!({ "type": "manual" });
        let (project, workflow) = (self.id.clone(), slug.clone());
        let test = request.test;
        Ok(Asked::New(NewRun { project, workflow, version, definition, trigger, input, test, dedupe }))
    }

    async fn startable(
        &self,
        record: &WorkflowRecord,
        request: &StartRequest,
    ) -> Result<(Option<u32>, ValidDefinition), EngineError> {
        let live = record.live.as_ref();
        if !request.test && live.is_none() {
            return Err(EngineError::NotPublished);
        }
        let chosen = match request.version {
            Some(version) if live.is_none_or(|live| live.version != version) => {
                let found = self.inner.store.version(&self.id, &record.slug, version).await?;
                Some((version, found.ok_or(EngineError::NotFound { what: "version" })?.digest))
            }
            None if request.test => None,
            _ => live.map(|live| (live.version, live.digest.clone())),
        };
        if let Some((version, digest)) = chosen {
            let definition = self.inner.registry.definition(&self.inner.store, &self.id, &digest).await?;
            return Ok((Some(version), definition));
        }
        let document = parse_stored(&record.draft)?;
        let Checked { definition, problems, .. } = self.check(&record.slug, &document).await?;
        let definition = definition.ok_or(EngineError::InvalidDefinition { problems })?;
        let text = json::to_canonical_string(definition.document());
        self.inner.store.keep_definition(&self.id, definition.digest(), &text).await?;
        self.inner.registry.insert(&self.id, definition.clone());
        Ok((None, definition))
    }

    /// Waits until a run has ended, for at most `timeout` and not past the start of a shutdown; answers its status then.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn wait_for_end(&self, run: RunId, timeout: Duration) -> Result<RunStatus, EngineError> {
        self.inner.wait_for_end(&self.id, run, timeout).await
    }

    /// A run with its steps.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Unreadable`], [`EngineError::Overloaded`] when too many look at runs, or a
    /// store error.
    pub async fn run(&self, run: RunId) -> Result<RunView, EngineError> {
        let reader = self.inner.long_work.reader().await?;
        let stored =
            self.inner.store.run(&self.id, run).await?.ok_or(EngineError::NotFound { what: "run" })?;
        let meta = &stored.record.meta;
        let definition = self.inner.registry.definition(&self.inner.store, &self.id, &meta.digest).await?;
        let now = self.inner.time.now();
        let view = move |definition: &_, stored: &_| {
            let view = run_view(definition, stored, now);
            drop(reader);
            view
        };
        self.replayed(definition, stored, view).await?
    }

    /// Runs without their steps, newest first.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unreadable`], or a store error.
    pub async fn runs(&self, filter: RunFilter) -> Result<Listing<RunView>, EngineError> {
        let Listing { items, more, .. } = self.inner.store.runs(&self.id, filter).await?;
        let views = items.into_iter().map(summary).collect::<Result<_, _>>()?;
        Ok(Listing::new(views, more))
    }

    /// A run's events after a position, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Unreadable`], or a store error.
    pub async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<EventPage, EngineError> {
        let record = self.inner.store.run_record(&self.id, run).await?;
        record.ok_or(EngineError::NotFound { what: "run" })?;
        // Every chunk holds at least one event, so this many chunks are enough.
        let chunks = self.inner.store.chunks_after(&self.id, run, after, limit).await?;
        let unreadable = |error: CodecError| EngineError::Unreadable(ReplayError::Chain(error.into()));
        let mut events = Vec::new();
        for chunk in &chunks.items {
            let decoded = chunk.events().map_err(unreadable)?;
            events.extend(decoded.into_iter().filter(|event| event.seq > after));
            if events.len() > limit {
                break;
            }
        }
        // A single chunk may be larger than a part of a list.
        let is_large = chunks.items.iter().map(|chunk| chunk.text.len()).sum::<usize>() > MAX_LISTING_BYTES;
        let bytes = |event: &Event| {
            let within = || json::canonical_len_within(&event.to_value(), MAX_LISTING_BYTES);
            if is_large { within().unwrap_or(MAX_LISTING_BYTES) } else { 0 }
        };
        let part = Listing::gather(events.into_iter().map(Ok::<_, EngineError>), limit, bytes)?;
        Ok(EventPage { more: part.more || chunks.more, events: part.items })
    }

    /// Waits until a run may have events after `after`, or until the poll interval is over. A hint, not a promise.
    pub async fn wait_for_events(&self, run: RunId, after: u64) {
        let mut news = self.inner.watchers.subscribe(run);
        let come = news.wait_for(|seq| *seq > after);
        tokio::select! {
            biased;
            _ = come => {}
            () = tokio::time::sleep(self.inner.options.poll) => {}
            () = self.inner.stopping.drain.cancelled() => {}
        }
    }

    /// Whether this process is stopping, so that streams should end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.drain.is_cancelled()
    }

    /// Proves that a run's history is what the rules give, without side effects.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Overloaded`] when too many look at runs, or a store error.
    pub async fn verify(&self, run: RunId) -> Result<Verdict, EngineError> {
        let reader = self.inner.long_work.reader().await?;
        let stored =
            self.inner.store.run(&self.id, run).await?.ok_or(EngineError::NotFound { what: "run" })?;
        let digest = &stored.record.meta.digest;
        let definition = self.inner.registry.definition(&self.inner.store, &self.id, digest).await?;
        let verdict = move |definition: &_, stored: &_| {
            let verdict = verdict(definition, stored);
            drop(reader);
            verdict
        };
        self.replayed(definition, stored, verdict).await
    }

    /// Does something that replays a whole history.
    async fn replayed<T: Send + 'static>(
        &self,
        definition: ValidDefinition,
        stored: StoredRun,
        work: impl FnOnce(&ValidDefinition, &StoredRun) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let bytes = stored.chunks.iter().map(|chunk| chunk.text.len()).sum();
        let known = definition.clone();
        contained(self.inner.long_work.run(&known, bytes, move || work(&definition, &stored))).await
    }

    // ---- secrets ----

    /// Sets a secret. Its value can never be read back.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when the project does not exist, [`EngineError::NoMasterKey`], [`EngineError::Vault`], or
    /// a store error.
    pub async fn set_secret(&self, name: &SecretName, value: &SecretValue) -> Result<(), EngineError> {
        self.require_existing().await?;
        self.inner.vault.set(&self.id, (name, value), self.inner.time.now()).await
    }

    /// Removes a secret.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] or a store error.
    pub async fn delete_secret(&self, name: &SecretName) -> Result<(), EngineError> {
        let found = self.inner.vault.delete(&self.id, name).await?;
        found.then_some(()).ok_or(EngineError::NotFound { what: "secret" })
    }

    /// Wraps the keys of all secrets under the key provider's active key, where they are under an older one. Values,
    /// versions and times stay; doing it again does nothing. When it succeeds, no secret of the project needs an older
    /// key any more, provided that the key was active in every process before: one that still has an older key active
    /// goes on sealing under that.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoMasterKey`], [`EngineError::Vault`] when a secret is under a key that the provider does not know,
    /// or a store error; the other secrets were wrapped all the same.
    pub async fn rotate_secrets(&self) -> Result<Rotated, EngineError> {
        self.inner.vault.rotate(&self.id).await
    }

    /// The names of the secrets, with when each was first and last set.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn secrets(&self) -> Result<Vec<(String, Timestamp, Timestamp)>, EngineError> {
        let records = self.inner.store.secrets(&self.id).await?;
        Ok(records.into_iter().map(|record| (record.name, record.created_at, record.updated_at)).collect())
    }

    // ---- preview ----

    /// Evaluates an expression over a sample of the root object. Secrets are never resolved.
    ///
    /// # Errors
    ///
    /// What the expression fails with.
    pub fn preview_expression(&self, expression: &str, sample: &Value) -> Result<Value, ExprError> {
        let expression = Expression::parse(expression, &self.inner.registry.limits().expr)?;
        expression.evaluate(&View::from(sample), &Env::new(self.inner.time.now(), PREVIEW_SEED))
    }

    /// Renders a template over a sample of the root object. Secrets are never resolved.
    ///
    /// # Errors
    ///
    /// What the template fails with.
    pub fn preview_template(&self, template: &Value, sample: &Value) -> Result<Value, TemplateError> {
        let limits = self.inner.registry.limits();
        if regex_uses_within(template) > limits.max_patterns {
            let message = format!("at most {} regular expressions in a template", limits.max_patterns);
            let kind =
                TemplateErrorKind::Expression(ExprError::new(ExprErrorKind::BudgetExceeded, 0, message));
            return Err(TemplateError { path: String::new(), position: 0, kind });
        }
        let options = TemplateOptions { limits: limits.expr.clone(), ..TemplateOptions::default() };
        let template = Template::parse(template, &options).map_err(|mut errors| errors.remove(0))?;
        template.render(&View::from(sample), &Env::new(self.inner.time.now(), PREVIEW_SEED))
    }
}

/// What `uuid()` starts from in previews.
const PREVIEW_SEED: &[u8] = b"preview";

fn check_input(definition: &ValidDefinition, input: &Value) -> Result<(), EngineError> {
    let Some(schema) = definition.input_schema() else { return Ok(()) };
    schema.validate(input).map_err(|violations| {
        let shown: Vec<String> = violations.iter().take(5).map(ToString::to_string).collect();
        EngineError::InputInvalid { message: shown.join("; ") }
    })
}

fn parse_stored(text: &str) -> Result<Value, EngineError> {
    let corrupt =
        |error: json::JsonError| StoreError::Corrupt { what: format!("a stored definition: {error}") };
    Ok(json::parse(text.as_bytes(), &JsonLimits::default()).map_err(corrupt)?)
}

fn is_random(path: &str) -> bool {
    path.len() == 32 && path.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn trigger_views(definition: &ValidDefinition, hooks: &[Hook]) -> Vec<TriggerView> {
    let path = |id: &str| hooks.iter().find(|hook| hook.trigger == id).map(|hook| hook.path.clone());
    let view = |id: &Arc<str>, kind: &TriggerKind| TriggerView {
        id: id.to_string(),
        kind: kind.type_name(),
        path: path(id),
    };
    definition.triggers().iter().map(|trigger| view(&trigger.id, &trigger.kind)).collect()
}

impl Problem {
    /// The path of a webhook, by its place among the triggers, that another workflow has.
    pub(super) fn path_taken(place: Option<usize>) -> Self {
        let path =
            place.map_or_else(|| "triggers".to_owned(), |place| format!("triggers[{place}].config.path"));
        Problem::new(ProblemCode::PathTaken, path, "another webhook of the project listens at this path")
    }
}
