//! Statements use the indexes that their comments name, whatever the tables hold.

use std::path::Path;

use rusqlite::Connection;

use crate::migrate::migrate;

/// The statements of `queries/` by name, each with its text.
fn statements() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let mut statements: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    statements.sort();
    statements
}

fn plan(connection: &Connection, statement: &str) -> String {
    let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
    let mut rows = explained.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines.join("\n")
}

fn migrated() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, Path::new(":memory:")).unwrap();
    connection
}

#[test]
fn no_statement_scans_or_sorts_a_table_that_grows() {
    let connection = migrated();
    for (name, statement) in statements() {
        let plan = plan(&connection, &statement);
        assert!(!plan.contains("TEMP B-TREE"), "{name}:\n{plan}");
        for line in plan.lines().filter(|line| line.starts_with("SCAN")) {
            let short = line == "SCAN workers" || (name == "inbox_of_worker" && line == "SCAN inbox");
            // Steps along an index from its start, which end after the first rows.
            let step = name == "due_next_project" || name == "projects_first";
            assert!(short || step, "{name}:\n{plan}");
        }
    }
}

#[test]
fn statements_go_by_the_indexes_that_were_made_for_them() {
    let connection = migrated();
    for (name, expected) in [
        ("due_next_project", "USING COVERING INDEX runs_due (project>?)"),
        ("due_runs", "USING COVERING INDEX runs_due (project=? AND wake_at>? AND wake_at<?)"),
        ("held_next_project", "USING COVERING INDEX runs_held (owner=? AND project>?)"),
        ("held_runs", "USING INDEX runs_held (owner=?)"),
        ("orphans", "INDEX runs_held (owner=? AND project=?)"),
        ("suspects", "INDEX runs_struck (owner=? AND project=?)"),
        ("workers_drop_spent", "INDEX runs_held (owner=?)"),
        ("run_fence", "USING COVERING INDEX history_by_run (project=? AND run_id=?)"),
        ("chunks", "INDEX history_by_run (project=? AND run_id=? AND last_seq>?)"),
        ("runs_by_status", "INDEX runs_by_status (project=? AND status=? AND run_id>? AND run_id<?)"),
        ("runs_by_workflow", "INDEX runs_by_workflow (project=? AND workflow=? AND run_id>? AND run_id<?)"),
        ("runs_all", "PRIMARY KEY (project=? AND run_id>? AND run_id<?)"),
        ("projects_first", "SCAN projects USING INDEX projects_by_creation"),
        ("projects_after", "INDEX projects_by_creation ((created_at,id)<(?,?))"),
        ("workflows_after", "INDEX workflows_by_creation (project=? AND (created_at,slug)<(?,?))"),
        ("deliveries_all", "INDEX deliveries_by_project (project=? AND id>? AND id<?)"),
        (
            "deliveries_by_workflow",
            "INDEX deliveries_by_workflow (project=? AND workflow=? AND id>? AND id<?)",
        ),
        ("deliveries_by_verdict", "INDEX deliveries_by_verdict (project=? AND verdict=? AND id>? AND id<?)"),
        ("deliveries_drop_expired", "INDEX deliveries_by_expiry (expires_at<?)"),
        ("rates_drop_expired", "INDEX rates_by_expiry (expires_at<?)"),
        ("schedules_next", "USING COVERING INDEX schedules_due (wake_at>?)"),
        ("schedules_due", "INDEX schedules_due (wake_at<?)"),
        ("dedupe_drop_expired", "INDEX dedupe_by_expiry (expires_at<?)"),
    ] {
        let (_, statement) = statements().into_iter().find(|(found, _)| found == name).unwrap();
        let plan = plan(&connection, &statement);
        assert!(plan.contains(expected), "{name}:\n{plan}");
    }
}

#[test]
fn every_statement_starts_with_a_comment_and_fits_the_cache() {
    let statements = statements();
    assert!(statements.len() < crate::open::STATEMENTS);
    for (name, statement) in statements {
        assert!(statement.starts_with("-- "), "{name}");
    }
}
