//! Whether rights and settings are such that what MeshHook promises holds.

use meshhook_core::clock::{Clock as _, SystemClock};
use meshhook_core::store::StoreError;
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::error::{Effect, PgError};
use crate::migrate::RIGHTS;
use crate::row::time;
use crate::session::get;
use crate::{PgStore, sql};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Something to know.
    Note,
    /// It works, but a promise or a wall is weaker than it should be.
    Warning,
    /// It does not work, or does not keep what it acknowledged.
    Error,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is, for programs.
    pub code: &'static str,
    /// What it is, and what to do.
    pub message: String,
}

impl PgStore {
    /// Looks at the server's settings, the role's rights and the state of the schema; answers what is not as it should
    /// be, the worst first.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    pub async fn doctor(&self) -> Result<Vec<Finding>, StoreError> {
        let look = |row: &PgRow| findings(row, SystemClock.now());
        self.person(Effect::Reads, move |session| {
            let rights =
                RIGHTS.iter().flat_map(|(table, rights)| rights.iter().map(move |right| (*table, *right)));
            let (tables, privileges): (Vec<&str>, Vec<&str>) = rights.unzip();
            let query = sqlx::query(sql!("doctor")).bind(tables).bind(privileges);
            Box::pin(async move { look(&session.one(query).await?) })
        })
        .await
    }

    /// Refuses a database that this store cannot work with, and logs what else is not as it should be.
    pub(crate) async fn look_over(&self) -> Result<(), PgError> {
        let found = self.doctor().await.map_err(|error| match error {
            StoreError::Unavailable(error) => PgError::Connect(error),
            StoreError::Internal(error) => PgError::MissingRights(error),
            error => PgError::Statement(Box::new(error)),
        })?;
        for Finding { severity, code, message } in found {
            match (severity, code) {
                (_, MISSING_RIGHTS) => return Err(PgError::MissingRights(message.into())),
                (_, VERSION) => return Err(PgError::ServerTooOld { found: message }),
                (Severity::Error, _) => tracing::error!(code, "{message}"),
                (Severity::Warning, _) => tracing::warn!(code, "{message}"),
                (Severity::Note, _) => tracing::info!(code, "{message}"),
            }
        }
        Ok(())
    }
}

/// Findings with which nothing works.
const MISSING_RIGHTS: &str = "missing_rights";
const VERSION: &str = "version";

fn findings(row: &PgRow, here: Timestamp) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mut found = |severity: Severity, code: &'static str, message: String| {
        findings.push(Finding { severity, code, message });
    };
    let version: i32 = get(row, "version")?;
    if version < OLDEST {
        found(
            Severity::Error,
            VERSION,
            format!("Postgres {} is too old: 14 is the oldest", version / 10_000),
        );
    }
    if get(row, "is_standby")? {
        found(Severity::Error, "standby", "this is a standby: claims and commits need the primary".into());
    }
    for (setting, risk) in [("fsync", "a crash of the machine"), ("full_page_writes", "a torn page")] {
        if !get::<bool>(row, setting)? {
            found(Severity::Error, setting, format!("{setting} is off: {risk} loses what was acknowledged"));
        }
    }
    if get::<&str>(row, "synchronous_commit")? == "off" {
        let message = "synchronous_commit is off: a crash of the server loses what was acknowledged last";
        found(Severity::Error, "synchronous_commit", message.into());
    }
    let isolation: Option<&str> = get(row, "isolation")?;
    if let Some(level) = isolation.filter(|level| *level != "read committed") {
        let message = format!(
            "transactions of this role are {level} by default: the store sets its own; begin one of yours that is to hold \
             a run's start as READ COMMITTED, any other is refused"
        );
        found(Severity::Note, "isolation", message);
    }
    if !get::<bool>(row, "autovacuum")? {
        found(
            Severity::Warning,
            "autovacuum",
            "autovacuum is off: hot tables grow and slow claims down".into(),
        );
    }
    if get::<Option<bool>>(row, "is_beyond_the_wall")? == Some(true) {
        let message =
            "the role is a superuser or has BYPASSRLS: the second wall between projects does not hold for it";
        found(Severity::Warning, "role_beyond_wall", message.into());
    } else if get(row, "is_owner")? {
        let message =
            "the role owns the schema: it could take the wall down; grant another role and use that";
        found(Severity::Note, "role_owns_schema", message.into());
    }
    for (column, code, what) in [
        ("without_wall", "table_without_wall", "tables without row level security and FORCE"),
        ("without_rights", MISSING_RIGHTS, "rights on tables that the role lacks (see `grant_sql`)"),
        ("not_callable", MISSING_RIGHTS, "functions that the role may not call (see `grant_sql`)"),
    ] {
        if let Some(names) = get::<Option<&str>>(row, column)? {
            found(Severity::Error, code, format!("{what}: {names}"));
        }
    }
    if get::<Option<i32>>(row, "months_ahead")?.unwrap_or(0) < 1 {
        let message = "there is no partition for next month yet: workers make them; does one run?";
        found(Severity::Warning, "partitions", message.into());
    }
    if get::<Option<i64>>(row, "pages_astray")?.unwrap_or(0) > 1_000 {
        let message = "many rows lie in the default partitions, which retention does not drop and which are read through \
                       whenever a month is made";
        found(Severity::Note, "rows_astray", message.into());
    }
    for (column, who, remedy) in [
        ("oldest_snapshot", "a session's transaction", "end it (pg_stat_activity.backend_xmin)"),
        ("oldest_slot", "a replication slot", "drop it if nobody reads it (pg_replication_slots.xmin)"),
        ("oldest_prepared", "a prepared transaction", "end it (pg_prepared_xacts)"),
    ] {
        if let Some(age) = get::<Option<i64>>(row, column)?.filter(|age| *age > OLD) {
            let message = format!(
                "{who} holds a snapshot {age} transactions old: dead rows cannot be cleaned up; {remedy}"
            );
            found(Severity::Warning, "old_snapshot", message);
        }
    }
    let there = time(row, "now")?;
    let skew = there.since(here).max(here.since(there));
    if skew.as_secs() >= 2 {
        let message = format!("the database's clock and this machine's are {} s apart", skew.as_secs());
        found(Severity::Note, "clock_skew", message);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// How many transactions ago an old snapshot was taken.
const OLD: i64 = 1_000_000;

/// The oldest server that is supported, as it counts itself.
const OLDEST: i32 = 140_000;
