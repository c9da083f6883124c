//! Templates: JSON values in whose strings `{{ expression }}` is replaced.
//!
//! ```
//! use meshhook_core::expr::{Env, Template, TemplateOptions, View};
//! use meshhook_core::time::Timestamp;
//! use serde_json::json;
//!
//! let body = json!({"text": "{{ input.who }} starred us ({{ input.n }})", "count": "{{ input.n }}", "fixed": true});
//! let template = Template::parse(&body, &TemplateOptions::default()).unwrap();
//! let input = json!({"who": "Ada", "n": 7});
//! let root = View::object([("input", View::from(&input))]);
//! let rendered = template.render(&root, &Env::new(Timestamp::EPOCH, b"")).unwrap();
//! assert_eq!(rendered, json!({"text": "Ada starred us (7)", "count": 7, "fixed": true}));
//! ```
//!
//! A string that is exactly one placeholder becomes the value itself; in every other string the value becomes text:
//! strings as they are, `null` as nothing, others as canonical JSON. Object keys are not templates. `{{{{` stands
//! for a literal `{{`. A placeholder ends at the first `}}` outside quotes, backticks and braces, so
//! `{{ {a: {b: c}} }}` works. What was inserted is never looked at again.
//!
//! All placeholders of a template share one budget of steps and result bytes.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::error::{ExprError, ExprErrorKind};
use super::{Env, ExprLimits, Expression, SecretRef, View};
use crate::json::{self, compare_keys};

/// What a template may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateOptions {
    /// The limits of each expression; steps and result bytes bound the whole template.
    pub limits: ExprLimits,
    /// Whether expressions may read secrets.
    pub allow_secrets: bool,
    /// How many placeholders there may be.
    pub max_placeholders: usize,
}

impl TemplateOptions {
    /// Lets expressions read secrets.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        self.allow_secrets = true;
        self
    }

    /// Sets the limits of the expressions.
    #[must_use]
    pub fn with_limits(mut self, limits: ExprLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Default for TemplateOptions {
    fn default() -> Self {
        Self { limits: ExprLimits::default(), allow_secrets: false, max_placeholders: 10_000 }
    }
}

/// What is wrong in a template, or with what it was rendered from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateErrorKind {
    /// A `{{` has no matching `}}`.
    #[error("placeholder is not closed")]
    Unclosed,
    /// There are more placeholders than allowed.
    #[error("template has too many placeholders")]
    TooManyPlaceholders,
    /// The template nests too deep.
    #[error("template nests too deep")]
    TooDeep,
    /// A value would change what a URL means; see [`UrlTemplate`](super::UrlTemplate).
    #[error("{0}")]
    UnsafeUrl(&'static str),
    /// An expression cannot be parsed or evaluated.
    #[error("{0}")]
    Expression(ExprError),
}

/// An error of a template, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateError {
    /// Where in the value the string is, as in `items[0].text` or `["x-y"]`; empty for the value itself.
    pub path: String,
    /// Byte offset in that string.
    pub position: usize,
    /// What is wrong.
    pub kind: TemplateErrorKind,
}

impl TemplateError {
    /// The code of the failure: that of the expression, which a `{{` without its `}}` shares, `limit_exceeded` or
    /// `invalid_url`.
    pub fn code(&self) -> &'static str {
        match &self.kind {
            TemplateErrorKind::Unclosed => "expression_syntax",
            TemplateErrorKind::TooManyPlaceholders | TemplateErrorKind::TooDeep => "limit_exceeded",
            TemplateErrorKind::UnsafeUrl(_) => "invalid_url",
            TemplateErrorKind::Expression(error) => error.code(),
        }
    }

    /// Whether a limit was exceeded, rather than a rule broken.
    pub fn is_limit(&self) -> bool {
        match &self.kind {
            TemplateErrorKind::TooManyPlaceholders | TemplateErrorKind::TooDeep => true,
            TemplateErrorKind::Expression(error) => error.is_limit(),
            TemplateErrorKind::Unclosed | TemplateErrorKind::UnsafeUrl(_) => false,
        }
    }

    /// The path of the string in a document that has the template at `prefix`.
    pub fn path_under(&self, prefix: &str) -> String {
        let dot =
            if prefix.is_empty() || self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        format!("{prefix}{dot}{}", self.path)
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            // The position within the string, not the one within the expression.
            TemplateErrorKind::Expression(error) => f.write_str(&error.message)?,
            kind => write!(f, "{kind}")?,
        }
        write!(f, " at position {}", self.position)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " of {}", self.path) }
    }
}

impl std::error::Error for TemplateError {}

/// An expression in a template.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Placeholder {
    /// Where in the value the string is; see [`TemplateError::path`].
    pub path: String,
    /// Byte offset of the expression in that string.
    pub position: usize,
    /// The expression.
    pub expression: Expression,
}

impl Placeholder {
    pub(super) fn error(&self, error: ExprError) -> TemplateError {
        TemplateError {
            path: self.path.clone(),
            position: self.position + error.position,
            kind: TemplateErrorKind::Expression(error),
        }
    }
}

/// A parsed template. Cheap to clone, and to share between threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    compiled: Arc<Compiled>,
}

#[derive(Debug, PartialEq)]
struct Compiled {
    shape: Shape,
    /// In the order in which they are evaluated: that of the sorted keys and of the text.
    placeholders: Vec<Placeholder>,
    limits: ExprLimits,
}

/// A part of a template; placeholders are named by their index.
#[derive(Debug, PartialEq)]
enum Shape {
    Constant(Value),
    Typed(usize),
    Text(Vec<Piece>),
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Placeholder(usize),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// With everything that is wrong in it, at least one error.
    pub fn parse(value: &Value, options: &TemplateOptions) -> Result<Self, Vec<TemplateError>> {
        let mut parser = Parser::new(options);
        let shape = parser.shape(value, "", options.limits.max_depth.min(ExprLimits::DEPTH_CEILING));
        let placeholders = parser.finish()?;
        let limits = options.limits.clone();
        Ok(Self { compiled: Arc::new(Compiled { shape, placeholders, limits }) })
    }

    /// Renders the template.
    ///
    /// # Errors
    ///
    /// The first error of an expression, or the limit that the whole exceeds.
    pub fn render(&self, root: &View<'_>, env: &Env<'_>) -> Result<Value, TemplateError> {
        let mut renderer = Renderer {
            placeholders: &self.compiled.placeholders,
            root,
            env,
            budget: Budget::new(&self.compiled.limits),
        };
        renderer.render(&self.compiled.shape)
    }

    /// The value, when there is nothing to render.
    pub fn as_constant(&self) -> Option<&Value> {
        match &self.compiled.shape {
            Shape::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The expressions, in the order in which they are evaluated.
    pub fn placeholders(&self) -> &[Placeholder] {
        &self.compiled.placeholders
    }

    /// The secrets it reads, each with the placeholder that does.
    pub fn secrets(&self) -> impl Iterator<Item = (&Placeholder, &SecretRef)> {
        secrets_of(&self.compiled.placeholders)
    }
}

pub(super) fn secrets_of(placeholders: &[Placeholder]) -> impl Iterator<Item = (&Placeholder, &SecretRef)> {
    placeholders.iter().flat_map(|place| place.expression.secrets().iter().map(move |secret| (place, secret)))
}

/// Collects placeholders and errors while walking a value.
pub(super) struct Parser<'o> {
    options: &'o TemplateOptions,
    placeholders: Vec<Placeholder>,
    errors: Vec<TemplateError>,
}

impl<'o> Parser<'o> {
    pub(super) fn new(options: &'o TemplateOptions) -> Self {
        Self { options, placeholders: Vec::new(), errors: Vec::new() }
    }

    pub(super) fn finish(self) -> Result<Vec<Placeholder>, Vec<TemplateError>> {
        if self.errors.is_empty() { Ok(self.placeholders) } else { Err(self.errors) }
    }

    pub(super) fn fail(&mut self, path: &str, position: usize, kind: TemplateErrorKind) {
        self.errors.push(TemplateError { path: path.to_owned(), position, kind });
    }

    fn shape(&mut self, value: &Value, path: &str, depth_left: usize) -> Shape {
        match value {
            Value::String(text) => self.text(text, path),
            Value::Array(_) | Value::Object(_) if depth_left == 0 => {
                self.fail(path, 0, TemplateErrorKind::TooDeep);
                Shape::Constant(Value::Null)
            }
            Value::Array(items) => {
                let shapes: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.shape(item, &format!("{path}[{index}]"), depth_left - 1))
                    .collect();
                constant_items(shapes)
            }
            Value::Object(members) => {
                let mut sorted: Vec<_> = members.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| compare_keys(a, b));
                let shapes: Vec<_> = sorted
                    .into_iter()
                    .map(|(key, item)| {
                        (key.clone(), self.shape(item, &member_path(path, key), depth_left - 1))
                    })
                    .collect();
                constant_members(shapes)
            }
            scalar => Shape::Constant(scalar.clone()),
        }
    }

    fn text(&mut self, text: &str, path: &str) -> Shape {
        let mut pieces = self.pieces(text, path);
        match pieces.as_mut_slice() {
            [] => Shape::Constant(Value::String(String::new())),
            [Piece::Text(text)] => Shape::Constant(Value::String(std::mem::take(text))),
            [Piece::Placeholder(index)] => Shape::Typed(*index),
            _ => Shape::Text(pieces),
        }
    }

    /// Splits a string; neighboring texts are one piece, and none is empty.
    pub(super) fn pieces(&mut self, text: &str, path: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = 0;
        while let Some(open) = text[rest..].find("{{").map(|found| rest + found) {
            literal.push_str(&text[rest..open]);
            if text[open..].starts_with("{{{{") {
                literal.push_str("{{");
                rest = open + 4;
                continue;
            }
            let start = open + 2;
            let Some(end) = placeholder_end(text, start) else {
                self.fail(path, open, TemplateErrorKind::Unclosed);
                return Vec::new();
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Placeholder(self.placeholders.len()));
            self.placeholder(&text[start..end], start, path);
            rest = end + 2;
        }
        literal.push_str(&text[rest..]);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        pieces
    }

    fn placeholder(&mut self, text: &str, start: usize, path: &str) {
        if self.placeholders.len() + self.errors.len() >= self.options.max_placeholders {
            // Said once.
            if self.errors.iter().all(|error| error.kind != TemplateErrorKind::TooManyPlaceholders) {
                self.fail(path, start, TemplateErrorKind::TooManyPlaceholders);
            }
            return;
        }
        let expression = match Expression::parse(text, &self.options.limits) {
            Ok(expression) => expression,
            Err(error) => {
                return self.fail(path, start + error.position, TemplateErrorKind::Expression(error));
            }
        };
        if !self.options.allow_secrets {
            for secret in expression.secrets() {
                let error = ExprError::new(
                    ExprErrorKind::SecretNotAllowed,
                    secret.position,
                    "secrets are not visible in this field",
                );
                self.fail(path, start + secret.position, TemplateErrorKind::Expression(error));
            }
        }
        self.placeholders.push(Placeholder { path: path.to_owned(), position: start, expression });
    }
}

/// Finds the `}}` that ends the placeholder whose expression starts at `start`.
fn placeholder_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut braces = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' | b'`' => {
                at += 1;
                while bytes.get(at)? != byte {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => braces += 1,
            b'}' if braces > 0 => braces -= 1,
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn constant_items(shapes: Vec<Shape>) -> Shape {
    if shapes.iter().any(|shape| !matches!(shape, Shape::Constant(_))) {
        return Shape::Array(shapes);
    }
    Shape::Constant(shapes.into_iter().filter_map(into_constant).collect())
}

fn constant_members(shapes: Vec<(String, Shape)>) -> Shape {
    if shapes.iter().any(|(_, shape)| !matches!(shape, Shape::Constant(_))) {
        return Shape::Object(shapes);
    }
    let members = shapes.into_iter().filter_map(|(key, shape)| Some((key, into_constant(shape)?)));
    Shape::Constant(Value::Object(members.collect()))
}

fn into_constant(shape: Shape) -> Option<Value> {
    match shape {
        Shape::Constant(value) => Some(value),
        _ => None,
    }
}

fn member_path(path: &str, key: &str) -> String {
    let mut bytes = key.bytes();
    let plain = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain {
        return format!("{path}[{}]", json::to_canonical_string(&Value::from(key)));
    }
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct Renderer<'r> {
    placeholders: &'r [Placeholder],
    root: &'r View<'r>,
    env: &'r Env<'r>,
    budget: Budget,
}

impl Renderer<'_> {
    fn render(&mut self, shape: &Shape) -> Result<Value, TemplateError> {
        match shape {
            Shape::Constant(value) => Ok(value.clone()),
            Shape::Typed(index) => {
                let place = &self.placeholders[*index];
                place
                    .expression
                    .evaluate_within(self.root, self.env, &mut self.budget)
                    .map_err(|error| place.error(error))
            }
            Shape::Text(pieces) => self.text(pieces).map(Value::String),
            Shape::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for item in items {
                    rendered.push(self.render(item)?);
                }
                Ok(Value::Array(rendered))
            }
            Shape::Object(members) => {
                let mut rendered = Map::new();
                for (key, item) in members {
                    rendered.insert(key.clone(), self.render(item)?);
                }
                Ok(Value::Object(rendered))
            }
        }
    }

    fn text(&mut self, pieces: &[Piece]) -> Result<String, TemplateError> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Placeholder(index) => {
                    let place = &self.placeholders[*index];
                    place
                        .expression
                        .evaluate_into(self.root, self.env, &mut self.budget, &mut text)
                        .map_err(|error| place.error(error))?;
                }
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
