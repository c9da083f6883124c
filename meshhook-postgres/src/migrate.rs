//! Forward-only migrations, each in a transaction of its own, counted in `meshhook.migrations`.
//!
//! Whoever migrates first has the advisory lock; the others wait for it, for half a minute at most, and find nothing
//! left to do. The lock belongs to the transaction, so it is never left behind, a pooler in between included.
//!
//! A migration waits only a moment for a table, because everybody who comes after it would wait behind it; where that is
//! in use it gives up, lets them pass, and begins again.
//!
//! What a migration writes is looked up in `pg_catalog` alone, whatever the role's `search_path`. A function or view is bound
//! to what its operators meant when it was made, for good: where others may make things in a schema on that path (up to
//! Postgres 14 everybody may in `public`), an operator of theirs that fits better would be run by whoever calls it.
//!
//! Workers of an earlier release go on beside a newer schema. A migration that they could not go on with says from which
//! schema on it can be worked with; a store that knows less refuses to begin.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, Error, Executor as _, PgConnection, Row as _};

use crate::error::PgError;
use crate::options::PgOptions;
use crate::session::bounded;
use crate::sql;
use crate::store::settings;
use crate::tidy::MONTHS_AHEAD;

/// One migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number: 1, 2, 3 …
    pub version: u32,
    /// What it is about.
    pub name: &'static str,
    /// Its statements, to be run in one transaction that has `SET LOCAL search_path = pg_catalog, pg_temp`.
    pub sql: &'static str,
    /// Which schema a release must know at least to work with a database that has this migration; 0 is any.
    pub readable_from: u32,
}

macro_rules! migration {
    ($version:literal, $number:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $number, "_", $name, ".sql")),
            readable_from: 0,
        }
    };
}

/// All migrations in order, for tools that apply them by themselves. Such a tool makes the schema `meshhook` first, and
/// notes each in `meshhook.migrations (version, name, readable_from)`, which [`migrate()`] makes otherwise:
/// see [`BOOKS`](Migration::BOOKS). It runs each with `SET LOCAL search_path = pg_catalog, pg_temp`, as [`migrate()`] does:
/// else what others have made in a schema on the role's path, such as an operator in `public`, becomes part of this one.
pub const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001", "ledger"),
    migration!(2, "0002", "workflows"),
    migration!(3, "0003", "wall"),
    migration!(4, "0004", "partitions"),
    migration!(5, "0005", "commit"),
    migration!(6, "0006", "claim"),
    migration!(7, "0007", "inbox"),
    migration!(8, "0008", "views"),
    migration!(9, "0009", "comments"),
    migration!(10, "0010", "deliveries"),
    migration!(11, "0011", "rates"),
    migration!(12, "0012", "schedules"),
];

impl Migration {
    /// Makes the schema and the table in which migrations are noted, where they are missing. Only where the schema is
    /// missing does that need the right to make one.
    pub const BOOKS: &'static str = "
        DO $$
        BEGIN
            IF to_regnamespace('meshhook') IS NULL THEN
                CREATE SCHEMA meshhook;
            END IF;
        END
        $$;
        CREATE TABLE IF NOT EXISTS meshhook.migrations (
            version       integer     NOT NULL CONSTRAINT migrations_pk PRIMARY KEY,
            name          text        NOT NULL,
            readable_from integer     NOT NULL DEFAULT 0,
            applied_at    timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE meshhook.migrations IS 'What was done to this schema. Workers that know schema readable_from or later can work with it.';
    ";
}

/// What a database has.
pub(crate) struct Found {
    pub(crate) version: u32,
    pub(crate) readable_from: u32,
}

/// The newest schema that this release knows.
pub(crate) fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Brings the schema of a database up to date, as the role of the URL, which will own it.
///
/// # Errors
///
/// [`PgError`]; migrations before the one that failed stay.
pub async fn migrate(url: &str) -> Result<(), PgError> {
    let options = PgOptions::new().application_name("meshhook migrate");
    let connect = settings(url, &options)?;
    let connecting = bounded(options.acquire, connect.connect()).await;
    let mut connection = connecting.map_err(|error| PgError::Connect(Box::new(error)))?;
    bring(&mut connection, MIGRATIONS).await?;
    make_partitions(&mut connection).await;
    // The session ends with the connection; nothing more is asked of it.
    let _ = connection.close().await;
    Ok(())
}

/// Makes the months that are missing, for whoever starts a run before anybody works. Where somebody works with the tables
/// they are left to workers, which try again.
async fn make_partitions(connection: &mut PgConnection) {
    loop {
        let query = sqlx::query(sql!("make_partition")).bind(MONTHS_AHEAD).persistent(false);
        match query.fetch_one(&mut *connection).await.and_then(|row| row.try_get::<bool, _>("made")) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::info!(%error, "left it to workers to make partitions ahead");
                return;
            }
        }
    }
}

/// Applies what is missing, in order.
async fn bring(connection: &mut PgConnection, migrations: &[Migration]) -> Result<(), PgError> {
    // What is there is not looked at again under the lock: a server that starts has little to ask.
    let done = applied(connection).await?.version;
    for migration in migrations.iter().filter(|migration| migration.version > done) {
        let failed = |error| PgError::Migration { version: migration.version, source: Box::new(error) };
        let mut tries = 0;
        while let Err(error) = step(connection, migration).await {
            match error {
                Step::Known(error) => return Err(error),
                Step::Busy(error) if tries < BUSY_TRIES => {
                    tracing::info!(%error, version = migration.version, "a table is in use: migrating again in a moment");
                    tries += 1;
                    connection.execute("ROLLBACK").await.map_err(failed)?;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Step::Busy(error) | Step::Failed(error) => return Err(failed(error)),
            }
        }
    }
    Ok(())
}

/// How often a migration is tried on tables that are in use, and after which pause.
const BUSY_TRIES: u32 = 60;
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// What the application's role may do with each table: no more than the statements do.
pub(crate) const RIGHTS: &[(&str, &[&str])] = &[
    ("migrations", &["SELECT"]),
    ("runs", &["SELECT"]),
    ("events", &["SELECT"]),
    ("projects", &["SELECT", "INSERT"]),
    ("history", &["SELECT", "INSERT"]),
    ("definitions", &["SELECT", "INSERT"]),
    ("secrets", &["SELECT", "INSERT", "UPDATE"]),
    ("deliveries", &["SELECT", "INSERT", "DELETE"]),
    ("ended_runs", &["SELECT", "INSERT", "DELETE"]),
    ("versions", &["SELECT", "INSERT", "DELETE"]),
    ("hooks", &["SELECT", "INSERT", "DELETE"]),
    ("live_runs", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("dedupe", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("inbox", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("rates", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("workers", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("workflows", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("schedules", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// The statements that let a role work with the schema: the application's, which owns nothing.
///
/// To be run by the schema's owner after each migration.
#[must_use]
pub fn grant_sql(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let mut grants = format!("GRANT USAGE ON SCHEMA meshhook TO {role};\n");
    for (table, rights) in RIGHTS {
        grants.push_str(&format!("GRANT {} ON meshhook.{table} TO {role};\n", rights.join(", ")));
    }
    grants.push_str(&format!(
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA meshhook TO {role};\n\
         REVOKE EXECUTE ON FUNCTION meshhook.drop_partitions(timestamptz) FROM {role};\n"
    ));
    grants
}

/// The statements that let a role drop old months ([`PgStore::drop_before`](crate::PgStore::drop_before)), which the
/// application's may not: what has only to add should not be able to remove.
///
/// To be run by the schema's owner, after [`grant_sql`].
#[must_use]
pub fn grant_maintenance_sql(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    format!("GRANT EXECUTE ON FUNCTION meshhook.drop_partitions(timestamptz) TO {role};\n")
}

enum Step {
    Known(PgError),
    /// Somebody works with a table that is to be changed.
    Busy(Error),
    Failed(Error),
}

impl From<Error> for Step {
    fn from(error: Error) -> Self {
        Step::Failed(error)
    }
}

async fn step(connection: &mut PgConnection, migration: &Migration) -> Result<(), Step> {
    // What others have applied is read after the lock was waited for.
    connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    connection
        .execute(
            "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = 0; \
             SET LOCAL client_min_messages = warning",
        )
        .await?;
    connection.execute("SELECT pg_advisory_xact_lock(1835365224, 1)").await?;
    let done = applied(connection).await.map_err(Step::Known)?;
    if done.version < migration.version {
        let encoding: PgRow = connection.fetch_one("SHOW server_encoding").await?;
        let found: String = encoding.try_get(0)?;
        if found != "UTF8" {
            return Err(Step::Known(PgError::Encoding { found }));
        }
        let Migration { version, name, sql, readable_from } = migration;
        connection.execute(Migration::BOOKS).await?;
        connection.execute("SET LOCAL lock_timeout = '1s'").await?;
        connection.execute(*sql).await.map_err(|error| {
            match error.as_database_error().and_then(|it| it.code()) {
                Some(code) if code == "55P03" => Step::Busy(error),
                _ => Step::Failed(error),
            }
        })?;
        let note = format!(
            "INSERT INTO meshhook.migrations (version, name, readable_from) VALUES ({version}, '{name}', {readable_from})"
        );
        connection.execute(AssertSqlSafe(note)).await?;
    }
    connection.execute("COMMIT").await?;
    Ok(())
}

/// The schema of a database that a store is to work with.
pub(crate) async fn found(connection: &mut PgConnection) -> Result<Found, PgError> {
    applied(connection).await
}

async fn applied(connection: &mut PgConnection) -> Result<Found, PgError> {
    let failed = PgError::of_look;
    let exists = connection
        // By the catalogue's rows: what a session has looked up once by name it may believe in although somebody else has
        // made it since.
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'meshhook' AND c.relname = 'migrations')",
        )
        .await
        .map_err(failed)?;
    if !exists.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(Found { version: 0, readable_from: 0 });
    }
    let row = connection
        .fetch_one(
            "SELECT coalesce(max(version), 0), coalesce(max(readable_from), 0) FROM meshhook.migrations",
        )
        .await
        .map_err(failed)?;
    let number =
        |column: usize| row.try_get::<i32, _>(column).map(|number| u32::try_from(number).unwrap_or(0));
    Ok(Found { version: number(0).map_err(failed)?, readable_from: number(1).map_err(failed)? })
}

#[cfg(test)]
mod tests {
    use meshhook_core::id::WorkerId;
    use meshhook_core::store::Ledger as _;
    use throwaway_postgres::Server;

    use super::*;
    use crate::PgStore;

    /// What a later release does that this one can go on beside.
    const LATER: Migration = Migration {
        version: 1_000,
        name: "later",
        sql: "CREATE TABLE meshhook.later (id bigint); ALTER TABLE meshhook.live_runs ADD COLUMN later bigint",
        readable_from: 0,
    };

    /// A migrated database, dropped with the value.
    struct Database {
        name: String,
        url: String,
    }

    impl Database {
        async fn new(name: &str) -> Self {
            let name = format!("meshhook_migrate_{}_{name}", std::process::id());
            Server::shared().sql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
            let url = Server::shared().url(&name);
            migrate(&url).await.unwrap();
            Self { name, url }
        }
    }

    impl Drop for Database {
        fn drop(&mut self) {
            let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            let _ = Server::shared().sql("postgres", &drop);
        }
    }

    async fn session(url: &str) -> PgConnection {
        settings(url, &PgOptions::new()).unwrap().connect().await.unwrap()
    }

    async fn renewed(store: &PgStore) {
        store.renew(&WorkerId::new("ann").unwrap(), Duration::from_secs(60)).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_goes_on_while_a_later_release_adds_to_the_schema() {
        let database = Database::new("adds").await;
        let store = PgStore::connect(&database.url, PgOptions::new()).await.unwrap();
        renewed(&store).await;
        bring(&mut session(&database.url).await, &[LATER]).await.unwrap();
        renewed(&store).await;
        let claim = meshhook_core::store::Claim {
            worker: WorkerId::new("ann").unwrap(),
            limit: 1,
            suspects: 1,
            bytes: 1,
            messages: 1,
            lease: Duration::from_secs(60),
        };
        assert_eq!(store.claim(claim).await.unwrap().runs.len(), 0);
        renewed(&PgStore::connect(&database.url, PgOptions::new()).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_schema_that_this_release_cannot_work_with_is_refused() {
        let database = Database::new("refused").await;
        let migration = Migration { readable_from: 1_000, ..LATER };
        bring(&mut session(&database.url).await, &[migration]).await.unwrap();
        let refused = PgStore::connect(&database.url, PgOptions::new()).await.unwrap_err();
        assert!(matches!(refused, PgError::SchemaNewer { found: 1_000, .. }), "{refused:?}");
    }

    #[tokio::test]
    async fn a_migration_lets_others_pass_while_a_table_is_in_use() {
        let database = Database::new("waits").await;
        let mut reader = session(&database.url).await;
        reader.execute("BEGIN; LOCK TABLE meshhook.live_runs IN ACCESS SHARE MODE").await.unwrap();
        let of = database.url.clone();
        let migrating = tokio::spawn(async move { bring(&mut session(&of).await, &[LATER]).await });
        let mut watch = session(&database.url).await;
        let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        // Twice it waits, and lets go in between.
        for expected in [true, false, true] {
            while watch.fetch_one(waits).await.unwrap().get::<bool, _>(0) != expected {
                assert!(!migrating.is_finished(), "it did not wait");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        reader.execute("COMMIT").await.unwrap();
        migrating.await.unwrap().unwrap();
    }
}
