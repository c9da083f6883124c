//! The engine of MeshHook.

pub mod clock;
pub mod definition;
pub mod engine;
pub mod event;
pub mod exec;
pub mod expr;
pub mod failure;
pub mod id;
pub mod json;
pub mod node;
pub mod policy;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod webhook;
