//! What commits cost: rate, database time, log and transactions per run, beside the least that Postgres could do.
//!
//! Run with `cargo bench -p meshhook-postgres --bench commits -- [seconds]`. A durable server is started on the disk (`MESHHOOK_BENCH_FOLDER`, or the
//! system's folder for temporary files), with `fsync` and `synchronous_commit` on. The time that the server's processes
//! took is steadier than rates on a machine with other work: compare by that.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench is a test that prints")]
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{
    AdvanceRun, Claim, Commit, CommitOutcome, Dedupe, Hold, Ledger, StartRun, WakeUp,
};
use meshhook_core::time::Timestamp;
use meshhook_postgres::{PgOptions, PgStore, migrate};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use throwaway_postgres::{Server, Settings};

/// Effects per run in the strict shape.
const EFFECTS: u64 = 5;

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(3);
    let settings = Settings {
        durable: true,
        folder: std::env::var_os("MESHHOOK_BENCH_FOLDER").map(Into::into),
        settings: ["shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=30min"]
            .map(String::from)
            .into(),
        ..Settings::default()
    };
    let server = Server::start(&settings).unwrap();
    let roles = "CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN;";
    server.sql("postgres", roles).unwrap();
    server.sql("postgres", "CREATE DATABASE bench OWNER owner").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        migrate(&server.url_as(Some("owner"), "bench")).await.unwrap();
        server.sql("bench", &meshhook_postgres::grant_sql("app")).unwrap();
        let store = PgStore::connect(&server.url_as(Some("app"), "bench"), PgOptions::new()).await.unwrap();
        let bench = Bench {
            store: Arc::new(store),
            url: server.url("bench"),
            span: Duration::from_secs(seconds),
            next: Arc::default(),
            postmaster: {
                let file = server.folder().unwrap().join("data/postmaster.pid");
                std::fs::read_to_string(file).unwrap().lines().next().unwrap_or_default().to_owned()
            },
        };
        bench.store.renew(&worker(), Duration::from_secs(86_400)).await.unwrap();
        println!(
            "{:<34} {:>9} {:>10} {:>10} {:>9} {:>8}",
            "shape", "runs/s", "db us/run", "us/run", "wal B/run", "tx/run"
        );
        for (lanes, size) in [(1, 1), (2, 64), (2, 256)] {
            bench.raw(lanes, size).await;
            bench.measure("pure", lanes, size, pure).await;
            bench.measure("strict, 5 effects", lanes, size, strict).await;
            bench.measure("accept with key, then end", lanes, size, accept).await;
        }
        bench.claims(&server).await;
    });
}

#[derive(Clone)]
struct Bench {
    store: Arc<PgStore>,
    url: String,
    span: Duration,
    next: Arc<AtomicU64>,
    /// The server's process.
    postmaster: String,
}

/// Processor time of the server's processes, in microseconds, the log's position, and transactions that wrote.
struct Mark {
    server: f64,
    own: f64,
    log: f64,
    writes: f64,
    at: Instant,
}

impl Bench {
    async fn mark(&self, connection: &mut PgConnection) -> Mark {
        let row = connection
            .fetch_one(
                "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8, pg_snapshot_xmax(pg_current_snapshot())::text::float8",
            )
            .await
            .unwrap();
        Mark {
            server: ticks(Some(&self.postmaster)),
            own: ticks(None),
            log: row.get(0),
            writes: row.get(1),
            at: Instant::now(),
        }
    }

    /// Runs a shape on several lanes at once for a while.
    async fn measure<F>(
        &self,
        name: &str,
        lanes: usize,
        size: u64,
        shape: impl Fn(Bench, u64) -> F + Copy + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection.execute("CHECKPOINT").await.unwrap();
        let before = self.mark(&mut connection).await;
        let until = Instant::now() + self.span;
        let done = Arc::new(AtomicU64::new(0));
        let tasks = (0..lanes).map(|_| {
            let (bench, done) = (self.clone(), done.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    shape(bench.clone(), size).await;
                    done.fetch_add(size, Ordering::Relaxed);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let after = self.mark(&mut connection).await;
        let runs = done.load(Ordering::Relaxed) as f64;
        println!(
            "{:<34} {:>9.0} {:>10.1} {:>10.1} {:>9.0} {:>8.3}",
            format!("{name}, {lanes} x {size}"),
            runs / (after.at - before.at).as_secs_f64(),
            (after.server - before.server) / runs,
            (after.own - before.own) / runs,
            (after.log - before.log) / runs,
            (after.writes - before.writes) / runs,
        );
    }

    /// The same rows as a strict run writes, by plain inserts and updates of a bare schema.
    async fn raw(&self, lanes: usize, size: u64) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        connection
            .execute(
                "CREATE TABLE IF NOT EXISTS raw_runs (id uuid PRIMARY KEY, project text, workflow text, status text, \
                 created_at bigint, finished_at bigint);
                 CREATE INDEX IF NOT EXISTS raw_runs_a ON raw_runs (project, workflow, id);
                 CREATE INDEX IF NOT EXISTS raw_runs_b ON raw_runs (status) WHERE status <> 'done';
                 CREATE TABLE IF NOT EXISTS raw_events (id uuid, seq int, data bytea, PRIMARY KEY (id, seq));",
            )
            .await
            .unwrap();
        self.measure("raw limit, 7 durable points", lanes, size, |bench, size| async move {
            let mut connection = PgConnection::connect(&bench.url).await.unwrap();
            connection
                .execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
                .await
                .unwrap();
            for _ in 0..4 {
                let ids: Vec<sqlx::types::Uuid> = (0..size).map(|_| sqlx::types::Uuid::from_bytes(*bench.id().as_bytes())).collect();
                let data: Vec<Vec<u8>> = (0..size).map(|_| vec![b'x'; 200]).collect();
                sqlx::query("WITH r AS (INSERT INTO raw_runs SELECT i, 'default', 'flow', 'running', 1 FROM unnest($1::uuid[]) i) INSERT INTO raw_events SELECT i, 1, d FROM unnest($1::uuid[], $2::bytea[]) u (i, d)")
                    .bind(&ids).bind(&data).execute(&mut connection).await.unwrap();
                for seq in 2..=5 {
                    sqlx::query("INSERT INTO raw_events SELECT i, $3, d FROM unnest($1::uuid[], $2::bytea[]) u (i, d)")
                        .bind(&ids).bind(&data).bind(seq).execute(&mut connection).await.unwrap();
                }
                sqlx::query("WITH e AS (INSERT INTO raw_events SELECT i, 6, d FROM unnest($1::uuid[], $2::bytea[]) u (i, d)) UPDATE raw_runs r SET status = 'done', finished_at = 2 FROM unnest($1::uuid[]) u (i) WHERE r.id = u.i")
                    .bind(&ids).bind(&data).execute(&mut connection).await.unwrap();
            }
        }).await;
        println!(
            "  (each line of the raw limit counts a quarter of its runs: multiply rates by 4, divide costs by 4)"
        );
    }

    /// How long a claim takes, with nothing else there and with a million timers.
    async fn claims(&self, server: &Server) {
        let look = async |name: &str| {
            let mut times = Vec::new();
            for _ in 0..300 {
                let claim = Claim {
                    worker: worker(),
                    limit: 64,
                    suspects: 1,
                    bytes: usize::MAX,
                    messages: 100,
                    lease: Duration::from_secs(60),
                };
                let started = Instant::now();
                self.store.claim(claim).await.unwrap();
                times.push(started.elapsed());
            }
            times.sort();
            println!("claim, {name:<28} p50 {:>8.0?} p99 {:>8.0?}", times[150], times[297]);
        };
        look("nothing due").await;
        server
            .sql(
                "bench",
                "INSERT INTO meshhook.live_runs (created_at, epoch, claim, strikes, strike_seq, wake_at, run_id, test, project, workflow, status, last_holder, digest)
                 SELECT 0, 1, 1, 0, 0, 4000000000000000 + i, gen_random_uuid(), false, 'p' || i % 20, 'flow', 'waiting', 'w', '\\x00'
                 FROM generate_series(1, 1000000) i; ANALYZE meshhook.live_runs",
            )
            .unwrap();
        look("1 M timers in 20 projects").await;
    }

    fn id(&self) -> RunId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        RunId::new(Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap()), random)
    }

    async fn commit(&self, batch: Vec<Commit>) {
        let outcomes = self.store.commit(batch).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed));
    }

    fn start(&self, hold: Hold) -> StartRun {
        let digest = Digest::new(&"a".repeat(64)).unwrap();
        let workflow = WorkflowSlug::new("flow").unwrap();
        let meta = RunMeta::new(self.id(), ProjectId::default_project(), workflow, digest, Timestamp::EPOCH);
        StartRun { meta: meta.version(1), dedupe: None, worker: worker(), chunk: chunk(1, 2), hold }
    }
}

fn worker() -> WorkerId {
    WorkerId::new("01936f2a-7c1e-7b6c-8f7e-0123456789ab").unwrap()
}

fn chunk(first: u64, last: u64) -> Chunk {
    let text = format!("[{{\"at\":\"2026-01-02T03:04:05.678901Z\",\"data\":\"{}\"}}]", "x".repeat(160));
    Chunk::from_parts(first, last, text, ChunkHash([9; 32]))
}

fn ended() -> Hold {
    Hold::End { status: RunStatus::Succeeded, at: Timestamp::EPOCH, failure: None }
}

fn kept() -> Hold {
    Hold::Keep { status: RunStatus::Running }
}

async fn pure(bench: Bench, size: u64) {
    bench.commit((0..size).map(|_| Commit::Start(bench.start(ended()))).collect()).await;
}

fn advance(start: &StartRun, seq: u64, hold: Hold) -> Commit {
    Commit::Advance(AdvanceRun {
        project: start.meta.project.clone(),
        run: start.meta.run,
        worker: start.worker.clone(),
        claim: 1,
        after: seq * 2,
        chunk: Some(chunk(seq * 2 + 1, seq * 2 + 2)),
        hold,
        consumed: Vec::new(),
    })
}

/// Start, then each effect its own commit; the last ends the run.
async fn strict(bench: Bench, size: u64) {
    let starts: Vec<StartRun> = (0..size).map(|_| bench.start(kept())).collect();
    bench.commit(starts.iter().cloned().map(Commit::Start).collect()).await;
    for seq in 1..EFFECTS {
        bench.commit(starts.iter().map(|start| advance(start, seq, kept())).collect()).await;
    }
    bench.commit(starts.iter().map(|start| advance(start, EFFECTS, ended())).collect()).await;
}

async fn accept(bench: Bench, size: u64) {
    let keyed = |start: StartRun| {
        let key = start.meta.run.to_string();
        let window = Duration::from_secs(86_400);
        let dedupe = Dedupe { scope: "hook:flow/github".into(), key, fingerprint: [3; 32], window };
        StartRun { dedupe: Some(dedupe), ..start }
    };
    let hold = Hold::Release { wake_up: WakeUp::Never, status: RunStatus::Waiting };
    bench.commit((0..size).map(|_| Commit::Start(keyed(bench.start(hold.clone())))).collect()).await;
}

/// The processor time, in microseconds, of this process if there is no parent given, else of the parent and its children.
fn ticks(parent: Option<&str>) -> f64 {
    let Some(parent) = parent else { return of("self", "self") };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| of(&entry.file_name().to_string_lossy(), parent)).sum()
}

fn of(process: &str, family: &str) -> f64 {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else { return 0.0 };
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    if fields.len() < 15 || (process != family && fields[1] != family) {
        return 0.0;
    }
    // utime, stime, and what children that ended had used.
    fields[11..15].iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}
