//! `wait`: waits for an event from outside.

use std::time::Duration;

/// A `wait` node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Wait {
    /// How long to wait; without it, as long as the run lasts.
    pub timeout: Option<Duration>,
}
