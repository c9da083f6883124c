//! Secrets: names, values, encryption at rest, and masking.
//!
//! A secret goes into the vault and never comes out again, except into an outbound request or a signature
//! check. Four mechanisms keep that promise, one file each:
//!
//! - [`SecretValue`] holds a plaintext: overwritten on drop, unprintable, not serializable.
//! - [`seal`], [`open`] and [`rewrap`] turn a plaintext into a row that may be stored, bound to its place.
//! - [`KeyProvider`] hands out the keys that wrap the rows' own keys; [`StaticKeys`] is the simplest one.
//! - [`Masker`] replaces every occurrence of a project's secrets, encoded or not, at every exit.
//!
//! Nothing here reads a clock or a random source: random bytes are handed in as [`EnvelopeRandom`].

mod envelope;
mod key;
mod mask;
mod name;
mod value;
mod view;

pub use envelope::{
    DeliveryContext, EnvelopeError, EnvelopeRandom, SecretContext, key_of, open, open_delivery, rewrap, seal,
    seal_delivery,
};
pub use key::{KeyId, KeyProvider, KeyProviderError, MasterKey, MasterKeyError, StaticKeys};
pub use mask::{MASK, MIN_MASKED_BYTES, Masker};
pub use name::{InvalidSecretName, SecretName};
pub use value::SecretValue;
