//! Sealed secrets.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, Operation};
use crate::id::ProjectId;
use crate::store::{Resealed, SecretRecord, SecretStore, StoreError};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Secrets {
    by_name: BTreeMap<(ProjectId, String), Kept>,
}

/// A name that was set once: with its secret, or, once that was removed, only with the count.
#[derive(Default)]
struct Kept {
    version: u64,
    record: Option<SecretRecord>,
}

#[async_trait]
impl SecretStore for MemoryStore {
    async fn put_secret(
        &self,
        project: &ProjectId,
        name: &str,
        version: u64,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.run(Operation::SecretWrite, |state, _| {
            let key = (project.clone(), name.to_owned());
            let last = state.secrets.by_name.get(&key).map_or(0, |kept| kept.version);
            if last.checked_add(1) != Some(version) {
                return Ok(false);
            }
            let kept = state.secrets.by_name.entry(key).or_default();
            let created_at = kept.record.as_ref().map_or(at, |record| record.created_at);
            kept.version = version;
            kept.record = Some(SecretRecord::new(name.to_owned(), version, sealed, created_at, at));
            Ok(true)
        })
        .await
    }

    async fn secret_version(&self, project: &ProjectId, name: &str) -> Result<u64, StoreError> {
        self.run(Operation::Read, |state, _| {
            let kept = state.secrets.by_name.get(&(project.clone(), name.to_owned()));
            Ok(kept.map_or(0, |kept| kept.version))
        })
        .await
    }

    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError> {
        self.run(Operation::SecretWrite, |state, _| {
            let kept = state.secrets.by_name.get_mut(&(project.clone(), name.to_owned()));
            Ok(kept.is_some_and(|kept| kept.record.take().is_some()))
        })
        .await
    }

    async fn reseal_secrets(&self, project: &ProjectId, batch: Vec<Resealed>) -> Result<usize, StoreError> {
        self.run(Operation::SecretWrite, |state, _| {
            let mut replaced = 0;
            for Resealed { name, version, sealed } in batch {
                let kept = state.secrets.by_name.get_mut(&(project.clone(), name));
                let current = kept.filter(|kept| kept.version == version);
                if let Some(record) = current.and_then(|kept| kept.record.as_mut()) {
                    record.sealed = sealed;
                    replaced += 1;
                }
            }
            Ok(replaced)
        })
        .await
    }

    async fn secrets(&self, project: &ProjectId) -> Result<Vec<SecretRecord>, StoreError> {
        self.run(Operation::Read, |state, _| {
            Ok(state
                .secrets
                .by_name
                .range((project.clone(), String::new())..)
                .take_while(|((of, _), _)| of == project)
                .filter_map(|(_, kept)| kept.record.clone())
                .collect())
        })
        .await
    }
}
