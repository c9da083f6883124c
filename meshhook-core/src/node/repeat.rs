//! `repeat`: runs its body until a condition holds.

use std::sync::Arc;
use std::time::Duration;

use crate::definition::Graph;

/// A `repeat` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Repeat {
    /// From the end of one iteration to the start of the next.
    pub every: Option<Duration>,
    /// How many iterations there may be; at least 1.
    pub max_iterations: u64,
    /// What runs in each iteration.
    pub body: Arc<Graph>,
}
