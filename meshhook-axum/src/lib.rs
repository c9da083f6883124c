//! Webhook intake, HTTP API and live streams of MeshHook, as an axum router.
