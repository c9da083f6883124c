//! Deliveries.

use async_trait::async_trait;
use meshhook_core::id::{DeliveryId, ProjectId};
use meshhook_core::store::{DeliveryFilter, DeliveryRecord, DeliveryStore, Listing, StoreError, span_of_ids};
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::{RecordedVerdict, Verdict};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::row::{execute, first, int, listing, parsed_or_null, time, unreadable};
use crate::{SqliteStore, sql};

fn record(row: &Row<'_>, project: &ProjectId) -> rusqlite::Result<DeliveryRecord> {
    let name = row.get_ref(4)?.as_str().map_err(|error| unreadable(4, Type::Text, error))?;
    let verdict = RecordedVerdict::from_name(name);
    let id = DeliveryId::from_bytes(row.get(0)?);
    let mut record = DeliveryRecord::new(project.clone(), id, (time(row, 1)?, time(row, 2)?), verdict);
    record.workflow = parsed_or_null(row, 3)?;
    record.facts = row.get(5)?;
    record.sealed = row.get(6)?;
    Ok(record)
}

/// Forgets some of the deliveries whose time is over, the oldest first.
pub(crate) fn drop_expired(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<()> {
    execute(connection, sql!("deliveries_drop_expired"), params![now.as_micros(), int(limit)]).map(drop)
}

fn deliveries(
    connection: &Connection,
    project: &ProjectId,
    filter: &DeliveryFilter,
    now: Timestamp,
) -> rusqlite::Result<Listing<DeliveryRecord>> {
    let statement = match (&filter.verdict, &filter.workflow) {
        (Some(verdict), _) if *verdict != Verdict::Accepted => sql!("deliveries_by_verdict"),
        (_, Some(_)) => sql!("deliveries_by_workflow"),
        (_, None) => sql!("deliveries_all"),
    };
    let after = filter.page.after.as_ref().map(|after| *after.as_bytes());
    let Some((least, greatest)) = span_of_ids(filter.from, filter.to, after) else {
        return Ok(Listing::new(Vec::new(), false));
    };
    let params = params![
        project.as_str(),
        greatest,
        now.as_micros(),
        filter.from.map_or(i64::MIN, Timestamp::as_micros),
        filter.to.map_or(i64::MAX, Timestamp::as_micros),
        filter.workflow.as_ref().map(|workflow| workflow.as_str()),
        filter.verdict.map(Verdict::as_str),
        least,
    ];
    let read = |row: &Row<'_>| record(row, project);
    listing(connection, statement, params, filter.page.limit, read, DeliveryRecord::bytes)
}

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn record_deliveries(&self, batch: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write(move |connection, now| {
            for record in &batch {
                let params = params![
                    record.project.as_str(),
                    record.id.as_bytes(),
                    record.at.as_micros(),
                    record.expires_at.as_micros(),
                    record.workflow.as_ref().map(|workflow| workflow.as_str()),
                    record.verdict.as_str(),
                    record.facts,
                    record.sealed,
                ];
                execute(connection, sql!("delivery_insert"), params)?;
            }
            // As many as come, and some more: what has piled up goes in time.
            drop_expired(connection, now, batch.len() * 2)
        })
        .await
    }

    async fn deliveries(
        &self,
        project: &ProjectId,
        filter: DeliveryFilter,
    ) -> Result<Listing<DeliveryRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, now| deliveries(connection, &project, &filter, now)).await
    }

    async fn delivery(
        &self,
        project: &ProjectId,
        delivery: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, now| {
            let params = params![project.as_str(), delivery.as_bytes(), now.as_micros()];
            first(connection, sql!("delivery"), params, |row| record(row, &project))
        })
        .await
    }
}
