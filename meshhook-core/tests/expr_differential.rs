//! Random expressions over random documents, compared with the crates `jmespath` and `jpx-core`.
//!
//! Known differences, which the generators avoid or the comparison allows for:
//!
//! - `jmespath` gives doubles where we give integers: results are compared in normal form. It compares numbers
//!   approximately, so documents hold small integers and halves only. `avg([])` is an error there.
//! - Both panic on slices with extreme bounds: bounds are small.
//! - `!a.b` is `(!a).b` there and `!(a.b)` here: operands of `!` are in brackets.
//! - Both evaluate all arguments of `not_null`; we stop at the first that is not null, so an error behind it does
//!   not show.
//! - We find unknown functions, wrong numbers of arguments and misplaced `&` while parsing.
//! - `*` behind a value is multiplication here and an error there.
//! - They take `[a b]`, a list without its comma, which the grammar does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use meshhook_core::expr::{Env, ExprLimits, Expression, View};
use meshhook_core::json;
use meshhook_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_expressions_give_what_the_other_crates_give(text in expression(), document in document()) {
        let ours = ours(&text, &document);
        let jpx = jpx(&text, &document);
        let jmespath = jmespath(&text, &document);
        if ours != jpx && ours != jmespath && !allowed(&text, &ours, &jpx) {
            prop_assert!(
                false,
                "{text}\n over {document}\n ours     {ours:?}\n jpx-core {jpx:?}\n jmespath {jmespath:?}"
            );
        }
    }

    #[test]
    fn random_tokens_are_accepted_by_all_or_by_none(tokens in prop::collection::vec(token(), 1..9)) {
        let text = tokens.concat();
        let document = json!({"a": {"b": [1, {"a": 2}], "a": null}, "b": ["x", 1.5, [3]]});
        let (ours, jpx, jmespath) = (ours(&text, &document), jpx(&text, &document), jmespath(&text, &document));
        // Where the other two disagree with each other either answer is fine.
        if jpx.is_ok() == jmespath.is_ok() && jpx.is_ok() != ours.is_ok() {
            prop_assert!(
                known_syntax(&text, &ours),
                "{text}\n ours     {ours:?}\n jpx-core {jpx:?}\n jmespath {jmespath:?}"
            );
        }
        if ours.is_ok() && jpx.is_ok() && jmespath.is_ok() {
            prop_assert!(ours == jpx || ours == jmespath, "{text}\n ours {ours:?}\n jpx-core {jpx:?}\n jmespath {jmespath:?}");
        }
    }

    #[test]
    fn no_text_panics(text in "[\\PC\n]{0,40}", document in document()) {
        let _ = ours(&text, &document);
    }

    #[test]
    fn no_soup_of_tokens_panics(tokens in prop::collection::vec(any_token(), 0..24), document in document()) {
        let text = tokens.join(" ");
        let first = ours(&text, &document);
        prop_assert_eq!(&first, &ours(&text, &document), "not deterministic: {}", text);
        if let Ok(value) = first {
            // Results are in normal form and survive their canonical text.
            let text = json::to_canonical_string(&value);
            prop_assert_eq!(json::parse(text.as_bytes(), &json::JsonLimits::default()).unwrap(), value);
        }
    }
}

/// 1,000 cases, or more by `PROPTEST_CASES`.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(1_000), failure_persistence: None, ..config }
}

fn ours(text: &str, document: &Value) -> Result<Value, String> {
    Expression::parse(text, &ExprLimits::default())
        .and_then(|expression| expression.evaluate(&View::from(document), &Env::new(Timestamp::EPOCH, b"")))
        .map_err(|error| error.code().to_owned())
}

fn jpx(text: &str, document: &Value) -> Result<Value, String> {
    let runtime = jpx_core::Runtime::strict();
    let expression = runtime.compile(text).map_err(|error| error.to_string())?;
    let mut value = expression.search(document).map_err(|error| error.to_string())?;
    json::normalize(&mut value).unwrap();
    Ok(value)
}

fn jmespath(text: &str, document: &Value) -> Result<Value, String> {
    let expression = jmespath::compile(text).map_err(|error| error.to_string())?;
    let result = expression.search(document).map_err(|error| error.to_string())?;
    let mut value = serde_json::to_value(&*result).map_err(|error| error.to_string())?;
    json::normalize(&mut value).unwrap();
    Ok(value)
}

/// Whether two outcomes may differ for a known reason.
fn allowed(text: &str, ours: &Result<Value, String>, theirs: &Result<Value, String>) -> bool {
    match (ours, theirs) {
        // Every kind of error is one outcome here; the official suite tells the kinds apart.
        (Err(_), Err(_)) => true,
        (Ok(_), Err(_)) => text.contains("not_null("),
        _ => false,
    }
}

fn known_syntax(text: &str, ours: &Result<Value, String>) -> bool {
    match ours {
        // Multiplication.
        Ok(_) => text.contains('*'),
        Err(_) => text.contains('['),
    }
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "@", ".", "[", "]", "[*]", "[0]", "[-1]", "[:1]", "[]", "[?", "||", "&&", "|", "(", ")",
        "{a:", "}", ",", "==", "<", "'x'", "`1`", "\"b\"", "length(", ".*", "*",
    ])
}

fn any_token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "@",
        "$",
        "$x",
        "let",
        "in",
        "=",
        ".",
        "[",
        "]",
        "[*]",
        "[0]",
        "[-1]",
        "[::-1]",
        "[]",
        "[?",
        "||",
        "&&",
        "|",
        "!",
        "&",
        "(",
        ")",
        "{",
        "a:",
        "}",
        ",",
        "==",
        "!=",
        "<",
        ">=",
        "'x'",
        "`1`",
        "`[1, 2.5]`",
        "\"b\"",
        "length(",
        "map(&",
        "sort_by(",
        "uuid()",
        "now()",
        "range(`3`)",
        "*",
        "+",
        "-",
        "/",
        "%",
        "?",
        ":",
        "0",
        "secrets",
        ".",
        "nodes",
        "to_json(",
        "group_by(",
        "replace(",
        "regex_replace(",
    ])
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-9_i64..10).prop_map(Value::from),
        (-9_i64..10).prop_map(|n| json!(n as f64 + 0.5)),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    });
    prop::collection::btree_map("[abc]", value, 1..4).prop_map(|members| members.into_iter().collect())
}

fn expression() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["a", "b", "c", "@"]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        6 => name(),
        1 => prop::sample::select(vec!["'a'", "''", "`1`", "`2.5`", "`null`", "`[]`", "`{\"a\": [1]}`", "*", "[*]", "[]", "[0]"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let tail = prop_oneof![
            4 => prop::sample::select(vec![
                ".a", ".b", ".c", "[0]", "[-1]", "[1]", "[*]", "[]", ".*", "[1:]", "[::-1]", "[:-1:2]", ".length(@)", ".type(@)",
            ])
            .prop_map(str::to_owned),
            1 => inner.clone().prop_map(|e| format!("[?{e}]")),
            1 => inner.clone().prop_map(|e| format!(".[{e}]")),
            1 => inner.clone().prop_map(|e| format!(".{{a: {e}, z: @}}")),
        ];
        let chain = (name(), prop::collection::vec(tail.clone(), 1..5)).prop_map(|(head, tails)| head + &tails.concat());
        let on_brackets = (inner.clone(), prop::collection::vec(tail, 0..3))
            .prop_map(|(head, tails)| format!("({head}){}", tails.concat()));
        let operator = prop::sample::select(vec!["||", "&&", "|", "==", "!=", "<", ">="]);
        let function = prop::sample::select(vec![
            "length", "type", "keys", "values", "sort", "reverse", "max", "min", "sum", "abs", "ceil", "floor", "to_array",
            "not_null", "to_number",
        ]);
        let by = prop::sample::select(vec!["sort_by", "max_by", "min_by"]);
        prop_oneof![
            6 => chain,
            2 => on_brackets,
            3 => (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            1 => inner.clone().prop_map(|e| format!("!({e})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{x: {a}, y: {b}}}")),
            2 => (function, inner.clone()).prop_map(|(f, e)| format!("{f}({e})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(e, list)| format!("map(&({e}), {list})")),
            1 => (by, inner.clone(), inner.clone()).prop_map(|(f, list, e)| format!("{f}({list}, &({e}))")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("merge({a}, {b})")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("contains({a}, {b})")),
        ]
    })
}
