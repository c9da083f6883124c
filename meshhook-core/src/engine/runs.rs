//! Starting runs, and looking at them.

use std::time::Duration;

use serde_json::Map;

use super::contained::contained;
use super::follow::events_after;
use super::intake::{Asked, MAX_KEY_BYTES, NewRun, StartRequest, Started, api_dedupe};
use super::long_work::text_len;
use super::project::parse_stored;
use super::view::{EventPage, RunView, Verdict, run_end, run_view, set_aside, summary, verdict};
use super::{EngineError, Project};
use crate::definition::{Checked, ValidDefinition};
use crate::event::{Event, RunStatus};
use crate::id::{RunId, WorkflowSlug};
use crate::json::{self, JsonLimits};
use crate::run::RunEnd;
use crate::store::{Listing, MAX_LISTING_BYTES, RunFilter, StoredRun, WorkflowRecord};

impl Project {
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
        let wait = request.wait;
        let (mut started, mut awaited) = match self.new_run(slug, request).await? {
            Asked::New(new) => self.inner.commit_run(new).await?,
            Asked::Before(first) => (first, None),
        };
        if let (true, Some(timeout)) = (started.duplicate, wait) {
            awaited = self.inner.await_earlier(&self.id, started.run, timeout).await;
        }
        if let Some(awaited) = &mut awaited {
            started.end = self.inner.end_of_awaited(awaited).await;
        }
        Ok(started)
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
        let bytes = text_len(&input);
        let trigger = Map::from_iter([("type".to_owned(), "manual".into())]);
        let (project, workflow) = (self.id.clone(), slug.clone());
        let (test, wait) = (request.test, request.wait);
        Ok(Asked::New(NewRun {
            project,
            workflow,
            version,
            definition,
            trigger,
            input: Some(input),
            bytes,
            test,
            dedupe,
            wait,
            prospect: None,
        }))
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
    /// [`EngineError::NotFound`], [`EngineError::Overloaded`] when too many look at runs, or a store error.
    pub async fn run(&self, run: RunId) -> Result<RunView, EngineError> {
        let now = self.inner.time.now();
        let look = self.look_at(run, move |definition, stored| run_view(definition, stored, now)).await;
        match look.flatten() {
            Err(why) if why.is_unreadable() => {
                let record = self.inner.store.run_record(&self.id, run).await?;
                Ok(set_aside(record.ok_or(EngineError::NotFound { what: "run" })?, &why))
            }
            seen => seen,
        }
    }

    /// How a run ended, if it did.
    pub(super) async fn end_of(&self, run: RunId) -> Result<Option<RunEnd>, EngineError> {
        self.look_at(run, run_end).await?
    }

    /// Runs without their steps, newest first.
    ///
    /// # Errors
    ///
    /// A store error.
    pub async fn runs(&self, filter: RunFilter) -> Result<Listing<RunView>, EngineError> {
        let Listing { items, more, .. } = self.inner.store.runs(&self.id, filter).await?;
        Ok(Listing::new(items.into_iter().map(summary).collect(), more))
    }

    /// A run's events after a position, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Unreadable`], or a store error.
    pub async fn events(&self, run: RunId, after: u64, limit: usize) -> Result<EventPage, EngineError> {
        let page = self.stored_events(run, after, limit).await?;
        if page.events.is_empty() {
            // Every run has events: only behind them there may be none.
            self.inner.status_of(&self.id, run).await?;
        }
        Ok(page)
    }

    /// A run's events after a position, at most `limit`; none where there is no such run.
    pub(super) async fn stored_events(
        &self,
        run: RunId,
        after: u64,
        limit: usize,
    ) -> Result<EventPage, EngineError> {
        // Every chunk holds at least one event, so this many chunks are enough.
        let chunks = self.inner.store.chunks_after(&self.id, run, after, limit).await?;
        let mut events = Vec::new();
        for chunk in &chunks.items {
            events.extend(events_after(chunk, after)?);
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

    /// Proves that a run's history is what the rules give, without side effects.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Overloaded`] when too many look at runs, or a store error.
    pub async fn verify(&self, run: RunId) -> Result<Verdict, EngineError> {
        self.look_at(run, verdict).await
    }

    /// Looks at a run and its whole history.
    async fn look_at<T: Send + 'static>(
        &self,
        run: RunId,
        look: impl FnOnce(&ValidDefinition, &StoredRun) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let reader = self.inner.long_work.reader().await?;
        let stored =
            self.inner.store.run(&self.id, run).await?.ok_or(EngineError::NotFound { what: "run" })?;
        let digest = &stored.record.meta.digest;
        let definition = self.inner.registry.definition(&self.inner.store, &self.id, digest).await?;
        let bytes = stored.chunks.iter().map(|chunk| chunk.text.len()).sum();
        let known = definition.clone();
        let looking = move || {
            let seen = look(&definition, &stored);
            drop(reader);
            seen
        };
        contained(self.inner.long_work.run(&known, bytes, looking)).await
    }
}

fn check_input(definition: &ValidDefinition, input: &serde_json::Value) -> Result<(), EngineError> {
    let Some(schema) = definition.input_schema() else { return Ok(()) };
    schema.validate(input).map_err(|violations| {
        let shown: Vec<String> = violations.iter().take(5).map(ToString::to_string).collect();
        EngineError::InputInvalid { message: shown.join("; ") }
    })
}
