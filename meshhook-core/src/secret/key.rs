//! Key-encryption keys: what they are, and where they come from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::value::SecretValue;

/// Supplies the keys that wrap the data keys of stored secrets.
///
/// One key is active: it wraps everything new. Any number of older ones stay known so that rows they wrapped
/// can still be opened, until rotation has rewrapped them. A key may only be forgotten when no row carries its
/// id any more; a row whose key is lost is lost with it.
///
/// Wrapping draws a random 96-bit nonce per row. Replace the active key well before 2³² wraps.
#[async_trait]
pub trait KeyProvider: fmt::Debug + Send + Sync + 'static {
    /// The key that wraps new rows.
    async fn active_key(&self) -> Result<Arc<MasterKey>, KeyProviderError>;

    /// The key with this id, active or older; `None` when the provider has never heard of it.
    async fn find_key(&self, id: KeyId) -> Result<Option<Arc<MasterKey>>, KeyProviderError>;
}

/// The provider could not be asked; says nothing about the key.
#[derive(Debug, thiserror::Error)]
#[error("the key provider is unavailable")]
pub struct KeyProviderError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keys held in memory: one active, any number that only open.
#[derive(Debug, Clone)]
pub struct StaticKeys {
    active: Arc<MasterKey>,
    known: BTreeMap<KeyId, Arc<MasterKey>>,
}

impl StaticKeys {
    /// A provider with one key.
    #[must_use]
    pub fn new(active: MasterKey) -> Self {
        let active = Arc::new(active);
        Self { known: BTreeMap::from([(active.id(), Arc::clone(&active))]), active }
    }

    /// Adds a key that opens older rows and wraps nothing new.
    #[must_use]
    pub fn with_older(mut self, older: MasterKey) -> Self {
        self.known.entry(older.id()).or_insert_with(|| Arc::new(older));
        self
    }
}

#[async_trait]
impl KeyProvider for StaticKeys {
    async fn active_key(&self) -> Result<Arc<MasterKey>, KeyProviderError> {
        Ok(Arc::clone(&self.active))
    }

    async fn find_key(&self, id: KeyId) -> Result<Option<Arc<MasterKey>>, KeyProviderError> {
        Ok(self.known.get(&id).cloned())
    }
}

/// A key-encryption key: 32 bytes, overwritten on drop, known to the outside by its [`KeyId`].
pub struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    id: KeyId,
}

impl MasterKey {
    /// Makes a key of 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(bytes).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self { bytes: Zeroizing::new(bytes), id: KeyId(id) }
    }

    /// The key's public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key in base64, as [`FromStr`] reads it: for a program that makes a key and must write it down.
    pub fn to_base64(&self) -> SecretValue {
        SecretValue::new(STANDARD.encode(self.bytes.as_slice()))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl FromStr for MasterKey {
    type Err = MasterKeyError;

    /// Reads base64 (standard alphabet, padded) of exactly 32 bytes; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let decoded =
            STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| MasterKeyError::NotBase64)?;
        let bytes = <[u8; 32]>::try_from(decoded.as_slice())
            .map_err(|_| MasterKeyError::WrongLength { actual: decoded.len() })?;
        Ok(Self::from_bytes(bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The text is not a master key. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// Not base64 in the standard alphabet with padding.
    #[error("a master key is base64 in the standard alphabet with padding (`openssl rand -base64 32`)")]
    NotBase64,
    /// Base64, but not of 32 bytes.
    #[error("a master key is 32 bytes in base64, not {actual} (`openssl rand -base64 32`)")]
    WrongLength {
        /// How many bytes the text decoded to.
        actual: usize,
    },
}

/// The public name of a [`MasterKey`]: the first 8 bytes of a domain-separated SHA-256 of the key.
///
/// Deriving it from the key means that two keys cannot share a name by configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

const ID_DOMAIN: &[u8] = b"meshhook/master-key-id/v1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_in_base64() {
        let text = STANDARD.encode([7; 32]);
        let key: MasterKey = format!(" {text}\n").parse().unwrap();
        assert_eq!(key.id(), MasterKey::from_bytes([7; 32]).id());
        assert_eq!(key.to_base64().expose(), text);
        let wrong_length = |n: usize| Err(MasterKeyError::WrongLength { actual: n });
        let parse = |text: &str| text.parse::<MasterKey>().map(|k| k.id());
        assert_eq!(parse(""), wrong_length(0));
        assert_eq!(parse(&STANDARD.encode([7; 31])), wrong_length(31));
        assert_eq!(parse(&STANDARD.encode([7; 33])), wrong_length(33));
        assert_eq!(parse("not base64 at all!"), Err(MasterKeyError::NotBase64));
        assert_eq!(parse(text.trim_end_matches('=')), Err(MasterKeyError::NotBase64));
    }

    #[test]
    fn the_id_is_stable_and_not_the_bare_hash() {
        let key = MasterKey::from_bytes([7; 32]);
        assert_eq!(key.id().to_string(), "edbc09a70f53a57a");
        assert_ne!(key.id().0, Sha256::digest([7; 32])[..8]);
    }

    #[test]
    fn neither_key_nor_provider_prints_key_material() {
        let keys = StaticKeys::new(MasterKey::from_bytes([0xAB; 32]));
        let shown = format!("{keys:?}");
        assert!(!shown.contains("171") && !shown.contains(&"ab".repeat(4)), "{shown}");
        assert!(shown.contains(&MasterKey::from_bytes([0xAB; 32]).id().to_string()));
    }

    #[tokio::test]
    async fn older_keys_are_found_but_never_active() {
        let (new, old) = (MasterKey::from_bytes([1; 32]), MasterKey::from_bytes([2; 32]));
        let (new_id, old_id) = (new.id(), old.id());
        let keys = StaticKeys::new(new).with_older(old);
        assert_eq!(keys.active_key().await.unwrap().id(), new_id);
        assert_eq!(keys.find_key(new_id).await.unwrap().unwrap().id(), new_id);
        assert_eq!(keys.find_key(old_id).await.unwrap().unwrap().id(), old_id);
        assert!(keys.find_key(KeyId([0; 8])).await.unwrap().is_none());
    }
}
