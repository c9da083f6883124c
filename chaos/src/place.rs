//! The database: a throwaway cluster that the servers reach through the proxy only, and this process directly.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use throwaway_postgres::{Server, Settings};

use crate::Outcome;

/// What the servers connect as: the owner of their database, and nothing beyond.
pub(crate) const ROLE: &str = "meshhook";
/// Their database.
pub(crate) const DATABASE: &str = "chaos";

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    cluster: Arc<Mutex<Server>>,
    direct: PgConnectOptions,
    port: u16,
}

impl Place {
    /// Starts a cluster. A commit is handed to the operating system before it is answered and need not reach the disk:
    /// here the server crashes, and the machine does not.
    pub(crate) async fn start() -> Outcome<Self> {
        let port = crate::server::free_port()?;
        let mut settings = Settings { port: Some(port), ..Settings::default() };
        settings.settings = vec!["max_connections=100".into(), "log_min_messages=fatal".into()];
        let cluster = tokio::task::spawn_blocking(move || Server::start(&settings)).await??;
        cluster.sql("postgres", &format!("CREATE ROLE {ROLE} LOGIN"))?;
        cluster.sql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"))?;
        let direct = PgConnectOptions::from_str(&cluster.url(DATABASE))?.disable_statement_logging();
        Ok(Self { cluster: Arc::new(Mutex::new(cluster)), direct, port })
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection past the proxy, as the administrator.
    pub(crate) async fn connect(&self) -> Outcome<PgConnection> {
        Ok(tokio::time::timeout(PATIENCE, self.direct.connect())
            .await
            .map_err(|_| "no connection in time")??)
    }

    /// Runs one statement past the proxy.
    pub(crate) async fn sql(&self, statement: &str) -> Outcome<Vec<PgRow>> {
        let mut connection = self.connect().await?;
        let rows =
            sqlx::query(AssertSqlSafe(statement.to_owned())).persistent(false).fetch_all(&mut connection);
        Ok(tokio::time::timeout(PATIENCE, rows).await.map_err(|_| "no answer in time")??)
    }

    /// Crashes the server.
    pub(crate) async fn crash(&self) -> Outcome<()> {
        self.order(Server::crash).await
    }

    /// Starts the server after a crash, and waits until it has recovered.
    pub(crate) async fn recover(&self) -> Outcome<()> {
        self.order(Server::recover).await
    }

    async fn order(&self, what: fn(&mut Server) -> throwaway_postgres::Result<()>) -> Outcome<()> {
        let cluster = self.cluster.clone();
        let done = tokio::task::spawn_blocking(move || {
            what(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(done.await??)
    }
}

/// How long the database may take to answer this process.
const PATIENCE: Duration = Duration::from_secs(5);
