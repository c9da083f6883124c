//! The engine on the memory store, in virtual time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod crash_points;
mod deliveries;
mod faults;
mod following;
mod hanging;
mod items;
mod kit;
mod liveness;
mod looking;
mod metrics;
mod projects;
mod publishing;
mod rotation;
mod running;
mod schedules;
mod secrets;
mod status;
mod steering;
mod stopping;
mod testing;
