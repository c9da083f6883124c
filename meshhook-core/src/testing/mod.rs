//! The test kit.

mod clock;
pub mod conformance;

pub use self::clock::ManualClock;
