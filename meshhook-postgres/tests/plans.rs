//! Statements read what they need, also with plans that were made while the tables were empty.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use support::Database;

/// Rows and index entries of the schema that were read so far.
const READ: &str = "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)), 0)::bigint \
     FROM pg_class c WHERE c.relnamespace = 'meshhook'::regnamespace";

const CLAIM: &str = "SELECT place FROM meshhook.claim_v1(NULL, 'ann', 60000000, 64, 1, 8388608, 100)";

/// Runs statements in a session that has run them before, while the tables were empty; answers how much each reads.
async fn read_by(database: &Database, statements: &[&'static str], grow: &str) -> Vec<i64> {
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    for _ in 0..8 {
        for statement in statements {
            session.execute(*statement).await.unwrap();
        }
    }
    // No statistics are gathered in between: plans stay as they are.
    database.sql(grow);
    let mut read = Vec::new();
    for statement in statements {
        read.push(reads(&mut session, statement).await);
    }
    read
}

/// How much a statement reads, whose changes are taken back.
async fn reads(session: &mut PgConnection, statement: &'static str) -> i64 {
    session.execute("BEGIN").await.unwrap();
    // What earlier transactions read is counted until the server has been told, which may take a second.
    let before: i64 = session.fetch_one(READ).await.unwrap().get(0);
    session.execute(statement).await.unwrap();
    let after: i64 = session.fetch_one(READ).await.unwrap().get(0);
    session.execute("ROLLBACK").await.unwrap();
    after - before
}

/// A session of a project, as the store has them as far as plans go by it.
async fn session_of(database: &Database, project: &str) -> PgConnection {
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    let settings = format!(
        "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_bitmapscan = off; \
         SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_memoize = off; \
         SET enable_material = off; SET enable_incremental_sort = off; SET jit = off; SET meshhook.project = '{project}'"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut session).await.unwrap();
    session
}

/// Prepares a statement, and runs it with some arguments while the tables are empty; answers how to run it again.
async fn prepared(session: &mut PgConnection, name: &str, text: &str, arguments: &str) -> &'static str {
    let prepare = format!("PREPARE {name} AS {text}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *session).await.unwrap();
    let execute: &'static str = format!("EXECUTE {name} ({arguments})").leak();
    for _ in 0..8 {
        session.execute(execute).await.unwrap();
    }
    execute
}

/// How a statement is planned.
async fn plan(session: &mut PgConnection, statement: &str) -> String {
    let explain: &'static str = format!("EXPLAIN {statement}").leak();
    let lines = session.fetch_all(explain).await.unwrap();
    lines.iter().map(|line| line.get::<String, _>(0) + "\n").collect()
}

fn timers(count: u32) -> String {
    format!(
        "ALTER TABLE meshhook.live_runs SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, wake_at, run_id, test, project, \
             workflow, status, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, 4000000000000000 + i, gen_random_uuid(), false, 'p' || i % 5, 'flow', 'waiting', 'w', \
             '' FROM generate_series(1, {count}) i"
    )
}

#[tokio::test]
async fn timers_in_the_future_cost_a_claim_nothing() {
    let database = Database::new();
    let read = read_by(&database, &[CLAIM], &timers(30_000)).await;
    assert!(read[0] < 100, "a claim of nothing read {} rows", read[0]);
}

#[tokio::test]
async fn projects_whose_timers_are_in_the_future_cost_a_claim_nothing() {
    let database = Database::new();
    let one_each = format!("{}; UPDATE meshhook.live_runs SET project = 'q' || wake_at", timers(10_000));
    let read = read_by(&database, &[CLAIM], &one_each).await;
    assert!(read[0] < 100, "a claim of nothing read {} rows", read[0]);
}

#[tokio::test]
async fn a_due_run_costs_no_look_at_projects_where_nothing_is_due() {
    let database = Database::new();
    let one_each = format!(
        "{}; UPDATE meshhook.live_runs SET project = 'q' || wake_at; \
         UPDATE meshhook.live_runs SET wake_at = 1 WHERE run_id IN (SELECT run_id FROM meshhook.live_runs LIMIT 3); \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs",
        timers(10_000)
    );
    let read = read_by(&database, &[CLAIM], &one_each).await;
    assert!((3..200).contains(&read[0]), "a claim of 3 runs read {} rows", read[0]);
}

#[tokio::test]
async fn runs_without_messages_and_messages_of_others_cost_a_claim_nothing() {
    let database = Database::new();
    let held = "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, owner, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, gen_random_uuid(), false, 'p' || i % 5, 'flow', 'running', \
             CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END, 'w', '' FROM generate_series(1, 20000) i; \
         INSERT INTO meshhook.workers VALUES (4000000000000000, false, 'bob'); \
         INSERT INTO meshhook.inbox (run_id, is_retry, owner, project, message) \
         SELECT run_id, false, owner, project, '' FROM meshhook.live_runs WHERE owner = 'bob'";
    let read = read_by(&database, &[CLAIM], held).await;
    assert!(read[0] < 100, "a claim of nothing read {} rows", read[0]);
}

#[tokio::test]
async fn a_claim_reads_in_proportion_to_what_it_takes() {
    let database = Database::new();
    let due = format!(
        "{}; UPDATE meshhook.live_runs SET wake_at = 1; \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs",
        timers(20_000)
    );
    let read = read_by(&database, &[CLAIM], &due).await;
    assert!((64..8_000).contains(&read[0]), "a claim of 64 runs read {} rows", read[0]);
}

/// Makes some runs of each of some projects due.
fn due(projects: u32, each: u32) -> String {
    format!(
        "ALTER TABLE meshhook.live_runs SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, wake_at, run_id, test, project, \
             workflow, status, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, 1000 + p * {each} + i, gen_random_uuid(), false, 'p' || p, 'flow', 'waiting', 'w', '' \
         FROM generate_series(1, {projects}) p, generate_series(1, {each}) i; \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs"
    )
}

#[tokio::test]
async fn a_claim_reads_no_more_the_more_projects_have_something_due() {
    let database = Database::new();
    let read = read_by(&database, &[CLAIM], &due(1_000, 30)).await;
    assert!((64..5_000).contains(&read[0]), "a claim of 64 runs read {} rows", read[0]);
}

#[tokio::test]
async fn no_project_waits_until_what_others_left_is_done() {
    const PROJECTS: usize = 300;
    let database = Database::new();
    // Older than all, and more than there are looks for.
    database.sql(&format!(
        "{}; UPDATE meshhook.live_runs SET project = 'flood', wake_at = 1; UPDATE meshhook.history SET project = 'flood'; {}",
        due(1, 2_000),
        due(PROJECTS as u32, 5).replace(
            "SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs",
            "SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs WHERE wake_at > 1"
        )
    ));
    let mut session = PgConnection::connect(&database.url()).await.unwrap();
    let mut served = std::collections::BTreeSet::new();
    for _ in 0..PROJECTS.div_ceil(63) + 1 {
        let taken = session.fetch_all(CLAIM.replacen("place", "project", 1).leak() as &str).await.unwrap();
        assert_eq!(taken.iter().filter_map(|row| row.get::<Option<String>, _>(0)).count(), 64);
        served.extend(taken.iter().filter_map(|row| row.get::<Option<String>, _>(0)));
    }
    assert_eq!(served.len(), PROJECTS + 1, "{served:?}");
}

#[tokio::test]
async fn a_list_by_a_rare_status_reads_what_it_shows() {
    let database = Database::new();
    let mut session = session_of(&database, "p1").await;
    let failed = "'p1', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 0, 4000000000000000, 'failed', NULL, 51, 1000000, \
         '00000000-0000-0000-0000-000000000000'";
    let list = prepared(&mut session, "list", include_str!("../queries/runs_by_status.sql"), failed).await;
    database.sql(
        "ALTER TABLE meshhook.live_runs SET (autovacuum_enabled = false); \
         ALTER TABLE meshhook.ended_runs_other SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.ended_runs (created_at, finished_at, run_id, test, project, workflow, status, digest) \
         SELECT 0, 0, gen_random_uuid(), false, 'p1', 'flow', CASE WHEN i % 500 = 0 THEN 'failed' ELSE 'succeeded' END, '' \
         FROM generate_series(1, 20000) i; \
         INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, finished_at, run_id, test, project, \
             workflow, status, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, CASE WHEN i % 1000 = 0 THEN 0 END, gen_random_uuid(), false, 'p1', 'flow', \
             CASE WHEN i % 1000 = 0 THEN 'failed' ELSE 'waiting' END, 'w', '' FROM generate_series(1, 20000) i; \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, ''::bytea, ''::bytea FROM meshhook.ended_runs WHERE status = 'failed' UNION ALL \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs WHERE status = 'failed'",
    );
    assert_eq!(session.fetch_all(list).await.unwrap().len(), 51);
    let (read, plan) = (reads(&mut session, list).await, plan(&mut session, list).await);
    assert!(read < 1_000, "{read} rows read:\n{plan}");
    assert!(plan.contains("live_runs_failed"), "{plan}");
}

#[tokio::test]
async fn schedules_whose_slots_are_to_come_cost_a_look_nothing() {
    let database = Database::new();
    let grow = "ALTER TABLE meshhook.schedules SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.schedules (done_until, turn, wake_at, seen_since, seen_until, paused, project, slug, \
             trigger, cron, timezone) \
         SELECT 0, 1, 4000000000000000 + i, 0, 0, false, 'p' || i % 5, 'flow-' || i, 't', '* * * * *', 'UTC' \
         FROM generate_series(1, 20000) i; \
         INSERT INTO meshhook.schedules (done_until, turn, wake_at, seen_since, seen_until, paused, project, slug, \
             trigger, cron, timezone) \
         SELECT 0, 1, i, 0, 0, false, 'q', 'flow-' || i, 't', '* * * * *', 'UTC' FROM generate_series(1, 100) i";
    let statements = [
        "SELECT meshhook.next_schedule_v1()",
        "SELECT now FROM meshhook.take_schedules_v1(1000000, 10, 1000000, 0)",
        "SELECT now FROM meshhook.take_schedules_v1(0, 10, 1000000, 0)",
    ];
    let read = read_by(&database, &statements, grow).await;
    assert!(read[0] < 10 && read[1] < 100 && read[2] < 10, "looks read {read:?} rows");
}

#[tokio::test]
async fn a_run_is_found_without_reading_its_project() {
    let database = Database::new();
    let mut session = session_of(&database, "p1").await;
    let one = "'p1', 'f19b6968-0000-4000-8000-000000000001'";
    let find = prepared(&mut session, "find", include_str!("../queries/run_record.sql"), one).await;
    database.sql(
        "ALTER TABLE meshhook.ended_runs_other SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.ended_runs (created_at, finished_at, run_id, test, project, workflow, status, digest) \
         SELECT 0, 0, gen_random_uuid(), false, 'p1', 'flow', 'succeeded', '' FROM generate_series(1, 20000)",
    );
    // By a worse index no row would be read, but all its entries: what the plan is says more.
    let (read, plan) = (reads(&mut session, find).await, plan(&mut session, find).await);
    assert!(read < 20 && !plan.contains("workflow"), "{read} rows read:\n{plan}");
}

#[tokio::test]
async fn a_commit_reads_only_its_own_runs() {
    let database = Database::new();
    let id = "'019b6968-0000-7000-8000-000000000001'";
    let advance = format!(
        "SELECT a_done FROM meshhook.advance_v1(NULL, 'ann', {id}, {id}, '{{p1}}', ARRAY[{id}]::uuid[], '{{1}}', \
         '{{1}}', '{{2}}', ARRAY['x'::bytea], ARRAY['x'::bytea], '{{1}}', '{{waiting}}', '{{1}}', '{{NULL}}', NULL, NULL)"
    );
    let advance: &'static str = advance.leak();
    let grow = format!(
        "{}; INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, owner, last_holder, digest) \
         VALUES (0, 1, 1, 0, 0, {id}, false, 'p1', 'flow', 'running', 'ann', 'ann', ''); \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs; \
         INSERT INTO meshhook.inbox (run_id, is_retry, project, message) \
         SELECT run_id, false, project, '' FROM meshhook.live_runs LIMIT 10000",
        timers(20_000)
    );
    let read = read_by(&database, &[advance], &grow).await;
    assert!((2..50).contains(&read[0]), "an advance of one run read {} rows", read[0]);
}

/// Which runs a claim takes, as this many settings have it planned.
async fn claims(database: &Database, settings: &[&str], limit: u32) -> Vec<(i64, String, String)> {
    let mut owner = PgConnection::connect(&database.owner_url()).await.unwrap();
    owner.execute("BEGIN").await.unwrap();
    let ask = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'meshhook'::regnamespace AND prokind = 'f'";
    for function in owner.fetch_all(ask).await.unwrap() {
        for setting in settings {
            let alter = format!("ALTER FUNCTION {} SET {setting}", function.get::<String, _>(0));
            owner.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
        }
    }
    let claim = format!(
        "SELECT place, project, run_id::text FROM meshhook.claim_v1(NULL, 'ann', 60000000, {limit}, 1, 8388608, 100) \
         WHERE place > 0 ORDER BY place"
    );
    let rows = owner.fetch_all(sqlx::AssertSqlSafe(claim)).await.unwrap();
    owner.execute("ROLLBACK").await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn whatever_the_plan_a_claim_takes_the_same_runs_and_no_more_than_it_was_asked_for() {
    let database = Database::new();
    // Some due runs of five projects, all at other times, and the orphans of a worker that died.
    database.sql(&format!(
        "{}; UPDATE meshhook.live_runs SET wake_at = wake_at - 3999999999999999; \
         INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, owner, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, gen_random_uuid(), false, 'p' || i % 7, 'flow', 'running', 'bob', 'bob', '' \
         FROM generate_series(1, 200) i; \
         INSERT INTO meshhook.workers (lease_until, retired, worker) VALUES (1, false, 'bob'); \
         INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
         SELECT 1, 1, run_id, project, '', '' FROM meshhook.live_runs",
        timers(400)
    ));
    for statistics in ["", "ANALYZE"] {
        database.sql(&format!("SELECT 1; {statistics}"));
        for limit in [1, 100] {
            let shipped = claims(&database, &[], limit).await;
            assert_eq!(shipped.len(), limit as usize);
            for settings in [
                &[
                    "plan_cache_mode = auto",
                    "enable_seqscan = on",
                    "enable_sort = on",
                    "enable_hashjoin = on",
                ][..],
                &["enable_seqscan = off", "enable_indexscan = off", "enable_bitmapscan = on"],
                &[
                    "enable_nestloop = off",
                    "enable_hashjoin = on",
                    "enable_seqscan = on",
                    "enable_indexscan = off",
                ],
                &[
                    "enable_nestloop = off",
                    "enable_mergejoin = on",
                    "enable_sort = on",
                    "enable_material = on",
                ],
                &[
                    "plan_cache_mode = force_custom_plan",
                    "enable_nestloop = off",
                    "enable_indexscan = off",
                    "enable_seqscan = on",
                    "enable_hashjoin = on",
                    "enable_sort = on",
                ],
            ] {
                let taken = claims(&database, settings, limit).await;
                assert_eq!(taken, shipped, "{statistics} {settings:?} limit {limit}");
            }
        }
    }
}

#[tokio::test]
async fn lists_of_deliveries_read_what_they_show() {
    let database = Database::new();
    let mut session = session_of(&database, "p1").await;
    let all = "'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, -9000000000000000000, 9000000000000000000";
    let end = "51, 8388608, '00000000-0000-0000-0000-000000000000'";
    let lists = [
        ("deliveries_all", include_str!("../queries/deliveries_all.sql"), "NULL, NULL", 200),
        ("deliveries_by_workflow", include_str!("../queries/deliveries_by_workflow.sql"), "'rare', NULL", 50),
        (
            "deliveries_by_verdict",
            include_str!("../queries/deliveries_by_verdict.sql"),
            "NULL, 'mismatch'",
            50,
        ),
    ];
    let mut statements = Vec::new();
    for (name, text, filter, most) in lists {
        let arguments = format!("'p1', {all}, {filter}, {end}");
        statements.push((name, prepared(&mut session, name, text, &arguments).await, most));
    }
    let insert: &'static str = "EXECUTE keep";
    session
        .execute(
            "PREPARE keep AS SELECT meshhook.record_deliveries_v1(ARRAY['p1'], ARRAY[gen_random_uuid()], '{1}', \
             '{9000000000000000}', '{flow}', '{accepted}', ARRAY['x'::bytea], ARRAY[NULL::bytea])",
        )
        .await
        .unwrap();
    database.sql(
        "ALTER TABLE meshhook.deliveries SET (autovacuum_enabled = false); \
         INSERT INTO meshhook.deliveries (at, expires_at, id, project, workflow, verdict, facts) \
         SELECT i, 9000000000000000, gen_random_uuid(), 'p1', CASE WHEN i % 5000 = 0 THEN 'rare' ELSE 'flow' END, \
             CASE WHEN i % 4000 = 0 THEN 'mismatch' ELSE 'accepted' END, '{}' FROM generate_series(1, 20000) i",
    );
    for (name, execute, most) in statements.into_iter().chain([("keep", insert, 5)]) {
        let read = reads(&mut session, execute).await;
        assert!(read < most, "{name} read {read} rows");
    }
}
