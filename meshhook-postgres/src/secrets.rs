//! Sealed secrets.

use std::convert::Infallible;

use async_trait::async_trait;
use meshhook_core::id::ProjectId;
use meshhook_core::store::{Resealed, SecretRecord, SecretStore, StoreError};
use meshhook_core::time::Timestamp;

use crate::row::{count, int, text, time};
use crate::session::get;
use crate::store::done;
use crate::{PgStore, sql};

#[async_trait]
impl SecretStore for PgStore {
    async fn put_secret(
        &self,
        project: &ProjectId,
        name: &str,
        version: u64,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        if version == 0 {
            return Ok(false);
        }
        let (of, name) = (project.to_string(), name.as_bytes().to_vec());
        let put = self.write(project, move |session| {
            let query = sqlx::query(sql!("secret_put"))
                .bind(of.clone())
                .bind(name.clone())
                .bind(int(version))
                .bind(sealed.clone())
                .bind(at.as_micros());
            Box::pin(async move { Ok(Ok::<_, Infallible>(session.execute(query).await? > 0)) })
        });
        put.await.map(done)
    }

    async fn secret_version(&self, project: &ProjectId, name: &str) -> Result<u64, StoreError> {
        let (of, name) = (project.to_string(), name.as_bytes().to_vec());
        self.look(project, move |session| {
            let query = sqlx::query(sql!("secret_version")).bind(of.clone()).bind(name.clone());
            Box::pin(async move {
                let row = session.first(query).await?;
                row.map_or(Ok(0), |row| count(&row, "version"))
            })
        })
        .await
    }

    async fn delete_secret(&self, project: &ProjectId, name: &str) -> Result<bool, StoreError> {
        let (of, name) = (project.to_string(), name.as_bytes().to_vec());
        let deleted = self.write(project, move |session| {
            let query = sqlx::query(sql!("secret_delete")).bind(of.clone()).bind(name.clone());
            Box::pin(async move { Ok(Ok::<_, Infallible>(session.execute(query).await? > 0)) })
        });
        deleted.await.map(done)
    }

    async fn reseal_secrets(&self, project: &ProjectId, batch: Vec<Resealed>) -> Result<usize, StoreError> {
        let of = project.to_string();
        let names: Vec<Vec<u8>> = batch.iter().map(|member| member.name.as_bytes().to_vec()).collect();
        let versions: Vec<i64> = batch.iter().map(|member| int(member.version)).collect();
        let sealed: Vec<Vec<u8>> = batch.into_iter().map(|member| member.sealed).collect();
        let replaced = self.write(project, move |session| {
            let query = sqlx::query(sql!("secrets_reseal"))
                .bind(of.clone())
                .bind(names.clone())
                .bind(versions.clone())
                .bind(sealed.clone());
            Box::pin(async move { Ok(Ok::<_, Infallible>(session.execute(query).await?)) })
        });
        replaced.await.map(done).map(|replaced| usize::try_from(replaced).unwrap_or(usize::MAX))
    }

    async fn secrets(&self, project: &ProjectId) -> Result<Vec<SecretRecord>, StoreError> {
        let of = project.to_string();
        self.look(project, move |session| {
            let query = sqlx::query(sql!("secrets")).bind(of.clone());
            Box::pin(async move {
                let rows = session.all(query).await?;
                rows.iter()
                    .map(|row| {
                        let (created_at, updated_at) = (time(row, "created_at")?, time(row, "updated_at")?);
                        let (name, version) = (text(row, "name")?, count(row, "version")?);
                        Ok(SecretRecord::new(name, version, get(row, "sealed")?, created_at, updated_at))
                    })
                    .collect()
            })
        })
        .await
    }
}
