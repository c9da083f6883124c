//! The test kit.

mod clock;
pub mod conformance;
mod gate;

pub use self::clock::ManualClock;
pub use self::gate::Gate;
