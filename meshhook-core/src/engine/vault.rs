//! The vault: secrets in, never out, except into an attempt and a signature check.
//!
//! A secret may be there and yet not be had: its master key is not known to this process, the key provider does not answer,
//! or what is stored is damaged. That is the trouble of those who need this secret, and of nobody else in its project:
//!
//! ```text
//!   attempt that needs it      waits, others may take it, and it is looked at again now and then
//!   webhook signed with it     503, so that its sender tries again
//!   everything else            goes on
//! ```
//!
//! What is sealed of a delivery is not wrapped anew by a rotation: it goes when its time is over, and is not kept any more for a
//! process that has lost its key.
//!
//! What cannot be opened cannot be masked either: who sends such a value into a run finds it in the history.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::error::EngineError;
use super::fresh::Fresh;
use crate::clock::Entropy;
use crate::id::{DeliveryId, ProjectId};
use crate::secret::{
    DeliveryContext, EnvelopeRandom, KeyId, KeyProvider, Masker, MasterKey, SecretContext, SecretName,
    SecretValue, key_of, open, open_delivery, rewrap, seal, seal_delivery,
};
use crate::store::{Resealed, SecretRecord, Store, StoreError};
use crate::time::Timestamp;

/// How long what was unsealed is used before the store is asked again. What this process sets or removes counts at once;
/// what another one does, after this time at the latest.
const FRESH: Duration = Duration::from_secs(5);
/// The most projects whose secrets are kept unsealed.
const MAX_KNOWN: usize = 10_000;

/// One project's secrets, unsealed, and the masker that hides them.
pub(crate) struct Unsealed {
    values: BTreeMap<String, SecretValue>,
    /// The names of those that are there but could not be opened.
    unopened: BTreeSet<String>,
    masker: Arc<Masker>,
}

impl Unsealed {
    /// A secret's value.
    pub(crate) fn get(&self, name: &str) -> Option<&SecretValue> {
        self.values.get(name)
    }

    /// Whether some secret is there, but cannot be had now.
    pub(crate) fn has_unopened(&self) -> bool {
        !self.unopened.is_empty()
    }

    /// Whether that one is.
    pub(crate) fn is_unopened(&self, name: &str) -> bool {
        self.unopened.contains(name)
    }

    /// What hides the project's secrets.
    pub(crate) fn masker(&self) -> &Arc<Masker> {
        &self.masker
    }
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed")
            .field("names", &self.values.keys())
            .field("unopened", &self.unopened)
            .finish_non_exhaustive()
    }
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotated {
    /// How many secrets the project has.
    pub secrets: usize,
    /// How many of them were under another key than the active one, and are no more.
    pub rewrapped: usize,
}

/// The most unknown keys that are told of.
const MAX_TOLD: usize = 64;
/// How many secrets a rotation writes at once.
const ROTATED_AT_ONCE: usize = 100;
/// How often a rotation lists the secrets.
const MAX_PASSES: usize = 16;

/// Seals, keeps and unseals secrets.
pub(super) struct Vault {
    store: Arc<dyn Store>,
    keys: Option<Arc<dyn KeyProvider>>,
    entropy: Arc<dyn Entropy>,
    fresh: Fresh<ProjectId, Arc<Unsealed>>,
    /// Keys of deliveries that are not known, and were told of.
    told: Mutex<Vec<KeyId>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Vault {
    pub(super) fn new(
        store: Arc<dyn Store>,
        keys: Option<Arc<dyn KeyProvider>>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, keys, entropy, fresh: Fresh::new(FRESH, MAX_KNOWN), told: Mutex::default() }
    }

    fn keys(&self) -> Result<&Arc<dyn KeyProvider>, EngineError> {
        self.keys.as_ref().ok_or(EngineError::NoMasterKey)
    }

    /// Sets a secret.
    pub(super) async fn set(
        &self,
        project: &ProjectId,
        (name, value): (&SecretName, &SecretValue),
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let key = self.keys()?.active_key().await.map_err(vault_error)?;
        for _ in 0..8 {
            let version = self.store.secret_version(project, name.as_str()).await? + 1;
            let context = SecretContext { project, name, version };
            let sealed = seal(value, context, &key, self.random()?).map_err(vault_error)?;
            let put = self.store.put_secret(project, name.as_str(), version, sealed, at).await;
            // Whatever the answer: it may have happened.
            self.forget(project);
            if put? {
                return Ok(());
            }
        }
        Err(EngineError::Overloaded)
    }

    /// Removes a secret; `false` when there was none.
    pub(super) async fn delete(&self, project: &ProjectId, name: &SecretName) -> Result<bool, EngineError> {
        let removed = self.store.delete_secret(project, name.as_str()).await;
        self.forget(project);
        Ok(removed?)
    }

    /// Wraps the data keys of a project's secrets under the active key, where they are under another.
    ///
    /// Secrets can be set and used meanwhile: values stay as they are. What is set anew may be sealed under the key that
    /// was active when that began, so the secrets are listed again until a pass finds nothing to wrap. A secret that
    /// cannot be wrapped does not keep the others from it.
    pub(super) async fn rotate(&self, project: &ProjectId) -> Result<Rotated, EngineError> {
        let active = self.keys()?.active_key().await.map_err(vault_error)?;
        let mut rotated = Rotated { secrets: 0, rewrapped: 0 };
        for _ in 0..MAX_PASSES {
            let records = self.store.secrets(project).await?;
            rotated.secrets = records.len();
            let (mut failure, mut old) = (None, Vec::new());
            for record in records {
                match self.rewrapped(project, &record, &active).await {
                    Ok(None) => {}
                    Ok(Some(sealed)) => {
                        old.push(Resealed { name: record.name, version: record.version, sealed });
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if old.is_empty() {
                return failure.map_or(Ok(rotated), Err);
            }
            while !old.is_empty() {
                let batch = old.split_off(old.len().saturating_sub(ROTATED_AT_ONCE));
                rotated.rewrapped += self.store.reseal_secrets(project, batch).await?;
            }
        }
        // Somebody goes on sealing under an older key.
        Err(EngineError::Overloaded)
    }

    /// A secret's envelope under another key; `None` when it is under that key already.
    async fn rewrapped(
        &self,
        project: &ProjectId,
        record: &SecretRecord,
        active: &MasterKey,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let (name, key) = self.place(record).await?;
        if key.id() == active.id() {
            return Ok(None);
        }
        let context = SecretContext { project, name: &name, version: record.version };
        let mut nonce = [0; 12];
        self.entropy.fill(&mut nonce).map_err(vault_error)?;
        let sealed = rewrap(&record.sealed, context, &key, active, nonce);
        Ok(Some(sealed.map_err(|error| corrupt(record, &error))?))
    }

    /// Tries to open one of a project's secrets; `None` when it has none, else the first error if none can be opened.
    pub(super) async fn probe(&self, project: &ProjectId) -> Result<Option<()>, EngineError> {
        let mut first = None;
        for record in self.store.secrets(project).await? {
            match self.open(project, &record).await {
                Ok(_) => return Ok(Some(())),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(None), Err)
    }

    /// A project's secrets, at most [`FRESH`] old.
    pub(super) async fn unsealed(&self, project: &ProjectId) -> Result<Arc<Unsealed>, EngineError> {
        if let Some(unsealed) = self.fresh.get(project) {
            return Ok(unsealed);
        }
        let reading = self.fresh.begin();
        let (mut values, mut unopened) = (BTreeMap::new(), BTreeSet::new());
        for record in self.store.secrets(project).await? {
            match self.open(project, &record).await {
                Ok(value) => {
                    values.insert(record.name, value);
                }
                Err(error) => {
                    let error = &error as &(dyn std::error::Error + 'static);
                    tracing::error!(error, project_id = %project, secret = record.name, "a secret cannot be opened");
                    metrics::counter!("meshhook_secrets_unopened_total").increment(1);
                    unopened.insert(record.name);
                }
            }
        }
        let masker = Arc::new(Masker::new(values.values()));
        let unsealed = Arc::new(Unsealed { values, unopened, masker });
        self.fresh.keep(reading, project.clone(), unsealed.clone());
        Ok(unsealed)
    }

    /// Seals what was sent with a delivery; `None` when there is no master key.
    pub(super) async fn seal_delivery(
        &self,
        project: &ProjectId,
        id: DeliveryId,
        sent: &[u8],
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let Ok(keys) = self.keys() else { return Ok(None) };
        let key = keys.active_key().await.map_err(vault_error)?;
        let context = DeliveryContext { project, id };
        seal_delivery(sent, context, &key, self.random()?).map(Some).map_err(vault_error)
    }

    /// Opens what was sealed of a delivery.
    pub(super) async fn open_delivery(
        &self,
        project: &ProjectId,
        id: DeliveryId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EngineError> {
        let key_id = key_of(sealed).map_err(vault_error)?;
        let key = self.keys()?.find_key(key_id).await.map_err(vault_error)?;
        let Some(key) = key else {
            self.tell_of_unknown(key_id);
            return Err(EngineError::NotKept { why: "what was sent is sealed under a key that is gone" });
        };
        open_delivery(sealed, DeliveryContext { project, id }, &key).map_err(vault_error)
    }

    /// Tells once of a key under which deliveries are sealed, and which nobody knows any more.
    fn tell_of_unknown(&self, key: KeyId) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MAX_TOLD && !told.contains(&key) {
            told.push(key);
            drop(told);
            tracing::warn!(%key, "what was sent with deliveries is sealed under a key that is not known");
        }
    }

    async fn open(&self, project: &ProjectId, record: &SecretRecord) -> Result<SecretValue, EngineError> {
        let (name, key) = self.place(record).await?;
        let context = SecretContext { project, name: &name, version: record.version };
        open(&record.sealed, context, &key).map_err(|error| corrupt(record, &error))
    }

    /// A stored secret's name, and the key that wraps it.
    async fn place(&self, record: &SecretRecord) -> Result<(SecretName, Arc<MasterKey>), EngineError> {
        let id = key_of(&record.sealed).map_err(|error| corrupt(record, &error))?;
        let Some(key) = self.keys()?.find_key(id).await.map_err(vault_error)? else {
            return Err(EngineError::Vault {
                message: format!("the key {id} that seals {:?} is not known", record.name),
            });
        };
        Ok((SecretName::new(&record.name).map_err(|error| corrupt(record, &error))?, key))
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

fn corrupt(record: &SecretRecord, error: &dyn fmt::Display) -> EngineError {
    StoreError::Corrupt { what: format!("secret {:?}: {error}", record.name) }.into()
}

fn vault_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Vault { message: error.to_string() }
}
