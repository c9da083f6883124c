//! What the catalogue of a migrated database must say.

mod support;

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

#[test]
fn partitions_are_there_for_this_week_and_the_next_ones() {
    let database = Database::new();
    let partitions = "SELECT inhparent::regclass, count(*) FROM pg_inherits \
         JOIN pg_class c ON c.oid = inhparent WHERE c.relkind = 'p' AND c.relnamespace = 'meshhook'::regnamespace \
         GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&database, partitions), ["meshhook.ended_runs|6", "meshhook.history|6"]);
    assert_eq!(rows(&database, "SELECT meshhook.make_partitions(4)"), ["0"]);
    assert_eq!(rows(&database, "SELECT meshhook.make_partitions(6)"), ["4"]);
    let now = "SELECT tableoid::regclass::text LIKE '%_other' FROM meshhook.history";
    database.sql(
        "INSERT INTO meshhook.history VALUES (1, 1, meshhook.first_id(now()), 'default', '', ''), \
         (1, 1, gen_random_uuid(), 'default', '', '')",
    );
    let mut places = rows(&database, now);
    places.sort();
    assert_eq!(places, ["f", "t"]);
}

#[test]
fn without_a_project_nothing_is_seen_and_nothing_of_another_is_written() {
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
    let role = support::APP;
    let foreign = format!(
        "SET ROLE {role}; SET meshhook.project = 'acme'; \
         UPDATE meshhook.workflows SET draft = 'x' WHERE project = 'beta'; \
         SELECT count(*) FROM meshhook.workflows WHERE draft = 'x'"
    );
    assert_eq!(database.sql(&foreign), "0");
}

#[test]
fn weeks_are_dropped_once_all_their_runs_have_ended() {
    let database = Database::new();
    let partitions = "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent \
         WHERE c.relkind = 'p' AND c.relnamespace = 'meshhook'::regnamespace";
    assert_eq!(rows(&database, "SELECT meshhook.drop_partitions(now())"), ["0"]);
    assert_eq!(rows(&database, partitions), ["12"]);
    database.sql(
        "INSERT INTO meshhook.live_runs (created_at, epoch, strikes, strike_seq, run_id, test, project, workflow, \
             status, last_holder, digest) \
         VALUES (0, 1, 0, 0, meshhook.first_id(date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'), \
             false, 'default', 'flow', 'waiting', 'w', '')",
    );
    assert_eq!(rows(&database, "SELECT meshhook.drop_partitions(now() + interval '15 days')"), ["2"]);
    assert_eq!(rows(&database, partitions), ["10"]);
    database.sql("DELETE FROM meshhook.live_runs");
    assert_eq!(rows(&database, "SELECT meshhook.drop_partitions(now() + interval '15 days')"), ["2"]);
}

#[tokio::test]
async fn a_week_whose_failed_run_is_being_retried_stays_whole() {
    let database = Database::new();
    let week = "date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
    database.sql(&format!(
        "INSERT INTO meshhook.ended_runs (created_at, finished_at, epoch, strikes, strike_seq, run_id, test, project, \
             workflow, status, last_holder, digest) \
         VALUES (0, 0, 1, 0, 0, meshhook.first_id({week}), false, 'default', 'flow', 'failed', 'w', ''); \
         INSERT INTO meshhook.history SELECT 1, 1, run_id, project, '', '' FROM meshhook.ended_runs"
    ));
    let mut retry = PgConnection::connect(&database.url()).await.unwrap();
    retry.execute("BEGIN; SELECT meshhook.enter()").await.unwrap();
    let revive = format!("SELECT meshhook.revive('default', meshhook.first_id({week}), 0)");
    assert!(retry.fetch_one(&*revive.leak()).await.unwrap().get::<bool, _>(0));
    let mut other = PgConnection::connect(&database.owner_url()).await.unwrap();
    let drop = "SELECT meshhook.drop_partitions(now() + interval '8 days')";
    let dropping = tokio::spawn(async move { other.fetch_one(drop).await.unwrap().get::<i32, _>(0) });
    // It has found nothing that lives, and waits for the one who changes that.
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
    while database.sql(waiting) == "0" {
        assert!(!dropping.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    retry.execute("COMMIT").await.unwrap();
    assert_eq!(dropping.await.unwrap(), 0);
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.history"), "1");
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.live_runs"), "1");
}
