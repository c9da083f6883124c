//! The logic of a run, without an engine: definition and facts in, events out.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod attempts;
mod driver;
mod golden;
mod properties;
mod rules;
