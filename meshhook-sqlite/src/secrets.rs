//! Sealed secrets.

use async_trait::async_trait;
use meshhook_core::id::ProjectId;
use meshhook_core::store::{Resealed, SecretRecord, SecretStore, StoreError};
use meshhook_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::row::{all, count, execute, first, int, time};
use crate::{SqliteStore, sql};

fn last_version(connection: &Connection, project: &ProjectId, name: &str) -> rusqlite::Result<u64> {
    let found =
        first(connection, sql!("secret_version"), params![project.as_str(), name], |row| count(row, 0))?;
    Ok(found.unwrap_or(0))
}

#[async_trait]
impl SecretStore for SqliteStore {
    async fn put_secret(
        &self,
        project: &ProjectId,
        name: &str,
        version: u64,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (project, name) = (project.clone(), name.to_owned());
        self.write(move |connection, _| {
            if last_version(connection, &project, &name)?.checked_add(1) != Some(version) {
                return Ok(false);
            }
            let params = params![project.as_str(), name, int(version), sealed, at.as_micros()];
            execute(connection, sql!("secret_put"), params)?;
            Ok(true)
        })
        .await
    }

    async fn secret_version(&self, project: &ProjectId, name: &str) -> Result<u64, StoreError> {
        let (project, name) = (project.clone(), name.to_owned());
        self.read(move |connection, _| last_version(connection, &project, &name)).await
    }

    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError> {
        let (project, name) = (project.clone(), name.to_owned());
        self.write(move |connection, _| {
            Ok(execute(connection, sql!("secret_delete"), params![project.as_str(), name])? > 0)
        })
        .await
    }

    async fn reseal_secrets(&self, project: &ProjectId, batch: Vec<Resealed>) -> Result<usize, StoreError> {
        let project = project.clone();
        self.write(move |connection, _| {
            let mut replaced = 0;
            for Resealed { name, version, sealed } in &batch {
                let params = params![project.as_str(), name, int(*version), sealed];
                replaced += execute(connection, sql!("secret_reseal"), params)?;
            }
            Ok(replaced)
        })
        .await
    }

    async fn secrets(&self, project: &ProjectId) -> Result<Vec<SecretRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| {
            all(connection, sql!("secrets"), params![project.as_str()], |row| {
                Ok(SecretRecord::new(row.get(0)?, count(row, 1)?, row.get(2)?, time(row, 3)?, time(row, 4)?))
            })
        })
        .await
    }
}
