//! Sessions: connections that are kept, and calls that run on them.
//!
//! ```text
//!   call ─► permit ─► idle session, or a new one ─► statement(s) ─► answer
//!              ▲                                        │ ended well, or refused by the server: kept
//!              └────────────────────────────────────────┘ anything else, a panic or a shutdown included: closed
//! ```
//!
//! The one that was used last is used next, so that those that are not needed grow old; they are closed after a minute.
//!
//! Each [`Lane`] of calls has permits of its own, and all share the rest: a long list or many messages keep neither a
//! lease from being renewed nor a commit from being made. No call waits for a second permit while it has one, so one
//! connection is enough for any number of tasks.
//!
//! There is no pool of sqlx in between. It would send a `ping` each time a connection comes back, and the transactions
//! of sqlx 0.9.0 hand out sessions in which one was left open when `begin()` is cancelled (transact-rs/sqlx#4393): what
//! the next borrower writes is acknowledged and lost. Here a transaction is begun and ended by plain statements, in a
//! task that no caller can cut off, and a session in which it was not ended is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use meshhook_core::id::ProjectId;
use meshhook_core::store::StoreError;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Error, Executor as _, PgConnection, Postgres, Row as _};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::error::{Effect, Verdict, judge, store_error};
use crate::options::{Connect, PgOptions};
use crate::pooler::{POOLER_FOUND, is_of_another_session, server_session};

/// A statement with its arguments.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// What a call does on a session.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// What calls are for: each kind can count on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What a worker holds: leases, claims, giving back.
    Worker,
    /// Commits.
    Commit,
    /// Everything else.
    Other,
}

/// Some connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    connect: Connect,
    permits: Permits,
    idle: Mutex<Vec<Session>>,
    pooled: Arc<AtomicBool>,
    /// What a transaction sets for itself behind a pooler.
    local: Arc<str>,
    acquire: Duration,
    timeout: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
    /// Behind a pooler, where the session is somebody else's the next moment: what each transaction sets for itself.
    local: Option<Arc<str>>,
    /// The project that statements outside of a transaction see.
    project: Option<ProjectId>,
    /// The server's number of the session; 0 behind a pooler.
    server: i32,
    /// Whether another session of the server has answered.
    strayed: bool,
    /// Whether a transaction was begun that has not been ended.
    in_transaction: bool,
    /// Whether a row has answered since a look began.
    has_found: bool,
    /// Since when it has been idle.
    idle_since: Instant,
}

/// What statements rest on, but for how long they may take: as `SET` or `SET LOCAL` says it.
///
/// Every statement here has an index to go by. A plan that was made while a table was tiny must not freeze anything else,
/// and one that is kept for good needs no planning for each project's size. What a worker reads about its runs must be
/// what was committed last, so the isolation is not left to the role's or the database's settings.
const SETTINGS: &[(&str, &str)] = &[
    ("search_path", "pg_catalog, pg_temp"),
    ("default_transaction_isolation", "'read committed'"),
    ("lock_timeout", "'10s'"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_memoize", "off"),
    ("enable_material", "off"),
    ("enable_incremental_sort", "off"),
    ("jit", "off"),
];

/// How a transaction that may write begins. A standby refuses to begin one that says so; the write is refused there too,
/// in a way that tells why.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// How long a session may be idle. What lies between here and the server, such as a balancer, may forget a connection on
/// which nothing is said, and tell nobody: a call on it would wait for its whole time.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// How often a call is made again that collided with another, or met a session that had died before.
const TRIES: u32 = 6;

/// Which calls may have a connection.
#[derive(Debug)]
struct Permits {
    worker: Arc<Semaphore>,
    commit: Arc<Semaphore>,
    other: Arc<Semaphore>,
    /// Whoever comes first.
    shared: Semaphore,
}

impl Permits {
    fn new(connections: usize) -> Self {
        let some = |number: usize| Arc::new(Semaphore::new(number));
        let (worker, commit, other, own) = match connections {
            0 | 1 => {
                let one = some(1);
                (one.clone(), one.clone(), one, 1)
            }
            2 => {
                let one = some(1);
                (one.clone(), one, some(1), 2)
            }
            3..6 => (some(1), some(1), some(1), 3),
            6.. => (some(1), some(2), some(1), 4),
        };
        Self { worker, commit, other, shared: Semaphore::new(connections.saturating_sub(own)) }
    }

    async fn acquire(&self, lane: Lane) -> Result<SemaphorePermit<'_>, AcquireError> {
        let own = match lane {
            Lane::Worker => &self.worker,
            Lane::Commit => &self.commit,
            Lane::Other => &self.other,
        };
        tokio::select! {
            biased;
            permit = own.acquire() => permit,
            permit = self.shared.acquire() => permit,
        }
    }

    fn close(&self) {
        for semaphore in [&*self.worker, &*self.commit, &*self.other, &self.shared] {
            semaphore.close();
        }
    }

    fn are_closed(&self) -> bool {
        self.shared.is_closed()
    }
}

impl Sessions {
    pub(crate) fn new(connect: Connect, pooled: bool, options: &PgOptions) -> Self {
        Self {
            connect,
            permits: Permits::new(options.connections),
            idle: Mutex::default(),
            pooled: Arc::new(AtomicBool::new(pooled)),
            local: settings("SET LOCAL", options.timeout).into(),
            acquire: options.acquire,
            timeout: options.timeout,
        }
    }

    /// Makes a call in a task of its own: dropping the future does not cut it off.
    pub(crate) async fn call<T, F>(
        self: &Arc<Self>,
        lane: Lane,
        effect: Effect,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T> + Send + Sync + 'static,
    {
        let sessions = self.clone();
        let task = tokio::spawn(async move { sessions.run(lane, effect, work).await });
        match task.await {
            Ok(answer) => answer,
            Err(ended) if effect == Effect::Writes => Err(StoreError::OutcomeUnknown(Box::new(ended))),
            Err(ended) => Err(StoreError::Unavailable(Box::new(ended))),
        }
    }

    async fn run<T, F>(&self, lane: Lane, effect: Effect, work: F) -> Result<T, StoreError>
    where
        F: for<'c> Fn(&'c mut Session) -> Work<'c, T>,
    {
        let unavailable = |why: &'static str| StoreError::Unavailable(why.into());
        let permit = tokio::time::timeout(self.acquire, self.permits.acquire(lane)).await;
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
                    if session.strayed {
                        self.go_over_to_pooled();
                    } else {
                        self.keep(session);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let verdict = self.judge(&mut session, &error, effect).await;
            match verdict {
                Verdict::Refused | Verdict::Unfit | Verdict::Again | Verdict::Later | Verdict::Full => {
                    self.keep_if_clean(session).await;
                }
                // What one session has lived through, the idle ones have too.
                Verdict::Lost | Verdict::Elsewhere | Verdict::Outdated => self.drop_idle(),
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

    /// What follows from an error, which may come from a pooler that nobody has seen so far.
    async fn judge(&self, session: &mut Session, error: &Error, effect: Effect) -> Verdict {
        let verdict = judge(error);
        if session.local.is_some() {
            return verdict;
        }
        let is_elsewhere = is_of_another_session(error)
            || session.strayed
            || match verdict {
                // A statement of somebody else's by the same name, or none of the settings.
                Verdict::Refused | Verdict::Unfit | Verdict::Unreadable => {
                    session.is_elsewhere(self.acquire).await
                }
                _ => false,
            };
        if !is_elsewhere {
            return verdict;
        }
        self.go_over_to_pooled();
        // What was written may well be written, even if the answer cannot be read.
        if verdict == Verdict::Unreadable && effect == Effect::Writes { verdict } else { Verdict::Outdated }
    }

    /// Whether each call is a transaction that sets for itself what it rests on.
    pub(crate) fn pooled(&self) -> Arc<AtomicBool> {
        self.pooled.clone()
    }

    /// An idle session, or a new one; and whether it is new.
    async fn session(&self) -> Result<(Session, bool), StoreError> {
        let (idle, _too_old) = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // They lie in the order in which they were put back.
            let old = idle.partition_point(|session| session.idle_since.elapsed() > LONGEST_IDLE);
            let too_old: Vec<Session> = idle.drain(..old).collect();
            (idle.pop(), too_old)
        };
        if let Some(session) = idle {
            return Ok((session, false));
        }
        let pooled = self.pooled.load(Ordering::Acquire);
        let connecting = async {
            let mut connection = self.connect.connect().await?;
            let mut server = 0;
            if !pooled {
                server = server_session(&mut connection, &settings("SET", self.timeout)).await?;
            }
            Ok::<_, Error>((connection, server))
        };
        let local = pooled.then(|| self.local.clone());
        match tokio::time::timeout(self.acquire, connecting).await {
            Ok(Ok((connection, server))) => {
                let session = Session {
                    connection,
                    local,
                    project: None,
                    server,
                    strayed: false,
                    in_transaction: false,
                    has_found: false,
                    idle_since: Instant::now(),
                };
                Ok((session, true))
            }
            Ok(Err(error)) => Err(StoreError::Unavailable(Box::new(error))),
            Err(_) => Err(StoreError::Unavailable("connecting to the database took too long".into())),
        }
    }

    /// Keeps a session for the next call, unless there will be none, or a pooler has been found since it was made.
    fn keep(&self, mut session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever closes, or finds a pooler, empties the list afterwards, so that either of the two drops the session.
        let is_trusted = session.local.is_some() || !self.pooled.load(Ordering::Acquire);
        if is_trusted && !self.permits.are_closed() {
            session.idle_since = Instant::now();
            idle.push(session);
        }
    }

    /// From here on nothing rests on what a session was told before.
    fn go_over_to_pooled(&self) {
        if !self.pooled.swap(true, Ordering::AcqRel) {
            tracing::warn!("{POOLER_FOUND}");
        }
        self.drop_idle();
    }

    /// Keeps a session after an error of the server: a transaction that is still open is rolled back first.
    async fn keep_if_clean(&self, mut session: Session) {
        let rolled_back = tokio::time::timeout(self.acquire, session.rollback()).await;
        if rolled_back.is_ok_and(|rolled_back| rolled_back.is_ok()) {
            self.keep(session);
        }
    }

    fn drop_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes what is idle, and what is in use when its call ends; refuses calls from now on.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.drop_idle();
    }
}

impl Session {
    /// A statement that this session may keep prepared, unless it belongs to somebody else the next moment.
    fn query<'q>(&self, query: Query<'q>) -> Query<'q> {
        query.persistent(self.local.is_none())
    }

    /// The one row of a statement that is a transaction of its own.
    pub(crate) async fn one(&mut self, query: Query<'_>) -> Result<PgRow, Error> {
        self.alone(query).await?.pop().ok_or(Error::RowNotFound)
    }

    /// All rows of a statement that is a transaction of its own. A column `session` says which of the server's sessions
    /// answered.
    pub(crate) async fn alone(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Error> {
        if self.local.is_none() {
            let rows = self.all(query).await?;
            let answered = rows.first().and_then(|row| row.try_get::<i32, _>("session").ok());
            self.strayed |= answered.is_some_and(|answered| answered != self.server);
            return Ok(rows);
        }
        self.begin_plain().await?;
        let rows = self.all(query).await?;
        self.commit().await?;
        Ok(rows)
    }

    /// Lets statements outside of a transaction see one project only; costs nothing where they did already. Behind a
    /// pooler a session keeps nothing, so that it takes a transaction there.
    pub(crate) async fn look_at(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.has_found = false;
        if self.local.is_some() {
            return self.begin_reading(project).await;
        }
        if self.project.as_ref() != Some(project) {
            self.project = None;
            let statement = format!("SET meshhook.project = '{project}'");
            self.stay(&statement).await?;
            self.project = Some(project.clone());
        }
        Ok(())
    }

    /// Fails where another session of the server answers.
    async fn stay(&mut self, after: &str) -> Result<(), Error> {
        let answered = server_session(&mut self.connection, after).await?;
        if answered == self.server {
            return Ok(());
        }
        self.strayed = true;
        Err(Error::Protocol("another session of the server has answered".into()))
    }

    /// Whether another session of the server answers now.
    async fn is_elsewhere(&mut self, patience: Duration) -> bool {
        let asked = tokio::time::timeout(patience, server_session(&mut self.connection, "")).await;
        matches!(asked, Ok(Ok(answered)) if answered != self.server)
    }

    /// Ends what [`look_at`](Self::look_at) began. Another session of the server, which was told of no project, sees nothing:
    /// so where nothing was found, it is asked who has answered.
    pub(crate) async fn looked(&mut self) -> Result<(), Error> {
        match (&self.local, self.has_found) {
            (Some(_), _) => self.commit().await,
            (None, false) => self.stay("").await,
            (None, true) => Ok(()),
        }
    }

    /// Has a look believe that there is nothing: for what is asked often, seldom there, and found later as well.
    pub(crate) fn believe(&mut self) {
        self.has_found = true;
    }

    /// Begins a transaction that sees and changes one project only.
    pub(crate) async fn begin(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.begin_as(BEGIN, project.as_str()).await
    }

    /// Begins a transaction that sees one state of one project.
    pub(crate) async fn begin_reading(&mut self, project: &ProjectId) -> Result<(), Error> {
        self.begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", project.as_str()).await
    }

    /// Begins a transaction that is about the projects themselves.
    pub(crate) async fn begin_for_all(&mut self) -> Result<(), Error> {
        self.begin_as(BEGIN, "*").await
    }

    /// All in one message. A project's id has no character that would end the text.
    async fn begin_as(&mut self, begin: &str, scope: &str) -> Result<(), Error> {
        let local = self.local.as_deref().unwrap_or_default();
        let statements = format!("{begin}; SET LOCAL meshhook.project = '{scope}'; {local}");
        self.in_transaction = true;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await.map(drop)
    }

    /// Begins a transaction of the engine's: its functions set their scope themselves.
    pub(crate) async fn begin_plain(&mut self) -> Result<(), Error> {
        let local = self.local.as_deref().unwrap_or_default();
        let statements = format!("{BEGIN}; {local}");
        self.in_transaction = true;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.connection).await.map(drop)
    }

    /// All rows of a statement within a transaction.
    pub(crate) async fn all(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, Error> {
        let rows = self.query(query).fetch_all(&mut self.connection).await?;
        self.has_found |= !rows.is_empty();
        Ok(rows)
    }

    /// The first row of a statement within a transaction, or `None`.
    pub(crate) async fn first(&mut self, query: Query<'_>) -> Result<Option<PgRow>, Error> {
        let row = self.query(query).fetch_optional(&mut self.connection).await?;
        self.has_found |= row.is_some();
        Ok(row)
    }

    /// Runs a statement within a transaction; answers how many rows it changed.
    pub(crate) async fn execute(&mut self, query: Query<'_>) -> Result<u64, Error> {
        Ok(self.query(query).execute(&mut self.connection).await?.rows_affected())
    }

    /// Commits a transaction.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        let committed = self.connection.execute("COMMIT").await.map(drop);
        // Whatever the server answers: with it the transaction has ended.
        self.in_transaction = false;
        committed
    }

    /// Gives a transaction up, if there is one: the server's log has a warning of each that is not.
    pub(crate) async fn rollback(&mut self) -> Result<(), Error> {
        if self.in_transaction {
            self.connection.execute("ROLLBACK").await?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

/// The settings of a session, or of a transaction.
///
/// The server gives a statement up before whoever waits for it does: so the outcome is known.
fn settings(set: &str, timeout: Duration) -> String {
    // None is how the server reads a time of 0, and more than it can count it refuses.
    let idle = timeout.as_millis().clamp(2, i32::MAX.unsigned_abs().into());
    let statement = idle * 9 / 10;
    let mut statements =
        format!("{set} statement_timeout = {statement}; {set} idle_in_transaction_session_timeout = {idle}");
    for (name, value) in SETTINGS {
        statements.push_str(&format!("; {set} {name} = {value}"));
    }
    statements
}

/// What is not done in time is not done.
pub(crate) async fn bounded<T>(
    within: Duration,
    doing: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = tokio::time::timeout(within, doing).await;
    done.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// A column by name.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_take_as_long_as_the_server_can_count_and_never_for_ever() {
        for (timeout, statement, idle) in [
            (Duration::ZERO, 1, 2),
            (Duration::from_micros(900), 1, 2),
            (Duration::from_secs(30), 27_000, 30_000),
            (Duration::MAX, 1_932_735_282, 2_147_483_647),
        ] {
            let expected = format!(
                "SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = {idle}; "
            );
            assert!(settings("SET", timeout).starts_with(&expected), "{timeout:?}");
        }
    }

    fn free(permits: &Permits) -> [usize; 4] {
        [&*permits.worker, &*permits.commit, &*permits.other, &permits.shared]
            .map(Semaphore::available_permits)
    }

    #[test]
    fn every_kind_of_call_can_count_on_a_connection() {
        for (connections, expected) in
            [(1, [1, 1, 1, 0]), (2, [1, 1, 1, 0]), (3, [1, 1, 1, 0]), (5, [1, 1, 1, 2]), (8, [1, 2, 1, 4])]
        {
            assert_eq!(free(&Permits::new(connections)), expected, "{connections} connections");
        }
    }

    #[tokio::test]
    async fn a_session_that_was_in_use_when_a_pooler_was_found_is_not_kept() {
        let options = PgOptions::new();
        let url = throwaway_postgres::Server::shared().url("postgres");
        let sessions = Sessions::new(crate::store::settings(&url, &options).unwrap(), false, &options);
        let (idle, in_use) = (sessions.session().await.unwrap().0, sessions.session().await.unwrap().0);
        sessions.keep(idle);
        assert_eq!(sessions.idle.lock().unwrap().len(), 1);
        sessions.go_over_to_pooled();
        sessions.keep(in_use);
        assert!(sessions.idle.lock().unwrap().is_empty());
        sessions.keep(sessions.session().await.unwrap().0);
        assert_eq!(sessions.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn calls_of_one_kind_take_what_is_shared_and_no_more() {
        let permits = Permits::new(8);
        let mut taken = Vec::new();
        for _ in 0..5 {
            taken.push(permits.acquire(Lane::Other).await.unwrap());
        }
        assert_eq!(free(&permits), [1, 2, 0, 0]);
        assert!(tokio::time::timeout(Duration::from_millis(10), permits.acquire(Lane::Other)).await.is_err());
        let _worker = permits.acquire(Lane::Worker).await.unwrap();
        taken.clear();
        assert_eq!(free(&permits), [0, 2, 1, 4]);
    }
}
