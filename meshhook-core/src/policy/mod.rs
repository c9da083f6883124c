//! Policies: what the engine does around the attempts of a side effect, and how much it lets in.

mod bucket;
mod retry;

use std::time::Duration;

pub use self::bucket::Bucket;
pub use self::retry::{Jitter, RetryPolicy, retry_random};

/// Retries and time limits of one side-effect node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EffectPolicy {
    /// How often and how soon a failed attempt is followed by another.
    pub retry: RetryPolicy,
    /// How long one attempt may take, where the definition or the node type says so.
    pub timeout: Option<Duration>,
    /// How long all attempts may take together, waiting included.
    pub deadline: Option<Duration>,
}
