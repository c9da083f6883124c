//! JSON Schemas, compiled once and resolving nothing from elsewhere.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::problem::ProblemCode;
use super::reader::Field;
use super::schema_shape;
use crate::json;

/// A compiled JSON Schema: draft 2020-12 unless its `$schema` names an older one. Cheap to clone.
///
/// Patterns are matched in linear time. References lead only within the schema itself, `#` or `#/json/pointer`, and
/// a schema that could take exponential time or endless nesting to check is refused.
#[derive(Clone)]
pub struct Schema(Arc<jsonschema::Validator>);

/// A place where a value does not match its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// JSON pointer into the value.
    pub path: String,
    /// What does not match. The value itself is not repeated.
    pub message: String,
    /// The schema keyword that is violated.
    pub keyword: String,
    /// The type of the value that is there.
    pub found: &'static str,
    /// The names of members that are missing or not allowed, where that is what is wrong.
    pub members: Vec<String>,
}

impl Violation {
    /// The violation with the type of what is there, where that is what is wrong. Histories hold the text without it.
    pub(crate) fn with_found(&self) -> String {
        if self.keyword == "type" { format!("{self} (it is {})", self.found) } else { self.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The whole value has no place in itself to name.
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Text that is no usable JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a usable JSON Schema: {0}")]
pub struct SchemaError(pub(super) String);

/// How many violations are told at once.
pub const MAX_VIOLATIONS: usize = 20;

/// Bytes of a compiled pattern, as in expressions.
const MAX_COMPILED_BYTES: usize = 4 << 20;

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] when it is not one, or refers to something outside itself, or could be too costly to check.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        schema_shape::check(schema)?;
        jsonschema::options()
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(MAX_COMPILED_BYTES))
            .with_retriever(Refuse)
            .build(schema)
            .map(|validator| Self(Arc::new(validator)))
            .map_err(|error| SchemaError(bounded(error.masked().to_string())))
    }

    /// Whether a value matches.
    #[must_use]
    pub fn is_valid(&self, value: &Value) -> bool {
        self.0.is_valid(value)
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// What does not match, at most [`MAX_VIOLATIONS`] places.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        self.validate_up_to(value, MAX_VIOLATIONS)
    }

    /// Checks a value and tells of more places than are shown to people.
    pub(crate) fn validate_up_to(&self, value: &Value, most: usize) -> Result<(), Vec<Violation>> {
        // Asking first is cheap, and remembers what it has seen of a recursive schema, which listing does not.
        if self.0.is_valid(value) {
            return Ok(());
        }
        Err(self.0.iter_errors(value).take(most).map(|error| violation(&error)).collect())
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

fn violation(error: &jsonschema::ValidationError<'_>) -> Violation {
    use jsonschema::error::ValidationErrorKind as Kind;
    let members = match error.kind() {
        Kind::Required { property } => property.as_str().map(str::to_owned).into_iter().collect(),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().take(MAX_VIOLATIONS).cloned().collect()
        }
        _ => Vec::new(),
    };
    Violation {
        path: bounded(error.instance_path().as_str().to_owned()),
        message: bounded(error.masked().to_string()),
        keyword: error.kind().keyword().to_owned(),
        found: json::type_name(error.instance()),
        members,
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(300) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Fetches nothing, whatever features of the schema library other crates of the process turn on.
struct Refuse;

impl jsonschema::Retrieve for Refuse {
    fn retrieve(
        &self,
        _uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("a schema may refer only to itself".into())
    }
}

impl Field<'_> {
    /// The value as a JSON Schema.
    pub(crate) fn schema(&self) -> Option<Schema> {
        self.count_patterns(schema_shape::patterns(self.value).len())?;
        match Schema::compile(self.value) {
            Ok(schema) => Some(schema),
            Err(error) => {
                self.report(ProblemCode::InvalidSchema, error.to_string());
                None
            }
        }
    }
}
