//! Strict runs over HTTP under conditions, beside the same without.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::claim::{fill_finished, fill_timers};
use super::host::{Server, Setup};
use super::load::{Place, Tally, follow};
use super::measure::{Bench, Subject, heading, show};
use super::shape::Shape;
use crate::kit::cluster::Database;

fn start(setup: &Setup) -> Place {
    Place::There(Arc::new(Server::start(setup)))
}

/// Each commit's reply is held back by a wrapper around the store.
pub(crate) async fn slow(bench: &Bench) {
    let databases = [bench.cluster.database(), bench.cluster.database()];
    let slower = Setup { commit_delay_ms: 5, ..Setup::on(&databases[1]) };
    let places = [start(&Setup::on(&databases[0])), start(&slower)];
    let in_flight = bench.in_flight * 2;
    let subjects = [
        Subject::closed("as it is", &places[0], Shape::Strict, in_flight),
        Subject::closed("5 ms later", &places[1], Shape::Strict, in_flight),
    ];
    bench.compare(&format!("slow commits: strict, {in_flight} in flight"), &subjects).await;
    drop(subjects);
    drop(places);
    databases.iter().for_each(|database| bench.cluster.drop(database));
}

/// Another session has a snapshot, so that nothing that dies meanwhile can be cleaned up.
pub(crate) async fn snapshot(bench: &Bench) {
    let database = bench.cluster.database();
    let place = start(&Setup::on(&database));
    let pinned = async |span| {
        let mut other = PgConnection::connect(&database.admin).await.expect("a connection");
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("a transaction");
        other.execute("SELECT count(*) FROM meshhook.workers").await.expect("a snapshot");
        let tally = place.closed(Shape::Strict, bench.in_flight, span).await;
        other.execute("ROLLBACK").await.expect("it ends");
        other.execute("VACUUM meshhook.live_runs").await.expect("it is cleaned up");
        tally
    };
    let subjects = [
        Subject::closed("without", &place, Shape::Strict, bench.in_flight),
        Subject::new("a snapshot is kept", place.process(), pinned),
    ];
    let title = format!("snapshot: strict, {} in flight", bench.in_flight);
    bench.compare(&title, &subjects).await;
    drop(subjects);
    drop(place);
    bench.cluster.drop(&database);
}

pub(crate) async fn streams(bench: &Bench) {
    let database = bench.cluster.database();
    let server = Arc::new(Server::start(&Setup::on(&database)));
    let place = Place::There(server.clone());
    let with = async |watched: usize, span: Duration| -> Tally {
        let (mut tally, followed) = tokio::join!(
            place.closed(Shape::Strict, bench.in_flight - watched, span),
            follow(&server, watched, span)
        );
        tally.micros.add(followed).expect("equal histograms");
        tally
    };
    let [few, many] = [bench.in_flight / 16, bench.in_flight / 4];
    let subjects = [
        Subject::closed("without", &place, Shape::Strict, bench.in_flight),
        Subject::new(format!("{few} live streams"), place.process(), async |span| with(few, span).await),
        Subject::new(format!("{many} live streams"), place.process(), async |span| with(many, span).await),
    ];
    let title = format!("streams: strict, {} in flight", bench.in_flight);
    bench.compare(&title, &subjects).await;
    drop(subjects);
    drop(place);
    drop(server);
    bench.cluster.drop(&database);
}

/// The sessions that first met empty tables, and new ones after `VACUUM ANALYZE`.
pub(crate) async fn grown(bench: &Bench) {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..bench.rounds {
        let database = bench.cluster.database();
        let mut place = start(&Setup::on(&database));
        keep_from_vacuum(bench, &database);
        place.closed(Shape::Strict, 8, Duration::from_millis(300)).await;
        fill_finished(bench, &database, bench.scaled(100_000), 1_000);
        fill_timers(bench, &database, bench.scaled(100_000));
        for (turn, samples) in samples.iter_mut().enumerate() {
            if turn == 1 {
                drop(place);
                bench.cluster.sql(&database.name, "VACUUM ANALYZE");
                place = start(&Setup::on(&database));
            }
            let subject = Subject::closed("", &place, Shape::Strict, bench.in_flight);
            bench.sample(&subject, bench.span / 4).await;
            samples.push(bench.sample(&subject, bench.span).await);
        }
        drop(place);
        bench.cluster.drop(&database);
    }
    let [grown, fresh] = samples;
    heading(&format!("grown: strict, {} in flight, 100,000 runs and timers more", bench.in_flight));
    show("new sessions, analyzed", &fresh, &fresh);
    show("first sessions, unanalyzed", &grown, &fresh);
}

fn keep_from_vacuum(bench: &Bench, database: &Database) {
    let off = "DO $$ DECLARE t regclass; BEGIN
        FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'meshhook'::regnamespace AND relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', t);
        END LOOP; END $$";
    bench.cluster.sql(&database.name, off);
}

pub(crate) async fn finished(bench: &Bench) {
    let databases = [bench.cluster.database(), bench.cluster.database()];
    let places = [0, 1].map(|place| start(&Setup::on(&databases[place])));
    fill_finished(bench, &databases[1], bench.scaled(1_000_000), 1_000);
    bench.cluster.sql(&databases[1].name, "VACUUM ANALYZE");
    let in_flight = bench.in_flight;
    for (shape, name) in [(Shape::Strict, "strict"), (Shape::Pure, "pure")] {
        let subjects = [
            Subject::closed("empty", &places[0], shape, in_flight),
            Subject::closed("1 M finished runs", &places[1], shape, in_flight),
        ];
        bench.compare(&format!("finished: {name}, {in_flight} in flight"), &subjects).await;
    }
    drop(places);
    databases.iter().for_each(|database| bench.cluster.drop(database));
}
