//! How long expressions take, beside the crates `jmespath` and `jpx-core`.
//!
//! `MESHHOOK_TEST_DATA=… cargo bench -p meshhook-core --bench expr [-- part of a name]`
//!
//! The rows are expressions as workflows have them, over a webhook of GitHub's of 29 kB (a pull request), and those that
//! the official compliance suite names for benchmarks. All engines get them compiled, and the document as a parsed
//! `serde_json::Value`; a result is made and dropped. Two things differ: `jmespath` converts the document at every search,
//! which is what using it costs, and its result shares what it was taken from, where the others own theirs. The column
//! `result` is what owning it costs at least: cloning and dropping it.
//!
//! The engines take turns of half a millisecond, and a figure is the median of its turns, so that a busy machine slows
//! them alike.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use meshhook_core::expr::{Env, ExprLimits, Expression, View};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::time::Timestamp;
use serde_json::Value;

const PAYLOAD_EXPRESSIONS: &[&str] = &[
    "action",
    "pull_request.head.repo.owner.login",
    "action == 'opened' && pull_request.base.ref == 'master'",
    "{who: sender.login, title: pull_request.title, url: pull_request.html_url, n: number}",
    "pull_request.[additions, deletions, changed_files] | sum(@)",
    "keys(pull_request.head.repo) | length(@)",
    "pull_request.head.repo.*",
    "values(pull_request)[?type(@) == 'string'] | sort(@) | [:5]",
    "pull_request.head.repo",
];

const TURN: Duration = Duration::from_micros(500);
const TURNS: usize = 41;

fn main() {
    let Some(data) = std::env::var_os("MESHHOOK_TEST_DATA").map(PathBuf::from) else {
        eprintln!(
            "MESHHOOK_TEST_DATA is not set: the suite and the payload cannot be read, so nothing is measured"
        );
        return;
    };
    // Cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!(
        "{:60} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "ns per evaluation", "meshhook", "jpx-core", "jmespath", "result", "jpx/we", "jmes/we"
    );
    for case in cases(&data) {
        if wanted.as_ref().is_none_or(|wanted| case.name.contains(wanted)) {
            let [ours, jpx, jmespath, result] = measure(&case);
            println!(
                "{:60.60} {ours:>9.0} {jpx:>9.0} {jmespath:>9.0} {result:>9.0} {:>9.2} {:>9.1}",
                case.name,
                jpx / ours,
                jmespath / ours
            );
        }
    }
}

struct Case {
    name: String,
    text: String,
    document: Value,
}

fn cases(data: &Path) -> Vec<Case> {
    let payload = read(&data.join("github/pull_request.json"));
    let mut cases: Vec<_> = PAYLOAD_EXPRESSIONS
        .iter()
        .map(|text| Case { name: (*text).to_owned(), text: (*text).to_owned(), document: payload.clone() })
        .collect();
    let suite = read(&data.join("jmespath/benchmarks.json"));
    for group in suite.as_array().expect("the suite is an array") {
        for case in group["cases"].as_array().expect("a group has cases") {
            let member = |name: &str| case[name].as_str().expect("a case has a text of that name");
            cases.push(Case {
                name: format!("suite: {}", member("comment")),
                text: member("expression").to_owned(),
                document: group["given"].clone(),
            });
        }
    }
    cases
}

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("the test data is complete");
    json::parse(&bytes, &JsonLimits::default()).expect("the test data is JSON")
}

/// Nanoseconds of an evaluation by each engine, and of cloning the result.
fn measure(case: &Case) -> [f64; 4] {
    let document = &case.document;
    let ours = Expression::parse(&case.text, &ExprLimits::default()).expect("the expression is valid");
    let jpx = jpx_core::compile(&case.text).expect("the expression is valid");
    let jmespath = jmespath::compile(&case.text).expect("the expression is valid");
    let evaluate = || {
        let env = Env::new(Timestamp::EPOCH, b"");
        ours.evaluate(&View::from(black_box(document)), &env).expect("the expression can be evaluated")
    };
    let result = evaluate();
    interleave([
        &|| drop(black_box(evaluate())),
        &|| drop(black_box(jpx.search(black_box(document)).expect("the expression can be evaluated"))),
        &|| drop(black_box(jmespath.search(black_box(document)).expect("the expression can be evaluated"))),
        &|| drop(black_box(black_box(&result).clone())),
    ])
}

/// Median nanoseconds of each, taking turns.
fn interleave(candidates: [&dyn Fn(); 4]) -> [f64; 4] {
    let calls = candidates.map(|candidate| {
        let mut calls = 1;
        while time(candidate, calls) < TURN {
            calls *= 2;
        }
        calls
    });
    let mut turns = [(); 4].map(|()| Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        for ((candidate, calls), turns) in candidates.iter().zip(calls).zip(&mut turns) {
            turns.push(time(candidate, calls).as_secs_f64() * 1e9 / f64::from(calls));
        }
    }
    turns.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[turns.len() / 2]
    })
}

fn time(candidate: &dyn Fn(), calls: u32) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        candidate();
    }
    started.elapsed()
}
