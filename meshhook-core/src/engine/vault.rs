//! The vault: secrets in, never out, except into an attempt and a signature check.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::EngineError;
use super::fresh::Fresh;
use crate::clock::Entropy;
use crate::id::ProjectId;
use crate::secret::{
    EnvelopeRandom, KeyProvider, Masker, SecretContext, SecretName, SecretValue, key_of, open, seal,
};
use crate::store::{SecretRecord, Store, StoreError};
use crate::time::Timestamp;

/// How long what was unsealed is used before the store is asked again. What this process sets or removes counts at once;
/// what another one does, after this time at the latest.
const FRESH: Duration = Duration::from_secs(5);
/// The most projects whose secrets are kept unsealed.
const MAX_KNOWN: usize = 10_000;

/// One project's secrets, unsealed, and the masker that hides them.
pub(crate) struct Unsealed {
    values: BTreeMap<String, SecretValue>,
    masker: Arc<Masker>,
}

impl Unsealed {
    /// A secret's value.
    pub(crate) fn get(&self, name: &str) -> Option<&SecretValue> {
        self.values.get(name)
    }

    /// What hides the project's secrets.
    pub(crate) fn masker(&self) -> &Arc<Masker> {
        &self.masker
    }
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed").field("names", &self.values.keys()).finish_non_exhaustive()
    }
}

/// Seals, keeps and unseals secrets.
#[derive(Debug)]
pub(super) struct Vault {
    keys: Option<Arc<dyn KeyProvider>>,
    entropy: Arc<dyn Entropy>,
    fresh: Fresh<ProjectId, Arc<Unsealed>>,
}

impl Vault {
    pub(super) fn new(keys: Option<Arc<dyn KeyProvider>>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, entropy, fresh: Fresh::new(FRESH, MAX_KNOWN) }
    }

    fn keys(&self) -> Result<&Arc<dyn KeyProvider>, EngineError> {
        self.keys
            .as_ref()
            .ok_or_else(|| EngineError::Vault { message: "the host gave no key provider".into() })
    }

    /// Sets a secret.
    pub(super) async fn set(
        &self,
        store: &Arc<dyn Store>,
        project: &ProjectId,
        name: &SecretName,
        value: &SecretValue,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let key = self.keys()?.active_key().await.map_err(vault_error)?;
        for _ in 0..8 {
            let version = store.secret_version(project, name.as_str()).await? + 1;
            let context = SecretContext { project, name, version };
            let sealed = seal(value, context, &key, self.random()?).map_err(vault_error)?;
            let put = store.put_secret(project, name.as_str(), version, sealed, at).await;
            // Whatever the answer: it may have happened.
            self.forget(project);
            if put? {
                return Ok(());
            }
        }
        Err(EngineError::Overloaded)
    }

    /// Removes a secret; `false` when there was none.
    pub(super) async fn delete(
        &self,
        store: &Arc<dyn Store>,
        project: &ProjectId,
        name: &SecretName,
    ) -> Result<bool, EngineError> {
        let removed = store.delete_secret(project, name.as_str()).await;
        self.forget(project);
        Ok(removed?)
    }

    /// A project's secrets, at most [`FRESH`] old.
    pub(super) async fn unsealed(
        &self,
        store: &Arc<dyn Store>,
        project: &ProjectId,
    ) -> Result<Arc<Unsealed>, EngineError> {
        if let Some(unsealed) = self.fresh.get(project) {
            return Ok(unsealed);
        }
        let reading = self.fresh.begin();
        let mut values = BTreeMap::new();
        for record in store.secrets(project).await? {
            let value = self.open(project, &record).await?;
            values.insert(record.name, value);
        }
        let unsealed = Arc::new(Unsealed { masker: Arc::new(Masker::new(values.values())), values });
        self.fresh.keep(reading, project.clone(), unsealed.clone());
        Ok(unsealed)
    }

    async fn open(&self, project: &ProjectId, record: &SecretRecord) -> Result<SecretValue, EngineError> {
        let corrupt =
            |what: String| StoreError::Corrupt { what: format!("secret {:?}: {what}", record.name) };
        let id = key_of(&record.sealed).map_err(|error| corrupt(error.to_string()))?;
        let Some(key) = self.keys()?.find_key(id).await.map_err(vault_error)? else {
            return Err(EngineError::Vault {
                message: format!("the key {id:?} that seals {:?} is not known", record.name),
            });
        };
        let name = SecretName::new(&record.name).map_err(|error| corrupt(error.to_string()))?;
        let context = SecretContext { project, name: &name, version: record.version };
        open(&record.sealed, context, &key).map_err(|error| corrupt(error.to_string()).into())
    }

    fn forget(&self, project: &ProjectId) {
        self.fresh.forget(|known| known == project);
    }

    fn random(&self) -> Result<EnvelopeRandom, EngineError> {
        let mut random = EnvelopeRandom { dek: [0; 32], wrap_nonce: [0; 12], payload_nonce: [0; 12] };
        self.entropy.fill(&mut random.dek).map_err(vault_error)?;
        self.entropy.fill(&mut random.wrap_nonce).map_err(vault_error)?;
        self.entropy.fill(&mut random.payload_nonce).map_err(vault_error)?;
        Ok(random)
    }
}

fn vault_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Vault { message: error.to_string() }
}
