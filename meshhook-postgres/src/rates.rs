//! Token buckets.

use async_trait::async_trait;
use meshhook_core::store::{Admit, Admitted, RateStore, StoreError};

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
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by(|a, b| (&batch[*a].project, batch[*a].key).cmp(&(&batch[*b].project, batch[*b].key)));
        let sorted: Vec<Admit> = order.iter().map(|place| batch[*place].clone()).collect();
        let now = self.now();
        let answers = self
            .engine(Lane::Commit, Effect::Writes, move |session| {
                let column = |of: fn(&Admit) -> i64| sorted.iter().map(of).collect::<Vec<i64>>();
                let query = sqlx::query(sql!("admit"))
                    .bind(now)
                    .bind(sorted.iter().map(|admit| admit.project.to_string()).collect::<Vec<_>>())
                    .bind(sorted.iter().map(|admit| admit.key.to_vec()).collect::<Vec<_>>())
                    .bind(column(|admit| int(admit.bucket.every_micros)))
                    .bind(column(|admit| i64::from(admit.bucket.burst)))
                    .bind(column(|admit| i64::from(admit.wanted)));
                let buckets: Vec<_> = sorted.iter().map(|admit| admit.bucket).collect();
                Box::pin(async move {
                    let rows = session.alone(query).await?;
                    let answer = |(row, bucket): (_, meshhook_core::policy::Bucket)| {
                        let wait = bucket.wait(time(row, "a_full_at")?, time(row, "a_now")?);
                        Ok(Admitted { tokens: count(row, "a_tokens")?, wait })
                    };
                    rows.iter().zip(buckets).map(answer).collect::<Result<Vec<_>, sqlx::Error>>()
                })
            })
            .await?;
        if answers.len() != batch.len() {
            return Err(StoreError::internal("a bucket was not answered for"));
        }
        let mut given = answers.clone();
        for (place, answer) in order.into_iter().zip(answers) {
            given[place] = answer;
        }
        Ok(given)
    }
}
