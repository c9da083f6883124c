//! Any text as an expression and as a template, over a document that the input brings along.
//!
//! The input is an expression, a NUL byte, and JSON. Neither may panic, hang or overflow the stack; a result is in
//! normal form and the same the second time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshhook_core::expr::{Env, ExprLimits, Expression, Template, TemplateOptions, View};
use meshhook_core::json::{self, JsonLimits};
use meshhook_core::time::Timestamp;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let (text, document) = match input.iter().position(|byte| *byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &b"{}"[..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let document = json::parse(document, &JsonLimits::default()).unwrap_or(Value::Null);
    let root = View::from(&document);
    if let Ok(expression) = Expression::parse(text, &ExprLimits::default()) {
        let evaluate = || expression.evaluate(&root, &Env::new(Timestamp::EPOCH, b"seed"));
        let first = evaluate();
        assert_eq!(first, evaluate());
        if let Ok(value) = first {
            let canonical = json::to_canonical_string(&value);
            assert_eq!(json::parse(canonical.as_bytes(), &JsonLimits::default()).as_ref(), Ok(&value));
        }
    }
    if let Ok(template) = Template::parse(&Value::from(text), &TemplateOptions::default()) {
        let _ = template.render(&root, &Env::new(Timestamp::EPOCH, b"seed"));
    }
});
