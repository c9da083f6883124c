//! Node types of the host's own.

use super::*;

#[test]
fn custom_configs_are_held_against_their_schema_where_they_are_constant() {
    let mail = |config: Value| with_node("send_mail", config);
    expect(&mail(json!({"to": "a@b", "copies": "{{ input }}", "kind": "{{ input }}", "password": "x"})), &[]);
    expect(&mail(json!({"to": "{{ input }}"})), &[]);
    expect(
        &mail(json!({"copies": 0, "kind": "other", "cc": "x", "password": 5})),
        &[
            ("missing_field", "nodes[0].config.to"),
            ("unknown_field", "nodes[0].config.cc"),
            ("invalid_value", "nodes[0].config.copies"),
            ("invalid_value", "nodes[0].config.kind"),
            ("invalid_type", "nodes[0].config.password"),
        ],
    );
    expect(
        &mail(json!({"to": "{{ input", "copies": 0})),
        &[("invalid_template", "nodes[0].config.to"), ("invalid_value", "nodes[0].config.copies")],
    );
    expect(&mail(json!([])), &[("invalid_type", "nodes[0].config")]);
}

#[test]
fn a_wrong_constant_does_not_hide_behind_templates() {
    let mut types = node_types();
    let schema = json!({"type": "object", "additionalProperties": {"type": "integer"}});
    types.register(NodeTypeInfo::effect("numbers").config_schema(schema)).unwrap();
    let mut config = json!({"zz": "constant"});
    for at in 0..50 {
        config[format!("a{at}")] = json!("{{ input }}");
    }
    let checked = check(&with_node("numbers", config), &CheckContext::new(&types));
    assert_eq!(found(&checked), [("invalid_type".to_owned(), "nodes[0].config.zz".to_owned())]);
}

#[test]
fn custom_pure_nodes_are_evaluated_with_their_rendered_config() {
    assert_eq!(evaluated("double", json!({"n": "{{ input }}"}), json!(21)), out(json!(42)));
    assert_eq!(
        evaluated("double", json!({"n": "{{ input }}"}), json!("x")),
        Err("invalid_config".to_owned())
    );
}

#[test]
fn what_a_pure_custom_node_answers_is_made_fit_for_a_history() {
    let answers = |answer: fn() -> Result<Evaluated, Failure>| {
        let mut types = node_types();
        types.register(NodeTypeInfo::pure("host", move |_: &Value, _: &Arc<Value>| answer())).unwrap();
        let checked = check(&with_node("host", json!({})), &CheckContext::new(&types));
        let definition = checked.definition.unwrap_or_else(|| panic!("{:?}", checked.problems));
        let NodeKind::Custom(custom) = definition.graph().nodes()[0].kind.clone() else { panic!() };
        over(json!(null), |scope| custom.evaluate(scope))
    };
    let out = |output: Value| Evaluated::new("out".into(), Arc::new(output));
    assert_eq!(
        answers(|| Ok(Evaluated::new("out".into(), Arc::new(json!([2.0, -0.0]))))),
        Ok(out(json!([2, 0])))
    );
    let code = |answer| answers(answer).unwrap_err().code;
    assert_eq!(code(|| Ok(Evaluated::new("nowhere".into(), Arc::new(json!(1))))), "invalid_config");
    assert_eq!(code(|| panic!("a bug of the host application")), "executor_panicked");
    assert_eq!(code(|| Err(Failure::permanent("Not A Code", "x"))), "custom_failure");
    let huge = || Err(Failure::permanent("x", "y").with_details(json!("x".repeat(1 << 20))));
    assert!(answers(huge).unwrap_err().details.unwrap().as_str().unwrap().contains("too large"));
}

#[test]
fn rendered_custom_configs_are_held_against_their_schema() {
    let NodeKind::Effect(effect) =
        kind("send_mail", json!({"to": "{{ input }}", "password": "{{ secrets.key }}"}))
    else {
        panic!()
    };
    let render = |input: Value| over(input, |scope| effect.render(scope));
    assert_eq!(render(json!("a@b")).unwrap(), json!({"to": "a@b", "password": "s3cret-value"}));
    let failure = render(json!(5)).unwrap_err();
    assert_eq!(failure.code, "invalid_config");
    assert!(failure.message.contains("/to") && !failure.message.contains("s3cret"), "{failure}");
}
