//! The official JMESPath compliance suite (github.com/jmespath/jmespath.test), error kinds included.
//!
//! Reads `$MESHHOOK_TEST_DATA/jmespath/*.json`; without the variable the test says that it was skipped.

use std::path::PathBuf;

use meshhook_core::expr::{Env, ExprErrorKind, ExprLimits, Expression, View};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::time::Timestamp;
use serde_json::Value;

/// Cases that expect a result or an error; the other 16 of the 908 only name an expression to measure.
const CHECKABLE: usize = 892;

#[test]
fn every_case_of_the_official_suite_passes() {
    let Some(data) = std::env::var_os("MESHHOOK_TEST_DATA") else {
        println!("skipped: MESHHOOK_TEST_DATA is not set, so the suite cannot be read");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(PathBuf::from(data).join("jmespath"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let (mut checked, mut benchmarks, mut failures) = (0, 0, Vec::new());
    for file in files {
        let groups = json::parse(&std::fs::read(&file).unwrap(), &JsonLimits::default()).unwrap();
        for group in groups.as_array().unwrap() {
            let given = &group["given"];
            for case in group["cases"].as_array().unwrap() {
                let expression = case["expression"].as_str().unwrap();
                let actual = evaluate(expression, given);
                if case.get("bench").is_some() {
                    benchmarks += 1;
                    assert!(actual.is_ok(), "{expression}: {actual:?}");
                    continue;
                }
                checked += 1;
                let expected = match case.get("error") {
                    Some(error) => Err(error.as_str().unwrap().to_owned()),
                    None => Ok(case["result"].clone()),
                };
                if actual != expected {
                    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                    failures.push(format!(
                        "{name}: {expression}\n  expected {expected:?}\n  got      {actual:?}"
                    ));
                }
            }
        }
    }
    println!(
        "{checked} cases checked, {} failed; {benchmarks} benchmark expressions evaluated",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((checked, benchmarks), (CHECKABLE, 16));
}

fn evaluate(expression: &str, given: &Value) -> Result<Value, String> {
    let env = Env::new(Timestamp::EPOCH, b"");
    Expression::parse(expression, &ExprLimits::default())
        .and_then(|expression| expression.evaluate(&View::from(given), &env))
        .map_err(|error| {
            match error.kind {
                ExprErrorKind::Syntax => "syntax",
                ExprErrorKind::InvalidType => "invalid-type",
                ExprErrorKind::InvalidArity => "invalid-arity",
                ExprErrorKind::UnknownFunction => "unknown-function",
                ExprErrorKind::InvalidValue => "invalid-value",
                _ => error.code(),
            }
            .to_owned()
        })
}
