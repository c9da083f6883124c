//! The `http_call` executor of MeshHook, on reqwest behind an outbound guard.
//!
//! A workflow's author decides where a request goes, and often a webhook's sender does, so every request is
//! treated as hostile to the network that the process stands in:
//!
//! ```text
//!  config ──► request ──► guard ──► breaker ──► client ──► guard ──► redirect? ──► body ──► output
//!  (rendered)  (typed)    (URL,     (is this    (connects   (peer     (guard        (capped,
//!                          literal)  host dead?) to checked   address)  again)        decoded)
//!                                                addresses)
//! ```
//!
//! - **One client, one guard.** Names are resolved by the guard and the connection goes to the addresses that it
//!   checked, so there is no second lookup that could answer differently. IP literals never reach a resolver and
//!   are checked before; redirects are followed here, hop by hop, through the same guard.
//! - **No surprises from the environment.** No proxy variables, cookies, referrers, hidden retries or automatic
//!   decompression, whatever features another crate of the process turns on in reqwest.
//! - **Everything is bounded**: the whole attempt by its timeout, the body by decoded bytes, headers by size.
//! - **Nothing leaks**: messages name the host, never a path, a query or a header's value.
//!
//! ```no_run
//! use meshhook_http::HttpExecutor;
//!
//! # fn main() -> Result<(), meshhook_http::BuildError> {
//! let executor = HttpExecutor::builder().allow_host("*.internal.example.com").build()?;
//! # let _ = executor;
//! # Ok(())
//! # }
//! ```

mod address;
mod body;
mod breaker;
mod builder;
mod executor;
mod guard;
mod header;
mod message;
mod redirect;
mod request;
mod resolve;
mod response;
mod retry_after;
mod slot;
mod transport;

pub use self::builder::{BuildError, HttpExecutorBuilder};
pub use self::executor::HttpExecutor;
pub use self::resolve::{Resolve, SystemResolver};

/// The node type that [`HttpExecutor`] executes.
pub const NODE_TYPE: &str = "http_call";
