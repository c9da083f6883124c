//! The store's handle.

use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::engine::PlannedRun;
use meshhook_core::id::{ProjectId, WorkerId};
use meshhook_core::store::{Commit, CommitOutcome, StoreError};
use meshhook_core::time::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, PgConnection};
use tokio::time::Instant;

use crate::error::{Effect, PgError, store_error};
use crate::ledger::commit::start_in;
use crate::migrate::{self, Found};
use crate::options::PgOptions;
use crate::row::count;
use crate::session::{Session, Sessions, Work};
use crate::sql;
use crate::wake::Wakes;

/// A [`Store`](meshhook_core::store::Store) in a Postgres database.
///
/// Cheap to share behind an `Arc`. Connections are made when they are needed and closed when the store is dropped or
/// [closed](Self::close).
pub struct PgStore {
    /// Commits, claims and messages.
    ledger: Arc<Sessions>,
    /// Everything else. The same as `ledger` where there is one connection only.
    reads: Arc<Sessions>,
    clock: Option<Arc<dyn Clock>>,
    tidied: Mutex<Option<Instant>>,
    pub(crate) wakes: Arc<Wakes>,
}

impl PgStore {
    /// Connects to a database that was [migrated](crate::migrate()), and checks that it was.
    ///
    /// The URL is one of libpq's, such as `postgres://user:password@host:5432/database?sslmode=require`; a folder with
    /// a Unix socket goes into `?host=`.
    ///
    /// # Errors
    ///
    /// [`PgError`].
    pub async fn connect(url: &str, options: PgOptions) -> Result<Self, PgError> {
        let connect = settings(url, &options)?;
        let mut connection = connect.connect().await.map_err(|error| PgError::Connect(Box::new(error)))?;
        let found = migrate::found(&mut connection).await?;
        drop(connection);
        let needed = migrate::newest();
        match found {
            Found { version, .. } if version < needed => {
                return Err(PgError::SchemaMissing { found: version, needed });
            }
            Found { version, readable_from } if readable_from > needed => {
                return Err(PgError::SchemaNewer { found: version, known: needed });
            }
            Found { .. } => {}
        }
        let wakes = Wakes::new(connect.clone(), options.listen && !options.pooled);
        let (ledger, reads) = match options.connections {
            0 | 1 => {
                let one = Arc::new(Sessions::new(connect, 1, &options));
                (one.clone(), one)
            }
            connections => (
                Arc::new(Sessions::new(connect.clone(), connections.div_ceil(2), &options)),
                Arc::new(Sessions::new(connect, connections / 2, &options)),
            ),
        };
        Ok(Self { ledger, reads, clock: options.clock, tidied: Mutex::default(), wakes })
    }

    /// Closes idle connections; others close when their call ends. Calls from now on are refused as unavailable.
    pub fn close(&self) {
        self.wakes.close();
        self.ledger.close();
        self.reads.close();
    }

    /// Has a worker of another process look soon, or all of them.
    pub(crate) fn hint_at(&self, worker: Option<&WorkerId>) {
        self.wakes.hint(worker, &self.reads);
    }

    /// Makes a planned run durable within a transaction of the caller's: the run exists if and only if that commits. A
    /// worker takes it at its next look.
    ///
    /// The connection's role needs the rights of [`grant_sql`](crate::grant_sql) on the schema, which must be in the
    /// same database; the transaction goes on with the settings that it had. Another start with the same key waits until
    /// the transaction ends.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; the server has then given the transaction up, and the caller rolls it back.
    pub async fn start_in(
        &self,
        connection: &mut PgConnection,
        planned: &PlannedRun,
    ) -> Result<CommitOutcome, StoreError> {
        let start = planned.start().clone();
        let check = Commit::Start(start.clone());
        check.check().map_err(StoreError::internal)?;
        // Whether the transaction commits is the caller's to find out.
        start_in(connection, start, self.now()).await.map_err(|error| store_error(error, Effect::Reads))
    }

    /// Drops the weeks of ended runs and histories that ended before a time; a week in which a run was made that has not
    /// ended stays. Answers how many partitions went. The store's role needs
    /// [`grant_maintenance_sql`](crate::grant_maintenance_sql), or to own the schema.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    pub async fn drop_before(&self, at: Timestamp) -> Result<u32, StoreError> {
        self.person(Effect::Writes, move |session| {
            let query = sqlx::query(sql!("drop_partitions")).bind(at.as_micros());
            Box::pin(async move { count(&session.one(query).await?, "dropped") })
        })
        .await
    }

    /// Makes partitions ahead and forgets old keys, now and then: workers look, so this is where it is done.
    pub(crate) fn tidy(&self) {
        let mut tidied = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        if tidied.is_some_and(|at| at.elapsed() < TIDY_EVERY) {
            return;
        }
        *tidied = Some(Instant::now());
        drop(tidied);
        let (now, reads) = (self.now(), self.reads.clone());
        // Each statement happens or not; if the process ends, the next one makes it.
        tokio::spawn(async move {
            let tidied = reads
                .call(Effect::Writes, move |session| {
                    let keys = sqlx::query(sql!("drop_keys")).bind(now).bind(KEYS_AT_ONCE);
                    Box::pin(async move {
                        session.alone(sqlx::query(sql!("make_partitions")).bind(WEEKS_AHEAD)).await?;
                        session.alone(keys).await.map(drop)
                    })
                })
                .await;
            if let Err(error) = tidied {
                tracing::warn!(%error, "could not make partitions ahead or forget old keys");
            }
        });
    }

    /// The time for a statement: `None` lets the database look at its own clock.
    pub(crate) fn now(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.now().as_micros())
    }

    /// A call of the engine across projects: one statement.
    pub(crate) async fn engine<T, F>(&self, effect: Effect, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.ledger.call(effect, work).await
    }

    /// A call for one project, or for none: it begins its own transaction.
    pub(crate) async fn person<T, F>(&self, effect: Effect, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.reads.call(effect, work).await
    }

    /// Reads something of a project with one statement.
    pub(crate) async fn look<T, F>(&self, project: &ProjectId, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        let (project, read) = (project.clone(), Arc::new(read));
        self.person(Effect::Reads, move |session| {
            let (project, read) = (project.clone(), read.clone());
            Box::pin(async move {
                session.look_at(&project).await?;
                let answer = read(session).await?;
                session.looked().await?;
                Ok(answer)
            })
        })
        .await
    }

    /// Reads one state of a project with several statements, in one transaction.
    pub(crate) async fn read<T, F>(&self, project: &ProjectId, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        let (project, read) = (project.clone(), Arc::new(read));
        self.person(Effect::Reads, move |session| {
            let (project, read) = (project.clone(), read.clone());
            Box::pin(async move {
                session.begin_reading(&project).await?;
                let answer = read(session).await?;
                session.commit().await?;
                Ok(answer)
            })
        })
        .await
    }

    /// Changes something within one transaction of a project; a refusal (`Err` inside) changes nothing.
    pub(crate) async fn write<T, R, F>(
        &self,
        project: &ProjectId,
        write: F,
    ) -> Result<Result<T, R>, StoreError>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, Result<T, R>> + Send + Sync + 'static,
    {
        let (project, write) = (project.clone(), Arc::new(write));
        self.person(Effect::Writes, move |session| {
            let (project, write) = (project.clone(), write.clone());
            Box::pin(async move {
                session.begin(&project).await?;
                let answer: Result<T, R> = write(session).await?;
                match &answer {
                    Ok(_) => session.commit().await?,
                    Err(_) => session.rollback().await?,
                }
                Ok::<_, Error>(answer)
            })
        })
        .await
    }
}

impl Drop for PgStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").finish_non_exhaustive()
    }
}

/// How often partitions are made and keys forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const WEEKS_AHEAD: i32 = 4;
const KEYS_AT_ONCE: i64 = 20_000;

/// The settings of a connection, from a URL.
pub(crate) fn settings(url: &str, options: &PgOptions) -> Result<PgConnectOptions, PgError> {
    let settings = PgConnectOptions::from_str(url).map_err(|error| PgError::Settings(Box::new(error)))?;
    // Poolers refuse start-up parameters that they do not know; floats are not stored.
    Ok(settings.extra_float_digits(None).application_name(&options.name).disable_statement_logging())
}

/// The answer of a change that nothing refuses.
pub(crate) fn done<T>(answer: Result<T, std::convert::Infallible>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
