//! What a definition may ask for at most.

use std::time::Duration;

use crate::expr::ExprLimits;

/// Bounds that a host application may move; [`Default`] gives the documented ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefinitionLimits {
    /// The canonical form's size.
    pub max_bytes: usize,
    /// How deep arrays and objects nest.
    pub max_depth: usize,
    /// Nodes of all graphs together.
    pub max_nodes: usize,
    /// How deep the bodies of iterations nest.
    pub max_nesting: usize,
    /// Triggers of one workflow.
    pub max_triggers: usize,
    /// Regular expressions of all schemas, and uses of `regex_match` and `regex_replace`, together. Each literal one is
    /// kept compiled, and can take tens of milliseconds and four mebibytes.
    pub max_patterns: usize,
    /// Text and work of expressions.
    pub expr: ExprLimits,
    /// `for_each`'s `max_items`.
    pub max_items: u64,
    /// A retry policy's `max_attempts`.
    pub max_attempts: u32,
    /// A run's timeout, also that of runs whose definition has none.
    pub max_run_timeout: Duration,
    /// A webhook's `max_body`.
    pub max_webhook_body_bytes: u64,
    /// Items of one request to a webhook with `each`, at most [`DefinitionLimits::DELIVERY_ITEMS_CEILING`].
    pub max_delivery_items: usize,
    /// A step's output, and with it `http_call`'s `response.max_bytes`.
    pub max_output_bytes: u64,
    /// How long a webhook's answer may wait for the run.
    pub max_respond_wait: Duration,
    /// Problems that one check returns.
    pub max_problems: usize,
}

impl DefinitionLimits {
    /// The most items of one request that can be allowed.
    pub const DELIVERY_ITEMS_CEILING: usize = 10_000;
}

impl Default for DefinitionLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024,
            max_depth: 128,
            max_nodes: 1_000,
            max_nesting: 8,
            max_triggers: 100,
            max_patterns: 64,
            expr: ExprLimits::default(),
            max_items: 100_000,
            max_attempts: 100,
            max_run_timeout: Duration::from_secs(365 * 86_400),
            max_webhook_body_bytes: 1024 * 1024,
            max_delivery_items: 1_000,
            max_output_bytes: 1024 * 1024,
            max_respond_wait: Duration::from_secs(60),
            max_problems: 1_000,
        }
    }
}
