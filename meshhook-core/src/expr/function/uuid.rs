//! `uuid`

use sha2::{Digest, Sha256};
use uuid::Builder;

use super::{Invocation, Outcome};
use crate::expr::value::Val;

/// A UUID version 8 (RFC 9562, section 5.8) made of the SHA-256 of seed and call number: the same at every replay,
/// different for every step and every call in it.
pub(super) fn uuid<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let env = call.eval.env;
    let mut hasher = Sha256::new();
    hasher.update(b"meshhook uuid");
    hasher.update((env.seed().len() as u64).to_be_bytes());
    hasher.update(env.seed());
    hasher.update(env.next_call().to_be_bytes());
    let hash: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Ok(Val::string(Builder::from_custom_bytes(bytes).into_uuid().to_string()))
}
