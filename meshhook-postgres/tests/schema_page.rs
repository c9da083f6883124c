//! The reference page of the schema: made from the catalogue of a migrated database, and kept in the repository.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fmt::Write as _;
use std::path::Path;

use meshhook_postgres::MIGRATIONS;

use crate::support::Database;

mod support;

/// Tables and views of the schema, but partitions.
const RELATIONS: &str = "SELECT concat_ws(chr(9), c.relname, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, \
        CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) ELSE '' END, \
        coalesce(array_to_string(c.reloptions, ', '), ''), coalesce(obj_description(c.oid, 'pg_class'), '')) \
    FROM pg_class c \
    WHERE c.relnamespace = 'meshhook'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition \
    ORDER BY c.relkind = 'v', c.relname";

const COLUMNS: &str = "SELECT concat_ws(chr(9), a.attname, format_type(a.atttypid, a.atttypmod), \
        CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END, coalesce(col_description(a.attrelid, a.attnum), '')) \
    FROM pg_attribute a \
    WHERE a.attrelid = 'meshhook.{}'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const INDEXES: &str = "SELECT concat_ws(chr(9), c.relname, \
        CASE WHEN i.indisprimary THEN 'primary key ' WHEN i.indisunique THEN 'unique ' ELSE '' END \
            || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''), \
        coalesce(obj_description(i.indexrelid, 'pg_class'), '')) \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
    WHERE i.indrelid = 'meshhook.{}'::regclass ORDER BY i.indisprimary DESC, c.relname";

const POLICIES: &str = "SELECT concat_ws(chr(9), p.polname, regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\\s+', ' ', 'g')) \
    FROM pg_policy p WHERE p.polrelid = 'meshhook.{}'::regclass ORDER BY p.polname";

const FUNCTIONS: &str = "SELECT concat_ws(chr(9), p.proname, CASE WHEN p.prosecdef THEN 'the owner' ELSE 'its caller' END, \
        coalesce(obj_description(p.oid, 'pg_proc'), '')) \
    FROM pg_proc p WHERE p.pronamespace = 'meshhook'::regnamespace ORDER BY p.proname";

const HEAD: &str = "# The Postgres schema

Made from the catalogue of a migrated database by `cargo test -p meshhook-postgres --test schema_page`, which fails when
the two differ or anything lacks its comment; with `UPDATE_SCHEMA_PAGE=1` it writes this page anew. What holds across
tables, and why they are cut as they are, is told in [storage](../explanation/storage.md).
";

/// The rows of a query, of which each is one text, as lists of columns.
fn rows(database: &Database, query: &str) -> Vec<Vec<String>> {
    let answer = database.sql(query);
    answer.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// A table of Markdown.
fn table(page: &mut String, head: &[&str], rows: &[Vec<String>]) {
    writeln!(page, "\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len())).unwrap();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(page, "| {} |", cells.join(" | ")).unwrap();
    }
}

fn quoted(mut rows: Vec<Vec<String>>, columns: &[usize]) -> Vec<Vec<String>> {
    for row in &mut rows {
        for &column in columns {
            row[column] = format!("`{}`", row[column]);
        }
    }
    rows
}

/// The page, and what has no comment.
fn page(database: &Database) -> (String, Vec<String>) {
    let mut page = String::from(HEAD);
    let mut bare = Vec::new();
    let mut note = |of: &str, rows: &[Vec<String>]| {
        let missing = rows.iter().filter(|row| row.last().is_none_or(String::is_empty));
        bare.extend(missing.map(|row| format!("{of}{}", row[0])));
    };
    let relations = rows(database, RELATIONS);
    assert!(relations.len() > 10, "{relations:?}");
    for relation in relations {
        note("", std::slice::from_ref(&relation));
        let [name, kind, partitions, options, comment] = &relation[..] else { panic!("{relation:?}") };
        write!(page, "\n## {kind} `{name}`\n\n{comment}\n").unwrap();
        if !partitions.is_empty() {
            writeln!(page, "\nPartitioned by `{partitions}`.").unwrap();
        }
        if !options.is_empty() {
            writeln!(page, "\nStored with `{options}`.").unwrap();
        }
        let of = |query: &str| rows(database, &query.replace("{}", name));
        let columns = of(COLUMNS);
        if kind == "view" {
            let columns: Vec<Vec<String>> = columns.into_iter().map(|row| row[..2].to_vec()).collect();
            table(&mut page, &["column", "type"], &quoted(columns, &[0, 1]));
            continue;
        }
        note(&format!("{name}."), &columns);
        table(&mut page, &["column", "type", "null", "what"], &quoted(columns, &[0, 1]));
        let indexes = of(INDEXES);
        note("index ", &indexes);
        table(&mut page, &["index", "on", "for"], &quoted(indexes, &[0, 1]));
        for policy in of(POLICIES) {
            writeln!(page, "\nPolicy `{}`: `{}`.", policy[0], policy[1]).unwrap();
        }
    }
    let functions = rows(database, FUNCTIONS);
    assert!(functions.len() > 10, "{functions:?}");
    note("function ", &functions);
    page.push_str("\n## Functions\n");
    table(&mut page, &["function", "runs as", "what"], &quoted(functions, &[0]));
    page.push_str("\n## Changes\n");
    let changes: Vec<Vec<String>> = MIGRATIONS
        .iter()
        .map(|migration| {
            let about = migration.sql.lines().next().unwrap_or_default();
            let about = about.split_once(": ").map_or("", |(_, about)| about);
            let about = about.split_inclusive(". ").next().unwrap_or_default().trim_end();
            vec![migration.version.to_string(), migration.name.to_owned(), about.to_owned()]
        })
        .collect();
    note("migration ", &changes);
    table(&mut page, &["migration", "name", "what"], &changes);
    (page, bare)
}

#[test]
fn the_page_in_the_repository_is_the_schema() {
    let database = Database::new();
    let (made, bare) = page(&database);
    assert_eq!(bare, Vec::<String>::new(), "these have no comment");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/postgres-schema.md");
    if std::env::var_os("UPDATE_SCHEMA_PAGE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "run UPDATE_SCHEMA_PAGE=1 cargo test -p meshhook-postgres --test schema_page");
}
