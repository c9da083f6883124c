//! Which store.

use std::path::PathBuf;
use std::sync::Arc;

use meshhook::postgres::{MIGRATIONS, PgError, PgOptions, PgStore, grant_sql, migrate};
use meshhook::sqlite::{SqliteOptions, SqliteStore};
use meshhook::store::Store;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

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

    /// Brings the schema up to date, which does nothing where it is, and connects.
    async fn connect(url: &str) -> Result<Self, Error> {
        migrate(url).await.map_err(|error| in_our_terms(url, error))?;
        let store = PgStore::connect(url, PgOptions::new()).await;
        Ok(Self::Postgres(Arc::new(store.map_err(|error| in_our_terms(url, error))?)))
    }

    /// Brings the schema of a server's database up to date and lets a role work with it; answers what was done.
    pub(crate) async fn migrate(url: &str, role: Option<&str>) -> Result<String, Error> {
        let Location::Server(url) = Location::parse(url)? else {
            return Err(
                "--migrate-only is for Postgres: SQLite is brought up to date when it is opened".into()
            );
        };
        migrate(&url).await?;
        let version = MIGRATIONS.last().map_or(0, |migration| migration.version);
        let mut done = format!("the database has schema {version}");
        if let Some(role) = role {
            let mut owner = PgConnection::connect(&url).await?;
            let grants = AssertSqlSafe(format!("BEGIN; {} COMMIT;", grant_sql(role)));
            sqlx::raw_sql(grants)
                .execute(&mut owner)
                .await
                .map_err(|error| format!("cannot grant to {role}: {error}"))?;
            owner.close().await?;
            done.push_str(&format!(", and {role} may work with it"));
        } else {
            done.push_str(
                "; no role was granted anything: --grant ROLE lets servers work as a role that owns nothing",
            );
        }
        Ok(done)
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

/// What Postgres refuses, with the role that it refuses it to and the command that mends it.
fn in_our_terms(url: &str, error: PgError) -> Error {
    let role =
        url.parse::<PgConnectOptions>().map_or_else(|_| "ROLE".to_owned(), |it| it.get_username().to_owned());
    let what = match &error {
        PgError::Migration { version, source } => {
            format!("the role {role} cannot bring the database to schema {version}: {source}")
        }
        PgError::MissingRights(source) => format!("the role {role} may not work with the database: {source}"),
        _ => return error.into(),
    };
    let way = format!("server --database <owner's URL> --migrate-only --grant {role}");
    format!("{what}; run, once and after each upgrade, `{way}`").into()
}
