//! Hints between processes: `NOTIFY`, off the path of every commit.
//!
//! ```text
//!   hint ─► targets that wait ─► at most one look at them per 50 ms ─► NOTIFY, alone in its transaction
//!                                                                         │
//!   hinted ◄─ the worker's bell ◄─ LISTEN on a connection of its own ◄────┘
//! ```
//!
//! A transaction that notifies takes a lock of the whole server while it commits, so none that commits a run does. What
//! is lost (a listener that was cut off, a server that restarted) is lost: workers look anyway. So after each
//! connection, and whenever the connection is in doubt, everybody here is woken once. A connection that has been quiet
//! for a while is asked whether anybody is there: half of one hears nothing and says nothing. Behind a pooler nothing is
//! heard and nothing is listened for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::id::WorkerId;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::error::Effect;
use crate::options::PgOptions;
use crate::session::{Lane, Sessions};
use crate::sql;

/// The one channel.
const CHANNEL: &str = "meshhook";
/// How far apart two messages are at least.
const COALESCE: Duration = Duration::from_millis(50);
/// How long until a connection is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What is to be said, and who listens.
#[derive(Debug)]
pub(crate) struct Wakes {
    connect: PgConnectOptions,
    listens: bool,
    /// How long a connection may be quiet until it is asked.
    quiet: Duration,
    /// How long connecting or an answer may take.
    patience: Duration,
    bells: Mutex<BTreeMap<WorkerId, Arc<Notify>>>,
    targets: Mutex<BTreeSet<String>>,
    has_targets: Notify,
    speaker: Mutex<Option<AbortHandle>>,
    listener: Mutex<Option<AbortHandle>>,
}

impl Wakes {
    pub(crate) fn new(connect: PgConnectOptions, listens: bool, options: &PgOptions) -> Arc<Self> {
        Arc::new(Self {
            connect,
            listens,
            quiet: options.timeout,
            patience: options.acquire,
            bells: Mutex::default(),
            targets: Mutex::default(),
            has_targets: Notify::new(),
            speaker: Mutex::default(),
            listener: Mutex::default(),
        })
    }

    /// Has a worker, or all that can hear it, look soon.
    pub(crate) fn hint(self: &Arc<Self>, worker: Option<&WorkerId>, sessions: &Arc<Sessions>) {
        if let Some(bell) = worker.and_then(|worker| lock(&self.bells).get(worker).cloned()) {
            bell.notify_one();
            return;
        }
        if !self.listens {
            return;
        }
        lock(&self.targets).insert(worker.map_or_else(String::new, ToString::to_string));
        self.has_targets.notify_one();
        lock(&self.speaker)
            .get_or_insert_with(|| tokio::spawn(speak(self.clone(), sessions.clone())).abort_handle());
    }

    /// Waits until the worker is hinted at.
    pub(crate) async fn hinted(self: &Arc<Self>, worker: &WorkerId) {
        let bell = lock(&self.bells).entry(worker.clone()).or_default().clone();
        if self.listens {
            lock(&self.listener).get_or_insert_with(|| tokio::spawn(listen(self.clone())).abort_handle());
        }
        bell.notified().await;
    }

    /// Ends what was begun.
    pub(crate) fn close(&self) {
        for task in [&self.speaker, &self.listener] {
            if let Some(task) = lock(task).take() {
                task.abort();
            }
        }
    }

    fn ring(&self, target: &str) {
        for (worker, bell) in &*lock(&self.bells) {
            if target.is_empty() || target == worker.as_str() {
                bell.notify_one();
            }
        }
    }
}

async fn speak(wakes: Arc<Wakes>, sessions: Arc<Sessions>) {
    loop {
        wakes.has_targets.notified().await;
        let targets: Vec<String> = std::mem::take(&mut *lock(&wakes.targets)).into_iter().collect();
        // A message that cannot be sent is one that nobody gets: they look by themselves.
        let sent = sessions
            .call(Lane::Other, Effect::Reads, move |session| {
                let query = sqlx::query(sql!("notify")).bind(CHANNEL).bind(targets.clone());
                Box::pin(async move { session.alone(query).await.map(drop) })
            })
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "could not notify other processes");
        }
        tokio::time::sleep(COALESCE).await;
    }
}

async fn listen(wakes: Arc<Wakes>) {
    let mut failures = 0_u32;
    loop {
        // A pool of one is how the listener connects again; the connection is nobody else's.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(wakes.connect.clone());
        match hear(&wakes, &pool).await {
            Ok(()) => failures = 0,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "cannot listen for notifications: looking now and then instead");
                }
                failures += 1;
            }
        }
        wakes.ring("");
        tokio::time::sleep(AGAIN * failures.clamp(1, 15)).await;
    }
}

/// Listens until the connection is lost.
async fn hear(wakes: &Wakes, pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let connecting = tokio::time::timeout(wakes.patience, PgListener::connect_with(pool)).await;
    let mut listener = connecting.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    listener.ignore_pool_close_event(true);
    listener.listen(CHANNEL).await?;
    // What was said before this is not heard.
    wakes.ring("");
    loop {
        match tokio::time::timeout(wakes.quiet, listener.try_recv()).await {
            Ok(heard) => match heard? {
                Some(heard) => wakes.ring(heard.payload()),
                None => return Ok(()),
            },
            Err(_) => {
                let asked = tokio::time::timeout(wakes.patience, listener.execute("SELECT 1")).await;
                asked.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
