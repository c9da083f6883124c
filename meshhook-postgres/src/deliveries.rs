//! Deliveries.

use std::sync::Arc;

use async_trait::async_trait;
use meshhook_core::id::{DeliveryId, ProjectId, WorkflowSlug};
use meshhook_core::store::{
    DeliveryFilter, DeliveryRecord, DeliveryStore, Listing, MAX_LISTING_BYTES, StoreError,
};
use meshhook_core::time::Timestamp;
use meshhook_core::webhook::{RecordedVerdict, Verdict};
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::Effect;
use crate::row::{int, parsed_or_null, span_of_ids, text, time};
use crate::session::{Lane, get};
use crate::{PgStore, sql};

fn record(row: &PgRow, project: &ProjectId) -> Result<DeliveryRecord, Error> {
    let verdict = RecordedVerdict::from_name(get(row, "verdict")?);
    let id = DeliveryId::from_bytes(get::<Uuid>(row, "id")?.into_bytes());
    let times = (time(row, "at")?, time(row, "expires_at")?);
    let mut record = DeliveryRecord::new(project.clone(), id, times, verdict);
    record.workflow = parsed_or_null(row, "workflow")?;
    record.facts = text(row, "facts")?;
    record.sealed = get(row, "sealed")?;
    Ok(record)
}

fn uuid(delivery: DeliveryId) -> Uuid {
    Uuid::from_bytes(*delivery.as_bytes())
}

#[async_trait]
impl DeliveryStore for PgStore {
    async fn record_deliveries(&self, mut batch: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        batch.sort_by(|a, b| (&a.project, a.id).cmp(&(&b.project, b.id)));
        let batch: Arc<[DeliveryRecord]> = batch.into();
        self.engine(Lane::Other, Effect::Writes, move |session| {
            let batch = batch.clone();
            Box::pin(async move {
                let column = |of: fn(&DeliveryRecord) -> i64| batch.iter().map(of).collect::<Vec<i64>>();
                let workflows = batch.iter().map(|record| record.workflow.as_ref().map(WorkflowSlug::as_str));
                let query = sqlx::query(sql!("deliveries_record"))
                    .bind(batch.iter().map(|record| record.project.as_str()).collect::<Vec<_>>())
                    .bind(batch.iter().map(|record| uuid(record.id)).collect::<Vec<_>>())
                    .bind(column(|record| record.at.as_micros()))
                    .bind(column(|record| record.expires_at.as_micros()))
                    .bind(workflows.collect::<Vec<_>>())
                    .bind(batch.iter().map(|record| record.verdict.as_str()).collect::<Vec<_>>())
                    .bind(batch.iter().map(|record| record.facts.as_bytes()).collect::<Vec<_>>())
                    .bind(batch.iter().map(|record| record.sealed.as_deref()).collect::<Vec<_>>());
                session.alone(query).await.map(drop)
            })
        })
        .await
    }

    async fn deliveries(
        &self,
        project: &ProjectId,
        filter: DeliveryFilter,
    ) -> Result<Listing<DeliveryRecord>, StoreError> {
        let (of, now, limit) = (project.clone(), self.now(), filter.page.limit);
        let after = filter.page.after.as_ref().map(|after| *after.as_bytes());
        let Some((least, greatest)) = span_of_ids(filter.from, filter.to, after) else {
            return Ok(Listing::new(Vec::new(), false));
        };
        self.look(project, move |session| {
            let statement = match (&filter.verdict, &filter.workflow) {
                (Some(verdict), _) if *verdict != Verdict::Accepted => sql!("deliveries_by_verdict"),
                (_, Some(_)) => sql!("deliveries_by_workflow"),
                (_, None) => sql!("deliveries_all"),
            };
            let query = sqlx::query(statement)
                .bind(of.to_string())
                .bind(greatest)
                .bind(now)
                .bind(filter.from.map_or(i64::MIN, Timestamp::as_micros))
                .bind(filter.to.map_or(i64::MAX, Timestamp::as_micros))
                .bind(filter.workflow.as_ref().map(ToString::to_string))
                .bind(filter.verdict.map(Verdict::as_str))
                .bind(int(limit).saturating_add(1))
                .bind(int(MAX_LISTING_BYTES))
                .bind(least);
            let of = of.clone();
            Box::pin(async move {
                let rows = session.all(query).await?;
                Listing::gather(rows.iter().map(|row| record(row, &of)), limit, DeliveryRecord::bytes)
            })
        })
        .await
    }

    async fn delivery(
        &self,
        project: &ProjectId,
        delivery: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        let (of, now) = (project.clone(), self.now());
        self.look(project, move |session| {
            let query = sqlx::query(sql!("delivery")).bind(of.to_string()).bind(uuid(delivery)).bind(now);
            let of = of.clone();
            Box::pin(async move { session.first(query).await?.map(|row| record(&row, &of)).transpose() })
        })
        .await
    }
}
