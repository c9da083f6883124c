//! The store's handle.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::engine::PlannedRun;
use meshhook_core::id::{ProjectId, WorkerId};
use meshhook_core::store::{Commit, CommitOutcome, StoreError};
use meshhook_core::time::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, PgConnection};

use crate::error::{Effect, PgError, store_error};
use crate::ledger::commit::{BusyKeys, start_in};
use crate::migrate::{self, Found};
use crate::options::{Connect, PgOptions};
use crate::pooler::{POOLER_FOUND, is_pooled};
use crate::row::count;
use crate::session::{Lane, Session, Sessions, Work};
use crate::sql;
use crate::tidy::Janitor;
use crate::wake::Wakes;

/// A [`Store`](meshhook_core::store::Store) in a Postgres database.
///
/// Cheap to share behind an `Arc`. Connections are made when they are needed and closed when the store is dropped or
/// [closed](Self::close).
pub struct PgStore {
    sessions: Arc<Sessions>,
    clock: Option<Arc<dyn Clock>>,
    janitor: Janitor,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) busy: BusyKeys,
}

impl PgStore {
    /// Connects to a database that was [migrated](crate::migrate()), and checks that it was, that the role has the rights
    /// that it needs, and that the server is not too old. What else the [doctor](Self::doctor) finds is logged.
    ///
    /// The URL is one of libpq's, such as `postgres://user:password@host:5432/database?sslmode=require`; a folder with
    /// a Unix socket goes into `?host=`.
    ///
    /// # Errors
    ///
    /// [`PgError`].
    pub async fn connect(url: &str, options: PgOptions) -> Result<Self, PgError> {
        let connect = settings(url, &options)?;
        let looking = async {
            let mut connection =
                connect.connect().await.map_err(|error| PgError::Connect(Box::new(error)))?;
            let found = migrate::found(&mut connection).await?;
            Ok::<_, PgError>((connection, found))
        };
        let in_time = tokio::time::timeout(options.acquire, looking).await;
        let (connection, found) = in_time.map_err(|late| PgError::Connect(Box::new(late)))??;
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
        let pooled = options.pooled || {
            let found = is_pooled(&connect, connection, options.acquire).await;
            found.map_err(|error| PgError::Connect(Box::new(error)))?
        };
        if pooled && !options.pooled {
            tracing::warn!("{POOLER_FOUND}");
        }
        let sessions = Arc::new(Sessions::new(connect.clone(), pooled, &options));
        let wakes = Wakes::new(connect, options.listen, sessions.pooled(), &options);
        let store = Self {
            sessions,
            clock: options.clock,
            janitor: Janitor::default(),
            wakes,
            busy: BusyKeys::default(),
        };
        store.look_over().await?;
        Ok(store)
    }

    /// Closes idle connections; others close when their call ends. Calls from now on are refused as unavailable.
    pub fn close(&self) {
        self.wakes.close();
        self.janitor.close();
        self.sessions.close();
    }

    /// Has a worker of another process look soon, or all of them.
    pub(crate) fn hint_at(&self, worker: Option<&WorkerId>) {
        self.wakes.hint(worker);
    }

    /// Makes a planned run durable within a transaction of the caller's: the run exists if and only if that commits. A
    /// worker takes it at its next look.
    ///
    /// The connection's role needs the rights of [`grant_sql`](crate::grant_sql) on the schema, which must be in the
    /// same database; the transaction goes on with the settings that it had. Until it ends another `start_in` with the same
    /// key waits, for 10 s at most, and whoever starts a run with it otherwise is answered [`CommitOutcome::Busy`].
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; the server has then given the transaction up, and the caller rolls it back.
    pub async fn start_in(
        &self,
        connection: &mut PgConnection,
        planned: &PlannedRun,
    ) -> Result<CommitOutcome, StoreError> {
        self.tidy().await;
        let start = planned.start().clone();
        let check = Commit::Start(start.clone());
        check.check().map_err(StoreError::internal)?;
        // Whether the transaction commits is the caller's to find out.
        start_in(connection, start, self.now()).await.map_err(|error| store_error(error, Effect::Reads))
    }

    /// Drops the months of ended runs and histories that ended before a time; a month in which a run was made that has
    /// not ended stays. Answers how many partitions went. The store's role needs
    /// [`grant_maintenance_sql`](crate::grant_maintenance_sql), or to own the schema.
    ///
    /// A month is dropped at a moment in which nobody works with the tables, which is waited for for some seconds: to be
    /// called again where there was none.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; months that had gone by then are gone.
    pub async fn drop_before(&self, at: Timestamp) -> Result<u32, StoreError> {
        // No id is of an earlier time.
        if at <= Timestamp::EPOCH {
            return Ok(0);
        }
        let mut dropped = 0;
        let mut tries = 0;
        loop {
            let month = self.person(Effect::Writes, move |session| {
                let query = sqlx::query(sql!("drop_partitions")).bind(at.as_micros());
                Box::pin(async move { count::<u32>(&session.one(query).await?, "dropped") })
            });
            match month.await {
                Ok(0) => return Ok(dropped),
                Ok(tables) => {
                    dropped += tables;
                    tries = 0;
                }
                // Somebody worked with the tables at that moment.
                Err(StoreError::Unavailable(_)) if tries < DROP_TRIES => {
                    tries += 1;
                    tokio::time::sleep(DROP_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has somebody make partitions ahead and forget old keys, from now on; to be called before a run is claimed or started.
    pub(crate) async fn tidy(&self) {
        self.janitor.begin(&self.sessions, self.clock.as_ref()).await;
    }

    /// The time for a statement: `None` lets the database look at its own clock.
    pub(crate) fn now(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.now().as_micros())
    }

    /// A call of the engine across projects: one statement.
    pub(crate) async fn engine<T, F>(&self, lane: Lane, effect: Effect, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.sessions.call(lane, effect, work).await
    }

    /// A call that is none of the engine's: for one project, or about the database as a whole.
    pub(crate) async fn person<T, F>(&self, effect: Effect, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        self.sessions.call(Lane::Other, effect, work).await
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

/// How often, and after which pause, a busy month is tried again.
const DROP_TRIES: u32 = 20;
const DROP_AGAIN: Duration = Duration::from_millis(200);

/// The settings of a connection, from a URL.
pub(crate) fn settings(url: &str, options: &PgOptions) -> Result<Connect, PgError> {
    let settings = PgConnectOptions::from_str(url).map_err(|error| PgError::Settings(Box::new(error)))?;
    // Poolers refuse start-up parameters that they do not know; floats are not stored.
    let settings = settings.extra_float_digits(None).application_name(&options.name);
    Ok(Connect::new(settings.disable_statement_logging()))
}

/// The answer of a change that nothing refuses.
pub(crate) fn done<T>(answer: Result<T, std::convert::Infallible>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[tokio::test]
    async fn a_password_is_in_no_error_and_in_no_debug() {
        const SECRET: &str = "hunter22";
        let options = PgOptions::new();
        let url = format!("postgres://ann:{SECRET}@localhost:1/none?host=/nonexistent");
        let connect = settings(&url, &options).unwrap();
        assert!(format!("{:?}", connect.options()).contains(SECRET), "nothing is shown in any case");
        let sessions = Arc::new(Sessions::new(connect.clone(), false, &options));
        let wakes = Wakes::new(connect.clone(), true, sessions.pooled(), &options);
        let mut told = format!("{options:?} {connect:?} {sessions:?} {wakes:?}");
        for url in [
            &*url,
            &format!("postgres://ann:{SECRET}@localhost:port/none"),
            &format!("postgres://ann:{SECRET}@[::1/none"),
            &format!("postgres://ann:{SECRET}@localhost/none?sslmode=none"),
            &format!("ann:{SECRET}"),
        ] {
            let refused = PgStore::connect(url, PgOptions::new()).await.unwrap_err();
            told.push_str(&format!(" {refused} {refused:?}"));
            let mut cause = refused.source();
            while let Some(why) = cause {
                told.push_str(&format!(" {why}"));
                cause = why.source();
            }
        }
        assert!(!told.contains(SECRET), "{told}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_given_up() {
        // Connections are made, and nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://ann@{}/none", silent.local_addr().unwrap());
        let options = PgOptions::new().acquire_timeout(Duration::from_millis(200));
        let connecting = tokio::time::timeout(Duration::from_secs(60), PgStore::connect(&url, options));
        let refused = connecting.await.expect("it waits").unwrap_err();
        assert!(matches!(refused, PgError::Connect(_)), "{refused:?}");
    }
}
