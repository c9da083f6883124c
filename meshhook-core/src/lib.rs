//! The engine of MeshHook.

pub mod exec;
pub mod failure;
pub mod id;
pub mod json;
pub mod secret;
pub mod time;
