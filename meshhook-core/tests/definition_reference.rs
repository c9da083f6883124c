//! Holds `docs/reference/definition.md` against the code.

use meshhook_core::definition::{CheckContext, ProblemCode, Severity, check, parse_yaml};
use meshhook_core::json::{JsonLimits, parse};
use meshhook_core::node::NodeTypes;

const PAGE: &str = include_str!("../../docs/reference/definition.md");

fn node_types() -> NodeTypes {
    let mut types = NodeTypes::new();
    types.register_http_call();
    types.register_call_workflow();
    types
}

/// The first block of JSON on the page.
fn example() -> &'static str {
    let start = PAGE.find("```json\n").expect("the page has an example") + "```json\n".len();
    let length = PAGE[start..].find("```").expect("the block is closed");
    &PAGE[start..start + length]
}

#[test]
fn the_example_is_valid_in_json_and_in_yaml() {
    let limits = JsonLimits::default();
    let document = parse(example().as_bytes(), &limits).expect("the example is JSON");
    let types = node_types();
    let checked = check(&document, &CheckContext::new(&types));
    assert_eq!(checked.problems, []);
    assert_eq!(parse_yaml(example().as_bytes(), &limits).as_ref(), Ok(&document));
}

#[test]
fn every_problem_code_is_described_with_its_severity() {
    for code in ProblemCode::ALL {
        let row = format!("| `{}` | ", code.as_str());
        let line =
            PAGE.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row} is missing"));
        let says_warning = line[row.len()..].starts_with("warning: ");
        assert_eq!(says_warning, code.severity() == Severity::Warning, "{line}");
    }
    let problems = PAGE.split("## Problems").nth(1).expect("the page has the section");
    let table = problems.split("## Limits").next().expect("there is always a first part");
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, ProblemCode::ALL.len());
}

#[test]
fn every_node_type_has_a_section() {
    for name in node_types().names() {
        assert!(PAGE.contains(&format!("### `{name}`: ")), "{name}");
    }
}
