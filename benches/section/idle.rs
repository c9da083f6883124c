//! What a process without work asks of the database.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Server, Setup};
use super::measure::Bench;

/// How long it is watched.
const WATCH: Duration = Duration::from_secs(15);

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) async fn idle(bench: &Bench) {
    let database = bench.cluster.database();
    let server = Arc::new(Server::start(&Setup::on(&database)));
    let commits = || -> f64 {
        let count = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{}'", database.name);
        bench.cluster.sql("postgres", &count).parse().expect("a number")
    };
    let calls = || server.counts().total();
    // Until it has settled, and all its sessions have told what they did: one that is idle waits 10 s with that.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (before, before_calls, spent) = (commits(), calls(), bench.cluster.spent());
    let own = server.cpu_micros();
    tokio::time::sleep(WATCH).await;
    let (after, spent_after) = (commits(), bench.cluster.spent());
    let per_second = |total: f64| total / WATCH.as_secs_f64();
    println!(
        "\nidle: one process for {} s, per second\n{:>13} {:>13} {:>13} {:>13} {:>13}",
        WATCH.as_secs(),
        "transactions",
        "of them write",
        "store calls",
        "DB us",
        "own us"
    );
    println!(
        "{:>13.2} {:>13.2} {:>13.2} {:>13.0} {:>13.0}",
        per_second(after - before),
        per_second(spent_after.writes - spent.writes),
        per_second((calls() - before_calls) as f64),
        per_second(spent_after.cpu - spent.cpu),
        per_second(server.cpu_micros() - own),
    );
    drop(server);
    bench.cluster.drop(&database);
}
