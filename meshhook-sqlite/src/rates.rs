//! Token buckets.

use async_trait::async_trait;
use meshhook_core::store::{Admit, Admitted, RateStore, StoreError};
use rusqlite::params;

use crate::row::{execute, first, int, time};
use crate::{SqliteStore, sql};

#[async_trait]
impl RateStore for SqliteStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Admitted>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection, now| {
            let mut given = Vec::with_capacity(batch.len());
            for admit in &batch {
                let key = params![admit.project.as_str(), &admit.key[..]];
                let known = first(connection, sql!("rate"), key, |row| time(row, 0))?;
                let (admitted, full_at) = admit.take(known, now);
                if admitted.tokens > 0 {
                    let params = params![
                        admit.project.as_str(),
                        &admit.key[..],
                        full_at.as_micros(),
                        Admit::expiry(full_at).as_micros(),
                    ];
                    execute(connection, sql!("rate_put"), params)?;
                }
                given.push(admitted);
            }
            // As many as can come, and some more.
            let params = params![now.as_micros(), int(batch.len() * 2)];
            execute(connection, sql!("rates_drop_expired"), params)?;
            Ok(given)
        })
        .await
    }
}
