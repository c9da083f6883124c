//! Intake: a run comes to be, in one commit.
//!
//! Delivery, key, run, first pure steps, first intents and the lease of this process are durable together; then this
//! process goes on from memory. The commit is not the caller's: a caller who goes away does not cut it off.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::committer::{Committed, QueueFull};
use super::contained::contained;
use super::hearing::Prospect;
use super::held::Place;
use super::runner::{Length, Loaded, Runner, Standing, wake_up};
use super::watch::{Step, Watch};
use super::{EngineError, Inner, Project, began, ended};
use crate::definition::ValidDefinition;
use crate::event::{Chunk, RunCreated, RunStatus, RunTrigger, genesis};
use crate::id::{ProjectId, RunId, WorkflowSlug};
use crate::json;
use crate::run::{Owed, RunEnd, RunMeta, RunState};
use crate::store::{Commit, CommitOutcome, Dedupe, HeldRun, Hold, StartRun, WakeUp};
use crate::time::Timestamp;

/// A run to start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StartRequest {
    /// The run's input.
    pub input: Value,
    /// The version to run; without it the published one, or, for a test, the draft.
    pub version: Option<u32>,
    /// Within 24 hours and one workflow, only one run starts for one key.
    pub idempotency_key: Option<String>,
    /// Marks the run as a test.
    pub test: bool,
    /// How long to wait for the run's end.
    pub wait: Option<Duration>,
}

impl StartRequest {
    /// A run of the published version.
    #[must_use]
    pub fn new(input: Value) -> Self {
        Self { input, ..Self::default() }
    }

    /// Names the version to run.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Makes repetitions answer with the first run.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Marks the run as a test; without a version it runs the draft.
    #[must_use]
    pub fn test(mut self) -> Self {
        self.test = true;
        self
    }

    /// Waits for the run's end, for at most so long.
    #[must_use]
    pub fn wait(mut self, timeout: Duration) -> Self {
        self.wait = Some(timeout);
        self
    }
}

/// A run that was started, or found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Whether it is an earlier one with the same key.
    pub duplicate: bool,
    /// How it ended, if it did so at once, or within the time that was to be waited for it.
    pub end: Option<RunEnd>,
}

/// How long an idempotency key of the API is remembered.
pub(super) const API_KEY_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// The longest idempotency key, in bytes.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// A run to start, with everything looked up.
pub(super) struct NewRun {
    pub(super) project: ProjectId,
    pub(super) workflow: WorkflowSlug,
    pub(super) version: Option<u32>,
    pub(super) definition: ValidDefinition,
    pub(super) trigger: Map<String, Value>,
    /// The run's input; the webhook's body without it.
    pub(super) input: Option<Value>,
    /// How much text trigger and input are, roughly.
    pub(super) bytes: usize,
    pub(super) test: bool,
    pub(super) dedupe: Option<Dedupe>,
    pub(super) wait: Option<Duration>,
    /// Where the run's id is told as soon as it is chosen, for whoever may not live to see the commit's answer.
    pub(super) prospect: Option<Arc<Prospect>>,
}

/// What a request to start a run comes to.
pub(super) enum Asked {
    New(NewRun),
    Before(Started),
}

/// A run that was committed, whose end somebody wants to see.
#[derive(Debug)]
pub(super) struct Awaited {
    project: ProjectId,
    pub(super) run: RunId,
    /// Where it stood when it was committed or looked up, and how it ended, if it did at once.
    status: RunStatus,
    end: Option<RunEnd>,
    watch: Watch,
    timeout: Duration,
}

/// Why runs that belong together were not all made.
#[derive(Debug)]
pub(super) struct Torn {
    /// The place of one that was not.
    pub(super) at: usize,
    pub(super) error: EngineError,
    /// Those that were made, or found, and their places.
    pub(super) done: Vec<(usize, Started)>,
}

/// A run in memory.
pub(super) struct Begun {
    pub(super) meta: RunMeta,
    pub(super) definition: ValidDefinition,
    pub(super) state: RunState,
    pub(super) chunk: Chunk,
    /// When it needs a worker first.
    pub(super) next_due: WakeUp,
    pub(super) dedupe: Option<Dedupe>,
}

/// A run that is about to be committed, and what is needed to go on with it then.
struct Starting {
    meta: RunMeta,
    loaded: Loaded,
    hold: Hold,
    place: Option<Place>,
    watch: Option<(Watch, Duration)>,
}

impl Inner {
    /// Makes a run durable and goes on with it; answers besides what is to be waited for where its end is wanted. A
    /// repetition is answered as such also when the engine takes nothing in.
    pub(super) async fn commit_run(
        self: &Arc<Self>,
        new: NewRun,
    ) -> Result<(Started, Option<Awaited>), EngineError> {
        let (project, dedupe) = (new.project.clone(), new.dedupe.clone());
        match self.take_in(new).await {
            Err(EngineError::Overloaded) => match self.started_before(&project, dedupe.as_ref()).await {
                Ok(Some(first)) => Ok((first, None)),
                Err(reused @ EngineError::KeyReused { .. }) => Err(reused),
                Ok(None) | Err(_) => Err(EngineError::Overloaded),
            },
            answer => answer,
        }
    }

    /// The run that was started with this key before, if there is one.
    ///
    /// Only the commit takes a key, and a run that may start needs no other look at it. What is refused before the commit
    /// is looked up first: whether it repeats what was accepted is judged before all that.
    pub(super) async fn started_before(
        &self,
        project: &ProjectId,
        dedupe: Option<&Dedupe>,
    ) -> Result<Option<Started>, EngineError> {
        let Some(dedupe) = dedupe else { return Ok(None) };
        let found = self.store.find_keys(project, &[dedupe]).await?.pop();
        let Some(first) = found.flatten() else { return Ok(None) };
        if first.fingerprint != dedupe.fingerprint {
            return Err(EngineError::KeyReused { run: first.run });
        }
        Ok(Some(Started { run: first.run, duplicate: true, end: None }))
    }

    /// What an id is made from: the time, and random bytes.
    pub(super) fn origin(&self) -> Result<(Timestamp, [u8; 8]), EngineError> {
        let (now, mut random) = (self.time.now(), [0; 8]);
        self.entropy.fill(&mut random).map_err(|_| EngineError::Overloaded)?;
        Ok((now, random))
    }

    /// Makes a run in memory, advanced until it has ended or owes something. Nothing is durable.
    pub(super) async fn begin(&self, new: NewRun) -> Result<Begun, EngineError> {
        let (created_at, random) = self.origin()?;
        let run = RunId::new(created_at, random);
        if let Some(prospect) = &new.prospect {
            let _ = prospect.run.set(run);
        }
        self.begin_as(new, (run, created_at)).await
    }

    /// As [`begin`](Self::begin), under an id and from a time that were chosen.
    pub(super) async fn begin_as(
        &self,
        new: NewRun,
        (run, created_at): (RunId, Timestamp),
    ) -> Result<Begun, EngineError> {
        let secrets = self.unsealed(&new.project).await?;
        let mut meta =
            RunMeta::new(run, new.project, new.workflow, new.definition.digest().clone(), created_at);
        meta.version = new.version;
        meta.test = new.test;
        let (definition, begun) = (new.definition.clone(), meta.clone());
        let (mut trigger, input) = (new.trigger, new.input);
        let max_bytes = self.options.max_history_bytes;
        let beginning = move || {
            secrets.masker().mask_members(&mut trigger);
            let trigger = RunTrigger::from(trigger);
            let input = match input {
                Some(mut input) => {
                    secrets.masker().mask_value(&mut input);
                    Arc::new(input)
                }
                None => trigger.body().cloned().unwrap_or_default(),
            };
            let mut created = RunCreated::new(begun.digest.clone(), trigger, input);
            created.test = begun.test;
            let (mut state, mut events) = RunState::begin(&definition, Arc::new(begun), created);
            let mut chunk = Chunk::encode(genesis(run), &events);
            let facts = Length::default().grown_by(&chunk, max_bytes);
            if !facts.is_empty() {
                let decided =
                    facts.into_iter().filter_map(|fact| state.decide(&definition, fact, created_at).ok());
                events.extend(decided.flatten());
                chunk = Chunk::encode(genesis(run), &events);
            }
            let owed = state.outstanding(&definition);
            (state, chunk, owed)
        };
        let (state, chunk, owed) =
            contained(self.long_work.run(&new.definition, new.bytes, beginning)).await?;
        let next_due = owed.iter().map(Owed::due_at).min().map_or(WakeUp::Now, wake_up);
        Ok(Begun { meta, definition: new.definition, state, chunk, next_due, dedupe: new.dedupe })
    }

    async fn take_in(self: &Arc<Self>, new: NewRun) -> Result<(Started, Option<Awaited>), EngineError> {
        self.takes_in().await?;
        let wait = new.wait;
        let begun = self.begin(new).await?;
        let (start, starting) = self.prepare(begun, wait);
        let answer = self.committer.try_commit(Commit::Start(start)).map_err(|_| EngineError::Overloaded)?;
        self.follow(starting, answer).await
    }

    /// Makes runs durable that belong together, in order, and goes on with them. What fits a transaction is one; nothing
    /// is answered before all of them are durable.
    ///
    /// # Errors
    ///
    /// Which run could not be made, why, and those that were made all the same.
    pub(super) async fn commit_runs(
        self: &Arc<Self>,
        created_at: Timestamp,
        news: impl IntoIterator<Item = (RunId, NewRun), IntoIter: Send> + Send,
    ) -> Result<Vec<Started>, Torn> {
        let (mut news, mut first) = (news.into_iter().peekable(), 0);
        let mut done = Vec::new();
        while news.peek().is_some() {
            let part = match self.commit_part(created_at, &mut news).await {
                Ok(part) => part,
                Err((at, error)) => return Err(Torn { at: first + at, error, done }),
            };
            let mut failed = None;
            for (made, at) in part.into_iter().zip(first..) {
                first = at + 1;
                match made {
                    Ok(started) => done.push((at, started)),
                    // Whoever tries again finds out about the others; whoever is refused for good does not.
                    Err(error) if error.is_transient() || failed.is_none() => failed = Some((at, error)),
                    Err(_) => {}
                }
            }
            if let Some((at, error)) = failed {
                return Err(Torn { at, error, done });
            }
        }
        Ok(done.into_iter().map(|(_, started)| started).collect())
    }

    /// Commits as many of the runs as one transaction takes; says what became of each, or which one could not be made. Then
    /// none of them was committed.
    async fn commit_part(
        self: &Arc<Self>,
        created_at: Timestamp,
        news: &mut (impl Iterator<Item = (RunId, NewRun)> + Send),
    ) -> Result<Vec<Result<Started, EngineError>>, (usize, EngineError)> {
        let full = |at| move |_: QueueFull| (at, EngineError::Overloaded);
        self.takes_in().await.map_err(|error| (0, error))?;
        let mut room = self.committer.room().map_err(full(0))?;
        let (mut part, mut bytes) = (Vec::new(), 0);
        // What its runs have made of a small delivery may be large: no more of it is in memory than one transaction takes.
        while bytes < self.options.max_batch_bytes
            && let Some((run, new)) = news.next()
        {
            let begun = self.begin_as(new, (run, created_at)).await.map_err(|error| (part.len(), error))?;
            bytes += begun.chunk.text.len();
            self.committer.grow(&mut room, begun.chunk.text.len()).map_err(full(part.len()))?;
            part.push(begun);
            tokio::task::yield_now().await;
        }
        let (starts, starting): (Vec<_>, Vec<_>) =
            part.into_iter().map(|begun| self.prepare(begun, None)).unzip();
        let answers = self.committer.try_commit_together(starts, room).map_err(full(0))?;
        // All are followed before one is waited for.
        let answers: Vec<_> = starting
            .into_iter()
            .zip(answers)
            .map(|(starting, answer)| self.follow(starting, answer))
            .collect();
        let mut made = Vec::with_capacity(answers.len());
        for answer in answers {
            made.push(answer.await.map(|(started, _)| started));
        }
        Ok(made)
    }

    /// Makes sure that this process may start runs.
    async fn takes_in(self: &Arc<Self>) -> Result<(), EngineError> {
        if self.stopping.drains() {
            return Err(EngineError::Overloaded);
        }
        self.leased().await
    }

    /// Who has a run after its commit, and what is needed to go on with it then.
    fn prepare(self: &Arc<Self>, begun: Begun, wait: Option<Duration>) -> (StartRun, Starting) {
        let Begun { meta, definition, state, chunk, next_due, dedupe } = begun;
        let (run, created_at) = (meta.run, meta.created_at);
        let watch = wait.map(|timeout| (self.watchers.subscribe(run), timeout));
        let mut hold = self.hold(&state, &Standing { now: created_at, next_due, has_work: false });
        let keeps = matches!(hold, Hold::Keep { .. });
        let place = if keeps && self.options.works { self.reserve(run) } else { None };
        if keeps && place.is_none() {
            hold = Hold::Release { wake_up: next_due, status: state.status(created_at) };
        }
        let (hash, bytes) = (chunk.hash, chunk.text.len() as u64);
        // The start is a run's first claim.
        let loaded = Loaded { definition, status: hold.status(), state, claim: 1, hash, bytes };
        let starting = Starting { meta: meta.clone(), loaded, hold: hold.clone(), place, watch };
        (StartRun { meta, dedupe, worker: self.worker.clone(), chunk, hold }, starting)
    }

    /// Goes on with a run as soon as it is committed; answers when it is. The run's fate does not depend on the caller's.
    fn follow(
        self: &Arc<Self>,
        starting: Starting,
        answer: oneshot::Receiver<Committed>,
    ) -> impl Future<Output = Result<(Started, Option<Awaited>), EngineError>> + Send + use<> {
        let Starting { meta, loaded, hold, place, watch } = starting;
        let (project, run, status) = (meta.project.clone(), meta.run, loaded.status);
        let end = loaded.state.end().cloned();
        let inner = self.clone();
        let (told, outcome) = oneshot::channel();
        self.tasks.spawn(async move {
            let answer = answer.await;
            let committed = matches!(answer, Ok(Ok(CommitOutcome::Committed)));
            if matches!(&answer, Ok(Err(error)) if error.is_transient()) {
                inner.reconcile_after(run);
            }
            if committed {
                // Nobody follows a run that was not there: whoever comes now finds its first chunk in the store.
                inner.watchers.announce(run, || Step::of(&loaded.state, &hold, None));
                began(&meta);
            }
            let _ = told.send(answer);
            if !committed {
                return;
            }
            match (hold, place) {
                (Hold::Keep { .. }, Some(place)) => {
                    let going_on = Runner::new(inner.clone(), loaded, place.inbox.clone()).go_on();
                    if let Err(error) = contained(going_on).await {
                        inner
                            .set_aside(HeldRun { project: meta.project.clone(), run, claim: 1 }, &error)
                            .await;
                    }
                    drop(place);
                }
                (Hold::Release { wake_up, .. }, _) => inner.wake_by(wake_up),
                (Hold::End { .. }, _) => {
                    if let Some(end) = loaded.state.end() {
                        ended(&meta, end);
                    }
                }
                (Hold::Keep { .. }, None) => {}
            }
        });
        async move {
            let gone = || EngineError::Overloaded;
            match outcome.await.map_err(|_| gone())?.map_err(|_| gone())? {
                Ok(CommitOutcome::Committed) => {
                    let awaited = watch.map(|(watch, timeout)| Awaited {
                        project,
                        run,
                        status,
                        end: end.clone(),
                        watch,
                        timeout,
                    });
                    Ok((Started { run, duplicate: false, end }, awaited))
                }
                Ok(CommitOutcome::Duplicate { run, same: true }) => {
                    Ok((Started { run, duplicate: true, end: None }, None))
                }
                Ok(CommitOutcome::Duplicate { run, same: false }) => Err(EngineError::KeyReused { run }),
                Ok(_) => Err(EngineError::Overloaded),
                Err(error) => Err(super::error::shared(error)),
            }
        }
    }

    /// Waits until a run has ended, for at most `timeout`; answers its status then.
    pub(super) async fn wait_for_end(
        &self,
        project: &ProjectId,
        run: RunId,
        timeout: Duration,
    ) -> Result<RunStatus, EngineError> {
        let mut watch = self.watchers.subscribe(run);
        let status = self.status_of(project, run).await?;
        Ok(self.wait(project, (run, status), &mut watch, timeout).await?.0)
    }

    /// A run that was started before, to be waited for; `None` when nobody can tell where it stands.
    pub(super) async fn await_earlier(
        &self,
        project: &ProjectId,
        run: RunId,
        timeout: Duration,
    ) -> Option<Awaited> {
        let watch = self.watchers.subscribe(run);
        let status = self.status_of(project, run).await.ok()?;
        Some(Awaited { project: project.clone(), run, status, end: None, watch, timeout })
    }

    /// How a run that was committed ends, if it does in time. It exists, whatever goes wrong with the wait.
    pub(super) async fn end_of_awaited(self: &Arc<Self>, awaited: &mut Awaited) -> Option<RunEnd> {
        if awaited.end.is_some() {
            return awaited.end.take();
        }
        let Awaited { project, run, status, watch, timeout, .. } = awaited;
        let run = *run;
        match self.wait(project, (run, *status), watch, *timeout).await {
            Ok((_, Some(end))) => Some(end),
            Ok((status, None)) if status.is_terminal() => {
                Project::new(self.clone(), project.clone()).end_of(run).await.ok().flatten()
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Waits until a run that stood at `status` has ended, for at most `timeout`; answers where it stands then and, if it
    /// ended in this process, how. A shutdown ends the wait: whoever waits holds a connection that the process wants to
    /// close.
    async fn wait(
        &self,
        project: &ProjectId,
        (run, mut status): (RunId, RunStatus),
        watch: &mut Watch,
        timeout: Duration,
    ) -> Result<(RunStatus, Option<RunEnd>), EngineError> {
        let deadline = tokio::time::Instant::now() + timeout;
        while !status.is_terminal() {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(deadline) => break,
                () = self.stopping.drain.cancelled() => break,
                _ = watch.news.changed() => {
                    let news = watch.news.borrow_and_update();
                    status = news.status.unwrap_or(status);
                    if news.end.is_some() {
                        return Ok((status, news.end.clone()));
                    }
                }
                // What is committed in other processes is no news here.
                () = tokio::time::sleep(self.options.poll) => status = self.status_of(project, run).await?,
            }
        }
        Ok((status, None))
    }

    /// Where a run stands.
    pub(super) async fn status_of(&self, project: &ProjectId, run: RunId) -> Result<RunStatus, EngineError> {
        let record = self.store.run_record(project, run).await?;
        record.map(|record| record.status).ok_or(EngineError::NotFound { what: "run" })
    }
}

/// A key of the API, with what was sent with it.
pub(super) fn api_dedupe(
    workflow: &WorkflowSlug,
    key: &str,
    request: &StartRequest,
    input: &Value,
) -> Dedupe {
    let sent = json!({ "input": input, "version": request.version, "test": request.test });
    Dedupe {
        scope: format!("api:{workflow}"),
        key: key.to_owned(),
        fingerprint: Sha256::digest(json::to_canonical_string(&sent)).into(),
        window: API_KEY_WINDOW,
    }
}
