//! What Postgres itself could do: the engine's own rows, written by nobody in particular.
//!
//! The tables are copies of the engine's, with their indexes, without partitions and walls; the rows are copies of those
//! of a run that the engine made, each with an id of its own. Many runs share a transaction, which is one statement, or
//! (naive) each action has one of its own, as most engines work: start, claim, five steps, end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meshhook::clock::{Clock as _, SystemClock};
use meshhook::id::RunId;
use sqlx::types::Uuid;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::Instant;

use super::load::{Place, Tally};
use super::shape::Shape;
use crate::kit::cluster::{Cluster, Database};
use crate::kit::{histogram, micros};

/// The tables, and whose rows go into them.
#[derive(Clone)]
pub(crate) struct Raw {
    url: String,
    statements: Arc<Statements>,
    /// The chunks of a run of each shape.
    chunks: Arc<BTreeMap<&'static str, Vec<Vec<u8>>>>,
    next: Arc<AtomicU64>,
}

/// Each takes ids as `$1`; where a chunk is written, chunks as `$2`, the shape as `$3` and which one it is as `$4`.
struct Statements {
    start: &'static str,
    advance: &'static str,
    end: &'static str,
    /// A run that ends with its start.
    whole: &'static str,
    wait: &'static str,
    claim: &'static str,
    touch: &'static str,
    leave: &'static str,
}

impl Raw {
    /// Copies what the engine's runs at a place look like there.
    pub(crate) async fn like(cluster: &Cluster, database: &Database, place: &Place) -> Self {
        // Nobody waits for the first; it has ended by the time that the others have.
        for shape in [Shape::Accept, Shape::Strict, Shape::Pure] {
            place.closed(shape, 1, Duration::from_millis(50)).await;
        }
        for table in ["live_runs", "ended_runs", "history", "dedupe"] {
            let copy = format!(
                "CREATE SCHEMA IF NOT EXISTS raw; CREATE TABLE raw.{table} (LIKE meshhook.{table} INCLUDING ALL)"
            );
            cluster.sql(&database.name, &copy);
        }
        cluster.sql(&database.name, SAMPLES);
        let mut connection = PgConnection::connect(&database.admin).await.expect("a connection");
        let mut chunks = BTreeMap::new();
        for shape in [Shape::Pure, Shape::Strict, Shape::Accept] {
            let query = sqlx::query("SELECT chunk FROM raw.history_sample WHERE shape = $1 ORDER BY place");
            let rows = query.bind(shape.slug()).fetch_all(&mut connection).await.expect("rows");
            chunks.insert(shape.slug(), rows.iter().map(|row| row.get(0)).collect());
        }
        let columns = |table: &str, but: &str| {
            let list = format!(
                "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped \
                 AND attrelid = 'meshhook.{table}'::regclass AND NOT attname = ANY ('{{{but}}}')"
            );
            cluster.sql(&database.name, &list)
        };
        let statements = Statements::new(columns);
        Self {
            url: database.admin.clone(),
            statements: Arc::new(statements),
            chunks: Arc::new(chunks),
            next: Arc::default(),
        }
    }

    /// Many runs in each transaction, each of their durable points one.
    pub(crate) async fn batched(&self, shape: Shape, lanes: usize, size: usize, span: Duration) -> Tally {
        self.load(lanes, span, async move |raw, connection| {
            let ids: Vec<Uuid> = (0..size).map(|_| raw.id()).collect();
            let chunks = &raw.chunks[shape.slug()];
            // Nobody waits for what is only accepted.
            let points = if shape == Shape::Accept { 1 } else { chunks.len() };
            for place in 0..points {
                let statement = match place {
                    _ if shape == Shape::Pure => raw.statements.whole,
                    0 => raw.statements.start,
                    _ if place + 1 == points => raw.statements.end,
                    _ => raw.statements.advance,
                };
                raw.write(connection, statement, &ids, shape, place).await;
            }
            (size as u64, points as u64)
        })
        .await
    }

    /// Each action its own transaction, each statement its own round trip.
    pub(crate) async fn naive(&self, lanes: usize, span: Duration) -> Tally {
        let shape = Shape::Strict;
        self.load(lanes, span, async move |raw, connection| {
            let statements = &raw.statements;
            let ids = [raw.id()];
            begin(connection).await;
            raw.write(connection, statements.advance, &ids, shape, 0).await;
            bound(connection, statements.wait, &ids).await;
            commit(connection).await;
            begin(connection).await;
            // What was due when a statement began may be another lane's by now; the next one sees what came since.
            let claimed = loop {
                let claimed = sqlx::query(statements.claim).fetch_optional(&mut *connection).await;
                if let Some(claimed) = claimed.expect("the query is answered") {
                    break claimed;
                }
            };
            commit(connection).await;
            let ids = [claimed.get(0)];
            for place in 1..raw.chunks[shape.slug()].len() {
                begin(connection).await;
                raw.write(connection, statements.advance, &ids, shape, place).await;
                bound(connection, statements.touch, &ids).await;
                commit(connection).await;
            }
            begin(connection).await;
            bound(connection, statements.leave, &ids).await;
            commit(connection).await;
            (1, 2 + raw.chunks[shape.slug()].len() as u64)
        })
        .await
    }

    /// Lanes that do something over and over; it answers how many runs it made in how many transactions.
    async fn load(
        &self,
        lanes: usize,
        span: Duration,
        once: impl AsyncFn(&Raw, &mut PgConnection) -> (u64, u64) + Copy,
    ) -> Tally {
        let mut connections = Vec::new();
        for _ in 0..lanes {
            let mut connection = PgConnection::connect(&self.url).await.expect("a connection");
            connection.execute(PLANS).await.expect("settings");
            connections.push(connection);
        }
        let begun = Instant::now();
        let lane = async |mut connection: PgConnection| {
            let (mut took, mut transactions) = (histogram(), 0);
            while begun.elapsed() < span {
                let from = Instant::now();
                let (runs, its) = once(self, &mut connection).await;
                took.saturating_record_n(micros(from), runs);
                transactions += its;
            }
            (took, transactions)
        };
        let (mut took, mut calls) = (histogram(), 0);
        for (its, transactions) in futures_util::future::join_all(connections.into_iter().map(lane)).await {
            took.add(its).expect("equal histograms");
            calls += transactions;
        }
        Tally { micros: took, refused: 0, calls, seconds: begun.elapsed().as_secs_f64() }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        statement: &'static str,
        ids: &[Uuid],
        shape: Shape,
        place: usize,
    ) {
        let chunks: Vec<&[u8]> = ids.iter().map(|_| &*self.chunks[shape.slug()][place]).collect();
        let place = i64::try_from(place).expect("few");
        let query = sqlx::query(statement).bind(ids).bind(chunks).bind(shape.slug()).bind(place);
        query.execute(connection).await.expect("rows are written");
    }

    /// An id as runs have them: of the time.
    fn id(&self) -> Uuid {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        Uuid::from_bytes(*RunId::new(SystemClock.now(), random).as_bytes())
    }
}

async fn begin(connection: &mut PgConnection) {
    connection.execute("BEGIN").await.expect("a transaction");
}

async fn commit(connection: &mut PgConnection) {
    connection.execute("COMMIT").await.expect("it commits");
}

async fn bound(connection: &mut PgConnection, statement: &'static str, ids: &[Uuid]) {
    sqlx::query(statement).bind(ids).execute(connection).await.expect("rows are written");
}

/// Plans that were made while the tables were tiny stay good.
const PLANS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_sort = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// One row of each table, and the chunks of one run of each shape. A row of a live run is one of an ended run, held.
const SAMPLES: &str = "
    CREATE TABLE raw.ended_sample AS SELECT * FROM meshhook.ended_runs WHERE workflow = 'strict' LIMIT 1;
    CREATE TABLE raw.dedupe_sample AS SELECT * FROM meshhook.dedupe LIMIT 1;
    CREATE TABLE raw.live_sample AS SELECT * FROM meshhook.live_runs LIMIT 0;
    INSERT INTO raw.live_sample (run_id, created_at, epoch, claim, strikes, strike_seq, version, test, project, workflow, status,
        owner, last_holder, digest)
    SELECT run_id, created_at, 1, 1, 0, 0, version, test, project, workflow, 'running', w.worker, w.worker, digest
    FROM raw.ended_sample, (SELECT worker FROM meshhook.workers LIMIT 1) w;
    CREATE TABLE raw.history_sample AS
    SELECT h.*, r.workflow AS shape, row_number() OVER (PARTITION BY r.run_id ORDER BY h.first_seq) - 1 AS place
    FROM (SELECT DISTINCT ON (workflow) workflow, run_id FROM meshhook.ended_runs ORDER BY workflow, run_id) r
    JOIN meshhook.history h ON h.run_id = r.run_id";

impl Statements {
    /// `columns` answers a table's columns but some.
    fn new(columns: impl Fn(&str, &str) -> String) -> Self {
        let ended = columns("ended_runs", "run_id");
        let (live, waiting) = (columns("live_runs", "run_id"), columns("live_runs", "run_id,owner,wake_at"));
        let (history, dedupe) = (columns("history", "run_id,chunk"), columns("dedupe", "run_id,key"));
        let ids = "FROM unnest($1::uuid[]) AS u (i)";
        let chunk = format!(
            "INSERT INTO raw.history (run_id, chunk, {history}) SELECT u.i, u.c, {history} \
             FROM unnest($1::uuid[], $2::bytea[]) AS u (i, c), \
             (SELECT {history} FROM raw.history_sample WHERE shape = $3 AND place = $4) s"
        );
        let key = format!(
            "INSERT INTO raw.dedupe (run_id, key, {dedupe}) SELECT u.i, uuid_send(u.i) || uuid_send(u.i), {dedupe} \
             {ids}, raw.dedupe_sample"
        );
        let begin =
            format!("INSERT INTO raw.live_runs (run_id, {live}) SELECT u.i, {live} {ids}, raw.live_sample");
        let finish = format!(
            "INSERT INTO raw.ended_runs (run_id, {ended}) SELECT u.i, {ended} {ids}, raw.ended_sample"
        );
        let gone = "DELETE FROM raw.live_runs l USING unnest($1::uuid[]) AS u (i) \
                    WHERE l.project = 'default' AND l.run_id = u.i";
        let wait = format!(
            "WITH k AS ({key}) INSERT INTO raw.live_runs (run_id, wake_at, {waiting}) \
             SELECT u.i, 0, {waiting} {ids}, raw.live_sample"
        );
        let claim = "UPDATE raw.live_runs SET owner = last_holder, wake_at = NULL WHERE (project, run_id) = (\
                     SELECT project, run_id FROM raw.live_runs WHERE wake_at <= 1 ORDER BY project, wake_at LIMIT 1 \
                     FOR UPDATE SKIP LOCKED) RETURNING run_id";
        let touch = "UPDATE raw.live_runs l SET strike_seq = l.strike_seq + 1 FROM unnest($1::uuid[]) AS u (i) \
                     WHERE l.project = 'default' AND l.run_id = u.i";
        Self {
            start: format!("WITH h AS ({chunk}), k AS ({key}) {begin}").leak(),
            end: format!("WITH h AS ({chunk}), g AS ({gone}) {finish}").leak(),
            whole: format!("WITH h AS ({chunk}), k AS ({key}) {finish}").leak(),
            leave: format!("WITH g AS ({gone}) {finish}").leak(),
            advance: chunk.leak(),
            wait: wait.leak(),
            claim,
            touch,
        }
    }
}
