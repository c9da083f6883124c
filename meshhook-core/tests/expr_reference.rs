//! Every example of docs/reference/expressions.md, evaluated.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use meshhook_core::expr::{Env, ExprLimits, Expression, Template, TemplateOptions, View, function_names};
use meshhook_core::json::{self, JsonLimits};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/reference/expressions.md");

#[test]
fn every_example_of_the_reference_gives_what_it_says() {
    let mut block: Option<&str> = None;
    let (mut root, mut examples, mut failures) = (String::new(), 0, Vec::new());
    for line in PAGE.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(kind) };
            continue;
        }
        match block {
            Some("json") => root.push_str(line),
            Some(kind @ ("expression" | "template")) => {
                let (text, expected) = line.rsplit_once('→').unwrap_or_else(|| panic!("no arrow: {line}"));
                let (text, expected) = (text.trim(), expected.trim());
                let root = parse(&root);
                let found =
                    if kind == "template" { render(&parse(text), &root) } else { evaluate(text, &root) };
                let expected = match expected.strip_prefix("error ") {
                    Some(code) => Err(code.to_owned()),
                    None => Ok(parse(expected)),
                };
                examples += 1;
                if found != expected {
                    failures.push(format!("{text}\n  expected {expected:?}\n  found    {found:?}"));
                }
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(examples > 150, "only {examples} examples were found");
}

#[test]
fn every_function_has_an_example() {
    for name in function_names() {
        assert!(PAGE.contains(&format!("{name}(")), "{name}");
    }
}

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes(), &JsonLimits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn evaluate(text: &str, root: &Value) -> Result<Value, String> {
    Expression::parse(text, &ExprLimits::default())
        .and_then(|expression| expression.evaluate(&View::from(root), &env()))
        .map_err(|error| error.code().to_owned())
}

fn render(template: &Value, root: &Value) -> Result<Value, String> {
    Template::parse(template, &TemplateOptions::default())
        .map_err(|errors| errors[0].code().to_owned())?
        .render(&View::from(root), &env())
        .map_err(|error| error.code().to_owned())
}

fn env() -> Env<'static> {
    Env::new("2026-01-02T03:04:05.678901Z".parse().unwrap(), b"run and step")
}
