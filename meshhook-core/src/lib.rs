//! The engine of MeshHook.

pub mod definition;
pub mod clock;
pub mod event;
pub mod exec;
pub mod failure;
pub mod id;
pub mod json;
pub mod node;
pub mod policy;
pub mod run;
pub mod secret;
pub mod store;
pub mod time;
