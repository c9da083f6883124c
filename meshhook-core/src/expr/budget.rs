//! How much an evaluation may still do and make.

use super::ExprLimits;
use super::error::{ExprError, Fault};

/// What is left of the steps and of the bytes of the result.
///
/// A step is one node evaluated or one element visited; work inside a function costs steps by the size of what it
/// reads and makes. Since every byte and every element that an evaluation creates costs part of a step, the steps
/// bound its memory, too.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    steps: u64,
    /// Bytes of canonical text that the result may still take.
    pub(super) result_bytes: usize,
    /// Bytes that one string made on the way may have.
    pub(super) text_bytes: usize,
    pub(super) max_depth: usize,
}

/// How many bytes of text a step reads or makes.
const BYTES_PER_STEP: usize = 32;

impl Budget {
    pub(super) fn new(limits: &ExprLimits) -> Self {
        Self {
            steps: limits.max_steps,
            result_bytes: limits.max_result_bytes,
            text_bytes: limits.max_result_bytes,
            max_depth: limits.max_depth.min(ExprLimits::DEPTH_CEILING),
        }
    }

    #[inline]
    pub(super) fn spend(&mut self, steps: usize, position: usize) -> Result<(), Fault> {
        match self.steps.checked_sub(steps as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(too_many_steps(position))
            }
        }
    }

    /// Spends the steps for reading text.
    pub(super) fn read(&mut self, bytes: usize, position: usize) -> Result<(), Fault> {
        self.spend(bytes / BYTES_PER_STEP, position)
    }

    /// Spends the steps for making a string, which must not be longer than a result may be.
    pub(super) fn make(&mut self, bytes: usize, position: usize) -> Result<(), Fault> {
        if bytes > self.text_bytes {
            return Err(ExprError::budget(
                position,
                format!("string is longer than {} bytes", self.text_bytes),
            )
            .into());
        }
        self.spend(bytes / BYTES_PER_STEP, position)
    }

    /// Takes bytes from what the result may have.
    #[inline]
    pub(super) fn emit(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.result_bytes.checked_sub(bytes) {
            Some(left) => {
                self.result_bytes = left;
                Ok(())
            }
            None => Err(too_large()),
        }
    }
}

#[cold]
fn too_many_steps(position: usize) -> Fault {
    ExprError::budget(position, "evaluation takes too many steps").into()
}

#[cold]
fn too_large() -> Fault {
    ExprError::budget(0, "result is too large").into()
}
