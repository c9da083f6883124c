//! What transforms, branches and switches evaluate.

use super::*;

#[test]
fn transform_takes_an_expression_or_a_template() {
    expect(&with_node("transform", json!({})), &[("missing_field", "nodes[0].config.expression")]);
    expect(
        &with_node("transform", json!({"expression": "input", "template": 1})),
        &[("invalid_config", "nodes[0].config")],
    );
    expect(
        &with_node(
            "transform",
            json!({"expression": "a..b", "input_schema": {"type": 1}, "output_schema": 5}),
        ),
        &[
            ("invalid_expression", "nodes[0].config.expression"),
            ("invalid_schema", "nodes[0].config.input_schema"),
            ("invalid_schema", "nodes[0].config.output_schema"),
        ],
    );
    expect(
        &with_node(
            "transform",
            json!({"template": {"a": ["{{ input", "{{ nosuch() }}", "{{ {{ }} }}"], "b": "fine {{ input }}"}}),
        ),
        &[
            ("invalid_template", "nodes[0].config.template.a[0]"),
            ("invalid_template", "nodes[0].config.template.a[1]"),
            ("invalid_template", "nodes[0].config.template.a[2]"),
        ],
    );
    for expression in ["nosuch(input)", "length()", "$x", "`{`"] {
        let document = with_node("transform", json!({"expression": expression}));
        expect(&document, &[("invalid_expression", "nodes[0].config.expression")]);
    }
}

#[test]
fn transform_makes_values_and_holds_them_against_schemas() {
    assert_eq!(evaluated("transform", json!({"expression": "input.n"}), json!({"n": 5})), out(json!(5)));
    assert_eq!(
        evaluated(
            "transform",
            json!({"template": {"a": "{{ input.n }}", "b": "n={{ input.n }}"}}),
            json!({"n": 5})
        ),
        out(json!({"a": 5, "b": "n=5"}))
    );
    let schema = json!({"type": "integer"});
    let config = json!({"expression": "to_string(input)", "input_schema": schema});
    assert_eq!(evaluated("transform", config.clone(), json!(1)), out(json!("1")));
    assert_eq!(evaluated("transform", config, json!("x")), Err("schema_violation".to_owned()));
    let config = json!({"expression": "input", "output_schema": schema});
    assert_eq!(evaluated("transform", config, json!("x")), Err("schema_violation".to_owned()));
    assert_eq!(
        evaluated("transform", json!({"expression": "abs(input)"}), json!("x")),
        Err("expression_invalid_type".to_owned())
    );
}

#[test]
fn violations_are_listed_without_the_value() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["id"]});
    let NodeKind::Transform(node) = kind("transform", json!({"expression": "input", "input_schema": schema}))
    else {
        panic!()
    };
    let failure = over(json!({"n": "hunter2"}), |scope| node.evaluate(scope)).unwrap_err();
    let details = failure.details.clone().unwrap();
    let paths: Vec<&str> =
        details["violations"].as_array().unwrap().iter().map(|v| v["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/n") && paths.contains(&""), "{details}");
    assert!(!failure.to_value().to_string().contains("hunter2"));
    assert!(!failure.retryable);
}

#[test]
fn branch_leaves_by_the_truth_of_its_condition() {
    for (input, port) in [
        (json!(1), "true"),
        (json!(0), "true"),
        (json!(null), "false"),
        (json!(""), "false"),
        (json!([]), "false"),
    ] {
        assert_eq!(
            evaluated("branch", json!({"condition": "input"}), input.clone()),
            Ok((port.to_owned(), input))
        );
    }
    assert!(evaluated("branch", json!({"condition": "input < abs('x')"}), json!(1)).is_err());
    expect(&with_node("branch", json!({"condition": 1})), &[("invalid_type", "nodes[0].config.condition")]);
}

#[test]
fn switch_leaves_by_the_first_case_that_holds() {
    let cases = json!([{"port": "low", "when": "input < `10`"}, {"port": "mid", "when": "input < `20`"}, {"port": "low", "when": "input == `99`"}]);
    for (input, port) in [(5, "low"), (15, "mid"), (99, "low"), (50, "default")] {
        let left = evaluated("switch", json!({"cases": cases}), json!(input));
        assert_eq!(left, Ok((port.to_owned(), json!(input))));
    }
    let renamed = evaluated("switch", json!({"cases": cases, "default": "else"}), json!(50));
    assert_eq!(renamed, Ok(("else".to_owned(), json!(50))));
    expect(
        &with_node(
            "switch",
            json!({"cases": [{"port": "error", "when": "x"}, {"port": "a b", "when": "("}, {}, 1], "default": ""}),
        ),
        &[
            ("invalid_value", "nodes[0].config.cases[0].port"),
            ("invalid_value", "nodes[0].config.cases[1].port"),
            ("invalid_expression", "nodes[0].config.cases[1].when"),
            ("missing_field", "nodes[0].config.cases[2].port"),
            ("missing_field", "nodes[0].config.cases[2].when"),
            ("invalid_type", "nodes[0].config.cases[3]"),
            ("invalid_value", "nodes[0].config.default"),
        ],
    );
    expect(&with_node("switch", json!({"cases": []})), &[("invalid_value", "nodes[0].config.cases")]);
}
