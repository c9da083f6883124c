//! What a durable commit costs: `cargo bench -p meshhook-sqlite`.
//!
//! The file is in the working directory's file system unless `TMPDIR` says otherwise; syncs dominate, so the disk
//! matters more than the processor.

#![expect(clippy::unwrap_used, reason = "a benchmark that fails should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use meshhook_core::event::{Chunk, ChunkHash, RunStatus};
use meshhook_core::id::{Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook_core::run::RunMeta;
use meshhook_core::store::{AdvanceRun, Claim, Commit, Hold, Ledger as _, StartRun, WakeUp};
use meshhook_core::time::Timestamp;
use meshhook_sqlite::{SqliteOptions, SqliteStore};
use tokio::runtime::Runtime;

const KEEP: Hold = Hold::Keep { status: RunStatus::Running };

fn main() {
    divan::main();
}

/// A store in a fresh file, and a runtime to call it from.
struct Bench {
    runtime: Runtime,
    store: Arc<SqliteStore>,
    next: AtomicU32,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let path = directory.path().join("meshhook.db");
        let store = Arc::new(runtime.block_on(SqliteStore::open(path, SqliteOptions::new())).unwrap());
        Self { runtime, store, next: AtomicU32::new(0), _directory: directory }
    }

    fn starts(&self, count: usize, hold: &Hold) -> Vec<Commit> {
        (0..count).map(|_| start(self.next.fetch_add(1, Ordering::Relaxed), hold.clone())).collect()
    }
}

fn run(number: u32) -> RunId {
    let mut random = [3; 8];
    random[..4].copy_from_slice(&number.to_be_bytes());
    RunId::new(Timestamp::from_micros(1_767_000_000_000_000), random)
}

/// A run with 1 KiB of first events.
fn start(number: u32, hold: Hold) -> Commit {
    let flow = WorkflowSlug::new("flow").unwrap();
    let digest = Digest::new(&"a".repeat(64)).unwrap();
    Commit::Start(StartRun {
        meta: RunMeta::new(run(number), ProjectId::default_project(), flow, digest, Timestamp::EPOCH),
        dedupe: None,
        worker: WorkerId::new("ann").unwrap(),
        chunk: Chunk::from_parts(1, 4, "x".repeat(1_024), ChunkHash([1; 32])),
        hold,
    })
}

/// One caller, so many runs in one commit.
#[divan::bench(args = [1, 16, 256], max_time = 3)]
fn starts_in_one_batch(bencher: Bencher<'_, '_>, size: usize) {
    let bench = Bench::new();
    bencher
        .with_inputs(|| bench.starts(size, &KEEP))
        .counter(ItemsCount::new(size))
        .bench_values(|batch| bench.runtime.block_on(bench.store.commit(batch)).unwrap());
}

/// So many callers, each with a commit of one run; the writer shares transactions among them.
#[divan::bench(args = [1, 16, 256], max_time = 3)]
fn starts_of_many_callers(bencher: Bencher<'_, '_>, callers: usize) {
    let bench = Bench::new();
    bencher.with_inputs(|| bench.starts(callers, &KEEP)).counter(ItemsCount::new(callers)).bench_values(
        |starts| {
            bench.runtime.block_on(async {
                let mut calls = tokio::task::JoinSet::new();
                for start in starts {
                    let store = Arc::clone(&bench.store);
                    calls.spawn(async move { store.commit(vec![start]).await.unwrap() });
                }
                calls.join_all().await
            })
        },
    );
}

/// Sixteen held runs go on by one event each, in one commit.
#[divan::bench(max_time = 3)]
fn advances_in_one_batch(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    bench.runtime.block_on(bench.store.commit(bench.starts(16, &KEEP))).unwrap();
    let seq = AtomicU32::new(4);
    bencher
        .with_inputs(|| {
            let seq = u64::from(seq.fetch_add(1, Ordering::Relaxed)) + 1;
            let advance = |number| AdvanceRun {
                project: ProjectId::default_project(),
                run: run(number),
                worker: WorkerId::new("ann").unwrap(),
                claim: 1,
                after: seq - 1,
                chunk: Some(Chunk::from_parts(seq, seq, "x".repeat(512), ChunkHash([1; 32]))),
                hold: KEEP,
                consumed: Vec::new(),
            };
            (0..16).map(|number| Commit::Advance(advance(number))).collect::<Vec<_>>()
        })
        .counter(ItemsCount::new(16_usize))
        .bench_values(|batch| bench.runtime.block_on(bench.store.commit(batch)).unwrap());
}

/// A claim that finds nothing among so many runs that wake up later.
#[divan::bench(args = [1_000, 100_000], max_time = 2)]
fn claims_past_future_timers(bencher: Bencher<'_, '_>, timers: usize) {
    let bench = Bench::new();
    let hold = Hold::Release { wake_up: WakeUp::At(Timestamp::MAX), status: RunStatus::Waiting };
    for _ in 0..timers / 1_000 {
        bench.runtime.block_on(bench.store.commit(bench.starts(1_000, &hold))).unwrap();
    }
    let worker = WorkerId::new("bob").unwrap();
    let claim = || Claim {
        worker: worker.clone(),
        limit: 100,
        suspects: 2,
        bytes: usize::MAX,
        messages: 100,
        lease: Duration::from_secs(30),
    };
    bencher.bench(|| bench.runtime.block_on(bench.store.claim(claim())).unwrap());
}
