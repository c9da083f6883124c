//! Projects.

use async_trait::async_trait;
use meshhook_core::id::ProjectId;
use meshhook_core::store::{Listing, Page, ProjectRecord, ProjectStore, StoreError};
use meshhook_core::time::Timestamp;
use rusqlite::{Row, params};

use crate::row::{execute, first, listing, parsed, time};
use crate::{SqliteStore, sql};

fn record(row: &Row<'_>) -> rusqlite::Result<ProjectRecord> {
    Ok(ProjectRecord::new(parsed(row, 0)?, row.get(1)?, time(row, 2)?))
}

#[async_trait]
impl ProjectStore for SqliteStore {
    async fn create_project(&self, record: ProjectRecord) -> Result<bool, StoreError> {
        self.write(move |connection, _| {
            let params = params![record.id.as_str(), record.name, record.created_at.as_micros()];
            Ok(execute(connection, sql!("project_insert"), params)? > 0)
        })
        .await
    }

    async fn project(&self, project: &ProjectId) -> Result<Option<ProjectRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, _| first(connection, sql!("project"), params![project.as_str()], record))
            .await
    }

    async fn projects(
        &self,
        page: Page<(Timestamp, ProjectId)>,
    ) -> Result<Listing<ProjectRecord>, StoreError> {
        self.read(move |connection, _| match &page.after {
            None => listing(connection, sql!("projects_first"), [], page.limit, record, ProjectRecord::bytes),
            Some((at, id)) => {
                let params = params![at.as_micros(), id.as_str()];
                listing(connection, sql!("projects_after"), params, page.limit, record, ProjectRecord::bytes)
            }
        })
        .await
    }
}
