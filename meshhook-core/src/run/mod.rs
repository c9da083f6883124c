//! The logic of a run: pure functions from a definition and facts to decisions.

pub mod semantics;
