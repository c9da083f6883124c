//! How many steps expressions take. The count decides whether an evaluation ends within its budget, so a replay gives
//! the same history only while it stays what it was: a number here is changed by a new number in `run/semantics.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use meshhook_core::expr::{Env, ExprLimits, Expression, View};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

#[test]
fn every_expression_takes_the_steps_it_always_took() {
    let document = document();
    for (text, steps) in STEPS {
        assert!(evaluates_within(text, *steps, &document), "{text} takes more than {steps} steps");
        assert!(!evaluates_within(text, steps - 1, &document), "{text} takes less than {steps} steps");
    }
}

fn evaluates_within(text: &str, max_steps: u64, document: &Value) -> bool {
    let mut limits = ExprLimits::default();
    limits.max_steps = max_steps;
    let expression = Expression::parse(text, &limits).unwrap();
    match expression.evaluate(&View::from(document), &Env::new(Timestamp::EPOCH, b"")) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_limit(), "{text}: {error}");
            false
        }
    }
}

fn document() -> Value {
    json!({
        "a": {"b": {"c": 1}, "longer member name than thirty-two bytes": [1, 2]},
        "n": 1,
        "z": null,
        "text": "lorem ipsum dolor sit amet ".repeat(20),
        "list": [{"n": 1, "s": "one"}, {"n": 3, "s": "two"}, {"n": 2, "s": "one"}],
        "nested": [[1, [2]], 3, [[4]]],
        "words": ["one", "two", "three", "a word that takes more than thirty-two bytes"],
    })
}

const STEPS: &[(&str, u64)] = &[
    ("@", 1),
    ("a", 1),
    ("a.b.c", 4),
    ("list[0].n", 4),
    ("list[*].n", 15),
    ("list[?n > `1`].s", 24),
    ("list[1:].n", 11),
    ("nested[]", 13),
    ("nested[][]", 24),
    ("a.*", 7),
    ("a.* | [0]", 11),
    ("!a", 2),
    ("-n", 2),
    ("n + n * `2`", 7),
    ("a && n || z", 5),
    ("n == `1`", 5),
    ("list == list", 23),
    ("a == a", 16),
    ("z ? a : n", 3),
    ("[a, n, z]", 4),
    ("{x: a, y: [n, n]}", 5),
    ("let $x = n, $y = a in [$x, $y.b]", 8),
    ("length(text)", 18),
    ("length(list)", 2),
    ("sort(words)", 12),
    ("sort_by(list, &n)", 8),
    ("max_by(list, &n)", 8),
    ("max(words)", 12),
    ("group_by(list, &s)", 8),
    ("group_by(list, &n)", 8),
    ("map(&n, list)", 8),
    ("sum(list[*].n)", 19),
    ("avg(list[*].n)", 19),
    ("keys(a)", 4),
    ("values(a)", 4),
    ("merge(a, {z: `1`})", 9),
    ("to_entries(a)", 4),
    ("from_entries(to_entries(a))", 9),
    ("join(', ', words)", 8),
    ("split(text, ' ')", 119),
    ("replace(text, 'a', 'bb')", 57),
    ("substring(text, `1`, `3`)", 20),
    ("trim(text)", 18),
    ("lower(text)", 34),
    ("reverse(words)", 6),
    ("reverse(text)", 18),
    ("contains(words, 'two')", 5),
    ("contains(text, 'o')", 19),
    ("unique(words)", 7),
    ("flatten_deep(nested)", 18),
    ("zip(words, nested)", 16),
    ("range(`10`)", 12),
    ("to_json(list)", 3),
    ("to_string(a)", 3),
    ("to_number('12')", 2),
    ("parse_json(to_json(list))", 15),
    ("regex_match(text, 'o+')", 82),
    ("regex_replace(text, 'o', '0')", 163),
    ("regex_match(text, join('', ['o', '+']))", 5089),
    ("base64_encode(text)", 40),
    ("url_encode(text)", 57),
    ("sha256(text)", 85),
    ("default(z, n)", 3),
    ("not_null(z, a)", 3),
    ("to_array(a)", 2),
    ("type(@)", 2),
    ("starts_with(text, 'l')", 19),
    ("format_date(now(), '%Y')", 8),
    ("$.list[?s == $.words[0]]", 31),
    ("abs(-n)", 3),
];
