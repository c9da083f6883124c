//! Numbers that pin how histories are decided.
//!
//! Every run keeps the number that it started with. A change that would make an existing history come out
//! differently gets a new number here, and the old behavior stays reachable under the old one. Numbers are never
//! reused.

/// The rules of the first release.
pub const V1: u32 = 1;

/// An attempt that was cut off by its step's deadline is recorded as failed, and counts.
pub const V2: u32 = 2;

/// What new runs start with.
pub const NEWEST: u32 = V2;

/// Whether this release can decide runs of that number.
#[must_use]
pub fn is_known(semantics: u32) -> bool {
    matches!(semantics, V1 | V2)
}
