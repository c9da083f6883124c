//! The engine of MeshHook.

pub mod clock;
pub mod definition;
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
pub mod testing;
pub mod time;
pub mod webhook;
