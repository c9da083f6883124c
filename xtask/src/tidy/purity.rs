//! Purity: what the lower half of core must not touch.
//!
//! A pure module decides from its arguments alone. It knows no runtime, clock, random source, environment,
//! file or socket, and nothing of the modules that do. Tests inside it may.

use super::code::{blank, line_of, without_tests};
use super::paths::{in_crate, paths};
use super::{File, Problem};

/// The pure modules of `meshhook-core`.
const PURE: [&str; 13] = [
    "definition",
    "event",
    "expr",
    "failure",
    "id",
    "json",
    "node",
    "policy",
    "run",
    "schedule",
    "secret",
    "time",
    "webhook",
];

/// What a pure module must not name, as a path's beginning.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "no runtime"),
    ("tokio_util", "no runtime"),
    ("futures_util", "no runtime"),
    ("std::time::SystemTime", "no clock: take `now` as an argument"),
    ("std::time::Instant", "no clock: take `now` as an argument"),
    ("SystemTime::now", "no clock: take `now` as an argument"),
    ("Instant::now", "no clock: take `now` as an argument"),
    ("jiff::Timestamp::now", "no clock: take `now` as an argument"),
    ("jiff::Zoned::now", "no clock: take `now` as an argument"),
    ("Timestamp::now", "no clock: take `now` as an argument"),
    ("Zoned::now", "no clock: take `now` as an argument"),
    ("jiff::tz::TimeZone::system", "no environment: name the time zone"),
    ("getrandom", "no random source: take bytes or a seed"),
    ("rand", "no random source: take bytes or a seed"),
    ("uuid::Uuid::now_v7", "no random source: take bytes or a seed"),
    ("uuid::Uuid::new_v4", "no random source: take bytes or a seed"),
    ("Uuid::now_v7", "no random source: take bytes or a seed"),
    ("Uuid::new_v4", "no random source: take bytes or a seed"),
    ("std::collections::hash_map::RandomState", "no random source: the order must be defined"),
    ("std::hash::RandomState", "no random source: the order must be defined"),
    ("std::env", "no environment"),
    ("std::fs", "no files"),
    ("std::thread", "no threads"),
    ("std::process", "no processes"),
    ("std::net::TcpStream", "no sockets"),
    ("std::net::TcpListener", "no sockets"),
    ("std::net::UdpSocket", "no sockets"),
    ("crate::clock", "no clock: take `now` or bytes as an argument"),
    ("crate::engine", "the arrow points the other way"),
    ("crate::store", "the arrow points the other way"),
    ("crate::testing", "the arrow points the other way"),
    ("crate::exec", "the arrow points the other way"),
];

/// Exceptions: plain data that the upper half shares with the lower.
const ALLOWED: [&str; 1] = ["crate::exec::Level"];

/// Finds what a file of a pure module names and must not; other files have no problems here.
pub(crate) fn check(file: &File) -> Vec<Problem> {
    let Some(module) = pure_module(&file.path) else { return Vec::new() };
    let code = without_tests(&blank(&file.text));
    let mut problems = Vec::new();
    for named in paths(&code) {
        let full = match in_crate(&named.segments, &module) {
            Some(path) => format!("crate::{}", path.join("::")),
            None => named.segments.join("::"),
        };
        if ALLOWED.iter().any(|allowed| starts_with(&full, allowed)) {
            continue;
        }
        if let Some((_, reason)) = FORBIDDEN.iter().find(|(path, _)| starts_with(&full, path)) {
            let line = line_of(&code, named.position);
            problems.push(Problem::new(&file.path, line, format!("`{full}` in a pure module: {reason}")));
        }
    }
    problems
}

fn starts_with(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module of a file, if it is a pure one and not a test.
fn pure_module(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("meshhook-core/src/")?.strip_suffix(".rs")?;
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    let is_test = module.iter().any(|segment| segment == "tests" || segment.ends_with("_tests"));
    if is_test || !PURE.contains(&module[0].as_str()) {
        return None;
    }
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.into(), text: text.into() }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pure_module_that_reads_a_clock_is_found() {
        assert_eq!(
            messages("meshhook-core/src/policy/retry.rs", "use std::time::{Duration, Instant};\n"),
            [
                "meshhook-core/src/policy/retry.rs:1: `std::time::Instant` in a pure module: no clock: take `now` as an \
              argument"
            ]
        );
    }

    #[test]
    fn every_forbidden_path_is_found_in_every_pure_module() {
        for module in PURE {
            for (path, _) in FORBIDDEN {
                let text = format!("fn f() {{\n    {path}::x();\n}}\n");
                assert_eq!(
                    messages(&format!("meshhook-core/src/{module}.rs"), &text).len(),
                    1,
                    "{module}: {path}"
                );
                assert_eq!(
                    messages(&format!("meshhook-core/src/{module}/a.rs"), &text).len(),
                    1,
                    "{module}: {path}"
                );
            }
        }
    }

    #[test]
    fn a_relative_path_does_not_hide_the_upper_half() {
        assert_eq!(messages("meshhook-core/src/run/apply.rs", "use super::super::engine::Lease;").len(), 1);
        assert_eq!(messages("meshhook-core/src/run/mod.rs", "use super::store;").len(), 1);
        assert_eq!(messages("meshhook-core/src/run/mod.rs", "use crate::{event, exec::Executor};").len(), 1);
    }

    #[test]
    fn what_a_pure_module_may_do_is_left_alone() {
        let text = "//! Not `tokio::spawn`.\nuse std::time::Duration;\nuse crate::exec::Level;\nuse crate::store_like::A;\n\
                    const A: &str = \"std::env::var\";\nfn rand() {}\n\
                    #[cfg(test)]\nmod tests { use tokio::test; }\n";
        assert_eq!(messages("meshhook-core/src/event/mod.rs", text), Vec::<String>::new());
    }

    #[test]
    fn other_modules_and_test_files_are_free() {
        let text = "use tokio::time::Instant; use std::env::var;";
        for path in [
            "meshhook-core/src/engine/mod.rs",
            "meshhook-core/src/secret/mask_tests.rs",
            "meshhook-http/src/run/mod.rs",
        ] {
            assert_eq!(messages(path, text), Vec::<String>::new(), "{path}");
        }
    }
}
