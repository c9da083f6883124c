//! The router without a socket, on the memory store, in virtual time.
//!
//! Each answer is checked against the OpenAPI document: its status must be there, its body must follow the schema.

#![expect(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "helpers of tests")]

mod access;
mod deliveries;
mod document;
mod handshake;
mod hooks;
mod hostile;
mod items;
mod kit;
mod preview;
mod projects;
mod runs;
mod schedules;
mod secrets;
mod streams;
mod workflows;
