//! The threads that own the connections.
//!
//! Each takes jobs from a bounded queue until every sender is gone, answers what is left in it, and ends. A job whose
//! caller went away is done all the same.

use std::sync::{Arc, Mutex, PoisonError};

use meshhook_core::clock::Clock;
use meshhook_core::store::StoreError;
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, Error};
use tokio::sync::{mpsc, oneshot};

use crate::error::{commit_error, store_error};

pub(crate) type BoxedJob = Box<dyn Job>;

/// Something to do within a transaction, and who waits for it.
pub(crate) trait Job: Send {
    /// Does it. It may be done again after a transaction was rolled back.
    fn apply(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()>;

    /// Answers, once the transaction ended.
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A job made of a closure.
pub(crate) struct Call<T, F> {
    apply: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Call<T, F>
where
    T: Send + 'static,
    F: FnMut(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
{
    pub(crate) fn boxed(apply: F) -> (BoxedJob, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { apply, answer: None, reply }), answer)
    }
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnMut(&Connection, Timestamp) -> rusqlite::Result<T> + Send,
{
    fn apply(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        self.answer = Some((self.apply)(connection, now)?);
        Ok(())
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { answer, reply, .. } = *self;
        let answer =
            outcome.and_then(|()| answer.ok_or_else(|| StoreError::internal("the call has no answer")));
        // Whoever dropped the call does not want the answer.
        let _ = reply.send(answer);
    }
}

/// Turns everything that waits into one transaction, again and again.
pub(crate) fn write_jobs(
    mut jobs: mpsc::Receiver<BoxedJob>,
    connection: &Connection,
    clock: &Arc<dyn Clock>,
) {
    let mut batch = Vec::new();
    while jobs.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        match transact(connection, "BEGIN IMMEDIATE", &mut batch, clock) {
            Err(Failed::Apply(error)) if batch.len() > 1 => {
                tracing::debug!(calls = batch.len(), %error, "a call failed: each runs alone");
                for job in batch.drain(..) {
                    let mut alone = vec![job];
                    let ended = transact(connection, "BEGIN IMMEDIATE", &mut alone, clock);
                    finish(&mut alone, &ended);
                }
            }
            ended => finish(&mut batch, &ended),
        }
    }
}

/// Gives each job a read transaction, so that it sees one state of the database.
pub(crate) fn read_jobs(
    jobs: &Mutex<mpsc::Receiver<BoxedJob>>,
    connection: &Connection,
    clock: &Arc<dyn Clock>,
) {
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(job) = next() {
        let mut alone = vec![job];
        let ended = transact(connection, "BEGIN DEFERRED", &mut alone, clock);
        finish(&mut alone, &ended);
    }
}

enum Failed {
    /// Nothing was committed.
    Apply(Arc<Error>),
    Commit(Arc<Error>),
}

fn transact(
    connection: &Connection,
    begin: &str,
    jobs: &mut [BoxedJob],
    clock: &Arc<dyn Clock>,
) -> Result<(), Failed> {
    let applied = run(connection, begin)
        .and_then(|()| jobs.iter_mut().try_for_each(|job| job.apply(connection, clock.now())))
        .map_err(|error| Failed::Apply(Arc::new(error)));
    let ended =
        applied.and_then(|()| run(connection, "COMMIT").map_err(|error| Failed::Commit(Arc::new(error))));
    // SQLite has rolled back by itself after some errors.
    if ended.is_err()
        && !connection.is_autocommit()
        && let Err(error) = run(connection, "ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
    ended
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(|_| ())
}

fn finish(jobs: &mut Vec<BoxedJob>, ended: &Result<(), Failed>) {
    if let Err(Failed::Apply(error) | Failed::Commit(error)) = ended {
        tracing::warn!(calls = jobs.len(), %error, "a transaction failed");
    }
    for job in jobs.drain(..) {
        job.finish(match ended {
            Ok(()) => Ok(()),
            Err(Failed::Apply(error)) => Err(store_error(error)),
            Err(Failed::Commit(error)) => Err(commit_error(error)),
        });
    }
}

/// The most calls of one transaction, so that the first of them does not wait for long.
const MAX_BATCH: usize = 512;
