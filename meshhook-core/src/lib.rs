//! The engine of MeshHook.
