//! MeshHook: an embeddable, durable workflow engine for webhooks.
