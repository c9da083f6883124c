//! What is to be done now and then, by any process that works or starts runs: partitions made ahead, keys forgotten whose
//! window is over, deliveries whose time is, and buckets that are full.
//!
//! It is done by a task of its own, beside claims and commits and never within one. Each statement happens or not; what one
//! process leaves undone, the next one does, and several at once do not wait for each other.
//!
//! Only this is waited for: before a store claims or commits for the first time it makes the months that are missing, for a
//! moment at most. Where nobody has worked for months, a run that is started first would else lie in the default partition,
//! and its month could not be made any more.

use std::sync::Arc;
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::store::StoreError;
use tokio::sync::OnceCell;

use crate::error::Effect;
use crate::row::count;
use crate::session::{Lane, Sessions, get};
use crate::sql;
use crate::task::Task;

/// The task, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    task: Task,
    /// Whether missing months were looked for once.
    has_looked: OnceCell<()>,
}

impl Janitor {
    /// Begins, if that was not done before; then the months of now are there, or could not be made in time.
    pub(crate) async fn begin(&self, sessions: &Arc<Sessions>, clock: Option<&Arc<dyn Clock>>) {
        let look = || async {
            let made = tokio::time::timeout(PATIENCE, make_partitions(sessions, 0)).await;
            match made {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "could not make partitions at once"),
                Err(_) => tracing::debug!("could not make partitions in time"),
            }
        };
        self.has_looked.get_or_init(look).await;
        self.task.begin(|| tidy(sessions.clone(), clock.cloned()));
    }

    /// Ends it for good.
    pub(crate) fn close(&self) {
        self.task.close();
    }
}

async fn tidy(sessions: Arc<Sessions>, clock: Option<Arc<dyn Clock>>) {
    loop {
        if let Err(error) = make_partitions(&sessions, TRIES).await {
            tracing::warn!(%error, "could not make partitions ahead");
        }
        for (what, statement, at_once) in [
            ("old keys", sql!("drop_keys"), KEYS_AT_ONCE),
            ("full buckets", sql!("drop_rates"), KEYS_AT_ONCE),
            ("old deliveries", sql!("drop_deliveries"), DELIVERIES_AT_ONCE),
        ] {
            if let Err(error) = forget(&sessions, statement, at_once, clock.as_deref()).await {
                tracing::warn!(%error, "could not forget {what}");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Makes what is missing, one after the other. A moment in which nobody works with the tables may take some tries more.
async fn make_partitions(sessions: &Arc<Sessions>, again: u32) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        let made = sessions.call(Lane::Other, Effect::Writes, |session| {
            let query = sqlx::query(sql!("make_partition")).bind(MONTHS_AHEAD);
            Box::pin(async move { get::<bool>(&session.one(query).await?, "made") })
        });
        match made.await {
            Ok(true) => tries = 0,
            Ok(false) => return Ok(()),
            Err(StoreError::Unavailable(_)) if tries < again => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Forgets in batches, each a short transaction, until there are no more.
async fn forget(
    sessions: &Arc<Sessions>,
    statement: &'static str,
    at_once: i64,
    clock: Option<&dyn Clock>,
) -> Result<(), StoreError> {
    loop {
        let now = clock.map(|clock| clock.now().as_micros());
        let dropped = sessions.call(Lane::Other, Effect::Writes, move |session| {
            let query = sqlx::query(statement).bind(now).bind(at_once);
            Box::pin(async move { count::<i64>(&session.one(query).await?, "dropped") })
        });
        if dropped.await? < at_once {
            return Ok(());
        }
    }
}

/// How often there is a look at what is to be done.
const EVERY: Duration = Duration::from_secs(60);
/// How many months are made ahead. The nearest is needed in a month at the earliest, so there is time to try again.
pub(crate) const MONTHS_AHEAD: i32 = 2;
const KEYS_AT_ONCE: i64 = 2_000;
const DELIVERIES_AT_ONCE: i64 = 500;
/// How long the first claim or commit waits until its months are there.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a partition is tried again, and after which pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
