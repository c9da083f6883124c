//! What the schema does by itself: months, views, rights.

mod support;

use meshhook_postgres::{MIGRATIONS, Migration};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use support::Database;

#[tokio::test]
async fn a_month_in_which_a_run_lives_is_not_locked_to_find_that_out() {
    let database = Database::new();
    let month = "date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
    database.sql(&format!(
        "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, run_id, test, project, workflow, \
             status, last_holder, digest) \
         VALUES (0, 1, 1, 0, 0, meshhook.first_id({month}), false, 'default', 'flow', 'waiting', 'w', '')"
    ));
    let mut session = PgConnection::connect(&database.owner_url()).await.unwrap();
    session.execute("BEGIN").await.unwrap();
    let drop = "SELECT meshhook.drop_partitions(date_trunc('month', now() + interval '32 days'))";
    assert_eq!(session.fetch_one(drop).await.unwrap().get::<i32, _>(0), 0);
    let locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' \
         AND mode NOT IN ('AccessShareLock', 'RowExclusiveLock')";
    assert_eq!(session.fetch_one(locks).await.unwrap().get::<i64, _>(0), 0);
}

#[tokio::test]
async fn while_messages_are_looked_through_for_a_month_that_goes_others_read_on() {
    let database = Database::new();
    let month = "date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
    database.sql(&format!(
        "ALTER FUNCTION meshhook.drop_partitions SET lock_timeout = '60s'; \
         INSERT INTO meshhook.inbox (run_id, is_retry, project, message) VALUES (meshhook.first_id({month}), false, 'acme', '')"
    ));
    let mut other = PgConnection::connect(&database.owner_url()).await.unwrap();
    other
        .execute("BEGIN; SET LOCAL meshhook.project = '*'; SELECT 1 FROM meshhook.inbox FOR UPDATE")
        .await
        .unwrap();
    let mut dropping = PgConnection::connect(&database.owner_url()).await.unwrap();
    let drop = "SELECT meshhook.drop_partitions(date_trunc('month', now() + interval '32 days'))";
    let dropping = tokio::spawn(async move { dropping.fetch_one(drop).await.unwrap().get::<i32, _>(0) });
    database.somebody_waits().await;
    let mut reader = PgConnection::connect(&database.url()).await.unwrap();
    reader
        .execute("SET lock_timeout = '1s'; SELECT 1 FROM meshhook.history, meshhook.ended_runs")
        .await
        .unwrap();
    other.execute("COMMIT").await.unwrap();
    assert_eq!(dropping.await.unwrap(), 2);
    assert_eq!(database.sql("SELECT count(*) FROM meshhook.inbox"), "0");
}

#[test]
fn events_are_shown_whatever_characters_they_hold() {
    let database = Database::new();
    let shown = |chunk: &str| {
        let bytes: String = chunk.bytes().map(|byte| format!("{byte:02x}")).collect();
        database.sql(&format!(
            "DELETE FROM meshhook.history; \
             INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk) \
             VALUES (1, 1, gen_random_uuid(), 'acme', '', '\\x{bytes}'); \
             SET meshhook.project = 'acme'; SELECT step, data ->> 'a' FROM meshhook.events"
        ))
    };
    for (text, expected) in [
        (r"a\u0000b", "a\u{fffd}b"),
        (r"\u0000\u0000", "\u{fffd}\u{fffd}"),
        // These are a backslash and some letters.
        (r"a\\u0000b", r"a\u0000b"),
        (r"a\\\u0000\\\\u0000", "a\\\u{fffd}\\\\u0000"),
        (r"a\u00e9\u00000", "aé\u{fffd}0"),
    ] {
        let events = format!(r#"[{{"seq":1,"step":"{text}","data":{{"a":"{text}"}}}}]"#);
        assert_eq!(shown(&events), format!("{expected}|{expected}"), "{text}");
    }
}

#[test]
fn a_schema_that_another_tool_made_leaves_nothing_to_the_public() {
    let database = Database::new();
    let migrations: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.sql).collect();
    database.sql(&format!("DROP SCHEMA meshhook CASCADE; {}", Migration::BOOKS));
    for migration in migrations {
        database.sql(migration);
    }
    let of_the_public = "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'meshhook'::regnamespace \
         AND (p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) a WHERE a.grantee = 0))";
    assert_eq!(database.sql(of_the_public), "");
}

#[tokio::test]
async fn what_others_made_in_public_before_is_no_part_of_the_schema() {
    let database = Database::new();
    let stranger = format!("meshhook_stranger_{}", std::process::id());
    // As up to Postgres 14, where everybody may. Each fits better than what the server has.
    let operators: String = [
        ("*", "taken", "numeric", "integer"),
        ("*", "taken", "numeric", "bigint"),
        ("/", "parted", "bigint", "numeric"),
        ("/", "parted", "bigint", "integer"),
    ]
    .into_iter()
    .map(|(name, function, left, right)| {
        format!(
            "CREATE FUNCTION public.{function}({left}, {right}) RETURNS numeric LANGUAGE sql RETURN 0; \
             CREATE OPERATOR public.{name} (FUNCTION = public.{function}, LEFTARG = {left}, RIGHTARG = {right}); "
        )
    })
    .collect();
    database.sql(&format!(
        "DROP SCHEMA meshhook CASCADE; GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE {stranger}; \
         SET ROLE {stranger}; {operators} RESET ROLE"
    ));
    meshhook_postgres::migrate(&database.owner_url()).await.unwrap();
    let bound = database.sql(
        "SELECT DISTINCT classid::regclass, pg_describe_object(classid, objid, objsubid) FROM pg_depend \
         WHERE refclassid = 'pg_operator'::regclass AND deptype = 'n' AND refobjid IN ( \
             SELECT oid FROM pg_operator WHERE oprnamespace = 'public'::regnamespace)",
    );
    let month = database.sql("SELECT meshhook.first_id('2026-11-01Z')");
    database.sql(&format!("DROP OWNED BY {stranger} CASCADE; DROP ROLE {stranger}"));
    assert_eq!(bound, "");
    assert_eq!(month, "01a19467-e800-0000-0000-000000000000");
}

#[test]
fn the_application_may_only_add_to_what_is_only_added_to() {
    let database = Database::new();
    let may = |table: &str| {
        database.sql(&format!(
            "SELECT string_agg(r, ' ') FROM unnest('{{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}}'::text[]) r \
             WHERE has_table_privilege('{}', 'meshhook.{table}', r)",
            support::APP
        ))
    };
    for table in ["history", "definitions", "projects"] {
        assert_eq!(may(table), "SELECT INSERT", "{table}");
    }
    assert_eq!(may("ended_runs"), "SELECT INSERT DELETE");
    assert_eq!(may("secrets"), "SELECT INSERT UPDATE");
    assert_eq!(may("live_runs"), "SELECT INSERT UPDATE DELETE");
    assert_eq!(may("migrations"), "SELECT");
}

#[tokio::test]
async fn a_role_that_may_make_no_schema_brings_its_own_up_to_date() {
    let database = Database::new();
    let name = database.sql("SELECT current_database()");
    database.sql(&format!("ALTER DATABASE {name} OWNER TO CURRENT_USER"));
    let mut owner = PgConnection::connect(&database.owner_url()).await.unwrap();
    assert!(owner.execute("CREATE SCHEMA another").await.is_err(), "it may");
    owner.execute(Migration::BOOKS).await.unwrap();
}
