//! The http_call executor of MeshHook, on reqwest behind an outbound guard.
