//! Which store.

use std::path::PathBuf;
use std::sync::Arc;

use meshhook::sqlite::{SqliteOptions, SqliteStore};
use meshhook::store::Store;

use crate::Error;

/// An open store.
pub(crate) struct Database {
    sqlite: Arc<SqliteStore>,
}

/// Where everything is kept.
pub(crate) enum Location {
    File(PathBuf),
    Memory,
}

impl Location {
    /// Reads `sqlite:PATH`, `sqlite://PATH` and `sqlite::memory:`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Err("this build has no PostgreSQL store; use sqlite:PATH".into());
        }
        let path = url.strip_prefix("sqlite:").ok_or("a database is sqlite:PATH or sqlite::memory:")?;
        match path.strip_prefix("//").unwrap_or(path) {
            ":memory:" => Ok(Self::Memory),
            "" => Err("a database is sqlite:PATH or sqlite::memory:".into()),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl Database {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let sqlite = match Location::parse(url)? {
            Location::File(path) => SqliteStore::open(path, SqliteOptions::new()).await?,
            Location::Memory => SqliteStore::open_in_memory(SqliteOptions::new()).await?,
        };
        Ok(Self { sqlite: Arc::new(sqlite) })
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.sqlite.clone()
    }

    pub(crate) async fn close(&self) {
        self.sqlite.close().await;
    }
}
