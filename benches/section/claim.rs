//! A worker's look at what is due, beside much that is not; and how tables are filled.

use std::time::Duration;

use hdrhistogram::Histogram;
use meshhook::id::WorkerId;
use meshhook::postgres::{PgOptions, PgStore, migrate};
use meshhook::store::{Claim, Ledger as _};
use tokio::time::Instant;

use super::measure::{Bench, middle};
use crate::kit::cluster::Database;
use crate::kit::{histogram, micros};

/// How many looks are timed in a round.
const LOOKS: usize = 300;

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) async fn claim(bench: &Bench) {
    let [empty, timers, finished] = [0; 3].map(|_| bench.cluster.database());
    for database in [&empty, &timers, &finished] {
        migrate(&database.url).await.expect("the schema is made");
    }
    fill_timers(bench, &timers, bench.scaled(1_000_000));
    // Chunks are short: a claim does not read what has ended, however long it is.
    fill_finished(bench, &finished, bench.scaled(5_000_000), 50);
    for database in [&timers, &finished] {
        bench.cluster.sql(&database.name, "VACUUM ANALYZE");
    }
    println!(
        "\nclaim: looks with nothing due; ratio of p99 to the first\n{:<44} {:>8} {:>8} {:>8}",
        "", "p50 ms", "p99 ms", "ratio"
    );
    let many =
        [("empty", &empty), ("1 M future timers of 20 projects", &timers), ("5 M finished runs", &finished)];
    compare(bench, &many).await;
    fill_timers(bench, &finished, bench.scaled(1_000_000));
    bench.cluster.sql(&finished.name, "VACUUM ANALYZE meshhook.live_runs");
    compare(bench, &[("empty", &empty), ("5 M finished runs and 1 M timers", &finished)]).await;
    for database in [&empty, &timers, &finished] {
        bench.cluster.drop(database);
    }
}

/// Looks in turns.
#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
async fn compare(bench: &Bench, databases: &[(&str, &Database)]) {
    let mut stores = Vec::new();
    for (_, database) in databases {
        stores.push(PgStore::connect(&database.url, PgOptions::new()).await.expect("a store"));
    }
    let at = |took: &Histogram<u64>, quantile| took.value_at_quantile(quantile) as f64 / 1_000.0;
    let mut rounds: Vec<Vec<Histogram<u64>>> = vec![Vec::new(); stores.len()];
    for round in 0..=bench.rounds {
        for (store, rounds) in stores.iter().zip(&mut rounds) {
            let took = look(store).await;
            // In the first round sessions are new.
            if round > 0 {
                rounds.push(took);
            }
        }
    }
    for ((name, _), its) in databases.iter().zip(&rounds) {
        let of = |quantile| middle(its.iter().map(|took| at(took, quantile)).collect());
        let ratios = its.iter().zip(&rounds[0]).map(|(took, base)| at(took, 0.99) / at(base, 0.99));
        println!("{name:<44} {:>8.3} {:>8.3} {:>8.2}", of(0.5), of(0.99), middle(ratios.collect()));
    }
}

async fn look(store: &PgStore) -> Histogram<u64> {
    let mut took = histogram();
    for _ in 0..LOOKS {
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
        took.saturating_record(micros(from));
    }
    took
}

/// Runs of 20 projects that wait for a time far off.
pub(crate) fn fill_timers(bench: &Bench, database: &Database, count: u32) {
    let statement = format!(
        "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, wake_at, run_id, test, project, \
             workflow, status, last_holder, digest) \
         SELECT 0, 1, 1, 0, 0, 4000000000000000 + i, gen_random_uuid(), false, 'p' || i % 20, 'flow', 'waiting', 'w', \
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
