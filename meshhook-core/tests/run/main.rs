//! The logic of a run, without an engine: definition and facts in, events out.

mod driver;
mod golden;
mod properties;
mod rules;
