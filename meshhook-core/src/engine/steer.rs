//! What others want from a run: messages to its owner, from pausing to external events.
//!
//! Whether something is allowed is judged by where the run will stand once all that was asked for before has taken
//! effect: its record, and what the messages that still wait will make of it.

use serde_json::Value;

use super::{EngineError, Project};
use crate::event::RunStatus;
use crate::id::RunId;
use crate::store::{Message, Post, Posted};

impl Project {
    /// Asks a run to start nothing new. Allowed while it is running or waiting.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidState`], or a store error.
    pub async fn pause(&self, run: RunId, by: Option<String>) -> Result<(), EngineError> {
        self.require(run, |status| matches!(status, RunStatus::Running | RunStatus::Waiting)).await?;
        self.steer(run, Message::Pause { by }).await
    }

    /// Asks a paused run to go on.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidState`], or a store error.
    pub async fn resume(&self, run: RunId, by: Option<String>) -> Result<(), EngineError> {
        self.require(run, |status| status == RunStatus::Paused).await?;
        self.steer(run, Message::Resume { by }).await
    }

    /// Asks a run to end. Allowed until it has ended.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidState`], or a store error.
    pub async fn cancel(&self, run: RunId, by: Option<String>) -> Result<(), EngineError> {
        self.require(run, |status| !status.is_terminal()).await?;
        self.steer(run, Message::Cancel { by }).await
    }

    /// Asks a failed run to start its failed steps again.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidState`], or a store error.
    pub async fn retry(&self, run: RunId, by: Option<String>) -> Result<(), EngineError> {
        self.require(run, |status| status == RunStatus::Failed).await?;
        if self.run(run).await?.terminated {
            return Err(EngineError::InvalidState { status: "terminated" });
        }
        self.steer(run, Message::Retry { by }).await
    }

    /// Sends an external event to a run.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::InvalidState`] when it has ended, [`EngineError::InboxFull`] when
    /// too many events wait for it already, or a store error.
    pub async fn send_event(
        &self,
        run: RunId,
        name: &str,
        key: Option<String>,
        payload: Value,
    ) -> Result<(), EngineError> {
        let (mut payload, secrets) = (payload, self.inner.unsealed(&self.id).await?);
        secrets.masker().mask_value(&mut payload);
        let name = secrets.masker().mask_str(name).into_owned();
        let key = key.map(|key| secrets.masker().mask_str(&key).into_owned());
        self.require(run, |status| !status.is_terminal()).await?;
        self.post(run, Message::Event { name, key, payload }).await?;
        Ok(())
    }

    /// Refuses what a run's status does not allow.
    async fn require(&self, run: RunId, allowed: impl Fn(RunStatus) -> bool) -> Result<(), EngineError> {
        // What was asked for before takes effect before. Read first: a message that is gone then is in the history.
        let (mut asked, mut after) = (Vec::new(), None);
        loop {
            let part = self.inner.store.messages_for(&self.id, run, after).await?;
            after = part.items.last().map(|item| item.id);
            asked.extend(part.items.iter().map(|item| effect_of(&item.message)));
            if !part.more {
                break;
            }
        }
        let record = self.inner.store.run_record(&self.id, run).await?;
        let status = record.ok_or(EngineError::NotFound { what: "run" })?.status;
        let status = asked.into_iter().fold(status, |status, effect| effect(status));
        if allowed(status) { Ok(()) } else { Err(EngineError::InvalidState { status: status.as_str() }) }
    }

    /// Posts what steers a run and gives it until the next poll to take effect, so that who looks next sees it: a run
    /// that is retried would else still be `failed`, which reads as failed again. Only the posting is promised.
    async fn steer(&self, run: RunId, message: Message) -> Result<(), EngineError> {
        let mut watch = self.inner.watchers.subscribe(run);
        let Taker::Here = self.post(run, message).await? else { return Ok(()) };
        let taken = async {
            let Ok(Some((_, mine))) = self.inner.store.messages_waiting(&self.id, run).await else { return };
            loop {
                // Another process may take what is due here, and no news of that comes.
                let _ = tokio::time::timeout(self.inner.options.poll / 8, watch.news.changed()).await;
                let waiting = self.inner.store.messages_waiting(&self.id, run).await;
                let Ok(Some((first, _))) = waiting else { return };
                if first > mine {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(self.inner.options.poll, taken).await;
        Ok(())
    }

    async fn post(&self, run: RunId, message: Message) -> Result<Taker, EngineError> {
        let post = Post { project: self.id.clone(), run, message };
        match self.inner.store.post(vec![post]).await?.pop() {
            Some(Posted::Held { worker }) if worker == self.inner.worker => {
                self.inner.poke_inbox(run);
                Ok(Taker::Here)
            }
            Some(Posted::Held { worker }) => {
                self.inner.store.hint(Some(&worker));
                Ok(Taker::Elsewhere)
            }
            Some(Posted::Due) => {
                self.inner.look_soon();
                Ok(if self.inner.options.works { Taker::Here } else { Taker::Elsewhere })
            }
            Some(Posted::Full) => Err(EngineError::InboxFull),
            Some(Posted::Ended) => {
                let status = self.run(run).await?.status;
                Err(EngineError::InvalidState { status: status.as_str() })
            }
            Some(Posted::NotFound) | None => Err(EngineError::NotFound { what: "run" }),
        }
    }
}

/// Who takes a message.
enum Taker {
    /// This process, in all likelihood.
    Here,
    /// Another one, of whose doing no news comes here.
    Elsewhere,
}

/// What a message will make of a run's status.
fn effect_of(message: &Message) -> fn(RunStatus) -> RunStatus {
    match message {
        Message::Pause { .. } => |status| if status.is_terminal() { status } else { RunStatus::Paused },
        Message::Resume { .. } => {
            |status| if status == RunStatus::Paused { RunStatus::Running } else { status }
        }
        Message::Cancel { .. } => |status| if status.is_terminal() { status } else { RunStatus::Cancelled },
        Message::Retry { .. } => {
            |status| if status == RunStatus::Failed { RunStatus::Running } else { status }
        }
        Message::Event { .. } | Message::ChildFinished { .. } => |status| status,
    }
}
