//! Long work: decisions and replays that take long are kept off the threads that everything else runs on.
//!
//! A decision is a function, and a task that computes does not let others run. Most decisions take microseconds. But one
//! may evaluate thousands of expressions with a million steps each, and a history of 64 MiB takes its time to be decided
//! again: minutes, during which the thread renews no lease, answers no webhook and starts no effect. When all threads of
//! the runtime compute, the lease ends, and others take over runs whose worker is well.
//!
//! ```text
//!            may be long? ── no ──► at once, in the task
//!                 │                       │ took long: the definition has a debt
//!                yes ─► permit ─► a thread for blocking work
//!                                         │ did not take long: some of the debt is paid
//! ```
//!
//! What may be long cannot be computed in advance, so it is guessed from what is known, rather too often: there is much
//! text, the definition iterates or has pure nodes of the host's own, or its work took long and was not often short since.
//! A wrong guess either way costs little: another thread is some microseconds away, and work that is long for the first
//! time holds up one thread once. How long work takes is seen on a clock, on which short work looks long when its thread
//! had to wait for a processor; so a debt is as large as the time that was taken, and soon paid where it was not the
//! work's own.
//!
//! Permits bound how much of it goes on at once, and with it memory and threads. Who only looks at runs can have no more
//! than half of them, so that decisions go on however many look.
//!
//! A heartbeat on a thread of its own would not do instead. A store's sockets are served by the runtime that opened
//! them, so that a renewal would starve with that runtime, and so would everything that is not the heartbeat.
//!
//! In simulations all work is done at once, in the task: where a thread comes in between is nothing that a seed decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::EngineError;
use crate::definition::ValidDefinition;
use crate::id::Digest;
use crate::json;
use crate::node::NodeKind;

/// More text than this may take long, in bytes.
const MUCH_TEXT: usize = 64 << 10;
/// Work that took this long is done elsewhere the next time.
const LONG: Duration = Duration::from_millis(20);
/// What is paid of a definition's debt each time that its work did not take long.
const PAID: Duration = Duration::from_millis(5);
const MAX_DEBT: Duration = Duration::from_secs(60);
const MAX_DEBTORS: usize = 10_000;
/// How long whoever wants to look at a run waits behind others who do.
const READER_WAITS: Duration = Duration::from_secs(5);

/// Does what may take long.
#[derive(Debug)]
pub(super) struct LongWork {
    /// `None` where everything is done in the task.
    permits: Option<Arc<Semaphore>>,
    debts: Debts,
    /// For whoever only wants to look at a run.
    readers: Arc<Semaphore>,
}

impl LongWork {
    /// Does several times as much at once as the current runtime has threads: the machine shares its processors among
    /// threads, so that short work does not wait until long work is done.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub(super) fn elsewhere() -> Self {
        let threads = tokio::runtime::Handle::current().metrics().num_workers();
        let permits = (4 * threads).max(8);
        let readers = Arc::new(Semaphore::new(permits / 2));
        Self { permits: Some(Arc::new(Semaphore::new(permits))), readers, ..Self::in_place() }
    }

    /// Does everything in the task.
    pub(super) fn in_place() -> Self {
        let readers = Arc::new(Semaphore::new(4));
        Self { permits: None, debts: Debts::default(), readers }
    }

    /// Waits for the right to read a whole history only to look at it: it is to be had before the history is in memory,
    /// and given up when the work on it is done.
    ///
    /// # Errors
    ///
    /// [`EngineError::Overloaded`] when others look for too long.
    pub(super) async fn reader(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        let permit = tokio::time::timeout(READER_WAITS, self.readers.clone().acquire_owned()).await;
        Ok(permit.map_err(|_| EngineError::Overloaded)?.expect("the semaphore is never closed"))
    }

    /// Does work for a definition on so many bytes of text. Work that was begun is finished, also when nobody waits for it
    /// any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        definition: &ValidDefinition,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let digest = definition.digest();
        let has_debt = self.debts.has(digest);
        let may_be_long = has_debt || bytes > MUCH_TEXT || is_unbounded(definition);
        let (done, took) = match &self.permits {
            Some(permits) if may_be_long => on_another_thread(permits.clone(), timed(work)).await,
            _ => timed(work)(),
        };
        if took >= LONG {
            self.debts.add(digest, took);
        } else if has_debt {
            self.debts.pay(digest);
        }
        metrics::histogram!("meshhook_decision_seconds").record(took.as_secs_f64());
        done
    }
}

/// For how much time that their work took definitions have not made up yet.
#[derive(Debug, Default)]
struct Debts(Mutex<HashMap<Digest, Duration>>);

impl Debts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, digest: &Digest) -> bool {
        self.lock().contains_key(digest)
    }

    fn add(&self, digest: &Digest, took: Duration) {
        let mut debts = self.lock();
        // Those that are forgotten are found again, for one hold-up each.
        if debts.len() >= MAX_DEBTORS {
            debts.clear();
        }
        let debt = debts.entry(digest.clone()).or_default();
        *debt = (*debt + took).min(MAX_DEBT);
    }

    fn pay(&self, digest: &Digest) {
        let mut debts = self.lock();
        let Some(debt) = debts.get_mut(digest) else { return };
        *debt = debt.saturating_sub(PAID);
        if debt.is_zero() {
            debts.remove(digest);
        }
    }
}

/// How much text a value is; more than is much, where it is.
pub(super) fn text_len(value: &Value) -> usize {
    json::canonical_len_within(value, MUCH_TEXT).unwrap_or(MUCH_TEXT + 1)
}

fn timed<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> (T, Duration) {
    || {
        let began = Instant::now();
        (work(), began.elapsed())
    }
}

async fn on_another_thread<T: Send + 'static>(
    permits: Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(permit);
        done
    });
    match done.await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Whether one decision may do more than evaluate one expression or template for each node, or what the host's own types do.
fn is_unbounded(definition: &ValidDefinition) -> bool {
    let unbounded =
        |kind: &NodeKind| matches!(kind, NodeKind::ForEach(_) | NodeKind::Repeat(_) | NodeKind::Custom(_));
    definition.graph().nodes().iter().any(|node| unbounded(&node.kind))
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use serde_json::json;

    use super::*;
    use crate::definition::{CheckContext, check};
    use crate::node::NodeTypes;

    fn definition(node: &Value) -> ValidDefinition {
        let document = json!({ "name": "W", "nodes": [node] });
        check(&document, &CheckContext::new(&NodeTypes::new())).definition.unwrap()
    }

    fn pure(expression: &str) -> ValidDefinition {
        definition(&json!({ "id": "a", "type": "transform", "config": { "expression": expression } }))
    }

    async fn thread_of(work: &LongWork, definition: &ValidDefinition, bytes: usize) -> ThreadId {
        work.run(definition, bytes, || thread::current().id()).await
    }

    #[tokio::test]
    async fn short_work_is_done_in_the_task_and_much_text_elsewhere() {
        let (work, pure) = (LongWork::elsewhere(), pure("input"));
        let here = thread::current().id();
        assert_eq!(thread_of(&work, &pure, MUCH_TEXT).await, here);
        assert_ne!(thread_of(&work, &pure, MUCH_TEXT + 1).await, here);
        assert_eq!(thread_of(&LongWork::in_place(), &pure, MUCH_TEXT + 1).await, here);
    }

    #[tokio::test]
    async fn what_iterates_is_done_elsewhere() {
        let body =
            json!({ "nodes": [{ "id": "b", "type": "transform", "config": { "expression": "item" } }] });
        let each = json!({ "id": "a", "type": "for_each", "config": { "items": "input", "body": body } });
        assert_ne!(thread_of(&LongWork::elsewhere(), &definition(&each), 0).await, thread::current().id());
    }

    #[tokio::test]
    async fn what_took_long_is_done_elsewhere_the_next_time() {
        let (work, long, other) = (LongWork::elsewhere(), pure("input"), pure("trigger"));
        let here = thread::current().id();
        work.run(&long, 0, || thread::sleep(LONG)).await;
        assert_ne!(thread_of(&work, &long, 0).await, here);
        assert_eq!(thread_of(&work, &other, 0).await, here);
    }

    #[tokio::test]
    async fn what_is_short_again_and_again_is_done_in_the_task_again() {
        let (work, pure) = (LongWork::elsewhere(), pure("input"));
        let here = thread::current().id();
        work.debts.add(pure.digest(), PAID * 3);
        let mut elsewhere = 0;
        while thread_of(&work, &pure, 0).await != here {
            elsewhere += 1;
            assert!(elsewhere < 1_000, "it stays elsewhere");
        }
        assert!(elsewhere >= 3, "{elsewhere}");
        assert!(work.debts.lock().is_empty());
        work.debts.add(pure.digest(), MAX_DEBT);
        work.debts.add(pure.digest(), MAX_DEBT);
        assert_eq!(work.debts.lock().get(pure.digest()), Some(&MAX_DEBT));
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_looks_leaves_room_for_decisions_and_does_not_wait_for_ever() {
        let work = LongWork::elsewhere();
        let mut looking = Vec::new();
        let refused = loop {
            match work.reader().await {
                Ok(permit) => looking.push(permit),
                Err(error) => break error,
            }
        };
        assert!(refused.is_transient(), "{refused}");
        assert_eq!(looking.len() * 2, work.permits.as_ref().unwrap().available_permits());
        looking.pop();
        assert!(work.reader().await.is_ok());
    }

    #[tokio::test]
    #[should_panic(expected = "the work's own")]
    async fn a_panic_is_passed_on() {
        LongWork::elsewhere().run(&pure("input"), MUCH_TEXT + 1, || panic!("the work's own")).await;
    }
}
