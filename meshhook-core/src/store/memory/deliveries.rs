//! Deliveries.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, Operation};
use crate::id::{DeliveryId, ProjectId};
use crate::store::{DeliveryFilter, DeliveryRecord, DeliveryStore, Listing, StoreError};

#[derive(Default)]
pub(super) struct Deliveries {
    by_id: BTreeMap<(ProjectId, DeliveryId), DeliveryRecord>,
}

#[async_trait]
impl DeliveryStore for MemoryStore {
    async fn record_deliveries(&self, batch: Vec<DeliveryRecord>) -> Result<(), StoreError> {
        self.run(Operation::DeliveryWrite, |state, now| {
            let kept = &mut state.deliveries.by_id;
            for record in batch {
                kept.entry((record.project.clone(), record.id)).or_insert(record);
            }
            kept.retain(|_, record| record.expires_at > now);
            Ok(())
        })
        .await
    }

    async fn deliveries(
        &self,
        project: &ProjectId,
        filter: DeliveryFilter,
    ) -> Result<Listing<DeliveryRecord>, StoreError> {
        self.run(Operation::Read, |state, now| {
            let first = (project.clone(), DeliveryId::from_bytes([0; 16]));
            let last = (project.clone(), DeliveryId::from_bytes([0xFF; 16]));
            let kept = state.deliveries.by_id.range(first..=last).rev().map(|(_, record)| record);
            let asked = kept
                .filter(|record| filter.page.after.is_none_or(|after| record.id < after))
                .filter(|record| record.expires_at > now && filter.matches(record))
                .map(|record| Ok(record.clone()));
            Listing::gather(asked, filter.page.limit, DeliveryRecord::bytes)
        })
        .await
    }

    async fn delivery(
        &self,
        project: &ProjectId,
        delivery: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        self.run(Operation::Read, |state, now| {
            let found = state.deliveries.by_id.get(&(project.clone(), delivery));
            Ok(found.filter(|record| record.expires_at > now).cloned())
        })
        .await
    }
}
