//! Expressions made to hurt: each must end in a typed error, soon, on a stack of 2 MiB, in a debug build, too.

#![expect(clippy::disallowed_methods, reason = "the time that attacks take is measured")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use std::time::{Duration, Instant};

use meshhook_core::expr::{
    Env, ExprError, ExprErrorKind, ExprLimits, Expression, Template, TemplateOptions, View,
};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

/// Runs on a thread with the stack of a tokio worker.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

fn evaluate(text: &str, root: &Value) -> Result<Value, ExprError> {
    evaluate_with(text, root, &ExprLimits::default())
}

fn evaluate_with(text: &str, root: &Value, limits: &ExprLimits) -> Result<Value, ExprError> {
    Expression::parse(text, limits)?.evaluate(&View::from(root), &Env::new(Timestamp::EPOCH, b""))
}

/// Text may be as long as it likes, so that only nesting stops it.
fn long_text() -> ExprLimits {
    let mut limits = ExprLimits::default();
    limits.max_text_bytes = usize::MAX;
    limits
}

#[test]
fn nesting_at_the_limit_works_and_one_more_is_an_error() {
    on_a_small_stack(|| {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{a:", "}"),
            ("!", ""),
            ("-", ""),
            ("abs(", ")"),
            ("not_null(", ")"),
            ("map(&", ",@)"),
            ("a[?", "]"),
            ("a ? ", " : a"),
            ("let $x = ", " in $x"),
            ("let $x = a in ", ""),
            ("[a || b && a == a + a * -", "]"),
        ] {
            let nested = |depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
            // The last shape nests twice per level, and has many operands on each.
            let depth = if open.len() > 20 { 24 } else { 64 };
            let result = evaluate(&nested(depth), &json!({"a": [1], "b": 2}));
            let kind = result.as_ref().err().map(|error| error.kind);
            assert!(
                !matches!(kind, Some(ExprErrorKind::BudgetExceeded | ExprErrorKind::Syntax)),
                "{open}: {result:?}"
            );
            let error = Expression::parse(&nested(65), &ExprLimits::default()).unwrap_err();
            assert!(error.is_limit(), "{open}: {error}");
            assert_eq!(error.code(), "expression_budget_exceeded");
        }
    });
}

#[test]
fn projections_within_each_other_are_bounded_by_the_stack() {
    let mut deep = json!([1]);
    for _ in 0..200 {
        deep = Value::Array(vec![deep]);
    }
    on_a_small_stack(move || {
        let projections = |count: usize| "[*]".repeat(count);
        assert!(evaluate_with(&projections(120), &json!([[1]]), &long_text()).is_ok());
        // Goes all the way down, and fails on the way up: what it makes would nest deeper than 128.
        assert!(evaluate_with(&projections(190), &deep, &long_text()).unwrap_err().is_limit());
        assert!(Expression::parse(&projections(200), &ExprLimits::default()).unwrap_err().is_limit());
        let calls = format!("{}@{}", "map(&".repeat(60), "[*], @)".repeat(60));
        assert!(evaluate(&calls, &json!([[1]])).is_err_and(|error| error.kind == ExprErrorKind::InvalidType));
    });
}

#[test]
fn a_hundred_thousand_levels_are_refused_at_once() {
    on_a_small_stack(|| {
        for part in [
            "(",
            "[",
            "{a:",
            "!",
            "-",
            "abs(",
            "a[?",
            "a[*].",
            "*.",
            "[*]",
            "[:]",
            "[?a].",
            "a?",
            "a ? b : ",
            "let $x = a in ",
            "`[",
            "a[].b[?",
            "&",
            "f(&",
        ] {
            let text = part.repeat(100_000);
            let started = Instant::now();
            assert!(Expression::parse(&text, &ExprLimits::default()).unwrap_err().is_limit(), "{part}");
            assert!(started.elapsed() < Duration::from_secs(1), "{part}: {:?}", started.elapsed());
            let error = Expression::parse(&text, &long_text()).unwrap_err();
            assert!(
                matches!(error.kind, ExprErrorKind::BudgetExceeded | ExprErrorKind::Syntax),
                "{part}: {error}"
            );
        }
    });
}

#[test]
fn long_chains_evaluate_without_recursion() {
    on_a_small_stack(|| {
        let root = json!({"a": {"a": 1}, "n": 1});
        for (part, tail) in [
            ("a.", "a"),
            ("a || ", "a"),
            ("a && ", "a"),
            ("a | ", "a"),
            ("n + ", "n"),
            ("n == ", "n"),
            ("[] || ", "a"),
            ("n ? n : ", "n"),
            ("a == a ? n : ", "n"),
            ("n * n + ", "n"),
        ] {
            let text = format!("{}{tail}", part.repeat(8_000 / part.len()));
            evaluate(&text, &root).unwrap_or_else(|error| panic!("{part}: {error}"));
            // Far longer than any limit, to see that neither parsing, evaluating nor dropping recurses.
            let text = format!("{}{tail}", part.repeat(100_000));
            evaluate_with(&text, &root, &long_text()).unwrap_or_else(|error| panic!("{part}: {error}"));
        }
        let indexes = format!("a{}", "[0]".repeat(100_000));
        assert_eq!(evaluate_with(&indexes, &root, &long_text()), Ok(Value::Null));
        let flattens = format!("a{}", "[]".repeat(100_000));
        assert_eq!(evaluate_with(&flattens, &root, &long_text()), Ok(Value::Null));
    });
}

#[test]
fn output_bombs_fail_early_in_bounded_memory() {
    on_a_small_stack(|| {
        let root = json!({"s": "x".repeat(3_900), "a": vec![1; 1_000]});
        let double = |step: &str, times: usize| vec![step; times].join(" | ");
        for text in [
            double("[@,@]", 21),
            double("[@,@]", 60),
            double("{a:@,b:@}", 60),
            format!("s | {}", double("join('', [@,@])", 40)),
            format!("s | {}", double("to_json([@,@])", 40)),
            format!("s | {}", double("replace(@, 'x', 'xxxxxxxxxxxxxxxx')", 10)),
            format!("s | {}", double("regex_replace(@, 'x*', '$0$0$0$0')", 20)),
            format!("a | {}", double("[@,@][]", 30)),
            format!("a | {}", double("[@,@]", 30)) + " | flatten_deep(@)",
            format!("a | {}", double("[@,@]", 30)) + " | to_string(@)",
            format!("a | {}", double("[@,@]", 30)) + " | @ == [@[0], @[0]]",
            format!("a | {}", double("[@,@]", 30)) + " | contains([`1`], @) || unique([@, @])",
            "range(`100000000000`)".to_owned(),
            "range(`0`, `-9223372036854775808`, `-1`)".to_owned(),
            "map(&map(&map(&map(&@, $.a), $.a), $.a), a)".to_owned(),
            "a[*].[$.a[*].[$.a[*].[$.a]]]".to_owned(),
            "a[?$.a[?$.a[?$.a]]]".to_owned(),
            "map(&sort($.a), range(`100000`))".to_owned(),
            "map(&sha256($.s), range(`100000`))".to_owned(),
            "map(&regex_match($.s, join('', ['(x+x+)+', to_string(@)])), range(`100000`))".to_owned(),
            "map(&parse_json(to_json($.a)), range(`100000`))".to_owned(),
            "map(&$.s, range(`100000`)) | sort(@)".to_owned(),
            "map(&$.s, range(`100000`)) | sort_by(@, &@)".to_owned(),
            "map(&$.s, range(`100000`)) | group_by(@, &@)".to_owned(),
            "map(&{key: $.s, value: @}, range(`100000`)) | from_entries(@)".to_owned(),
            "map(&from_entries([{key: $.s}]), range(`1000`)) | [0:900] | map(&(@ == $ || @ == @), @) | map(&unique([@, @]), range(`100000`))".to_owned(),
            "format_date(now(), join('', map(&'%255d', range(`100000`))))".to_owned(),
        ] {
            let started = Instant::now();
            let error = evaluate(&text, &root).expect_err(&text);
            assert_eq!(error.kind, ExprErrorKind::BudgetExceeded, "{text}: {error}");
            // Milliseconds in a release build on a quiet machine.
            assert!(started.elapsed() < Duration::from_secs(30), "{text}: {:?}", started.elapsed());
        }
    });
}

#[test]
fn values_cannot_be_nested_past_the_depth_limit() {
    on_a_small_stack(|| {
        for step in ["[@]", "{a:@}", "to_array([@])"] {
            let text = vec![step; 2_000].join("|");
            assert!(evaluate_with(&text, &json!(1), &long_text()).unwrap_err().is_limit(), "{step}");
        }
        let deepest = vec!["[@]"; 128].join("|");
        assert!(evaluate(&deepest, &json!(1)).is_ok());
        assert!(evaluate(&format!("{deepest}|[@]"), &json!(1)).unwrap_err().is_limit());
        let literal = |depth| format!("`{}{}`", "[".repeat(depth), "]".repeat(depth));
        assert!(evaluate(&literal(128), &json!(1)).is_ok());
        assert!(Expression::parse(&literal(129), &ExprLimits::default()).unwrap_err().is_limit());
    });
}

#[test]
fn values_of_any_depth_from_rust_code_are_handled() {
    // Built, and taken apart, on a large stack: serde_json drops recursively. Only the evaluation is on a small one.
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(|| {
            let mut deep = json!(1);
            for _ in 0..20_000 {
                deep = Value::Array(vec![deep]);
            }
            let root = std::sync::Arc::new(deep);
            let shared = root.clone();
            on_a_small_stack(move || {
                for text in ["@", "[@]", "to_json(@)", "flatten_deep(@)", "@ == @", "unique([@])", "[0][0]"] {
                    let _ = evaluate(text, &shared);
                }
                assert!(evaluate("@", &shared).unwrap_err().is_limit());
                assert_eq!(evaluate("@ == [@[0]]", &shared), Ok(json!(true)));
                assert_eq!(evaluate("flatten_deep(@)", &shared), Ok(json!([1])));
            });
            // The last reference goes here, where there is stack to drop it.
            drop(root);
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn steps_text_and_result_work_at_the_limit_and_fail_past_it() {
    let root = json!({"a": "x".repeat(98)});
    let mut limits = ExprLimits::default();
    limits.max_result_bytes = 100;
    assert!(evaluate_with("a", &root, &limits).is_ok());
    limits.max_result_bytes = 99;
    assert!(evaluate_with("a", &root, &limits).unwrap_err().is_limit());
    let mut limits = ExprLimits::default();
    limits.max_text_bytes = 4;
    assert!(Expression::parse("abcd", &limits).is_ok());
    assert!(Expression::parse("abcde", &limits).unwrap_err().is_limit());
    let text = format!("'{}'", "x".repeat(8 * 1024 - 2));
    assert!(Expression::parse(&text, &ExprLimits::default()).is_ok());
    assert!(Expression::parse(&format!("{text} "), &ExprLimits::default()).unwrap_err().is_limit());
    let mut limits = ExprLimits::default();
    limits.max_steps = 1;
    assert!(evaluate_with("a", &root, &limits).is_ok());
    assert!(evaluate_with("a.b", &root, &limits).unwrap_err().is_limit());
}

#[test]
fn code_of_other_languages_is_data_or_a_syntax_error() {
    for text in [
        "constructor.constructor('return process')()",
        "this.process.exit()",
        "__class__.__mro__[1].__subclasses__()",
        "${jndi:ldap://x}",
        "<%= 7*7 %>",
        "#{7*7}",
        "eval('1')",
        "import('os')",
    ] {
        assert!(evaluate(text, &json!({})).is_err(), "{text}");
    }
    let template = json!("constructor ${7*7} <%= 7*7 %> #{7*7} {%if%} $ne");
    let parsed = Template::parse(&template, &TemplateOptions::default()).unwrap();
    assert_eq!(parsed.as_constant(), Some(&template));
}

#[test]
fn patterns_are_bounded_in_size_and_time() {
    let root = json!({"s": format!("{}!", "a".repeat(30_000))});
    let started = Instant::now();
    assert_eq!(evaluate("regex_match(s, '^(a+)+$')", &root), Ok(json!(false)));
    for pattern in [r"(a{1000}){1000}", r"\w{5000}", r"((((a{50}){50}){50}){50})", "(", r"(a)\1"] {
        let text = format!("regex_match(s, '{pattern}')");
        let error = Expression::parse(&text, &ExprLimits::default()).unwrap_err();
        assert_eq!(error.kind, ExprErrorKind::InvalidValue, "{text}");
        let dynamic = format!("regex_match(s, join('', ['{pattern}']))");
        assert_eq!(evaluate(&dynamic, &root).unwrap_err().kind, ExprErrorKind::InvalidValue, "{dynamic}");
    }
    let nested = format!("regex_match(s, '{}a{}')", "(".repeat(2_000), ")".repeat(2_000));
    assert!(Expression::parse(&nested, &ExprLimits::default()).is_err());
    // Each match makes the search look at all the rest.
    let mut limits = ExprLimits::default();
    limits.max_steps = 5_000;
    let error = evaluate_with("regex_replace(s, '.*[^a!]|a', '')", &root, &limits).unwrap_err();
    assert!(error.is_limit(), "{error}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}
