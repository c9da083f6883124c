//! Token buckets.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, Operation};
use crate::id::ProjectId;
use crate::store::{Admit, Admitted, RateStore, StoreError};
use crate::time::Timestamp;

/// When buckets will be full.
#[derive(Default)]
pub(super) struct Rates {
    full_at: BTreeMap<(ProjectId, [u8; 32]), Timestamp>,
}

#[async_trait]
impl RateStore for MemoryStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Admitted>, StoreError> {
        self.run(Operation::RateWrite, |state, now| {
            let buckets = &mut state.rates.full_at;
            buckets.retain(|_, full_at| Admit::expiry(*full_at) > now);
            let admit = |admit: Admit| {
                let key = (admit.project.clone(), admit.key);
                let (admitted, full_at) = admit.take(buckets.get(&key).copied(), now);
                buckets.insert(key, full_at);
                admitted
            };
            Ok(batch.into_iter().map(admit).collect())
        })
        .await
    }
}
