//! The engine on the memory store, in virtual time.

mod kit;
mod running;
