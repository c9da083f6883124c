//! Messages for runs, as text, so that what is read back is what any other store would give.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::ledger::{Place, RunKey};
use super::{MemoryStore, Operation, State};
use crate::event::RunStatus;
use crate::id::{ProjectId, RunId};
use crate::store::{
    Inbox, InboxId, InboxItem, Listing, MAX_MESSAGES_READ, Message, Post, Posted, StoreError,
};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Messages {
    by_run: BTreeMap<RunKey, BTreeMap<InboxId, Waiting>>,
    last: i64,
}

struct Waiting {
    text: String,
    is_retry: bool,
}

impl Messages {
    pub(super) fn consume(&mut self, key: &RunKey, ids: &[InboxId]) {
        if let Some(waiting) = self.by_run.get_mut(key) {
            waiting.retain(|id, _| !ids.contains(id));
            if waiting.is_empty() {
                self.by_run.remove(key);
            }
        }
    }

    pub(super) fn clear(&mut self, key: &RunKey) {
        self.by_run.remove(key);
    }

    pub(super) fn has_any(&self, key: &RunKey) -> bool {
        self.by_run.contains_key(key)
    }

    pub(super) fn has_retry(&self, key: &RunKey) -> bool {
        self.by_run.get(key).is_some_and(|waiting| waiting.values().any(|message| message.is_retry))
    }

    pub(super) fn count(&self, key: &RunKey) -> usize {
        self.by_run.get(key).map_or(0, BTreeMap::len)
    }

    fn ends(&self, key: &RunKey) -> Option<(InboxId, InboxId)> {
        let waiting = self.by_run.get(key)?;
        Some((*waiting.first_key_value()?.0, *waiting.last_key_value()?.0))
    }

    fn leave(&mut self, key: RunKey, message: Waiting) {
        self.last += 1;
        self.by_run.entry(key).or_default().insert(InboxId(self.last), message);
    }

    fn of(&self, key: &RunKey, after: Option<InboxId>) -> Result<Listing<InboxItem>, StoreError> {
        let waiting = self.by_run.get(key).into_iter().flatten();
        let waiting =
            waiting.filter(|(id, _)| after.is_none_or(|after| **id > after)).map(|(id, waiting)| {
                let message = Message::from_text(&waiting.text)
                    .ok_or_else(|| StoreError::corrupt(format!("message {} of run {}", id.0, key.1)))?;
                Ok((InboxItem::new(*id, key.0.clone(), key.1, message), waiting.text.len()))
            });
        Ok(Listing::gather(waiting, MAX_MESSAGES_READ, |(_, bytes)| *bytes)?.map(|(item, _)| item))
    }
}

impl State {
    fn post(&mut self, post: Post, text: String, now: Timestamp) -> Posted {
        let key = (post.project, post.run);
        let is_retry = matches!(post.message, Message::Retry { .. });
        let Some(run) = self.ledger.runs.get(&key) else { return Posted::NotFound };
        let (place, posted) = match &run.place {
            Place::Held(worker) => (None, Posted::Held { worker: worker.clone() }),
            Place::Released(wake_at) => (Some(wake_at.map_or(now, |at| at.min(now))), Posted::Due),
            Place::Ended if is_retry && run.status == RunStatus::Failed => (Some(now), Posted::Due),
            Place::Ended => return Posted::Ended,
        };
        if self.inbox.count(&key) >= post.message.room() {
            return Posted::Full;
        }
        if let Some(at) = place {
            self.ledger.place(&key, Place::Released(Some(at)));
        }
        self.inbox.leave(key, Waiting { text, is_retry });
        posted
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn post(&self, posts: Vec<Post>) -> Result<Vec<Posted>, StoreError> {
        self.run(Operation::Post, |state, now| {
            let texts = posts.iter().map(Post::checked_text).collect::<Result<Vec<_>, _>>()?;
            Ok(posts.into_iter().zip(texts).map(|(post, text)| state.post(post, text, now)).collect())
        })
        .await
    }

    async fn messages_for(
        &self,
        project: &ProjectId,
        run: RunId,
        after: Option<InboxId>,
    ) -> Result<Listing<InboxItem>, StoreError> {
        self.run(Operation::Read, |state, _| state.inbox.of(&(project.clone(), run), after)).await
    }

    async fn messages_waiting(
        &self,
        project: &ProjectId,
        run: RunId,
    ) -> Result<Option<(InboxId, InboxId)>, StoreError> {
        self.run(Operation::Read, |state, _| Ok(state.inbox.ends(&(project.clone(), run)))).await
    }
}
