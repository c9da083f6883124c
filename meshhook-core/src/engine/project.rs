//! What a project's people and programs ask for.

use std::sync::Arc;

use serde_json::Value;

use super::vault::Rotated;
use super::{EngineError, Inner};
use crate::definition::{
    Checked, Problem, ProblemCode, Trigger, TriggerKind, ValidDefinition, WebhookPath, WebhookTrigger,
};
use crate::id::{Digest, ProjectId, WorkflowSlug};
use crate::json::{self, JsonLimits};
use crate::secret::{SecretName, SecretValue};
use crate::store::{
    CreateWorkflow, Hook, Listing, Page, PublishOutcome, PublishWorkflow, PublishedSchedule, SaveDraft,
    StoreError, VersionRecord, WorkflowRecord, WorkflowStoreError,
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
    /// What was found beside errors, of which there were none: warnings.
    pub problems: Vec<Problem>,
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
        let schedules = definition.triggers().iter().filter_map(published_schedule).collect();
        let publish = PublishWorkflow {
            project: self.id.clone(),
            slug: slug.clone(),
            revision: record.revision,
            digest: definition.digest().clone(),
            definition: json::to_canonical_string(definition.document()),
            hooks: hooks.clone(),
            schedules,
            at: self.inner.time.now(),
        };
        let has_schedules = !publish.schedules.is_empty();
        let outcome = self.inner.store.publish(publish).await;
        // Whatever the answer: it may have happened.
        self.inner.routes.forget(&self.id);
        if has_schedules {
            self.inner.look_soon();
        }
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
        Ok(Published { version, digest: definition.digest().clone(), is_new, triggers, problems })
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

    pub(super) async fn record(&self, slug: &WorkflowSlug) -> Result<WorkflowRecord, EngineError> {
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
}

pub(super) fn parse_stored(text: &str) -> Result<Value, EngineError> {
    let corrupt =
        |error: json::JsonError| StoreError::Corrupt { what: format!("a stored definition: {error}") };
    Ok(json::parse(text.as_bytes(), &JsonLimits::default()).map_err(corrupt)?)
}

fn is_random(path: &str) -> bool {
    path.len() == 32 && path.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn published_schedule(trigger: &Trigger) -> Option<PublishedSchedule> {
    let TriggerKind::Schedule(schedule) = &trigger.kind else { return None };
    Some(PublishedSchedule {
        trigger: trigger.id.to_string(),
        cron: schedule.cron.as_str().to_owned(),
        timezone: schedule.timezone.name().to_owned(),
    })
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
