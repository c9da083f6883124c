//! What a history can hold of a step's output.

use serde_json::Value;

use crate::failure::{Failure, code};
use crate::json;

/// The most bytes that a step's output may have as canonical JSON.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// How deep a step's output may nest.
pub const MAX_OUTPUT_DEPTH: usize = 128;

/// Refuses an output that a history cannot hold.
pub(super) fn check_output(output: &Value) -> Result<u64, Failure> {
    if json::depth(output) > MAX_OUTPUT_DEPTH {
        let message = format!("the output nests deeper than {MAX_OUTPUT_DEPTH}");
        return Err(Failure::permanent(code::OUTPUT_TOO_LARGE, message));
    }
    let too_large = || {
        let message = format!("the output is larger than {MAX_OUTPUT_BYTES} bytes");
        Failure::permanent(code::OUTPUT_TOO_LARGE, message)
    };
    json::canonical_len_within(output, MAX_OUTPUT_BYTES).map(|bytes| bytes as u64).ok_or_else(too_large)
}
