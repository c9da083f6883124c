//! The test kit.

mod clock;

pub use self::clock::ManualClock;
