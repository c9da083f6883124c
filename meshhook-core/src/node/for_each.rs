//! `for_each`: runs its body once for each item of an array.

use std::sync::Arc;

use crate::definition::Graph;

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
