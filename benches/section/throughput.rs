//! How many runs per second, and what each costs.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Host, Server, Setup};
use super::load::Place;
use super::measure::{Bench, Subject, median};
use super::raw::Raw;
use super::shape::Shape;
use crate::kit::stub::stub;

pub(crate) async fn pure(bench: &Bench) {
    beside_raw(bench, Shape::Pure, "pure").await;
}

pub(crate) async fn strict(bench: &Bench) {
    beside_raw(bench, Shape::Strict, "strict").await;
}

/// A shape, beside the same rows from nobody in particular. Each has a database of its own.
async fn beside_raw(bench: &Bench, shape: Shape, name: &str) {
    let databases = [bench.cluster.database(), bench.cluster.database()];
    let here = Place::Here(Host::start(&Setup::on(&databases[0])).await);
    let there = Place::There(Arc::new(Server::start(&Setup::on(&databases[1]))));
    let raw = Raw::like(&bench.cluster, &databases[1], &there).await;
    let (raw, half) = (&raw, bench.in_flight / 2);
    let mut subjects = vec![
        Subject::new(format!("raw, 2 lanes of {half}"), std::process::id(), move |span| {
            raw.batched(shape, 2, half, span)
        }),
        Subject::closed("engine in this process", &here, shape, bench.in_flight),
        Subject::closed("engine over HTTP", &there, shape, bench.in_flight),
    ];
    if shape == Shape::Strict {
        subjects.push(Subject::new("HTTP, nobody waits", there.process(), |span| {
            there.unawaited(Shape::Accept, bench.in_flight, span)
        }));
        let naive = Subject::new("naive, 8 clients", std::process::id(), move |span| raw.naive(8, span));
        subjects.insert(1, naive);
    }
    let title = format!("{name}: {} in flight; ratio to raw", bench.in_flight);
    bench.compare(&title, &subjects).await;
    drop(subjects);
    drop(there);
    stop(here).await;
    databases.iter().for_each(|database| bench.cluster.drop(database));
}

pub(crate) async fn calls(bench: &Bench) {
    let mut places = Vec::new();
    for pause in [0, 20] {
        let database = bench.cluster.database();
        let setup = Setup { stub: stub(Duration::from_millis(pause)).await, ..Setup::on(&database) };
        places.push((pause, Place::There(Arc::new(Server::start(&setup))), database));
    }
    let mut subjects = Vec::new();
    for (shape, calls) in [(Shape::OneCall, "1 call"), (Shape::ThreeCalls, "3 calls")] {
        for (pause, place, _) in &places {
            subjects.push(Subject::closed(format!("{calls} of {pause} ms"), place, shape, bench.in_flight));
        }
    }
    let title = format!("calls: over HTTP, {} in flight; ratio to the first", bench.in_flight);
    bench.compare(&title, &subjects).await;
    drop(subjects);
    for (_, place, database) in places {
        drop(place);
        bench.cluster.drop(&database);
    }
}

pub(crate) async fn intake(bench: &Bench) {
    let [models, database, bare] = [0; 3].map(|_| bench.cluster.database());
    let model = Place::There(Arc::new(Server::start(&Setup::on(&models))));
    let raw = Raw::like(&bench.cluster, &models, &model).await;
    drop(model);
    let taking = |setup: Setup| Place::There(Arc::new(Server::start(&Setup { works: false, ..setup })));
    let there = taking(Setup::on(&database));
    let without_inbox = taking(Setup { without_inbox: true, ..Setup::on(&bare) });
    let (raw, half) = (&raw, bench.in_flight / 2);
    let subjects = [
        Subject::new(format!("raw, 2 lanes of {half}"), std::process::id(), move |span| {
            raw.batched(Shape::Accept, 2, half, span)
        }),
        Subject::closed(
            format!("HTTP, {} connections", bench.in_flight),
            &there,
            Shape::Accept,
            bench.in_flight,
        ),
        Subject::closed("  without an inbox", &without_inbox, Shape::Accept, bench.in_flight),
        Subject::closed("HTTP, 64 connections", &there, Shape::Accept, 64),
        Subject::closed("  without an inbox", &without_inbox, Shape::Accept, 64),
        Subject::closed("HTTP, 1 connection", &there, Shape::Accept, 1),
    ];
    let samples =
        bench.compare("intake: signed, deduplicated, committed, 202; ratio to raw", &subjects).await;
    let capacity = median(&samples[1], |sample| sample.rate);
    let paced: Vec<_> = [10.0, 50.0, 90.0]
        .map(|percent| {
            Subject::paced(format!("at {percent} %"), &there, Shape::Accept, capacity * percent / 100.0)
        })
        .into();
    let title = format!("intake at a given rate, of {capacity:.0}/s; ratio to the first");
    bench.compare(&title, &paced).await;
    drop(subjects);
    drop(paced);
    drop((there, without_inbox));
    [models, database, bare].iter().for_each(|database| bench.cluster.drop(database));
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
pub(crate) async fn alone(bench: &Bench) {
    let database = bench.cluster.database();
    let setup = Setup { stub: stub(Duration::ZERO).await, is_calm: true, ..Setup::on(&database) };
    let there = Place::There(Arc::new(Server::start(&setup)));
    let subjects = [
        Subject::closed("5 transforms", &there, Shape::Pure, 1),
        Subject::closed("1 http_call", &there, Shape::OneCall, 1),
        Subject::closed("3 http_calls", &there, Shape::ThreeCalls, 1),
        Subject::closed("5 effects", &there, Shape::Strict, 1),
    ];
    bench.compare("alone: over HTTP, 1 in flight, until the end; ratio to the first", &subjects).await;
    drop(subjects);
    println!("\ncalls of the store per run");
    for shape in [Shape::Pure, Shape::OneCall, Shape::ThreeCalls, Shape::Strict] {
        let before = there.counts();
        let runs = there.closed(shape, 1, bench.span / 4).await.runs();
        let share = |(call, count): (&String, &u64)| {
            let each = (count - before.of(call)) as f64 / runs;
            (each > 0.005).then(|| format!("{call} {each:.2}"))
        };
        let shares: Vec<String> = there.counts().calls.iter().filter_map(share).collect();
        println!("{:<12} {}", shape.slug(), shares.join(", "));
    }
    drop(there);
    bench.cluster.drop(&database);
}

pub(crate) async fn stop(place: Place) {
    if let Place::Here(host) = place {
        host.stop().await;
    }
}
