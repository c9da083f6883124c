//! Figures that do not depend on how fast or how busy the machine is, held against bounds.
//!
//! What a run costs in transactions, calls of the store and bytes of the log is decided by the code. The bounds are in
//! `benches/gate.json`: `exactly`, or `at_most` with some room for how runs happen to meet in a transaction.

use std::time::Duration;

use serde_json::Value;

use super::host::{Host, Setup};
use super::load::Place;
use super::measure::{Bench, Sample, Subject};
use super::raw::Raw;
use super::shape::Shape;
use super::throughput::stop;
use crate::kit::stub::stub;

const BOUNDS: &str = include_str!("../gate.json");

/// Prints each figure beside its bound; answers whether all are within.
#[expect(clippy::print_stdout, reason = "a gate says what it found")]
pub(crate) async fn gate(bench: &Bench) -> bool {
    let bounds: Value = serde_json::from_str(BOUNDS).expect("the bounds are JSON");
    let figures = figures(bench).await;
    let mut is_open = true;
    println!("{:<48} {:>12} {:>18}", "", "measured", "bound");
    for (name, measured) in &figures {
        let exactly = bounds[name]["exactly"].as_f64();
        let at_most = bounds[name]["at_most"].as_f64();
        let (holds, bound) = match (exactly, at_most) {
            (Some(bound), _) => ((measured - bound).abs() < 1e-9, format!("exactly {bound}")),
            (None, Some(bound)) => (*measured <= bound, format!("at most {bound}")),
            (None, None) => (false, "none is set".into()),
        };
        is_open &= holds;
        let verdict = if holds { "" } else { "  <- out of bounds" };
        println!("{name:<48} {measured:>12.3} {bound:>18}{verdict}");
    }
    for name in bounds.as_object().into_iter().flat_map(|bounds| bounds.keys()) {
        if !figures.iter().any(|(figure, _)| figure == name) {
            println!("{name:<48} is not measured any more");
            is_open = false;
        }
    }
    is_open
}

/// What was measured, by name.
type Figures = Vec<(String, f64)>;

async fn figures(bench: &Bench) -> Figures {
    let mut figures = Vec::new();
    alone(bench, &mut figures).await;
    saturated(bench, &mut figures).await;
    idle(bench, &mut figures).await;
    figures
}

/// One run after the other: what each costs when nothing is shared.
async fn alone(bench: &Bench, figures: &mut Figures) {
    let database = bench.cluster.database();
    let setup = Setup { stub: stub(Duration::ZERO).await, is_calm: true, ..Setup::on(&database) };
    let host = Host::start(&setup).await;
    let (store, place) = (host.store.clone(), Place::Here(host));
    for (shape, name) in [
        (Shape::Pure, "pure"),
        (Shape::OneCall, "1 call"),
        (Shape::ThreeCalls, "3 calls"),
        (Shape::Strict, "strict"),
    ] {
        let alone = Subject::closed(name, &place, shape, 1);
        bench.sample(&alone, WARM_UP).await;
        let before = store.counts();
        let sample = bench.sample(&alone, ALONE).await;
        let commits = store.counts().of("commit") - before.of("commit");
        for (what, figure) in [
            ("commits", commits as f64 / sample.runs),
            ("store calls", sample.calls),
            ("write transactions", sample.writes),
            ("WAL bytes", sample.log),
        ] {
            figures.push((format!("{name}: {what}, alone"), figure));
        }
    }
    stop(place).await;
}

/// Many runs on a store that is slower than they are, however slow this build and machine may be; beside the same rows
/// written by nobody in particular.
async fn saturated(bench: &Bench, figures: &mut Figures) {
    let database = bench.cluster.database();
    let delay = SLOW.as_millis() as u64;
    let setup = Setup { is_calm: true, commit_delay_ms: delay, ..Setup::on(&database) };
    let place = Place::Here(Host::start(&setup).await);
    let raw = Raw::like(&bench.cluster, &database, &place).await;
    let (raw, half) = (&raw, bench.in_flight / 2);
    for (shape, name) in [(Shape::Pure, "pure"), (Shape::Strict, "strict")] {
        let many = Subject::closed(name, &place, shape, bench.in_flight);
        bench.sample(&many, WARM_UP).await;
        let sample: Sample = bench.sample(&many, MANY).await;
        let rows = Subject::new("raw", std::process::id(), move |span| raw.batched(shape, 2, half, span));
        bench.sample(&rows, WARM_UP).await;
        let rows = bench.sample(&rows, ALONE).await;
        figures.push((format!("{name}: write transactions, saturated"), sample.writes));
        figures.push((format!("{name}: WAL bytes, saturated"), sample.log));
        figures.push((format!("{name}: WAL bytes, saturated, to raw rows"), sample.log / rows.log));
    }
    stop(place).await;
}

/// A process without work. Watched from one look to the end of so many seconds, so that no look more is counted than there
/// were intervals.
async fn idle(bench: &Bench, figures: &mut Figures) {
    let database = bench.cluster.database();
    let host = Host::start(&Setup::on(&database)).await;
    tokio::time::sleep(SETTLE).await;
    let calls = || host.store.counts().total();
    let looked = calls();
    while calls() == looked {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The look itself is to be over.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (before_calls, before) = (calls(), bench.cluster.spent());
    tokio::time::sleep(IDLE).await;
    let per_second = |count: f64| count / IDLE.as_secs_f64();
    let writes = bench.cluster.spent().writes - before.writes;
    figures.push(("idle: store calls per second".into(), per_second((calls() - before_calls) as f64)));
    figures.push(("idle: write transactions per second".into(), per_second(writes)));
    host.stop().await;
}

const WARM_UP: Duration = Duration::from_millis(300);
const ALONE: Duration = Duration::from_millis(700);
const MANY: Duration = Duration::from_secs(2);
/// How long a commit takes on the slow store.
const SLOW: Duration = Duration::from_millis(20);
const SETTLE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(6);
