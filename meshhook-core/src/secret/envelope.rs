//! Envelopes: how a secret is encrypted at rest.
//!
//! ```text
//!   master key (KEK) ──wraps──► data key (DEK, fresh per version) ──encrypts──► plaintext
//!
//!   "MHSE" │ format │ alg │ KEK id │ wrap nonce │ wrapped DEK + tag │ nonce │ ciphertext + tag
//!      4       1       1      8         12             32 + 16          12       n + 16
//! ```
//!
//! Both layers are AES-256-GCM. Each authenticates, as associated data, where the row belongs: format,
//! algorithm, project, name and version, every part with its length in front so that no two places share an
//! encoding. The wrap binds the master key's id as well; the payload does not, so that rotation can wrap the
//! same data key under another master key and leave the payload alone. A row copied over another secret,
//! another project or another version therefore does not open, and neither does one with a single bit changed.
//!
//! A data key encrypts exactly one message, so the payload's nonce cannot repeat under it. The wrap's nonce is
//! random under a long-lived key: 2³² wraps is the limit, and a broken random source must be an error at its
//! source. Two draws that only a broken source makes are refused here all the same.
//!
//! What a stranger sent to a webhook is sealed in the same form, since it may hold credentials: bound to the delivery
//! that it belongs to, under a domain of its own, so that no delivery opens as a secret.

mod place;

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use zeroize::{Zeroize, Zeroizing};

pub use self::place::{DeliveryContext, SecretContext};
use self::place::{Place, push_part};
use super::key::{KeyId, MasterKey};
use super::value::SecretValue;

/// The random bytes of one envelope, drawn by the caller from a cryptographic source, used once.
pub struct EnvelopeRandom {
    /// The data key.
    pub dek: [u8; 32],
    /// The nonce of the wrapped data key.
    pub wrap_nonce: [u8; 12],
    /// The nonce of the payload.
    pub payload_nonce: [u8; 12],
}

impl Drop for EnvelopeRandom {
    fn drop(&mut self) {
        self.dek.zeroize();
    }
}

impl std::fmt::Debug for EnvelopeRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnvelopeRandom(***)")
    }
}

/// Encrypts a secret for one place.
///
/// # Errors
///
/// [`EnvelopeError::TooLong`] past [`SecretValue::MAX_BYTES`], [`EnvelopeError::WeakRandom`] when the random
/// bytes cannot be random.
#[expect(clippy::needless_pass_by_value, reason = "taken by value so that it cannot be used twice")]
pub fn seal(
    value: &SecretValue,
    context: SecretContext<'_>,
    key: &MasterKey,
    random: EnvelopeRandom,
) -> Result<Vec<u8>, EnvelopeError> {
    let plaintext = value.expose().as_bytes();
    if plaintext.len() > SecretValue::MAX_BYTES {
        return Err(EnvelopeError::TooLong);
    }
    seal_in(plaintext, context, key, &random)
}

/// Encrypts what was sent with a delivery.
///
/// # Errors
///
/// [`EnvelopeError::WeakRandom`] when the random bytes cannot be random.
#[expect(clippy::needless_pass_by_value, reason = "taken by value so that it cannot be used twice")]
pub fn seal_delivery(
    plaintext: &[u8],
    context: DeliveryContext<'_>,
    key: &MasterKey,
    random: EnvelopeRandom,
) -> Result<Vec<u8>, EnvelopeError> {
    seal_in(plaintext, context, key, &random)
}

/// Decrypts what was sent with a delivery. `key` is the one that [`key_of`] names.
///
/// # Errors
///
/// As [`open`].
pub fn open_delivery(
    row: &[u8],
    context: DeliveryContext<'_>,
    key: &MasterKey,
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    open_in(row, context, key)
}

fn seal_in(
    plaintext: &[u8],
    place: impl Place,
    key: &MasterKey,
    random: &EnvelopeRandom,
) -> Result<Vec<u8>, EnvelopeError> {
    if is_constant(&random.dek) || random.dek[..12] == random.wrap_nonce {
        return Err(EnvelopeError::WeakRandom);
    }
    let mut row = Vec::with_capacity(PAYLOAD + plaintext.len() + TAG);
    push_wrapped(&mut row, &random.dek, place, key, &random.wrap_nonce);
    row.extend_from_slice(&random.payload_nonce);
    row.extend_from_slice(plaintext);
    let tag = encrypt(&random.dek, &random.payload_nonce, &place.payload(), &mut row[PAYLOAD..]);
    row.extend_from_slice(&tag);
    Ok(row)
}

fn open_in(row: &[u8], place: impl Place, key: &MasterKey) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let dek = unwrap_dek(row, place, key)?;
    let nonce: &[u8; 12] = array(row, PAYLOAD - NONCE);
    let (body, tag) = row[PAYLOAD..].split_at(row.len() - PAYLOAD - TAG);
    let mut plaintext = Zeroizing::new(body.to_vec());
    decrypt(&dek, nonce, &place.payload(), &mut plaintext, array(tag, 0))?;
    Ok(plaintext)
}

/// Decrypts a secret in its place. `key` is the one that [`key_of`] names.
///
/// # Errors
///
/// [`EnvelopeError::Malformed`] or [`EnvelopeError::UnknownFormat`] when it is no envelope,
/// [`EnvelopeError::WrongKey`] when another key wrapped it, [`EnvelopeError::Rejected`] when it was altered or
/// belongs elsewhere.
pub fn open(row: &[u8], context: SecretContext<'_>, key: &MasterKey) -> Result<SecretValue, EnvelopeError> {
    let plaintext = open_in(row, context, key)?;
    match std::str::from_utf8(&plaintext) {
        Ok(text) => Ok(SecretValue::from(text)),
        Err(_) => Err(EnvelopeError::Malformed),
    }
}

/// Wraps the data key of an envelope with another master key; the payload stays as it is.
///
/// `wrap_nonce` is fresh randomness. Rotation calls this for every row that [`key_of`] says is still under an
/// older key; doing it again, or stopping half way, does no harm.
///
/// # Errors
///
/// As [`open`], except that only the wrap is checked, not the payload.
pub fn rewrap(
    row: &[u8],
    context: SecretContext<'_>,
    old: &MasterKey,
    new: &MasterKey,
    wrap_nonce: [u8; 12],
) -> Result<Vec<u8>, EnvelopeError> {
    let dek = unwrap_dek(row, context, old)?;
    let mut rewrapped = Vec::with_capacity(row.len());
    push_wrapped(&mut rewrapped, &dek, context, new, &wrap_nonce);
    rewrapped.extend_from_slice(&row[PAYLOAD - NONCE..]);
    Ok(rewrapped)
}

/// The id of the master key that wraps this envelope.
///
/// # Errors
///
/// When the bytes are not an envelope of a known format.
pub fn key_of(row: &[u8]) -> Result<KeyId, EnvelopeError> {
    if row.len() < MAGIC.len() + 2 || row[..4] != MAGIC {
        return Err(EnvelopeError::Malformed);
    }
    if row[4] != FORMAT || row[5] != ALG_AES_256_GCM {
        return Err(EnvelopeError::UnknownFormat { format: row[4], algorithm: row[5] });
    }
    if row.len() < PAYLOAD + TAG {
        return Err(EnvelopeError::Malformed);
    }
    Ok(KeyId(*array(row, 6)))
}

/// Why an envelope was not made or opened. None of these carries any of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The value is longer than [`SecretValue::MAX_BYTES`].
    #[error("a secret is at most {} bytes", SecretValue::MAX_BYTES)]
    TooLong,
    /// The random bytes handed in cannot be random.
    #[error("the random source is broken")]
    WeakRandom,
    /// The bytes are not an envelope: wrong magic, cut short, or not text inside.
    #[error("the stored secret is not an envelope")]
    Malformed,
    /// An envelope from another release.
    #[error(
        "the stored secret has format {format} and algorithm {algorithm}, which this release does not know"
    )]
    UnknownFormat {
        /// The format number found.
        format: u8,
        /// The algorithm number found.
        algorithm: u8,
    },
    /// Another master key wraps it.
    #[error("the stored secret is under master key {needed}")]
    WrongKey {
        /// The key that is needed.
        needed: KeyId,
    },
    /// It was altered, or it was sealed for another project, name or version.
    #[error("the stored secret was altered or belongs elsewhere")]
    Rejected,
}

fn push_wrapped(row: &mut Vec<u8>, dek: &[u8; 32], place: impl Place, key: &MasterKey, nonce: &[u8; 12]) {
    row.extend_from_slice(&MAGIC);
    row.extend_from_slice(&[FORMAT, ALG_AES_256_GCM]);
    row.extend_from_slice(&key.id().0);
    row.extend_from_slice(nonce);
    let mut wrapped = Zeroizing::new(*dek);
    let tag = encrypt(key.bytes(), nonce, &wrap_binding(place, key.id()), &mut *wrapped);
    row.extend_from_slice(&*wrapped);
    row.extend_from_slice(&tag);
}

fn unwrap_dek(row: &[u8], place: impl Place, key: &MasterKey) -> Result<Zeroizing<[u8; 32]>, EnvelopeError> {
    let needed = key_of(row)?;
    if needed != key.id() {
        return Err(EnvelopeError::WrongKey { needed });
    }
    let mut dek = Zeroizing::new(*array::<32>(row, HEADER + NONCE));
    let tag = array(row, HEADER + NONCE + DEK);
    decrypt(key.bytes(), array(row, HEADER), &wrap_binding(place, needed), &mut *dek, tag)?;
    Ok(dek)
}

fn wrap_binding(place: impl Place, key: KeyId) -> Vec<u8> {
    let mut bound = place.wrap();
    push_part(&mut bound, &key.0);
    bound
}

fn encrypt(key: &[u8; 32], nonce: &[u8; 12], associated: &[u8], buffer: &mut [u8]) -> [u8; TAG] {
    Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer))
        .expect("a secret and its binding are far below the limits of GCM")
        .into()
}

fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), EnvelopeError> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer), tag.into())
        .map_err(|_| EnvelopeError::Rejected)
}

/// `N` bytes at `from`. Every caller has checked the length through [`key_of`].
fn array<const N: usize>(row: &[u8], from: usize) -> &[u8; N] {
    row[from..].first_chunk().expect("the length was checked before")
}

fn is_constant(bytes: &[u8]) -> bool {
    bytes.windows(2).all(|pair| pair[0] == pair[1])
}

const MAGIC: [u8; 4] = *b"MHSE";
const FORMAT: u8 = 1;
const ALG_AES_256_GCM: u8 = 1;
const NONCE: usize = 12;
const DEK: usize = 32;
const TAG: usize = 16;
const HEADER: usize = 4 + 1 + 1 + 8;
/// Where the ciphertext starts.
const PAYLOAD: usize = HEADER + NONCE + DEK + TAG + NONCE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeliveryId, ProjectId};
    use crate::secret::SecretName;

    fn random(seed: u8) -> EnvelopeRandom {
        EnvelopeRandom {
            dek: std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8 * 7)),
            wrap_nonce: [seed ^ 0x55; 12],
            payload_nonce: [seed ^ 0xAA; 12],
        }
    }

    fn key(seed: u8) -> MasterKey {
        MasterKey::from_bytes([seed; 32])
    }

    fn project(text: &str) -> ProjectId {
        text.parse().unwrap()
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place() {
        let name = name("token");
        let home = project("p1");
        let context = SecretContext { project: &home, name: &name, version: 3 };
        for text in ["", "a", "***", "line\nbreak\0nul é", &"x".repeat(SecretValue::MAX_BYTES)] {
            let row = seal(&text.into(), context, &key(1), random(9)).unwrap();
            assert_eq!(row.len(), PAYLOAD + text.len() + TAG);
            assert_eq!(open(&row, context, &key(1)).unwrap().expose(), text);
            assert_eq!(key_of(&row), Ok(key(1).id()));
        }
    }

    #[test]
    fn a_delivery_opens_as_itself_and_as_nothing_else() {
        let (home, other, name) = (project("p1"), project("p2"), name("token"));
        let id = DeliveryId::from_bytes([3; 16]);
        let context = DeliveryContext { project: &home, id };
        for sent in [&b""[..], &[0xFF, 0, 10], &[7; 100_000]] {
            let row = seal_delivery(sent, context, &key(1), random(9)).unwrap();
            assert_eq!(open_delivery(&row, context, &key(1)).unwrap().as_slice(), sent);
            for elsewhere in [
                DeliveryContext { project: &other, id },
                DeliveryContext { project: &home, id: DeliveryId::from_bytes([4; 16]) },
            ] {
                assert_eq!(open_delivery(&row, elsewhere, &key(1)), Err(EnvelopeError::Rejected));
            }
            let secret = SecretContext { project: &home, name: &name, version: 1 };
            assert_eq!(open(&row, secret, &key(1)).err(), Some(EnvelopeError::Rejected));
        }
    }

    #[test]
    fn the_stored_form_is_frozen() {
        let name = name("token");
        let home = project("p1");
        let context = SecretContext { project: &home, name: &name, version: 3 };
        let row = seal(&"correct horse".into(), context, &key(1), random(9)).unwrap();
        // Computed independently, with OpenSSL through Python's `cryptography`.
        let expected = concat!(
            "4d48534501017ae7efc3fa6f42d75c5c5c5c5c5c5c5c5c5c5c5c312634732d79e821edb6564c8383",
            "a8ecb0d2cf2e2f22f3230e208ec3e84f0addaf3cfe253bf997f7dc2d0932d5f462bca3a3a3a3a3a3",
            "a3a3a3a3a3a37ea2ede3671b5ed57efb080506d6b760815f9daa6be3ba8d38de64ade4",
        );
        assert_eq!(hex::encode(row), expected);
    }

    #[test]
    fn a_row_moved_to_another_place_does_not_open() {
        let (a, b, ab) = (name("a"), name("b"), name("ab"));
        let home = project("p");
        let here = SecretContext { project: &home, name: &a, version: 2 };
        let row = seal(&"value".into(), here, &key(1), random(1)).unwrap();
        for elsewhere in [
            SecretContext { project: &project("q"), ..here },
            SecretContext { name: &b, ..here },
            SecretContext { version: 1, ..here },
            SecretContext { version: 3, ..here },
            SecretContext { project: &project("pa"), name: &a, version: 2 },
            SecretContext { name: &ab, ..here },
        ] {
            assert_eq!(open(&row, elsewhere, &key(1)).unwrap_err(), EnvelopeError::Rejected);
            assert_eq!(
                rewrap(&row, elsewhere, &key(1), &key(2), [3; 12]).unwrap_err(),
                EnvelopeError::Rejected
            );
        }
    }

    #[test]
    fn parts_are_bound_with_their_lengths() {
        // The same letters, cut elsewhere: without lengths these two would be one place.
        let (long, short) = (name("bc"), name("c"));
        let (a, ab) = (project("a"), project("ab"));
        let here = SecretContext { project: &a, name: &long, version: 1 };
        let row = seal(&"value".into(), here, &key(1), random(1)).unwrap();
        let moved = SecretContext { project: &ab, name: &short, version: 1 };
        assert_eq!(open(&row, moved, &key(1)).unwrap_err(), EnvelopeError::Rejected);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let row = seal(&"short value".into(), context, &key(1), random(1)).unwrap();
        for bit in 0..row.len() * 8 {
            let mut bent = row.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bent, context, &key(1)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_is_refused_without_a_panic() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        for text in ["", "short value"] {
            let row = seal(&text.into(), context, &key(1), random(1)).unwrap();
            for length in 0..row.len() {
                assert!(open(&row[..length], context, &key(1)).is_err(), "{length} bytes");
                let _ = key_of(&row[..length]);
            }
            let longer = [row.as_slice(), b"x"].concat();
            assert_eq!(open(&longer, context, &key(1)).unwrap_err(), EnvelopeError::Rejected);
        }
    }

    #[test]
    fn rotation_changes_the_wrap_and_leaves_the_payload_alone() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let row = seal(&"value".into(), context, &key(1), random(1)).unwrap();
        let rotated = rewrap(&row, context, &key(1), &key(2), [3; 12]).unwrap();
        assert_eq!(rotated[PAYLOAD - NONCE..], row[PAYLOAD - NONCE..]);
        assert_ne!(rotated[..PAYLOAD - NONCE], row[..PAYLOAD - NONCE]);
        assert_eq!(key_of(&rotated), Ok(key(2).id()));
        assert_eq!(open(&rotated, context, &key(2)).unwrap().expose(), "value");
        let needs_new = EnvelopeError::WrongKey { needed: key(2).id() };
        assert_eq!(open(&rotated, context, &key(1)).unwrap_err(), needs_new);
        assert_eq!(rewrap(&rotated, context, &key(1), &key(3), [4; 12]).unwrap_err(), needs_new);
    }

    #[test]
    fn a_wrap_cannot_be_put_on_another_rows_payload() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let first = seal(&"value one".into(), context, &key(1), random(1)).unwrap();
        let second = seal(&"value two".into(), context, &key(1), random(2)).unwrap();
        let mixed = [&first[..PAYLOAD - NONCE], &second[PAYLOAD - NONCE..]].concat();
        assert_eq!(open(&mixed, context, &key(1)).unwrap_err(), EnvelopeError::Rejected);
    }

    #[test]
    fn other_formats_and_foreign_bytes_are_named() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let mut row = seal(&"value".into(), context, &key(1), random(1)).unwrap();
        row[4] = 2;
        assert_eq!(key_of(&row), Err(EnvelopeError::UnknownFormat { format: 2, algorithm: 1 }));
        row[0] = b'X';
        assert_eq!(key_of(&row), Err(EnvelopeError::Malformed));
        assert_eq!(key_of(b""), Err(EnvelopeError::Malformed));
    }

    #[test]
    fn a_random_source_that_returns_a_constant_is_an_error() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let constant = EnvelopeRandom { dek: [0; 32], wrap_nonce: [0; 12], payload_nonce: [0; 12] };
        assert_eq!(seal(&"v".into(), context, &key(1), constant).unwrap_err(), EnvelopeError::WeakRandom);
        let mut repeating = random(1);
        repeating.wrap_nonce.copy_from_slice(&repeating.dek[..12]);
        assert_eq!(seal(&"v".into(), context, &key(1), repeating).unwrap_err(), EnvelopeError::WeakRandom);
    }

    #[test]
    fn a_value_past_the_limit_is_refused() {
        let name = name("token");
        let home = project("p");
        let context = SecretContext { project: &home, name: &name, version: 1 };
        let value = SecretValue::new("x".repeat(SecretValue::MAX_BYTES + 1));
        assert_eq!(seal(&value, context, &key(1), random(1)).unwrap_err(), EnvelopeError::TooLong);
    }
}
