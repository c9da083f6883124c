//! Clients: they start runs and ask things of them, are cut off at any await, and remember what they were told.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::json;

use super::definition::{EVENTS, KEYS};
use super::fleet::{Fleet, Live};
use super::random::Random;
use super::world::{World, lock};
use crate::engine::{EngineError, StartRequest, Started};
use crate::id::{RunId, WorkflowSlug};

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Acked(T),
    /// It did not happen.
    Refused,
    /// It may have happened.
    Indeterminate,
}

/// A run that a client wanted.
#[derive(Debug, Clone)]
pub(super) struct StartEntry {
    pub(super) nonce: u64,
    pub(super) workflow: WorkflowSlug,
    pub(super) key: Option<String>,
    pub(super) answer: Answer<(RunId, bool)>,
}

/// An event that a client sent.
#[derive(Debug, Clone)]
pub(super) struct EventEntry {
    pub(super) nonce: u64,
    pub(super) run: RunId,
    pub(super) answer: Answer<()>,
}

/// What all clients wanted, and what they were told.
#[derive(Debug, Default)]
pub(super) struct ClientLedger {
    pub(super) starts: Mutex<Vec<StartEntry>>,
    pub(super) events: Mutex<Vec<EventEntry>>,
    pub(super) others: Mutex<Vec<Answer<()>>>,
}

impl ClientLedger {
    /// How many were acked, refused, indeterminate.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        let starts = lock(&self.starts).iter().map(|one| drop_value(&one.answer)).collect::<Vec<_>>();
        let events = lock(&self.events).iter().map(|one| one.answer).collect::<Vec<_>>();
        for answer in starts.iter().chain(&events).chain(lock(&self.others).iter()) {
            match answer {
                Answer::Acked(()) => counts.0 += 1,
                Answer::Refused => counts.1 += 1,
                Answer::Indeterminate => counts.2 += 1,
            }
        }
        counts
    }
}

fn drop_value<T>(answer: &Answer<T>) -> Answer<()> {
    match answer {
        Answer::Acked(_) => Answer::Acked(()),
        Answer::Refused => Answer::Refused,
        Answer::Indeterminate => Answer::Indeterminate,
    }
}

/// One client.
pub(super) struct Client {
    world: Arc<World>,
    fleet: Arc<Fleet>,
    ledger: Arc<ClientLedger>,
    workflows: Vec<WorkflowSlug>,
    random: Random,
    number: u64,
}

impl Client {
    pub(super) fn new(
        world: Arc<World>,
        fleet: Arc<Fleet>,
        ledger: Arc<ClientLedger>,
        workflows: Vec<WorkflowSlug>,
        number: u64,
    ) -> Self {
        let random = Random::of(world.seed, &format!("client {number}"));
        Self { world, fleet, ledger, workflows, random, number }
    }

    pub(super) async fn work(mut self) {
        for operation in 0..self.world.profile.operations {
            tokio::time::sleep(self.random.millis(0, 4_000)).await;
            let Some(live) = self.fleet.pick(&mut self.random) else { continue };
            let nonce = self.number * 1_000 + operation;
            match self.random.range(0, 99) {
                0..=49 => self.start(&live, nonce).await,
                50..=64 => self.event(&live, nonce).await,
                65..=70 => self.look(&live).await,
                kind => self.control(&live, kind).await,
            }
        }
    }

    async fn start(&mut self, live: &Live, nonce: u64) {
        let workflow = self.random.pick(&self.workflows).clone();
        let mut input = json!({ "nonce": nonce });
        let mut key = self.random.chance(40).then(|| format!("key-{nonce}"));
        let earlier = {
            let starts = lock(&self.ledger.starts);
            let keyed: Vec<&StartEntry> = starts.iter().filter(|one| one.key.is_some()).collect();
            (!keyed.is_empty() && self.random.chance(25)).then(|| (*self.random.pick(&keyed)).clone())
        };
        let (mut workflow, mut nonce) = (workflow, nonce);
        if let Some(earlier) = earlier {
            (workflow, key) = (earlier.workflow, earlier.key);
            if self.random.chance(80) {
                nonce = earlier.nonce;
                input = json!({ "nonce": nonce });
            }
        }
        let mut request = StartRequest::new(input);
        request.idempotency_key = key.clone();
        let place = {
            // The intent is written before anything is sent.
            let mut starts = lock(&self.ledger.starts);
            starts.push(StartEntry { nonce, workflow: workflow.clone(), key, answer: Answer::Indeterminate });
            starts.len() - 1
        };
        let project = live.engine.project(&self.world.project);
        let call = async move { project.start_run(&workflow, request).await };
        let answer = match self.call(live, call).await {
            Some(Ok(Started { run, duplicate, .. })) => Answer::Acked((run, duplicate)),
            Some(Err(error)) => self.refusal(&error),
            None => Answer::Indeterminate,
        };
        lock(&self.ledger.starts)[place].answer = answer;
    }

    fn some_run(&mut self) -> Option<RunId> {
        let runs = self.world.runs();
        (!runs.is_empty()).then(|| *self.random.pick(&runs))
    }

    async fn event(&mut self, live: &Live, nonce: u64) {
        let Some(run) = self.some_run() else { return };
        let name = *self.random.pick(&EVENTS);
        let key = self.random.chance(60).then(|| (*self.random.pick(&KEYS)).to_owned());
        let place = {
            let mut events = lock(&self.ledger.events);
            events.push(EventEntry { nonce, run, answer: Answer::Indeterminate });
            events.len() - 1
        };
        let project = live.engine.project(&self.world.project);
        let call = async move { project.send_event(run, name, key, json!({ "event": nonce })).await };
        let answer = self.call(live, call).await;
        let answer = self.plain(answer);
        lock(&self.ledger.events)[place].answer = answer;
    }

    async fn control(&mut self, live: &Live, kind: u64) {
        let Some(run) = self.some_run() else { return };
        let project = live.engine.project(&self.world.project);
        let by = self.random.chance(50).then(|| "ann".to_owned());
        let call = async move {
            match kind {
                71..=79 => project.pause(run, by).await,
                80..=86 => project.resume(run, by).await,
                87..=94 => project.retry(run, by).await,
                _ => project.cancel(run, by).await,
            }
        };
        let answer = self.call(live, call).await;
        let answer = self.plain(answer);
        lock(&self.ledger.others).push(answer);
    }

    /// Looks at a run, and has its history proved.
    async fn look(&mut self, live: &Live) {
        let Some(run) = self.some_run() else { return };
        let project = live.engine.project(&self.world.project);
        let call = async move {
            project.run(run).await?;
            project.verify(run).await
        };
        let result = self.call(live, call).await;
        match result {
            Some(Ok(verdict)) => {
                if let Some(divergence) = verdict.divergence {
                    self.world.breaks("INV-4", Some(run), format!("verify found {divergence:?}"));
                }
            }
            Some(Err(error)) if !error.is_transient() => {
                self.world.breaks("INV-4", Some(run), format!("a run cannot be looked at: {error}"));
            }
            _ => {}
        }
    }

    fn plain(&self, answer: Option<Result<(), EngineError>>) -> Answer<()> {
        match answer {
            Some(Ok(())) => Answer::Acked(()),
            Some(Err(error)) => self.refusal(&error),
            None => Answer::Indeterminate,
        }
    }

    fn refusal<T>(&self, error: &EngineError) -> Answer<T> {
        match error {
            error if error.is_transient() => Answer::Indeterminate,
            EngineError::KeyReused { .. } | EngineError::InvalidState { .. } => Answer::Refused,
            other => {
                let source = std::error::Error::source(other).map(ToString::to_string);
                self.world.breaks("API", None, format!("a client was told: {other} ({source:?})"));
                Answer::Refused
            }
        }
    }

    /// Calls a process, for a while; `None` when no answer came.
    async fn call<T>(&mut self, live: &Live, call: impl Future<Output = T>) -> Option<T> {
        let polls = if self.random.chance(15) { self.random.range(0, 8) } else { u64::MAX };
        let patience =
            if self.random.chance(20) { self.random.millis(1, 500) } else { Duration::from_secs(90) };
        let cut = CutOff { polls, future: Some(Box::pin(call)) };
        tokio::time::timeout(patience, live.gate.clone().guard(cut)).await.ok().flatten().flatten()
    }
}

/// A future that is dropped at one of its polls.
struct CutOff<F> {
    polls: u64,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for CutOff<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.future.as_mut() {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}
