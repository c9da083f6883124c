//! `for_each`: runs its body once for each item of an array.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NodeKind, Scope, Shape, port};
use crate::definition::{Field, Graph, Names, read_body};
use crate::expr::Expression;
use crate::failure::{Failure, code};

/// A `for_each` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ForEach {
    /// How many items may be under way at once; at least 1.
    pub concurrency: u32,
    /// What becomes of the node when an item fails.
    pub on_item_error: OnItemError,
    /// How many items there may be.
    pub max_items: u64,
    /// What runs for each item.
    pub body: Arc<Graph>,
    items: Expression,
}

/// What becomes of a `for_each` when an item fails. Exhaustive: the definition format names exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnItemError {
    /// The node fails with `item_failed`; no further item starts.
    #[default]
    Fail,
    /// The item's place in the output holds `{"error": failure}`.
    Collect,
}

const DEFAULT_MAX_ITEMS: u64 = 1_000;
const MAX_CONCURRENCY: u64 = 1_000;

pub(super) fn read(config: &Field<'_>, names: &Names<'_>, nesting: usize) -> Shape {
    Shape::pure(&[port::out, port::error], read_config(config, names, nesting).map(NodeKind::ForEach))
}

fn read_config(config: &Field<'_>, names: &Names<'_>, nesting: usize) -> Option<ForEach> {
    let members = config.object(&["items", "concurrency", "on_item_error", "max_items", "body"])?;
    let most = config.checker.context.limits.max_items;
    let items = members.required("items").and_then(|field| field.expression(names));
    let concurrency = members.optional("concurrency").map(|field| field.integer(1..=MAX_CONCURRENCY));
    let on_item_error = members
        .optional("on_item_error")
        .map(|field| field.choice(&[("fail", OnItemError::Fail), ("collect", OnItemError::Collect)]));
    let max_items = members.optional("max_items").map(|field| field.limited_integer(1..=most));
    let body = members.required("body").and_then(|field| read_body(&field, names, nesting + 1));
    Some(ForEach {
        concurrency: u32::try_from(concurrency.unwrap_or(Some(1))?).ok()?,
        on_item_error: on_item_error.unwrap_or(Some(OnItemError::Fail))?,
        max_items: max_items.unwrap_or(Some(DEFAULT_MAX_ITEMS.min(most)))?,
        body: Arc::new(body?),
        items: items?,
    })
}

impl ForEach {
    /// Returns the items.
    ///
    /// # Errors
    ///
    /// `invalid_items` when they are no array, `limit_exceeded` when they are too many, and what the expression
    /// fails with.
    pub fn items(&self, scope: &Scope<'_>) -> Result<Vec<Value>, Failure> {
        match scope.value(&self.items)? {
            Value::Array(items) if u64::try_from(items.len()).is_ok_and(|count| count <= self.max_items) => {
                Ok(items)
            }
            Value::Array(items) => Err(Failure::permanent(
                code::LIMIT_EXCEEDED,
                format!("{} items, and max_items is {}", items.len(), self.max_items),
            )),
            _ => Err(Failure::permanent(code::INVALID_ITEMS, "items is no array")),
        }
    }
}

/// The JSON Schema of the config.
pub(super) fn config_schema(limits: &crate::definition::DefinitionLimits) -> Value {
    json!({
        "type": "object",
        "properties": {
            "items": {"type": "string", "description": "JMESPath that gives an array"},
            "concurrency": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_CONCURRENCY, "default": 1},
            "on_item_error": {"enum": ["fail", "collect", null], "default": "fail"},
            "max_items": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.max_items, "default": DEFAULT_MAX_ITEMS},
            "body": super::body_schema()
        },
        "required": ["items", "body"],
        "additionalProperties": false
    })
}
