//! The store's handle: queues in front, threads behind.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use meshhook_core::store::StoreError;
use meshhook_core::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::OpenError;
use crate::open::{self, Opened};
use crate::options::SqliteOptions;
use crate::worker::{BoxedJob, Call, read_jobs, write_jobs};

/// A [`Store`](meshhook_core::store::Store) in one SQLite file, or in memory.
///
/// The file belongs to one store at a time. [`close`](Self::close) or dropping the store answers the calls that wait,
/// ends its threads and lets go of the file.
pub struct SqliteStore {
    queues: Mutex<Option<Queues>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

#[derive(Clone)]
struct Queues {
    writes: mpsc::Sender<BoxedJob>,
    /// The same as `writes` for a database in memory.
    reads: mpsc::Sender<BoxedJob>,
}

impl SqliteStore {
    /// Opens a file, or creates it, and brings its schema up to date.
    ///
    /// Beside it there will be `<path>-wal`, `<path>-shm` and `<path>.lock`. It must be on a local file system:
    /// locks and shared memory of network file systems do not keep what SQLite needs.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing stays open.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opening = options.clone();
        Self::start(path.clone(), options, move || open::open(&path, &opening)).await
    }

    /// Makes a database in memory: nothing outlives the store.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when there is no memory or no thread to be had.
    pub async fn open_in_memory(options: SqliteOptions) -> Result<Self, OpenError> {
        let opening = options.clone();
        Self::start(":memory:".into(), options, move || open::open_in_memory(&opening)).await
    }

    async fn start(
        path: std::path::PathBuf,
        options: SqliteOptions,
        open: impl FnOnce() -> Result<Opened, OpenError> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let cannot_start =
            |source: std::io::Error| OpenError::CannotOpen { path: path.clone(), source: Box::new(source) };
        let (writes, write_queue) = mpsc::channel(options.queue);
        let (opened, answer) = oneshot::channel();
        let clock = Arc::clone(&options.clock);
        let writer = spawn("meshhook-sqlite-write", move || match open() {
            Ok(Opened { writer, readers, lock }) => {
                if opened.send(Ok(readers)).is_ok() {
                    write_jobs(write_queue, &writer, &clock);
                }
                // The connection goes first, then the lock.
                drop(writer);
                drop(lock);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        })
        .map_err(cannot_start)?;
        let readers = match answer.await {
            Ok(opened) => opened?,
            Err(_) => return Err(cannot_start(std::io::Error::other("the opening thread panicked"))),
        };
        let mut threads = Vec::new();
        let mut reads = writes.clone();
        if !readers.is_empty() {
            let (sender, queue) = mpsc::channel(options.queue);
            let queue = Arc::new(Mutex::new(queue));
            for reader in readers {
                let (queue, clock) = (Arc::clone(&queue), Arc::clone(&options.clock));
                let read = move || read_jobs(&queue, &reader, &clock);
                threads.push(spawn("meshhook-sqlite-read", read).map_err(cannot_start)?);
            }
            reads = sender;
        }
        threads.push(writer);
        let queues = Mutex::new(Some(Queues { writes, reads }));
        Ok(Self { queues, threads: Arc::new(Mutex::new(threads)) })
    }

    /// Answers what waits, carries the log over into the file, and lets go of it. Calls from now on are refused as
    /// unavailable.
    pub async fn close(&self) {
        self.refuse_calls();
        let threads = Arc::clone(&self.threads);
        // Joining blocks for as long as the queue is long; a panic in there has been reported by its thread.
        let _ = tokio::task::spawn_blocking(move || join(&threads)).await;
    }

    /// Does something within the writer's next transaction.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        apply: impl FnMut(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = Call::boxed(apply);
        self.queues()?.writes.send(job).await.map_err(|_| closed())?;
        let lost = |_| StoreError::OutcomeUnknown("the writer thread ended".into());
        answer.await.map_err(lost)?
    }

    /// Reads one state of the database, which holds everything that was acknowledged before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        apply: impl FnMut(&Connection, Timestamp) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = Call::boxed(apply);
        self.queues()?.reads.send(job).await.map_err(|_| closed())?;
        let lost = |_| StoreError::Unavailable("a reader thread ended".into());
        answer.await.map_err(lost)?
    }

    fn queues(&self) -> Result<Queues, StoreError> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }

    fn refuse_calls(&self) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.refuse_calls();
        join(&self.threads);
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    for thread in threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        // A panic has been reported by its thread.
        let _ = thread.join();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}
