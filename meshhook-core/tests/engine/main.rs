//! The engine on the memory store, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod faults;
mod kit;
mod liveness;
mod looking;
mod projects;
mod publishing;
mod rotation;
mod running;
mod status;
mod testing;
