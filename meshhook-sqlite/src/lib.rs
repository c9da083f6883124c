//! Durable MeshHook store in one SQLite file.
