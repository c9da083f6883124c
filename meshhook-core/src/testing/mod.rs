//! The test kit.

mod clock;
pub mod conformance;
pub mod differential;
mod gate;
pub mod simulation;
mod workflow;

pub use self::clock::{ManualClock, VirtualClock};
pub use self::gate::Gate;
pub use self::workflow::{Call, Reply, TestedRun, WorkflowTest};
