//! `hmac_sha256 sha256`

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{Invocation, Outcome};
use crate::expr::value::Val;

pub(super) fn sha256<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let text = call.string(0)?;
    // Hashing costs several times what looking at text does.
    call.spend(text.len() / 8)?;
    Ok(Val::string(hex::encode(Sha256::digest(text.as_bytes()))))
}

pub(super) fn hmac_sha256<'a>(call: &mut Invocation<'_, 'a>) -> Outcome<'a> {
    let (key, message) = (call.string(0)?, call.string(1)?);
    call.spend((key.len() + message.len()) / 8)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    Ok(Val::string(hex::encode(mac.finalize().into_bytes())))
}
