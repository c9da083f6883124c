//! Breaks servers and their database in every way that can be arranged on one machine, and checks what they promised.
//!
//! ```text
//!   clients ──signed webhooks──► servers ──lanes of a proxy──► Postgres
//!      │                            │                              ▲
//!      └─► what was answered        └─► effects, written down      │
//!                     │                         │                  │
//!                     └──────────► checker ◄────┴── histories ─────┘
//! ```
//!
//! A run has two phases. In the first, faults of all kinds come at random instants while clients send; in the second
//! the faults have stopped, and everything accepted must come to its end without a hand. Then the checker holds what
//! clients were told, what the outside world was asked and what the database remembers against each other.
//!
//! A seed repeats the choices (which fault, which victim, how long), not the instants at which they meet the work. So
//! a run without violations says little by itself: the report tells how often each fault met work in flight, and the
//! bound on the failure rate that follows from it.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod batch;
mod check;
mod client;
mod effect;
mod fault;
mod guard;
mod nemesis;
mod place;
mod proxy;
mod random;
mod report;
mod server;
mod stage;
mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::fault::Fault;

/// What may go wrong with the arrangement itself.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(name = "chaos", about = "Breaks servers and their database, and checks what they promised")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings faults about under load, then checks
    Run(Options),
    /// Serves the outside world to `run`, and ends with it
    #[command(hide = true)]
    Effects { file: PathBuf, seed: u64 },
}

/// What a run is to be like.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// How long all of it may take, from the start of the database to the report
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// Repeats the choices of another run [default: drawn]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many servers; all but the last take webhooks
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) workers: u16,
    /// How many webhooks are sent in a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) rate: u64,
    /// Which faults, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) faults: Vec<Fault>,
    /// Keeps logs and ledgers, whatever comes out
    #[arg(long)]
    pub(crate) keep: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.5..=600.0).contains(minutes));
    minutes.ok_or_else(|| "must be between 0.5 and 600".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("chaos: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(options) => stage::run(options).await,
            Command::Effects { file, seed } => effect::serve(&file, seed).await.map(|()| true),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
