//! Webhook intake, HTTP API and live streams of MeshHook, as an axum router.
//!
//! ```text
//!   /hooks/{project}/{path}   webhooks: answered when the run is committed
//!   /api/…                    workflows, runs, secrets, previews; described by /api/openapi.json
//!   /healthz /readyz /metrics for whoever keeps the process running
//! ```
//!
//! [`router`] gives a [`axum::Router`] that can be nested under any path of the host's own:
//!
//! ```no_run
//! # fn host(engine: meshhook_core::engine::Engine) -> axum::Router {
//! use meshhook_axum::{AdminKey, RouterOptions};
//!
//! let options = RouterOptions::new(AdminKey::new("a long random key"));
//! axum::Router::new().nest("/meshhook", meshhook_axum::router(engine, options))
//! # }
//! ```
//!
//! Who may do what is the [`Authorizer`]'s business. Every route is registered through one table that names the
//! [`Permission`] it needs; there is no other way to register one. A handler extracts, calls the engine, and maps the
//! answer: rules live in the core. The JSON of the API has its own types here, converted by hand, so that neither the
//! API nor the core moves the other by accident; only definitions and events go through as they are, because
//! their form is a contract itself.

mod answer;
mod auth;
mod body;
mod call;
mod cursor;
mod deliveries;
mod health;
mod hooks;
mod member;
mod node_types;
mod openapi;
mod options;
mod origin;
mod preview;
mod problem;
mod projects;
mod query;
mod room;
mod router;
mod runs;
mod schedules;
mod secrets;
mod steps;
mod streams;
mod table;
mod versions;
mod workflows;

pub use self::auth::{Access, AdminKey, Authorizer, Denied, Grant, OpenLoopback, Permission};
pub use self::openapi::document as openapi_document;
pub use self::options::{InvalidNetwork, RouterOptions};
pub use self::router::{health_router, router};
