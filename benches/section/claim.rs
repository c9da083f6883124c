//! A worker's look at what is due, beside much that is not; and how tables are filled.

use std::time::Duration;

use meshhook::id::WorkerId;
use meshhook::postgres::{PgOptions, PgStore, migrate};
use meshhook::store::{Claim, Ledger as _};
use tokio::time::Instant;

use super::measure::Bench;
use crate::kit::cluster::Database;
use crate::kit::{histogram, micros};

/// How many looks are timed.
const LOOKS: usize = 500;

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) async fn claim(bench: &Bench) {
    println!(
        "\nclaim: {LOOKS} looks with nothing due, with the lease's renewal\n{:<44} {:>8} {:>8}",
        "", "p50 ms", "p99 ms"
    );
    let databases = [bench.cluster.database(), bench.cluster.database()];
    for database in &databases {
        migrate(&database.url).await.expect("the schema is made");
    }
    look(&databases[0], "empty").await;
    fill_timers(bench, &databases[0], 1_000_000);
    bench.cluster.sql(&databases[0].name, "VACUUM ANALYZE");
    look(&databases[0], "1 M future timers in 20 projects").await;
    look(&databases[1], "empty").await;
    // Chunks are short: a claim does not read what has ended, however long it is.
    fill_finished(bench, &databases[1], 5_000_000, 50);
    bench.cluster.sql(&databases[1].name, "ANALYZE");
    look(&databases[1], "5 M finished runs").await;
    fill_timers(bench, &databases[1], 1_000_000);
    bench.cluster.sql(&databases[1].name, "VACUUM ANALYZE meshhook.live_runs");
    look(&databases[1], "5 M finished runs and 1 M future timers").await;
    databases.iter().for_each(|database| bench.cluster.drop(database));
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
async fn look(database: &Database, name: &str) {
    let store = PgStore::connect(&database.url, PgOptions::new()).await.expect("a store");
    let mut took = histogram();
    for look in 0..LOOKS + 50 {
        let claim = Claim {
            worker: WorkerId::new("bench").expect("a valid name"),
            limit: 64,
            suspects: 1,
            bytes: 8 << 20,
            messages: 1_000,
            lease: Duration::from_secs(60),
        };
        let from = Instant::now();
        let claimed = store.claim(claim).await.expect("a look");
        assert!(claimed.runs.is_empty(), "nothing is due");
        // The first ones plan.
        if look >= 50 {
            took.saturating_record(micros(from));
        }
    }
    let at = |quantile| took.value_at_quantile(quantile) as f64 / 1_000.0;
    println!("{name:<44} {:>8.3} {:>8.3}", at(0.5), at(0.99));
}

/// Runs of 20 projects that wait for a time far off.
pub(crate) fn fill_timers(bench: &Bench, database: &Database, count: u32) {
    let statement = format!(
        "INSERT INTO meshhook.live_runs (created_at, epoch, strikes, strike_seq, wake_at, run_id, test, project, \
             workflow, status, last_holder, digest) \
         SELECT 0, 1, 0, 0, 4000000000000000 + i, gen_random_uuid(), false, 'p' || i % 20, 'flow', 'waiting', 'w', \
             decode(repeat('ab', 32), 'hex') FROM generate_series(1, {count}) i"
    );
    bench.cluster.sql(&database.name, &statement);
}

/// Runs of the last minutes that have ended, each with a history of one chunk.
pub(crate) fn fill_finished(bench: &Bench, database: &Database, count: u32, chunk_bytes: u32) {
    let part = |from: u32, until: u32| {
        let ids = format!(
            "SELECT encode(substring(int8send(floor(extract(epoch FROM now()) * 1000)::bigint - i / 100) FROM 3) \
             || substring(uuid_send(gen_random_uuid()) FROM 7), 'hex')::uuid AS id \
             FROM generate_series({from}, {until}) i"
        );
        format!(
            "WITH ids AS MATERIALIZED ({ids}), ended AS (
                INSERT INTO meshhook.ended_runs (created_at, finished_at, version, run_id, test, project, workflow, status,
                    digest)
                SELECT 0, 0, 1, id, false, 'default', 'strict', 'succeeded', decode(repeat('ab', 32), 'hex') FROM ids)
            INSERT INTO meshhook.history (first_seq, last_seq, run_id, project, hash, chunk)
            SELECT 1, 12, id, 'default', decode(repeat('cd', 32), 'hex'), decode(repeat('7a', {chunk_bytes}), 'hex')
            FROM ids"
        )
    };
    std::thread::scope(|scope| {
        for half in [part(1, count / 2), part(count / 2 + 1, count)] {
            scope.spawn(move || bench.cluster.sql(&database.name, &half));
        }
    });
}
