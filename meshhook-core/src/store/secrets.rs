//! Sealed secrets. A store never sees a plain one.

use async_trait::async_trait;

use super::StoreError;
use crate::id::ProjectId;
use crate::time::Timestamp;

/// Keeps sealed secrets.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Sets a secret; `version` must be one more than [the last](SecretStore::secret_version).
    /// Answers `false`, and changes nothing, when it is not.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn put_secret(
        &self,
        project: &ProjectId,
        name: &str,
        version: u64,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// How often a name was ever set, also if it was removed since; 0 for a new name. The next version is one more.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn secret_version(&self, project: &ProjectId, name: &str) -> Result<u64, StoreError>;

    /// Removes a secret; `false` when there was none.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError>;

    /// Puts other seals on values that stay the same: neither versions nor times change. A member whose version is not
    /// the current one, or whose secret is gone, is left out. Answers how many were replaced.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`]; all of the batch is done or nothing.
    async fn reseal_secrets(&self, project: &ProjectId, batch: Vec<Resealed>) -> Result<usize, StoreError>;

    /// All of a project's secrets, sealed, by name.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`].
    async fn secrets(&self, project: &ProjectId) -> Result<Vec<SecretRecord>, StoreError>;
}

/// A secret whose seal is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// Its name.
    pub name: String,
    /// The version that was sealed anew.
    pub version: u64,
    /// The same value, sealed.
    pub sealed: Vec<u8>,
}

/// A sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecretRecord {
    /// Its name.
    pub name: String,
    /// How often it was set, from 1. A name that was removed and set again goes on counting.
    pub version: u64,
    /// The sealed value.
    pub sealed: Vec<u8>,
    /// When the name was first set, or set again after it was removed.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
}

impl SecretRecord {
    /// A sealed secret.
    #[must_use]
    pub fn new(
        name: String,
        version: u64,
        sealed: Vec<u8>,
        created_at: Timestamp,
        updated_at: Timestamp,
    ) -> Self {
        Self { name, version, sealed, created_at, updated_at }
    }
}
