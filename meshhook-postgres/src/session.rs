//! Sessions: connections that are kept, and calls that run on them.
//!
//! ```text
//!   call ─► permit ─► idle session, or a new one ─► statement(s) ─► answer
//!              ▲                                        │ ended well, or refused by the server: kept
//!              └────────────────────────────────────────┘ anything else, a panic or a shutdown included: closed
//! ```
//!
//! There is no pool of sqlx in between. It would send a `ping` each time a connection comes back, and the transactions
//! of sqlx 0.9.0 hand out sessions in which one was left open when `begin()` is cancelled (transact-rs/sqlx#4393): what
//! the next borrower writes is acknowledged and lost. Here a transaction is begun and ended by plain statements, in a
//! task that no caller can cut off, and a session in which it was not ended is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::id::ProjectId;
use meshhook_core::store::StoreError;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Error, Executor as _, PgConnection, Postgres, Row as _};
use tokio::sync::Semaphore;

use crate::error::{Effect, Verdict, judge, store_error};
use crate::options::PgOptions;

/// A statement with its arguments.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// What a call does on a session.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// Some connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    connect: PgConnectOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    pooled: bool,
    acquire: Duration,
    timeout: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
    pooled: bool,
    /// The project that statements outside of a transaction see.
    project: Option<ProjectId>,
}

/// Every statement here has an index to go by. A plan that was made while a table was tiny must not freeze anything else,
/// and one that is kept for good needs no planning for each project's size.
const PLANS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_sort = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// How often a call is made again that collided with another, or met a session that had died before.
const TRIES: u32 = 6;

impl Sessions {
    pub(crate) fn new(connect: PgConnectOptions, connections: usize, options: &PgOptions) -> Self {
        Self {
            connect,
            permits: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            pooled: options.pooled,
            acquire: options.acquire,
            timeout: options.timeout,
        }
    }

    /// Makes a call in a task of its own: dropping the future does not cut it off.
    pub(crate) async fn call<T, F>(self: &Arc<Self>, effect: Effect, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        let sessions = self.clone();
        let task = tokio::spawn(async move { sessions.run(effect, work).await });
        match task.await {
            Ok(answer) => answer,
            Err(ended) if effect == Effect::Writes => Err(StoreError::OutcomeUnknown(Box::new(ended))),
            Err(ended) => Err(StoreError::Unavailable(Box::new(ended))),
        }
    }

    async fn run<T, F>(&self, effect: Effect, work: F) -> Result<T, StoreError>
    where
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T>,
    {
        let unavailable = |why: &'static str| StoreError::Unavailable(why.into());
        let permit = tokio::time::timeout(self.acquire, self.permits.acquire()).await;
        let _permit = permit
            .map_err(|_| unavailable("no connection was free in time"))?
            .map_err(|_| unavailable("the store is closed"))?;
        let mut last = None;
        for attempt in 0..TRIES {
            let (mut session, is_new) = self.session().await?;
            let done = match tokio::time::timeout(self.timeout, work(&mut session)).await {
                Ok(done) => done,
                Err(_) => Err(Error::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "the call took too long",
                ))),
            };
            let error = match done {
                Ok(answer) => {
                    self.keep(session);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let verdict = judge(&error);
            match verdict {
                Verdict::Refused | Verdict::Again | Verdict::Later | Verdict::Full => {
                    self.keep_if_clean(session).await;
                }
                // What one session has lived through, the idle ones have too.
                Verdict::Lost | Verdict::Outdated => self.drop_idle(),
                Verdict::Unreadable => {}
            }
            let again = match verdict {
                Verdict::Again | Verdict::Outdated => true,
                // A session that had died while it was idle; a new one will do better.
                Verdict::Lost => effect == Effect::Reads && !is_new,
                _ => false,
            };
            if !again {
                return Err(store_error(error, effect));
            }
            last = Some(error);
            tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 3)).await;
        }
        let last = last.unwrap_or_else(|| Error::Protocol("no try was made".into()));
        Err(store_error(last, effect))
    }

    /// An idle session, or a new one; and whether it is new.
    async fn session(&self) -> Result<(Session, bool), StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(session) = idle {
            return Ok((session, false));
        }
        let connecting = async {
            let mut connection = self.connect.connect().await?;
            if !self.pooled {
                let millis = self.timeout.as_millis();
                let settings = format!(
                    "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}; {PLANS}"
                );
                connection.execute(AssertSqlSafe(settings)).await?;
            }
            Ok::<_, Error>(connection)
        };
        match tokio::time::timeout(self.acquire, connecting).await {
            Ok(Ok(connection)) => Ok((Session { connection, pooled: self.pooled, project: None }, true)),
            Ok(Err(error)) => Err(StoreError::Unavailable(Box::new(error))),
            Err(_) => Err(StoreError::Unavailable("connecting to the database took too long".into())),
        }
    }

    fn keep(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Keeps a session after an error of the server: a transaction that is still open is rolled back first.
    async fn keep_if_clean(&self, mut session: Session) {
        let rolled_back = session.connection.execute("ROLLBACK");
        if tokio::time::timeout(self.acquire, rolled_back).await.is_ok_and(|rolled_back| rolled_back.is_ok())
        {
            self.keep(session);
        }
    }

    fn drop_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes what is idle and refuses calls from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.drop_idle();
    }
}

impl Session {
    /// A statement that this session may keep prepared, unless it belongs to somebody else the next moment.
    fn query<'q>(&self, query: Query<'q>) -> Query<'q> {
        query.persistent(!self.pooled)
    }

    /// The one row of a statement that is a transaction of its own.
    pub(crate) async fn one(&mut self, query: Query<'_>) -> Result<PgRow, Error> {
        self.alone(query).await?.pop().ok_or(Error::RowNotFound)
    }

    /// All rows of a statement that is a transaction of its own.
    pub(crate) async fn alone(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Error> {
        let query = self.query(query);
        if !self.pooled {
            return query.fetch_all(&mut self.connection).await;
        }
        self.connection.execute("BEGIN").await?;
        let rows = query.fetch_all(&mut self.connection).await?;
        self.connection.execute("COMMIT").await?;
        Ok(rows)
    }

    /// Lets statements outside of a transaction see one project only; costs nothing where they did already. Behind a
    /// pooler a session keeps nothing, so that it takes a transaction there.
    pub(crate) async fn look_at(&mut self, project: &ProjectId) -> Result<(), Error> {
        if self.pooled {
            return self.begin_reading(project).await;
        }
        if self.project.as_ref() != Some(project) {
            self.project = None;
            let statement = format!("SET meshhook.project = '{project}'");
            self.connection.execute(AssertSqlSafe(statement)).await?;
            self.project = Some(project.clone());
        }
        Ok(())
    }

    /// Ends what [`look_at`](Self::look_at) began.
    pub(crate) async fn looked(&mut self) -> Result<(), Error> {
        if self.pooled { self.commit().await } else { Ok(()) }
    }

    /// Begins a transaction that sees and changes one project only.
    pub(crate) async fn begin(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.begin_as("", project.as_str()).await
    }

    /// Begins a transaction that sees one state of one project.
    pub(crate) async fn begin_reading(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.begin_as(" ISOLATION LEVEL REPEATABLE READ READ ONLY", project.as_str()).await
    }

    /// Begins a transaction that is about the projects themselves.
    pub(crate) async fn begin_for_all(&mut self) -> Result<(), Error> {
        self.begin_as("", "*").await
    }

    /// Both statements in one message. A project's id has no character that would end the text.
    async fn begin_as(&mut self, mode: &str, scope: &str) -> Result<(), Error> {
        let statements = format!("BEGIN{mode}; SET LOCAL meshhook.project = '{scope}'");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await.map(drop)
    }

    /// Begins a transaction that is as it is.
    pub(crate) async fn begin_plain(&mut self) -> Result<(), Error> {
        self.connection.execute("BEGIN").await.map(drop)
    }

    /// All rows of a statement within a transaction.
    pub(crate) async fn all(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Error> {
        self.query(query).fetch_all(&mut self.connection).await
    }

    /// The first row of a statement within a transaction, or `None`.
    pub(crate) async fn first(&mut self, query: Query<'_>) -> Result<Option<PgRow>, Error> {
        self.query(query).fetch_optional(&mut self.connection).await
    }

    /// Runs a statement within a transaction; answers how many rows it changed.
    pub(crate) async fn execute(&mut self, query: Query<'_>) -> Result<u64, Error> {
        Ok(self.query(query).execute(&mut self.connection).await?.rows_affected())
    }

    /// Commits a transaction.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        self.connection.execute("COMMIT").await.map(drop)
    }

    /// Gives a transaction up.
    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        self.connection.execute("ROLLBACK").await.map(drop)
    }
}

/// A column by name.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(column)
}
