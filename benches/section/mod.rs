//! The parts of the Postgres bench, each of which can be asked for alone.

mod claim;
mod condition;
pub(crate) mod gate;
mod host;
mod idle;
mod load;
mod measure;
mod raw;
mod shape;
mod throughput;
mod watched;

use std::pin::Pin;

pub(crate) use self::host::{SERVE, serve};
pub(crate) use self::measure::Bench;

/// A part by its name.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// All of them, in the order in which they run.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        name: "pure",
        about: "five transforms: one commit per run",
        run: |bench| Box::pin(throughput::pure(bench)),
    },
    Section {
        name: "strict",
        about: "five effects, each durable before the next starts; and as most engines do it",
        run: |bench| Box::pin(throughput::strict(bench)),
    },
    Section {
        name: "calls",
        about: "one and three http_calls to a server that answers at once, or after 20 ms",
        run: |bench| Box::pin(throughput::calls(bench)),
    },
    Section {
        name: "intake",
        about: "webhooks that are only accepted; latency at 10, 50 and 90 % of what can be taken",
        run: |bench| Box::pin(throughput::intake(bench)),
    },
    Section { name: "alone", about: "one run at a time", run: |bench| Box::pin(throughput::alone(bench)) },
    Section {
        name: "slow",
        about: "a wrapper of the store holds the reply of each commit back for 5 ms",
        run: |bench| Box::pin(condition::slow(bench)),
    },
    Section {
        name: "snapshot",
        about: "while another session keeps a snapshot",
        run: |bench| Box::pin(condition::snapshot(bench)),
    },
    Section {
        name: "streams",
        about: "while a sixteenth and a quarter of the runs are watched live",
        run: |bench| Box::pin(condition::streams(bench)),
    },
    Section {
        name: "grown",
        about: "tables that grew after the first statements, unvacuumed and without statistics",
        run: |bench| Box::pin(condition::grown(bench)),
    },
    Section {
        name: "finished",
        about: "beside a million finished runs",
        run: |bench| Box::pin(condition::finished(bench)),
    },
    Section {
        name: "idle",
        about: "what a process without work asks of the database",
        run: |bench| Box::pin(idle::idle(bench)),
    },
    Section {
        name: "claim",
        about: "a look with a million future timers and five million finished runs",
        run: |bench| Box::pin(claim::claim(bench)),
    },
];
