//! The engine of MeshHook.

pub mod failure;
pub mod id;
pub mod time;
