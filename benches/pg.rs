//! The engine on Postgres, beside what Postgres itself can do.
//!
//! `cargo xtask bench pg` runs everything in some minutes, `cargo xtask bench pg -- strict slow --seconds 5` some of it.
//!
//! | argument | default | |
//! | --- | --- | --- |
//! | names of sections | all | `--list` shows them |
//! | `--seconds` | 2 | how long one measurement lasts |
//! | `--rounds` | 3 | how often each is repeated, in turns with those that it is compared with |
//! | `--in-flight` | 256 | how many runs are under way at once |
//! | `--scale` | 1 | how much of the million timers and the millions of finished runs is made |
//! | `--folder` | the system's for temporary files | on which disk the server is |
//! | `--gate` | | counts only, held against `benches/gate.json`; fails where a bound does not hold |
//!
//! All of it happens on one server of its own, with `fsync` and `synchronous_commit` on, which shares the machine with
//! the engine and with who sends webhooks: rates are for comparing the rows of one table. `DB us` and `own us` are
//! processor time per run of all of the server's processes and of the process that the engine is in; `tx/run` are
//! transactions that wrote, `call/run` all that were asked for, `WAL B` bytes of the write-ahead log. Times are until a
//! run's end where somebody waits for that, else until it is accepted.
//!
//! Over HTTP the engine is in a process of its own, which is this program again: an application that embeds the engine
//! and serves its router. Webhooks are signed, deduplicated by an id of their own, and carry some 200 bytes of JSON.

mod kit;
mod section;

use std::process::ExitCode;
use std::time::Duration;

use self::kit::argument;
use self::kit::cluster::Cluster;
use self::section::{Bench, SECTIONS, SERVE, Section, gate};

/// As the example server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn number(name: &str, default: f64) -> f64 {
    argument(name).and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[expect(clippy::print_stdout, reason = "a bench prints its figures")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let [serve, setup] = &*arguments
        && serve == SERVE
    {
        runtime.block_on(section::serve(setup));
        return ExitCode::SUCCESS;
    }
    if has("--list") {
        SECTIONS.iter().for_each(|section| println!("{:<10} {}", section.name, section.about));
        return ExitCode::SUCCESS;
    }
    let bench = Bench {
        cluster: if has("--gate") { Cluster::calm() } else { Cluster::durable() },
        span: Duration::from_secs_f64(number("--seconds", 2.0)),
        rounds: number("--rounds", 3.0).max(1.0) as usize,
        in_flight: number("--in-flight", 256.0).max(4.0) as usize,
        scale: number("--scale", 1.0),
    };
    if has("--gate") {
        return if runtime.block_on(gate::gate(&bench)) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let named: Vec<&Section> = SECTIONS.iter().filter(|section| has(section.name)).collect();
    let chosen = if named.is_empty() { SECTIONS.iter().collect() } else { named };
    let server = bench.cluster.sql("postgres", "SELECT version()");
    println!("{server}\n{} rounds of {:?} each, scale {}", bench.rounds, bench.span, bench.scale);
    for section in chosen {
        println!("\n== {}: {}", section.name, section.about);
        runtime.block_on((section.run)(&bench));
    }
    ExitCode::SUCCESS
}
