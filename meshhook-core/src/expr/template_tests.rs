use serde_json::json;

use super::*;
use crate::time::Timestamp;

fn parse(template: &Value) -> Result<Template, Vec<TemplateError>> {
    Template::parse(template, &TemplateOptions::default().with_secrets())
}

fn render(template: &Value, root: &Value) -> Value {
    let secrets = |name: &str| (name == "token").then(|| "s3cret {{ x }}".to_owned());
    let env = Env::new(Timestamp::EPOCH, b"seed").with_secrets(&secrets);
    parse(template).unwrap().render(&View::from(root), &env).unwrap()
}

#[test]
fn a_whole_placeholder_is_typed_and_everything_else_is_text() {
    let root = json!({"n": 1, "s": "x", "o": {"b": 1.0, "a": [null]}, "z": null, "t": true});
    for (template, rendered) in [
        (json!("{{ n }}"), json!(1)),
        (json!("{{n}}"), json!(1)),
        (json!("{{ o }}"), json!({"a": [null], "b": 1})),
        (json!("{{ z }}"), json!(null)),
        (json!(" {{ n }}"), json!(" 1")),
        (json!("{{ n }}{{ n }}"), json!("11")),
        (json!("<{{ s }}|{{ z }}|{{ t }}|{{ o }}>"), json!(r#"<x||true|{"a":[null],"b":1}>"#)),
        (json!("no placeholder }} {"), json!("no placeholder }} {")),
        (json!(""), json!("")),
        (
            json!({"{{ n }}": ["{{ n }}", 1, null, {"k": "a{{ s }}"}]}),
            json!({"{{ n }}": [1, 1, null, {"k": "ax"}]}),
        ),
    ] {
        assert_eq!(render(&template, &root), rendered, "{template}");
    }
}

#[test]
fn closing_braces_inside_the_expression_do_not_end_it() {
    let root = json!({"a": {"b": 7}, "}}": "odd"});
    for (template, rendered) in [
        ("{{ '}}' }}", json!("}}")),
        ("{{ `\"}}\"` }}", json!("}}")),
        ("{{ \"}}\" }}", json!("odd")),
        ("{{ {x: {y: a.b}} }}", json!({"x": {"y": 7}})),
        ("{{{x: {y: a.b}}}}", json!({"x": {"y": 7}})),
        ("{{ 'it\\'s }}' }}", json!("it's }}")),
        ("-{{ `{\"a\":{}}` }}-", json!("-{\"a\":{}}-")),
    ] {
        assert_eq!(render(&json!(template), &root), rendered, "{template}");
    }
}

#[test]
fn four_braces_are_two_literal_ones() {
    for (template, rendered) in
        [("{{{{ n }}", "{{ n }}"), ("a{{{{b{{ n }}c", "a{{b1c"), ("{{{{{{{{", "{{{{"), ("{{{{{{ n }}", "{{1")]
    {
        assert_eq!(render(&json!(template), &json!({"n": 1})), json!(rendered), "{template}");
    }
}

#[test]
fn inserted_text_is_never_rendered_again() {
    let root = json!({"evil": "{{ secrets.token }} {{{{ ${jndi:x} <%= 1 %>"});
    assert_eq!(render(&json!("<{{ evil }}>"), &root), json!("<{{ secrets.token }} {{{{ ${jndi:x} <%= 1 %>>"));
    assert_eq!(render(&json!("{{ evil }}"), &root), root["evil"]);
    assert_eq!(render(&json!("Bearer {{ secrets.token }}"), &root), json!("Bearer s3cret {{ x }}"));
}

#[test]
fn all_errors_are_reported_with_path_and_position() {
    let template =
        json!({"a": ["ok {{ a }}", "x {{ b", "{{ nope(1) }}"], "x-y": {"c": "é {{ a. }}"}, "b": "{{ }}"});
    let errors = parse(&template).unwrap_err();
    let found: Vec<_> =
        errors.iter().map(|error| (error.path.as_str(), error.position, error.code())).collect();
    assert_eq!(
        found,
        [
            ("a[1]", 2, "expression_syntax"),
            ("a[2]", 8, "expression_syntax"),
            ("b", 3, "expression_syntax"),
            (r#"["x-y"].c"#, 9, "expression_syntax"),
        ]
    );
    assert_eq!(errors[0].path_under("nodes[0].config.body"), "nodes[0].config.body.a[1]");
    assert_eq!(errors[3].path_under("body"), r#"body["x-y"].c"#);
    assert_eq!(errors[0].to_string(), "placeholder is not closed at position 2 of a[1]");
}

#[test]
fn constants_cost_nothing_and_are_told_apart() {
    let value = json!({"a": [1, "x"], "b": {"c": "{{{{"}});
    assert_eq!(parse(&value).unwrap().as_constant(), Some(&json!({"a": [1, "x"], "b": {"c": "{{"}})));
    assert_eq!(parse(&json!(["{{ a }}"])).unwrap().as_constant(), None);
}

#[test]
fn secrets_are_reported_and_refused_where_they_are_not_visible() {
    let value = json!({"h": "{{ secrets.a }}", "b": ["{{ join('', [secrets.b, $.secrets.c]) }}"]});
    let template = parse(&value).unwrap();
    let found: Vec<_> =
        template.secrets().map(|(place, secret)| (place.path.as_str(), secret.name.as_str())).collect();
    assert_eq!(found, [("b[0]", "b"), ("b[0]", "c"), ("h", "a")]);
    let errors = Template::parse(&value, &TemplateOptions::default()).unwrap_err();
    let found: Vec<_> =
        errors.iter().map(|error| (error.path.as_str(), error.position, error.code())).collect();
    assert_eq!(
        found,
        [
            ("b[0]", 13, "secret_not_allowed"),
            ("b[0]", 26, "secret_not_allowed"),
            ("h", 3, "secret_not_allowed")
        ]
    );
    assert_eq!(parse(&json!("x {{ secrets.* }}")).unwrap_err()[0].code(), "secret_not_allowed");
}

#[test]
fn the_number_of_placeholders_and_the_depth_are_limited() {
    let many = json!("{{ a }}".repeat(10_001));
    let errors = parse(&many).unwrap_err();
    assert_eq!((errors.len(), errors[0].code()), (1, "limit_exceeded"));
    assert!(parse(&json!("{{ a }}".repeat(10_000))).is_ok());
    let mut deep = json!("{{ a }}");
    for _ in 0..129 {
        deep = json!([deep]);
    }
    assert!(parse(&deep).unwrap_err()[0].is_limit());
    assert!(parse(&deep[0]).is_ok());
}

#[test]
fn all_placeholders_share_one_budget() {
    let root = json!({"big": "x".repeat(300_000)});
    let env = Env::new(Timestamp::EPOCH, b"");
    let error = parse(&json!(["{{ big }}", "-{{ big }}", "{{ big }}", "-{{ big }}"]))
        .unwrap()
        .render(&View::from(&root), &env)
        .unwrap_err();
    assert_eq!((error.path.as_str(), error.code()), ("[3]", "expression_budget_exceeded"));
}
