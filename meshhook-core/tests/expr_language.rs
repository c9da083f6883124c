//! The rules of the expression language that examples in the reference do not show: what is found while parsing, where
//! errors are, what is borrowed from where, and that nothing depends on the machine.

use meshhook_core::expr::{
    Env, ExprError, ExprErrorKind, ExprLimits, Expression, Template, TemplateOptions, UrlTemplate, View,
};
use meshhook_core::time::Timestamp;
use serde_json::{Map, Value, json};

fn parse(text: &str) -> Result<Expression, ExprError> {
    Expression::parse(text, &ExprLimits::default())
}

fn evaluate(text: &str, root: &Value) -> Result<Value, ExprError> {
    parse(text)?.evaluate(&View::from(root), &env())
}

fn env() -> Env<'static> {
    Env::new(Timestamp::EPOCH, b"run/step")
}

#[test]
fn errors_name_kind_and_position() {
    use ExprErrorKind::*;
    for (text, kind, position) in [
        ("a.b.", Syntax, 4),
        ("a b", Syntax, 2),
        ("a ||", Syntax, 4),
        ("[a b]", Syntax, 3),
        ("a.'b'", Syntax, 2),
        ("foo[1 2]", Syntax, 6),
        ("  nope(a)", UnknownFunction, 2),
        ("a | abs(a, b)", InvalidArity, 4),
        ("sort_by(a, b)", InvalidType, 11),
        ("length(&a)", InvalidType, 7),
        ("a + $x", InvalidValue, 4),
        ("let $x = $x in a", InvalidValue, 9),
        ("(let $x = a in $x) + $x", InvalidValue, 21),
        ("regex_match(a, '[')", InvalidValue, 0),
        ("a[::0]", InvalidValue, 1),
        ("let $x a in b", Syntax, 7),
        ("let $x = a b", Syntax, 11),
        ("a ? b", Syntax, 5),
        ("{a: 1}", Syntax, 4),
        ("{a}", Syntax, 2),
        ("\"length\"(a)", Syntax, 0),
        ("a = b", Syntax, 2),
        ("&a", Syntax, 0),
        ("[&a]", Syntax, 1),
        ("#", Syntax, 0),
        ("", Syntax, 0),
        ("a[?b", Syntax, 4),
        ("99999999999999999999", Syntax, 0),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.kind, error.position), (kind, position), "{text}: {error}");
    }
    for (text, kind, position) in [
        ("n + s", InvalidType, 2),
        ("  abs(s)", InvalidType, 2),
        ("n / `0`", InvalidValue, 2),
        ("n % (n - n)", InvalidValue, 2),
        ("-s", InvalidType, 0),
        ("`1e308` * `10`", InvalidValue, 8),
        ("[n] | join('', @)", InvalidType, 6),
    ] {
        let error = evaluate(text, &json!({"n": 1, "s": "x"})).unwrap_err();
        assert_eq!((error.kind, error.position), (kind, position), "{text}: {error}");
    }
}

#[test]
fn no_message_carries_a_value() {
    let root = json!({"s": "TOPSECRET", "o": {"TOPSECRET": 1}});
    for text in [
        "abs(s)",
        "s + `1`",
        "join('', [o])",
        "parse_json(s)",
        "base64_decode(s)",
        "to_unix(s)",
        "add_duration(s, s)",
        "add_duration('2026-01-01T00:00:00Z', s)",
        "format_date('2026-01-01T00:00:00Z', '%Y', s)",
        "regex_match(s, join('', ['(', s]))",
        "sort([s, o])",
        "from_entries([o])",
        "parse_json(join('', ['{\"', s, '\": ']))",
        "range(s)",
        "sum([s])",
    ] {
        let error = evaluate(text, &root).unwrap_err();
        assert!(!error.to_string().contains("TOPSECRET"), "{text}: {error}");
    }
}

#[test]
fn secrets_are_read_by_literal_name_only() {
    let names = |text: &str| -> Vec<(String, usize)> {
        parse(text).unwrap().secrets().iter().map(|secret| (secret.name.clone(), secret.position)).collect()
    };
    let name = |name: &str, position| (name.to_owned(), position);
    assert_eq!(names("secrets.token"), [name("token", 0)]);
    assert_eq!(names("join('', ['Bearer ', $.secrets.a, @.secrets._b9])"), [name("a", 23), name("_b9", 36)]);
    assert_eq!(names("items[*].{t: $.secrets.a}"), [name("a", 15)]);
    assert_eq!(names("secrets.\"token\""), [name("token", 0)]);
    assert_eq!(names("(a ? secrets.x : secrets.y) || secrets.z").len(), 3);
    // Members of that name elsewhere are ordinary.
    for text in [
        "input.secrets",
        "input.secrets.a",
        "items[*].secrets",
        "items[?secrets]",
        "map(&secrets, items)",
        "a | secrets",
        "a.{secrets: secrets}",
        "{secrets: a}",
        "a.[secrets.*]",
    ] {
        assert!(names(text).is_empty(), "{text}");
    }
    let long = format!("secrets.{}", "x".repeat(64));
    assert_eq!(names(&long).len(), 1);
    for text in [
        "secrets",
        "secrets.*",
        "secrets[0]",
        "secrets | a",
        "keys(secrets)",
        "(secrets).a",
        "$.secrets",
        "@.secrets.*",
        "secrets.[a]",
        "secrets.{a: a}",
        "secrets.\"x-y\"",
        "secrets.length(@)",
        "let $x = secrets in $x.a",
        "[secrets]",
        "!secrets",
        "secrets || a",
        "merge($, {a: $.secrets})",
        &format!("{long}x"),
        "secrets.\"9\"",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code(), "secret_not_allowed", "{text}: {error}");
    }
}

#[test]
fn secrets_come_from_the_resolver_and_never_from_the_root() {
    let root = json!({"secrets": {"a": "from the root"}});
    let resolver = |name: &str| (name == "a").then(|| "resolved".to_owned());
    let expression = parse("secrets.a").unwrap();
    let view = View::from(&root);
    let error = expression.evaluate(&view, &env()).unwrap_err();
    assert_eq!(error.code(), "secret_not_allowed");
    let env = env().with_secrets(&resolver);
    assert_eq!(expression.evaluate(&view, &env), Ok(json!("resolved")));
    let error = parse("secrets.b").unwrap().evaluate(&view, &env).unwrap_err();
    assert_eq!(error.code(), "secret_not_found");
}

#[test]
fn literal_times_durations_formats_and_zones_are_judged_while_parsing() {
    for wrong in [
        "add_duration(a, '1 day')",
        "add_duration('yesterday', a)",
        "format_date(a, '%')",
        "format_date(a, '%Y', 'Mars/Olympus')",
        "to_unix('2026-02-30T00:00:00Z')",
        "a && to_unix('')",
    ] {
        let error = parse(wrong).unwrap_err();
        assert_eq!(error.code(), "expression_invalid_value", "{wrong}");
    }
    for good in [
        "add_duration(a, '-1h30m')",
        "add_duration('2026-01-02T03:04:05Z', b)",
        "format_date(a, '%y', 'Europe/Berlin')",
        "format_date(a, b, c)",
        "to_unix('2026-01-02T03:04:05+02:00')",
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
}

#[test]
fn literal_patterns_are_counted() {
    let expression = parse("regex_match(a, 'x') && regex_replace(a, 'y', b) || regex_match(a, b)").unwrap();
    assert_eq!(expression.literal_patterns(), 2);
}

#[test]
fn references_are_known_without_data() {
    let expression = parse("nodes.a.output.x + $.nodes.b.output | [@, $.item, nodes.c]").unwrap();
    let ids: Vec<_> = expression.node_refs().iter().map(|node| (node.id.as_str(), node.position)).collect();
    assert_eq!(ids, [("a", 6), ("b", 27)]);
    assert!(!expression.uses_nodes_dynamically());
    assert!(expression.uses_root("item") && !expression.uses_root("index"));
    assert_eq!(expression.roots().collect::<Vec<_>>(), ["item", "nodes"]);
    for text in [
        "nodes",
        "nodes.*",
        "keys(nodes)",
        "nodes | a",
        "$",
        "@",
        "to_json(@)",
        "*",
        "[$]",
        "nodes.length(@)",
        "$ | nodes.x",
    ] {
        assert!(parse(text).unwrap().uses_nodes_dynamically(), "{text}");
    }
    for text in [
        "input.nodes",
        "input[*].nodes",
        "items[?nodes.a]",
        "{nodes: item}",
        "a | @",
        "map(&@, item)",
        "nodes.\"a\".output",
    ] {
        assert!(!parse(text).unwrap().uses_nodes_dynamically(), "{text}");
    }
    assert!(parse("$").unwrap().uses_root("anything"));
}

#[test]
fn a_root_of_references_behaves_like_the_value() {
    let (input, output) = (json!({"n": 1.0, "list": [1, {"a": null}]}), json!({"status": 200}));
    let run = json!("r1");
    let view = View::object([
        ("run", View::object([("id", View::from(&run))])),
        ("input", View::from(&input)),
        (
            "nodes",
            View::object([
                ("b", View::object([("output", View::from(&output))])),
                ("a", View::object([("output", View::null())])),
            ]),
        ),
        ("index", View::from(json!(3))),
    ]);
    let value = json!({"run": {"id": "r1"}, "input": {"n": 1, "list": [1, {"a": null}]},
        "nodes": {"a": {"output": null}, "b": {"output": {"status": 200}}}, "index": 3});
    for text in [
        "@",
        "$",
        "keys(@)",
        "*",
        "nodes.*.output",
        "nodes | keys(@)",
        "length(nodes)",
        "to_json(@)",
        "input.n == `1`",
        "nodes.b == {output: {status: `200`}}",
        "to_entries(run)",
        "merge(run, {x: index})",
        "[@.run, nodes.a]",
        "values(nodes)[1]",
        "type(nodes)",
        "contains([nodes], $.nodes)",
        "unique([run, run])",
    ] {
        let expression = parse(text).unwrap();
        assert_eq!(
            expression.evaluate(&view, &env()),
            expression.evaluate(&View::from(&value), &env()),
            "{text}"
        );
    }
    assert_eq!(parse("@").unwrap().evaluate(&view, &env()), Ok(value));
}

#[test]
fn truth_is_that_of_jmespath() {
    for (value, truth) in [
        (json!(null), false),
        (json!(false), false),
        (json!(""), false),
        (json!([]), false),
        (json!({}), false),
        (json!(0), true),
        (json!(true), true),
        (json!(" "), true),
        (json!([null]), true),
        (json!({"a": null}), true),
    ] {
        assert_eq!(parse("@").unwrap().evaluate_truthy(&View::from(&value), &env()), Ok(truth), "{value}");
        assert_eq!(evaluate("@ ? 'y' : 'n'", &value), Ok(json!(if truth { "y" } else { "n" })));
        assert_eq!(evaluate("!@", &value), Ok(json!(!truth)));
    }
    assert_eq!(
        parse("nodes.*")
            .unwrap()
            .evaluate_truthy(&View::object([("nodes", View::object::<&str>([]))]), &env()),
        Ok(false)
    );
}

#[test]
fn the_star_multiplies_only_behind_a_value() {
    let root = json!({"a": 6, "b": {"x": 7}, "c": [{"n": 2}, {"n": 3}]});
    for (text, result) in [
        ("a * b.x", json!(42)),
        ("a*a", json!(36)),
        ("b.* ", json!([7])),
        ("b.*|[0] * `2`", json!(14)),
        ("c[*].n | @[0] * @[1]", json!(6)),
        ("* | length(@)", json!(3)),
        ("b.*[]", json!([7])),
        ("c[*].[n * `10`][]", json!([20, 30])),
        ("c[?n * `2` > `5`].n", json!([3])),
        ("length(*) * `2`", json!(6)),
        ("a * -a", json!(-36)),
        ("a - -a", json!(12)),
        ("a-a", json!(0)),
        ("a -`1`", json!(5)),
        ("c[-1].n", json!(3)),
        ("`2` + `3` * `4` - `6` / `2` % `2`", json!(13)),
        ("`2` * `3` == `6` && `1` < `1` + `1`", json!(true)),
        ("`1` - `2` - `3`", json!(-4)),
        ("`8` / `4` / `2`", json!(1)),
    ] {
        assert_eq!(evaluate(text, &root), Ok(result), "{text}");
    }
}

#[test]
fn names_like_keywords_stay_names() {
    let root = json!({"let": 1, "in": {"let": 2}, "now": 3});
    assert_eq!(evaluate("[let, in.let, now, $.let]", &root), Ok(json!([1, 2, 3, 1])));
    assert_eq!(evaluate("let $in = in in $in.let", &root), Ok(json!(2)));
    assert_eq!(evaluate("in | let", &root), Ok(json!(2)));
}

#[test]
fn variables_are_lexical_and_reach_into_projections_and_references() {
    let root = json!({"list": [{"n": 1}, {"n": 5}], "limit": 3});
    for (text, result) in [
        ("let $l = limit in list[?n > $l].n", json!([5])),
        ("let $l = limit in map(&(n * $l), list)", json!([3, 15])),
        ("let $a = `1` in (let $b = `2`, $a = `10` in $a + $b) + $a", json!(13)),
        ("let $a = limit, $b = limit in [$a, $b]", json!([3, 3])),
        ("list[*].[let $x = n in $x + $x][]", json!([2, 10])),
        ("let $x = list in $x[0].n | @", json!(1)),
        ("[let $x = `1` in $x, let $x = `2` in $x]", json!([1, 2])),
        ("let $f = `2` in sort_by(list, &(n * -$f))[0].n", json!(5)),
    ] {
        assert_eq!(evaluate(text, &root), Ok(result), "{text}");
    }
}

#[test]
fn uuids_differ_by_call_and_seed_and_agree_on_replay() {
    let two = parse("[uuid(), uuid()]").unwrap();
    let root = json!({});
    let ids = |seed: &[u8]| {
        let env = Env::new(Timestamp::EPOCH, seed);
        let first = two.evaluate(&View::from(&root), &env).unwrap();
        let second = two.evaluate(&View::from(&root), &env).unwrap();
        [first[0].clone(), first[1].clone(), second[0].clone(), second[1].clone()]
    };
    let all = [ids(b"run/a"), ids(b"run/b")].concat();
    for (index, id) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| other != id));
        let parsed: uuid::Uuid = id.as_str().unwrap().parse().unwrap();
        assert_eq!((parsed.get_version_num(), parsed.get_variant()), (8, uuid::Variant::RFC4122));
    }
    assert_eq!(ids(b"run/a"), ids(b"run/a"));
    // Recorded in histories: must never change.
    assert_eq!(ids(b"run/a")[0], json!("559ae709-8d81-8a65-a3d8-ba4590a87d0f"));
}

#[test]
fn members_are_ordered_whatever_order_the_map_keeps() {
    let mut members = Map::new();
    for key in ["b", "\u{fb33}", "a", "\u{1f600}", "B", "aa"] {
        members.insert(key.to_owned(), json!(key));
    }
    let root = Value::Object(members);
    let sorted = json!(["B", "a", "aa", "b", "\u{1f600}", "\u{fb33}"]);
    for text in [
        "keys(@)",
        "values(@)",
        "*",
        "to_entries(@)[*].key",
        "merge(@) | keys(@)",
        "from_entries(to_entries(@)) | *",
    ] {
        assert_eq!(evaluate(text, &root), Ok(sorted.clone()), "{text}");
    }
    assert_eq!(evaluate("to_json({b: `1`, a: `2`})", &root), Ok(json!(r#"{"a":2,"b":1}"#)));
}

#[test]
fn results_are_in_normal_form_even_when_the_input_is_not() {
    let root = json!({"a": [1.0, -0.0, 1e3], "b": 2.0});
    let result = evaluate("@", &root).unwrap();
    assert_eq!(result, json!({"a": [1, 0, 1000], "b": 2}));
    assert_eq!(evaluate("b == `2` && contains(a, `1000`)", &root), Ok(json!(true)));
    assert_eq!(evaluate("a[0]", &root), Ok(json!(1)));
}

#[test]
fn sorting_is_stable_and_exact_across_kinds_of_numbers() {
    let root = json!([{"k": 2, "i": 0}, {"k": 1.5, "i": 1}, {"k": 2.0, "i": 2}, {"k": u64::MAX, "i": 3}, {"k": -0.0, "i": 4}, {"k": 0, "i": 5},
        {"k": 1e300, "i": 6}, {"k": i64::MIN, "i": 7}, {"k": 9_007_199_254_740_993_i64, "i": 8}, {"k": 9_007_199_254_740_992_i64, "i": 9}]);
    assert_eq!(evaluate("sort_by(@, &k)[*].i", &root), Ok(json!([7, 4, 5, 1, 0, 2, 9, 8, 3, 6])));
    assert_eq!(evaluate("max_by(@, &k).i", &root), Ok(json!(6)));
    assert_eq!(evaluate("sort(['b', 'é', 'Z', 'a', 'B'])", &root), Ok(json!(["B", "Z", "a", "b", "é"])));
}

#[test]
fn the_budget_suffices_for_ordinary_work_on_large_data() {
    let items: Vec<_> = (0..5_000)
        .map(|i| json!({"id": i, "name": format!("item {i}"), "tag": format!("t{}", i % 7)}))
        .collect();
    let root = json!({"items": items, "text": "word ".repeat(20_000)});
    for text in [
        "items[?id > `10` && tag == 't3'].name | length(@)",
        "sort_by(items, &name)[*].id | length(@)",
        "group_by(items, &tag) | keys(@)",
        "join(', ', items[*].name) | length(@)",
        "map(&upper(name), items) | unique(@) | length(@)",
        "items[*].{n: name, i: id + `1`} | length(@)",
        "sum(items[*].id)",
        "to_json(items) | sha256(@)",
        "to_json(items) | parse_json(@) | length(@)",
        "split(text, ' ') | length(@)",
        "replace(text, 'word', 'w') | length(@)",
        "regex_replace(substring(text, `0`, `20000`), '\\s+', '') | length(@)",
        "items[?regex_match(name, '7$')] | length(@)",
        "from_entries(map(&{key: name, value: id}, items)) | length(@)",
        "zip(items, range(`5000`)) | length(@)",
        "items",
    ] {
        assert!(evaluate(text, &root).is_ok(), "{text}: {:?}", evaluate(text, &root));
    }
}

#[test]
fn compiled_forms_are_shared_between_threads() {
    fn shareable<T: Send + Sync + Clone + 'static>(_: &T) {}
    shareable(&parse("a").unwrap());
    shareable(&Template::parse(&json!("{{ a }}"), &TemplateOptions::default()).unwrap());
    shareable(&UrlTemplate::parse("{{ a }}", &TemplateOptions::default()).unwrap());
    fn sync<T: Sync + Send>(_: &T) {}
    sync(&env());
}
