//! What the catalogue of a migrated database must say.

mod support;

use meshhook_core::time::Timestamp;
use meshhook_postgres::{PgOptions, PgStore};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use support::Database;

/// The tables of the schema, partitions left out.
const TABLES: &str = "SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c \
     WHERE c.relnamespace = 'meshhook'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'migrations'";

fn rows(database: &Database, query: &str) -> Vec<String> {
    database.sql(query).lines().map(str::to_owned).collect()
}

#[test]
fn every_table_has_its_wall() {
    let database = Database::new();
    let open = rows(
        &database,
        &format!("SELECT relname FROM ({TABLES}) t WHERE NOT (relrowsecurity AND relforcerowsecurity)"),
    );
    assert_eq!(open, [""; 0], "tables without row level security, or without FORCE");
    // A partition is reached through its parent, whose policy counts; by itself it shows nothing.
    let without_policy = rows(
        &database,
        &format!(
            "SELECT relname FROM ({TABLES}) t WHERE NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid) \
             AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = t.oid)"
        ),
    );
    assert_eq!(without_policy, [""; 0], "tables without a policy");
}

#[test]
fn every_unique_key_starts_with_the_project() {
    let database = Database::new();
    let others = rows(
        &database,
        &format!(
            "SELECT t.relname, i.indexrelid::regclass FROM ({TABLES}) t JOIN pg_index i ON i.indrelid = t.oid \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] \
             WHERE i.indisunique AND a.attname <> 'project' AND t.relname <> 'workers'"
        ),
    );
    assert_eq!(others, [""; 0]);
}

#[test]
fn no_table_has_a_foreign_key_and_none_keeps_json_of_the_database() {
    let database = Database::new();
    let keys =
        "SELECT conname FROM pg_constraint WHERE connamespace = 'meshhook'::regnamespace AND contype = 'f'";
    assert_eq!(rows(&database, keys), [""; 0]);
    let columns = format!(
        "SELECT t.relname, a.attname FROM ({TABLES}) t JOIN pg_attribute a ON a.attrelid = t.oid \
         WHERE a.attnum > 0 AND a.atttypid IN ('json'::regtype, 'jsonb'::regtype)"
    );
    assert_eq!(rows(&database, &columns), [""; 0]);
}

#[test]
fn nobody_but_whom_it_was_granted_may_call_a_function_or_see_a_table() {
    let database = Database::new();
    let functions = "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'meshhook'::regnamespace \
         AND (p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) a WHERE a.grantee = 0))";
    assert_eq!(rows(&database, functions), [""; 0], "functions of the public");
    let may_truncate = format!(
        "SELECT relname FROM ({TABLES}) t WHERE has_table_privilege('{}', oid, 'TRUNCATE') \
         OR has_table_privilege('{}', oid, 'TRIGGER')",
        support::APP,
        support::APP
    );
    assert_eq!(rows(&database, &may_truncate), [""; 0]);
    let partitions = format!(
        "SELECT relname FROM ({TABLES}) t JOIN pg_inherits i ON i.inhrelid = t.oid \
         WHERE has_table_privilege('{}', t.oid, 'SELECT')",
        support::APP
    );
    assert_eq!(rows(&database, &partitions), [""; 0], "partitions that can be read by themselves");
}

/// Makes partitions until none is missing; answers how many were made.
fn make_partitions(database: &Database, settings: &str, months: u32) -> usize {
    let make = format!("{settings}; SELECT meshhook.make_partition({months})");
    (0..200).take_while(|_| rows(database, &make) == ["t"]).count()
}

#[test]
fn partitions_are_there_for_this_month_and_the_next_ones() {
    let database = Database::new();
    let partitions = "SELECT inhparent::regclass, count(*) FROM pg_inherits \
         JOIN pg_class c ON c.oid = inhparent WHERE c.relkind = 'p' AND c.relnamespace = 'meshhook'::regnamespace \
         GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&database, partitions), ["meshhook.ended_runs|4", "meshhook.history|4"]);
    assert_eq!(make_partitions(&database, "SELECT", 2), 0);
    assert_eq!(make_partitions(&database, "SELECT", 4), 4);
    let now = "SELECT tableoid::regclass::text LIKE '%_other' FROM meshhook.history";
    database.sql(
        "INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         VALUES (1, 1, meshhook.first_id(now()), 'default', '', ''), (1, 1, gen_random_uuid(), 'default', '', '')",
    );
    let mut places = rows(&database, now);
    places.sort();
    assert_eq!(places, ["f", "t"]);
}

#[test]
fn histories_are_packed_by_lz4_in_every_month_where_the_server_has_it() {
    let database = Database::new();
    let has_it = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'";
    let wanted = if rows(&database, has_it) == ["t"] { "l" } else { "" };
    let packed = "SELECT DISTINCT attcompression FROM pg_attribute WHERE attname = 'chunk' AND attrelid IN (
            SELECT inhrelid FROM pg_inherits WHERE inhparent = 'meshhook.history'::regclass
            UNION SELECT 'meshhook.history'::regclass)";
    assert_eq!(rows(&database, packed), [wanted]);
}

#[test]
fn months_are_the_same_in_every_time_zone() {
    // Clocks are put forward and back within these months, and half an hour counts.
    let zones = ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"];
    let database = Database::new();
    for (turn, zone) in (0_u32..).zip(zones) {
        let made = make_partitions(&database, &format!("SET TimeZone = '{zone}'"), 6 + turn * 4);
        assert_eq!(made, 8, "{zone}");
    }
    let gaps = "SELECT count(*) FROM ( \
         SELECT parent, low, lag(high) OVER (PARTITION BY parent ORDER BY low) AS before FROM meshhook.partitions()) p \
         WHERE before <> low";
    assert_eq!(rows(&database, gaps), ["0"]);
    let starts = "SELECT DISTINCT extract(day FROM at), extract(hour FROM at), extract(minute FROM at) FROM ( \
         SELECT to_timestamp(('x' || left(replace(low::text, '-', ''), 12))::bit(48)::bigint / 1e3) AT TIME ZONE 'UTC' AS at \
         FROM meshhook.partitions()) p";
    assert_eq!(rows(&database, starts), ["1|0|0"]);
    // What was made in one zone is dropped in another.
    let drop = "SET TimeZone = 'Asia/Kolkata'; \
         SELECT meshhook.drop_partitions((date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC')";
    assert_eq!(rows(&database, drop), ["2"]);
    assert_eq!(rows(&database, drop), ["0"]);
}

#[test]
fn a_month_whose_runs_lie_elsewhere_keeps_nobody_from_making_the_next() {
    let database = Database::new();
    database.sql(
        "INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         VALUES (1, 1, meshhook.first_id(now() + interval '95 days'), 'default', '', '')",
    );
    assert_eq!(make_partitions(&database, "SELECT", 5), 5);
}

#[tokio::test]
async fn without_a_project_nothing_is_seen_and_nothing_of_another_is_written() {
    let database = Database::new();
    database.sql(
        "INSERT INTO meshhook.workflows (revision, created_at, updated_at, project, slug, draft) \
         VALUES (1, 0, 0, 'acme', 'flow', ''), (1, 0, 0, 'beta', 'flow', '')",
    );
    let seen = |scope: &str| {
        let role = support::APP;
        database.sql(&format!(
            "SET ROLE {role}; {scope}; SELECT string_agg(project, ',' ORDER BY project) FROM meshhook.workflows"
        ))
    };
    assert_eq!(seen("SELECT"), "");
    assert_eq!(seen("SET meshhook.project = ''"), "");
    assert_eq!(seen("SET meshhook.project = 'acme'"), "acme");
    assert_eq!(seen("SET meshhook.project = 'acm'"), "");
    let mut app = PgConnection::connect(&database.url()).await.unwrap();
    app.execute("SET meshhook.project = 'acme'").await.unwrap();
    let update = "UPDATE meshhook.workflows SET draft = 'x' WHERE project = 'beta'";
    assert_eq!(app.execute(update).await.unwrap().rows_affected(), 0);
    for foreign in [
        "INSERT INTO meshhook.workflows (revision, created_at, updated_at, project, slug, draft) \
         VALUES (1, 0, 0, 'beta', 'other', 'x')",
        "UPDATE meshhook.workflows SET project = 'beta', slug = 'other', draft = 'x'",
    ] {
        let refused = app.execute(foreign).await.unwrap_err();
        let refused = refused.as_database_error().unwrap();
        assert_eq!(refused.code().as_deref(), Some("42501"), "{foreign}: {refused}");
        // The same code as for a right that is missing.
        assert!(refused.message().contains("row-level security"), "{foreign}: {refused}");
    }
    // As somebody who sees everything.
    assert_eq!(
        database.sql("SELECT count(*) FROM meshhook.workflows WHERE draft = 'x' OR slug <> 'flow'"),
        "0"
    );
}

/// The first moment of this month, as SQL.
const MONTH: &str = "date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";

#[tokio::test]
async fn months_are_dropped_once_all_their_runs_have_ended() {
    let database = Database::new();
    let store = PgStore::connect(&database.owner_url(), PgOptions::new()).await.unwrap();
    let partitions = "SELECT count(*) FROM meshhook.partitions()";
    let in_two_months = database.sql("SELECT extract(epoch FROM now() + interval '65 days')::bigint");
    let in_two_months = Timestamp::from_micros(in_two_months.parse::<i64>().unwrap() * 1_000_000);
    for before in [Timestamp::EPOCH, Timestamp::from_micros(-1), Timestamp::MIN] {
        assert_eq!(store.drop_before(before).await.unwrap(), 0, "{before}");
    }
    assert_eq!(rows(&database, partitions), ["6"]);
    database.sql(&format!(
        "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, last_holder, digest) \
         VALUES (0, 1, 1, 0, 0, meshhook.first_id({MONTH}), false, 'default', 'flow', 'waiting', 'w', ''); \
         INSERT INTO meshhook.inbox (run_id, is_retry, project, message) \
         VALUES (meshhook.first_id({MONTH}), false, 'default', ''), (gen_random_uuid(), false, 'default', '')"
    ));
    assert_eq!(store.drop_before(in_two_months).await.unwrap(), 2);
    assert_eq!(rows(&database, partitions), ["4"]);
    assert_eq!(rows(&database, "SELECT count(*) FROM meshhook.inbox"), ["2"]);
    database.sql("DELETE FROM meshhook.live_runs");
    assert_eq!(store.drop_before(in_two_months).await.unwrap(), 2);
    // What waited for a run goes with it.
    assert_eq!(rows(&database, "SELECT count(*) FROM meshhook.inbox"), ["1"]);
}

#[test]
fn times_that_no_id_can_tell_are_the_nearest_that_one_can() {
    let database = Database::new();
    let first = |at: &str| database.sql(&format!("SELECT left(meshhook.first_id({at})::text, 13)"));
    for (at, expected) in [
        ("'epoch'", "00000000-0000"),
        ("timestamptz 'epoch' + interval '1 millisecond'", "00000000-0001"),
        ("timestamptz 'epoch' - interval '1 microsecond'", "00000000-0000"),
        ("timestamptz 'epoch' - interval '100 years'", "00000000-0000"),
        ("'-infinity'", "00000000-0000"),
        ("to_timestamp(281474976710.655)", "ffffffff-ffff"),
        ("'12026-11-01Z'", "ffffffff-ffff"),
        ("'infinity'", "ffffffff-ffff"),
    ] {
        assert_eq!(first(at), expected, "{at}");
    }
    let before = |at: &str| database.sql(&format!("SELECT meshhook.drop_partitions({at})"));
    assert_eq!(before("now() - interval '100 years'"), "0");
    assert_eq!(before("timestamptz 'epoch' - interval '1 microsecond'"), "0");
    assert_eq!(before("'12026-11-01Z'"), "2");
}

#[tokio::test]
async fn a_month_whose_failed_run_is_being_retried_stays_whole() {
    let database = Database::new();
    database.sql(&format!(
        "INSERT INTO meshhook.ended_runs (created_at, finished_at, epoch, claim, strikes, strike_seq, run_id, test, project, \
             workflow, status, last_holder, digest) \
         VALUES (0, 0, 1, 1, 0, 0, meshhook.first_id({MONTH}), false, 'default', 'flow', 'failed', 'w', ''); \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.ended_runs"
    ));
    let mut retry = PgConnection::connect(&database.url()).await.unwrap();
    retry.execute("BEGIN; SELECT meshhook.enter()").await.unwrap();
    let revive = format!("SELECT meshhook.revive('default', meshhook.first_id({MONTH}), 0)");
    assert!(retry.fetch_one(&*revive.leak()).await.unwrap().get::<bool, _>(0));
    let store = PgStore::connect(&database.owner_url(), PgOptions::new()).await.unwrap();
    let until = database.sql("SELECT extract(epoch FROM now() + interval '32 days')::bigint");
    let until = Timestamp::from_micros(until.parse::<i64>().unwrap() * 1_000_000);
    let dropping = tokio::spawn(async move { store.drop_before(until).await });
    // It waits for the one who changes what it has to know, a moment at a time.
    database.somebody_waits().await;
    retry.execute("COMMIT").await.unwrap();
    assert_eq!(dropping.await.unwrap().unwrap(), 0);
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history"), "1");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.live_runs"), "1");
}

#[tokio::test]
async fn making_a_partition_waits_a_moment_for_running_work_and_no_longer() {
    let database = Database::new();
    let mut reader = PgConnection::connect(&database.url()).await.unwrap();
    reader
        .execute("BEGIN; SET LOCAL meshhook.project = 'acme'; SELECT 1 FROM meshhook.history")
        .await
        .unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let refused = other.execute("SELECT meshhook.make_partition(3)").await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("55P03"), "{refused}");
    reader.execute("ROLLBACK").await.unwrap();
    assert_eq!(make_partitions(&database, "SELECT", 3), 2);
}

#[test]
fn a_superusers_view_is_no_door_in_the_wall() {
    let database = Database::new();
    database.sql(
        "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, gen_random_uuid(), false, p, 'flow', 'waiting', 'w', '' FROM unnest('{acme,beta}'::text[]) p; \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '[{\"seq\":1}]' FROM meshhook.live_runs; \
         ALTER VIEW meshhook.runs OWNER TO CURRENT_USER; ALTER VIEW meshhook.events OWNER TO CURRENT_USER",
    );
    // As on a server that knows views of their owners only.
    if database.sql("SELECT current_setting('server_version_num')::integer >= 150000") == "t" {
        database.sql(
            "ALTER VIEW meshhook.runs SET (security_invoker = false); ALTER VIEW meshhook.events SET (security_invoker = false)",
        );
    }
    let role = support::APP;
    for view in ["runs", "events"] {
        let seen = |scope: &str| {
            let look = "SELECT string_agg(project, ',' ORDER BY project) FROM meshhook";
            database.sql(&format!("SET ROLE {role}; {scope}; {look}.{view}"))
        };
        assert_eq!(seen("SELECT"), "", "{view}");
        assert_eq!(seen("SET meshhook.project = 'acme'"), "acme", "{view}");
    }
}

#[test]
fn keys_are_forgotten_in_batches_that_wait_for_nobody() {
    let database = Database::new();
    database.sql(
        "INSERT INTO meshhook.dedupe (expires_at, run_id, project, key, fingerprint) \
         SELECT i, gen_random_uuid(), 'acme', int4send(i), '' FROM generate_series(1, 1000) i",
    );
    let drop = |now: u32, limit: u32| {
        database.sql(&format!("SET ROLE {}; SELECT meshhook.drop_keys_v1({now}, {limit})", support::APP))
    };
    assert_eq!(drop(900, 300), "300");
    assert_eq!(database.sql("SELECT min(expires_at) FROM meshhook.dedupe"), "301");
    assert_eq!(drop(900, 1000), "600");
    assert_eq!(drop(900, 1000), "0");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.dedupe"), "100");
}
