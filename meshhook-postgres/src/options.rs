//! How a store uses its database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use meshhook_core::clock::Clock;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Error, PgConnection};

/// How a store uses its database.
#[derive(Debug, Clone)]
#[must_use]
pub struct PgOptions {
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) connections: usize,
    pub(crate) pooled: bool,
    pub(crate) listen: bool,
    pub(crate) acquire: Duration,
    pub(crate) timeout: Duration,
    pub(crate) name: String,
}

impl PgOptions {
    /// The database's clock, 8 connections, sessions of its own, 5 s to get a connection, 30 s for a call.
    pub fn new() -> Self {
        Self {
            clock: None,
            connections: 8,
            pooled: false,
            listen: true,
            acquire: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            name: "meshhook".into(),
        }
    }

    /// Judges due times and leases by this clock instead of the database's: for tests. All workers must share it.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The most connections, at least one. From two on, one is kept for what people read and post, and one for leases,
    /// claims and commits; from three on these are kept apart as well. Whoever comes first has the others. Listening
    /// needs one more, and so does the look at whether there is a pooler, for a moment.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Works as behind a pooler that hands each transaction to another session (PgBouncer's transaction mode): nothing is
    /// set on or prepared in a session. Costs some round trips. Without it a store finds out by itself, when it connects;
    /// where a role may have one connection only, or a pooler is very busy, it may fail to.
    pub fn pooled(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Whether hints of other processes are listened for, on one more connection, and given. Without them what others
    /// want from a run is seen at the next look. Never behind a pooler.
    pub fn listen(mut self, listen: bool) -> Self {
        self.listen = listen;
        self
    }

    /// How long a call waits for a connection, and a listening connection for an answer.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire = timeout;
        self
    }

    /// How long a call may take once it has a connection; a listening connection that was quiet for as long is asked
    /// whether anybody is there.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the sessions call themselves in `pg_stat_activity`.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// How to connect. Its password is shown nowhere.
#[derive(Clone)]
pub(crate) struct Connect(Box<PgConnectOptions>);

impl Connect {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self(Box::new(options))
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection, Error> {
        self.0.connect().await
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.0
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connect")
    }
}

impl Default for PgOptions {
    fn default() -> Self {
        Self::new()
    }
}
