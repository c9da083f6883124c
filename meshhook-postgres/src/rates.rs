//! Token buckets.

use std::sync::Arc;

use async_trait::async_trait;
use meshhook_core::store::{Admit, Admitted, RateStore, StoreError};
use sqlx::Error;
use sqlx::postgres::PgRow;

use crate::error::Effect;
use crate::row::{count, int, time};
use crate::session::Lane;
use crate::{PgStore, sql};

#[async_trait]
impl RateStore for PgStore {
    async fn admit(&self, batch: Vec<Admit>) -> Result<Vec<Admitted>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        // In the order of the keys, and those of one key as they came; answered as they came.
        let mut sorted: Vec<(usize, Admit)> = batch.into_iter().enumerate().collect();
        sorted.sort_by(|(_, a), (_, b)| (&a.project, a.key).cmp(&(&b.project, b.key)));
        let (places, sorted): (Vec<usize>, Vec<Admit>) = sorted.into_iter().unzip();
        let (now, sorted): (_, Arc<[Admit]>) = (self.now(), sorted.into());
        let answers = self
            .engine(Lane::Commit, Effect::Writes, move |session| {
                let sorted = sorted.clone();
                Box::pin(async move {
                    let column = |of: fn(&Admit) -> i64| sorted.iter().map(of).collect::<Vec<i64>>();
                    let query = sqlx::query(sql!("admit"))
                        .bind(now)
                        .bind(sorted.iter().map(|admit| admit.project.as_str()).collect::<Vec<_>>())
                        .bind(sorted.iter().map(|admit| &admit.key[..]).collect::<Vec<_>>())
                        .bind(column(|admit| int(admit.bucket.every_micros)))
                        .bind(column(|admit| i64::from(admit.bucket.burst)))
                        .bind(column(|admit| i64::from(admit.wanted)));
                    let rows = session.alone(query).await?;
                    let answer = |(row, admit): (&PgRow, &Admit)| {
                        let wait = admit.bucket.wait(time(row, "a_full_at")?, time(row, "a_now")?);
                        Ok(Admitted { tokens: count(row, "a_tokens")?, wait })
                    };
                    rows.iter().zip(&*sorted).map(answer).collect::<Result<Vec<_>, Error>>()
                })
            })
            .await?;
        if answers.len() != places.len() {
            return Err(StoreError::internal("a bucket was not answered for"));
        }
        let mut given: Vec<(usize, Admitted)> = places.into_iter().zip(answers).collect();
        given.sort_by_key(|(place, _)| *place);
        Ok(given.into_iter().map(|(_, admitted)| admitted).collect())
    }
}
