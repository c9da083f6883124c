//! Which store.

use std::path::PathBuf;
use std::sync::Arc;

use meshhook::postgres::{PgOptions, PgStore, Severity};
use meshhook::sqlite::{SqliteOptions, SqliteStore};
use meshhook::store::Store;

use crate::Error;

/// An open store.
pub(crate) enum Database {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PgStore>),
}

/// Where everything is kept.
pub(crate) enum Location {
    File(PathBuf),
    Memory,
    Server(String),
}

impl Location {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `sqlite::memory:` and `postgres://…`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Server(url.to_owned()));
        }
        let known = "a database is sqlite:PATH, sqlite::memory: or postgres://…";
        // The value may hold a password, unless it is a mere path.
        let Some(path) = url.strip_prefix("sqlite:") else {
            let is_path = !url.is_empty() && !url.contains(['@', ':']);
            let meant = if is_path { format!("; did you mean sqlite:{url}?") } else { String::new() };
            return Err(format!("{known}{meant}").into());
        };
        match path.strip_prefix("//").unwrap_or(path) {
            ":memory:" => Ok(Self::Memory),
            "" => Err(known.into()),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let sqlite = match Location::parse(url)? {
            Location::File(path) => SqliteStore::open(path, SqliteOptions::new()).await?,
            Location::Memory => SqliteStore::open_in_memory(SqliteOptions::new()).await?,
            Location::Server(url) => return Self::connect(&url).await,
        };
        Ok(Self::Sqlite(Arc::new(sqlite)))
    }

    /// Brings the schema up to date, which does nothing where it is, and says what a look at the server found.
    async fn connect(url: &str) -> Result<Self, Error> {
        meshhook::postgres::migrate(url).await?;
        let store = PgStore::connect(url, PgOptions::new()).await?;
        for finding in store.doctor().await? {
            match finding.severity {
                Severity::Error => tracing::error!(code = finding.code, "{}", finding.message),
                Severity::Warning => tracing::warn!(code = finding.code, "{}", finding.message),
                _ => tracing::info!(code = finding.code, "{}", finding.message),
            }
        }
        Ok(Self::Postgres(Arc::new(store)))
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close(),
        }
    }
}
