//! Projects.

use async_trait::async_trait;
use meshhook_core::id::ProjectId;
use meshhook_core::store::{Listing, MAX_LISTING_BYTES, Page, ProjectRecord, ProjectStore, StoreError};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::error::Effect;
use crate::row::{int, parsed, text_of, time};
use crate::session::get;
use crate::{PgStore, sql};

fn record(row: &PgRow) -> Result<ProjectRecord, Error> {
    let name = get::<Option<Vec<u8>>>(row, "name")?.map(|name| text_of(name, "name")).transpose()?;
    Ok(ProjectRecord::new(parsed(row, "project")?, name, time(row, "created_at")?))
}

#[async_trait]
impl ProjectStore for PgStore {
    async fn create_project(&self, record: ProjectRecord) -> Result<bool, StoreError> {
        self.person(Effect::Writes, move |session| {
            let record = record.clone();
            Box::pin(async move {
                session.begin(&record.id).await?;
                let query = sqlx::query(sql!("project_insert"))
                    .bind(record.id.to_string())
                    .bind(record.name.map(String::into_bytes))
                    .bind(record.created_at.as_micros());
                let made = session.execute(query).await? > 0;
                session.commit().await?;
                Ok(made)
            })
        })
        .await
    }

    async fn project(&self, project: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        let of = project.to_string();
        self.look(project, move |session| {
            let query = sqlx::query(sql!("project")).bind(of.clone());
            Box::pin(async move { session.first(query).await?.map(|row| record(&row)).transpose() })
        })
        .await
    }

    async fn projects(
        &self,
        page: Page<(Timestamp, ProjectId)>,
    ) -> Result<Listing<ProjectRecord>, StoreError> {
        self.person(Effect::Reads, move |session| {
            let (at, id) = match &page.after {
                Some((at, id)) => (at.as_micros(), id.to_string()),
                None => (i64::MAX, String::new()),
            };
            let limit = page.limit;
            Box::pin(async move {
                session.begin_for_all().await?;
                let query = sqlx::query(sql!("projects"))
                    .bind(int(limit).saturating_add(1))
                    .bind(at)
                    .bind(id)
                    .bind(int(MAX_LISTING_BYTES));
                let rows = session.all(query).await?;
                session.commit().await?;
                Listing::gather(rows.iter().map(record), limit, ProjectRecord::bytes)
            })
        })
        .await
    }
}
