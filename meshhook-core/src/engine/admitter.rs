//! Rate limits: whether one more is let in, across processes and restarts.
//!
//! ```text
//!   delivery ─┐
//!   delivery ─┼─► queue ─► [ batch, by bucket ] ─► store.admit ─► so many of each are let in, the others are told when
//!   delivery ─┘                    ▲                   │
//!                                  └── collects while one call is in flight
//! ```
//!
//! Only triggers with a `rate_limit` ask. Those who want from the same bucket at once want as one, so that a flood costs a
//! row per call and not per delivery. First come, first served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::contained::contained;
use super::deadline::answer;
use super::error::shared;
use super::task::Tasks;
use crate::id::ProjectId;
use crate::policy::Bucket;
use crate::store::{Admit, Store, StoreError};

/// Takes from buckets.
#[derive(Debug)]
pub(super) struct Admitter {
    queue: mpsc::Sender<Asked>,
}

/// Which bucket: a project's, by a hash, as it is filled.
type Key = (ProjectId, [u8; 32], u64, u32);

/// `None` for one that is let in, else how long to wait.
type Answer = Result<Option<Duration>, Arc<StoreError>>;

struct Asked {
    key: Key,
    reply: oneshot::Sender<Answer>,
}

impl Admitter {
    /// Starts an admitter; it ends when it is told to.
    pub(super) fn spawn(
        tasks: &Tasks,
        store: Arc<dyn Store>,
        patience: Duration,
        end: CancellationToken,
    ) -> Self {
        let (queue, asked) = mpsc::channel(MAX_QUEUED);
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = end.cancelled() => {}
                () = serve(&*store, asked, patience) => {}
            }
        });
        Self { queue }
    }

    /// Takes one token; `Some` says how long to wait where there is none.
    pub(super) async fn admit(
        &self,
        project: &ProjectId,
        key: [u8; 32],
        bucket: Bucket,
    ) -> Result<Option<Duration>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let key = (project.clone(), key, bucket.every_micros, bucket.burst);
        self.queue.try_send(Asked { key, reply }).map_err(|_| EngineError::Overloaded)?;
        answer.await.map_err(|_| EngineError::Overloaded)?.map_err(shared)
    }
}

async fn serve(store: &dyn Store, mut asked: mpsc::Receiver<Asked>, patience: Duration) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while asked.recv_many(&mut batch, MAX_BATCH).await > 0 {
        // Whoever a panic leaves without an answer is refused for now.
        let _ = contained(serve_batch(store, &mut batch, patience)).await;
        batch.clear();
    }
}

async fn serve_batch(store: &dyn Store, batch: &mut Vec<Asked>, patience: Duration) {
    let mut buckets: BTreeMap<Key, Vec<oneshot::Sender<Answer>>> = BTreeMap::new();
    for Asked { key, reply } in batch.drain(..) {
        // Whoever went away takes nothing.
        if !reply.is_closed() {
            buckets.entry(key).or_default().push(reply);
        }
    }
    let wanted = buckets.iter().map(|((project, key, every_micros, burst), replies)| Admit {
        project: project.clone(),
        key: *key,
        bucket: Bucket::new(*every_micros, *burst),
        wanted: u32::try_from(replies.len()).unwrap_or(u32::MAX),
    });
    match answer(patience, store.admit(wanted.collect())).await {
        Ok(admitted) => {
            for (replies, admitted) in buckets.into_values().zip(admitted) {
                for (place, reply) in (0..).zip(replies) {
                    let _ = reply.send(Ok((place >= admitted.tokens).then_some(admitted.wait)));
                }
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for reply in buckets.into_values().flatten() {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

/// The most deliveries that wait; past it, they are refused for now.
const MAX_QUEUED: usize = 4_096;
/// The most deliveries that are asked for at once.
const MAX_BATCH: usize = 512;
