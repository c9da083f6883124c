//! How long expressions take, beside the crates `jmespath` and `jpx-core`.
//!
//! `MESHHOOK_TEST_DATA=… cargo bench -p meshhook-core --bench expr`
//!
//! - `suite`: the expressions that the official compliance suite names for benchmarks, parsed and evaluated.
//! - `payload`: expressions as workflows have them, evaluated over a webhook of GitHub's of 29 kB (a pull request).
//!   `jmespath` converts the whole payload at every search; that is what using it costs.

use std::path::PathBuf;
use std::sync::LazyLock;

use divan::{Bencher, black_box};
use meshhook_core::expr::{Env, ExprLimits, Expression, View};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::time::Timestamp;
use serde_json::Value;

fn main() {
    if DATA.is_none() {
        eprintln(
            "MESHHOOK_TEST_DATA is not set: the suite and the payload cannot be read, so nothing is measured",
        );
        return;
    }
    divan::main();
}

#[expect(clippy::print_stderr, reason = "a bench says why it measures nothing")]
fn eprintln(message: &str) {
    eprintln!("{message}");
}

static DATA: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("MESHHOOK_TEST_DATA").map(PathBuf::from));

static PAYLOAD: LazyLock<Value> = LazyLock::new(|| read("github/pull_request.json"));

/// Expression and document of each benchmark of the suite.
static SUITE: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let groups = read("jmespath/benchmarks.json");
    let groups = groups.as_array().expect("the suite is an array");
    groups
        .iter()
        .flat_map(|group| {
            let cases = group["cases"].as_array().expect("a group has cases");
            cases.iter().map(|case| {
                (
                    case["expression"].as_str().expect("a case has an expression").to_owned(),
                    group["given"].clone(),
                )
            })
        })
        .collect()
});

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

fn read(path: &str) -> Value {
    let path = DATA.as_ref().expect("main returned without data").join(path);
    let bytes = std::fs::read(&path).expect("the test data is complete");
    json::parse(&bytes, &JsonLimits::default()).expect("the test data is JSON")
}

/// One of the engines compared.
trait Engine {
    type Compiled;
    fn compile(text: &str) -> Self::Compiled;
    fn search(compiled: &Self::Compiled, document: &Value);
}

struct Meshhook;

impl Engine for Meshhook {
    type Compiled = Expression;

    fn compile(text: &str) -> Expression {
        Expression::parse(text, &ExprLimits::default()).expect("the expression is valid")
    }

    fn search(compiled: &Expression, document: &Value) {
        let env = Env::new(Timestamp::EPOCH, b"");
        black_box(compiled.evaluate(&View::from(document), &env).expect("the expression can be evaluated"));
    }
}

struct JpxCore;

impl Engine for JpxCore {
    type Compiled = jpx_core::Expression<'static>;

    fn compile(text: &str) -> Self::Compiled {
        jpx_core::compile(text).expect("the expression is valid")
    }

    fn search(compiled: &Self::Compiled, document: &Value) {
        black_box(compiled.search(document).expect("the expression can be evaluated"));
    }
}

struct Jmespath;

impl Engine for Jmespath {
    type Compiled = jmespath::Expression<'static>;

    fn compile(text: &str) -> Self::Compiled {
        jmespath::compile(text).expect("the expression is valid")
    }

    fn search(compiled: &Self::Compiled, document: &Value) {
        black_box(compiled.search(document).expect("the expression can be evaluated"));
    }
}

#[divan::bench(types = [Meshhook, JpxCore, Jmespath])]
fn suite_compile<E: Engine>(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| {
        for (text, _) in SUITE.iter() {
            black_box(E::compile(black_box(text)));
        }
    });
}

#[divan::bench(types = [Meshhook, JpxCore, Jmespath])]
fn suite_evaluate<E: Engine>(bencher: Bencher<'_, '_>) {
    let compiled: Vec<_> = SUITE.iter().map(|(text, document)| (E::compile(text), document)).collect();
    bencher.bench_local(|| {
        for (expression, document) in &compiled {
            E::search(expression, black_box(document));
        }
    });
}

#[divan::bench(types = [Meshhook, JpxCore, Jmespath], args = PAYLOAD_EXPRESSIONS)]
fn payload<E: Engine>(bencher: Bencher<'_, '_>, text: &str) {
    let expression = E::compile(text);
    bencher.bench_local(|| E::search(&expression, black_box(&PAYLOAD)));
}
