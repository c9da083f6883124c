//! Hints between processes: `NOTIFY` and `LISTEN` on one connection of their own, off the path of every commit.
//!
//! ```text
//!   hint ─► targets that wait ─► at most one NOTIFY per 50 ms, alone in its transaction ─┐
//!                                                                                        │ the connection
//!   hinted ◄─ the worker's bell ◄─ LISTEN, then everybody here looks once, then wait ◄───┘
//! ```
//!
//! A transaction that notifies takes a lock of the whole server while it commits, so none that commits a run does. What
//! is lost (a listener that was cut off, a server that restarted) is lost: workers look anyway. So after each
//! connection, and whenever the connection is in doubt, everybody here is woken once. A connection that has been quiet
//! for a while is asked whether anybody is there: half of one hears nothing and says nothing. Nothing that is asked on it
//! is waited for longer than the store waits for a connection. While there is none, workers are told that they hear
//! nothing ([`hears`](Wakes::hears)), and look more often while there is work. Behind a pooler nothing is heard and nothing
//! is listened for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::id::WorkerId;
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Error, Executor as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::options::{Connect, PgOptions};
use crate::session::bounded;
use crate::sql;
use crate::task::Task;

/// The one channel.
const CHANNEL: &str = "meshhook";
/// How far apart two messages are at least.
const COALESCE: Duration = Duration::from_millis(50);
/// How long until a connection is tried again: so many times longer as it failed in a row, up to half a minute.
const AGAIN: Duration = Duration::from_secs(2);
const MOST_AGAINS: u32 = 15;

/// What is to be said, and who listens.
#[derive(Debug)]
pub(crate) struct Wakes {
    connect: Connect,
    listens: bool,
    /// Whether the store works as behind a pooler, which may be found out later.
    pooled: Arc<AtomicBool>,
    /// How long a connection may be quiet until it is asked.
    quiet: Duration,
    /// How long connecting or an answer may take.
    patience: Duration,
    bells: Mutex<BTreeMap<WorkerId, Arc<Notify>>>,
    targets: Mutex<BTreeSet<String>>,
    /// Whether what is said now is heard.
    hears: AtomicBool,
    /// There is something to say, or somebody new who listens.
    news: Notify,
    /// Who has the connection.
    courier: Task,
}

impl Wakes {
    pub(crate) fn new(
        connect: Connect,
        listens: bool,
        pooled: Arc<AtomicBool>,
        options: &PgOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            connect,
            listens,
            pooled,
            quiet: options.timeout,
            patience: options.acquire,
            bells: Mutex::default(),
            targets: Mutex::default(),
            hears: AtomicBool::new(false),
            news: Notify::new(),
            courier: Task::default(),
        })
    }

    /// Has a worker, or all that can hear it, look soon.
    pub(crate) fn hint(self: &Arc<Self>, worker: Option<&WorkerId>) {
        if let Some(bell) = worker.and_then(|worker| lock(&self.bells).get(worker).cloned()) {
            bell.notify_one();
            return;
        }
        if self.may_listen() {
            lock(&self.targets).insert(worker.map_or_else(String::new, ToString::to_string));
            self.news.notify_one();
            self.employ();
        }
    }

    /// Waits until the worker is hinted at.
    pub(crate) async fn hinted(self: &Arc<Self>, worker: &WorkerId) {
        let (bell, is_new) = {
            let mut bells = lock(&self.bells);
            let known = bells.len();
            let bell = bells.entry(worker.clone()).or_default().clone();
            (bell, bells.len() > known)
        };
        if self.may_listen() {
            self.employ();
            if is_new {
                self.news.notify_one();
            }
        }
        bell.notified().await;
    }

    /// Whether hints of other processes are heard here now.
    pub(crate) fn hears(&self) -> bool {
        self.hears.load(Ordering::Acquire)
    }

    /// Ends what was begun, for good.
    pub(crate) fn close(&self) {
        self.courier.close();
    }

    fn may_listen(&self) -> bool {
        self.listens && !self.pooled.load(Ordering::Acquire)
    }

    /// Has somebody who sees what is new.
    fn employ(self: &Arc<Self>) {
        self.courier.begin(|| carry(self.clone()));
    }

    fn ring(&self, target: &str) {
        for (worker, bell) in &*lock(&self.bells) {
            if target.is_empty() || target == worker.as_str() {
                bell.notify_one();
            }
        }
    }
}

async fn carry(wakes: Arc<Wakes>) {
    let mut failures = 0_u32;
    while wakes.may_listen() {
        // A pool of one is how the listener connects; the connection is nobody else's.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(wakes.patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(wakes.connect.options().clone());
        let mut has_worked = false;
        let ended = hold(&wakes, &pool, &mut has_worked).await;
        wakes.hears.store(false, Ordering::Release);
        if has_worked {
            failures = 0;
        }
        if let Err(error) = ended
            && failures == 0
        {
            tracing::warn!(%error, "cannot listen for notifications: looking now and then instead");
        }
        failures = (failures + 1).min(MOST_AGAINS);
        // A message that cannot be sent is one that nobody gets: they look by themselves.
        lock(&wakes.targets).clear();
        wakes.ring("");
        tokio::time::sleep(AGAIN * failures).await;
    }
}

/// Says and hears what there is until the connection is lost; tells whether it was one.
async fn hold(wakes: &Wakes, pool: &sqlx::PgPool, has_worked: &mut bool) -> Result<(), Error> {
    let within = wakes.patience;
    let mut listener = bounded(within, PgListener::connect_with(pool)).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    let (mut listens, mut has_news) = (false, true);
    let mut next = Instant::now();
    while wakes.may_listen() {
        if !listens && !lock(&wakes.bells).is_empty() {
            bounded(within, listener.listen(CHANNEL)).await?;
            (listens, *has_worked) = (true, true);
            wakes.hears.store(true, Ordering::Release);
            // What was said before this is not heard.
            wakes.ring("");
        }
        tokio::select! {
            biased;
            () = wakes.news.notified(), if !has_news => has_news = true,
            () = tokio::time::sleep_until(next), if has_news => {
                has_news = false;
                let targets: Vec<String> = std::mem::take(&mut *lock(&wakes.targets)).into_iter().collect();
                if !targets.is_empty() {
                    let query = sqlx::query(sql!("notify")).bind(CHANNEL).bind(targets);
                    bounded(within, listener.execute(query)).await?;
                    *has_worked = true;
                    next = Instant::now() + COALESCE;
                }
            }
            heard = listener.try_recv() => match heard? {
                Some(heard) => wakes.ring(heard.payload()),
                None => return Ok(()),
            },
            () = tokio::time::sleep(wakes.quiet) => {
                bounded(within, listener.execute("SELECT 1")).await?;
            }
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
