//! The engine of MeshHook.

pub mod definition;
pub mod exec;
pub mod failure;
pub mod id;
pub mod json;
pub mod node;
pub mod policy;
pub mod secret;
pub mod time;
