//! What is to be done now and then, by any worker: partitions made ahead, keys forgotten whose window is over,
//! deliveries whose time is, and buckets that are full.
//!
//! It is done by a task of its own, beside claims and never within one. Each statement happens or not; what one process
//! leaves undone, the next one does, and several at once do not wait for each other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::store::StoreError;
use tokio::task::AbortHandle;

use crate::error::Effect;
use crate::row::count;
use crate::session::{Lane, Sessions, get};
use crate::sql;

/// The task, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    task: Mutex<Option<AbortHandle>>,
}

impl Janitor {
    /// Begins, if that was not done before.
    pub(crate) fn begin(&self, sessions: &Arc<Sessions>, clock: Option<&Arc<dyn Clock>>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // The runtime that it ran on may have ended.
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            *task = Some(tokio::spawn(tidy(sessions.clone(), clock.cloned())).abort_handle());
        }
    }

    /// Ends it; what it began by then happens or not.
    pub(crate) fn close(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

async fn tidy(sessions: Arc<Sessions>, clock: Option<Arc<dyn Clock>>) {
    loop {
        if let Err(error) = make_partitions(&sessions).await {
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

/// Makes what is missing, one after the other. A moment in which nobody works with the tables may take some tries.
async fn make_partitions(sessions: &Arc<Sessions>) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        let made = sessions.call(Lane::Other, Effect::Writes, |session| {
            let query = sqlx::query(sql!("make_partition")).bind(MONTHS_AHEAD);
            Box::pin(async move { get::<bool>(&session.one(query).await?, "made") })
        });
        match made.await {
            Ok(true) => tries = 0,
            Ok(false) => return Ok(()),
            Err(StoreError::Unavailable(_)) if tries < TRIES => {
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
const MONTHS_AHEAD: i32 = 2;
const KEYS_AT_ONCE: i64 = 2_000;
const DELIVERIES_AT_ONCE: i64 = 500;
/// How often a partition is tried, and after which pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
