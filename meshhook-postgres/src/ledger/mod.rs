//! Who owns a run, and its history.

mod claim;
pub(crate) mod commit;
mod wave;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use meshhook_core::id::{ProjectId, WorkerId};
use meshhook_core::store::{
    Claim, Claimed, Commit, CommitOutcome, Dedupe, HeldRun, KeyHolder, Ledger, StoreError, WakeUp,
};
use meshhook_core::time::Timestamp;
use sqlx::Error;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::{Effect, unreadable};
use crate::row::{count, int, micros, parsed, run_id, time, uuid};
use crate::session::{Lane, get};
use crate::{PgStore, sql};

#[async_trait]
impl Ledger for PgStore {
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        for commit in &batch {
            commit.check().map_err(StoreError::internal)?;
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        commit::commit(self, batch).await
    }

    async fn find_keys(
        &self,
        project: &ProjectId,
        wanted: &[&Dedupe],
    ) -> Result<Vec<Option<KeyHolder>>, StoreError> {
        let (now, of) = (self.now(), project.clone());
        let keys: Vec<Vec<u8>> =
            wanted.iter().map(|dedupe| commit::key_bytes(&dedupe.scope, &dedupe.key)).collect();
        let places = keys.clone();
        let found = self.look(project, move |session| {
            let query =
                sqlx::query(sql!("dedupe_find")).bind(of.as_str().to_owned()).bind(keys.clone()).bind(now);
            Box::pin(async move {
                let rows = session.all(query).await?;
                rows.iter().map(key_holder).collect::<Result<BTreeMap<_, _>, _>>()
            })
        });
        let found = found.await?;
        Ok(places.iter().map(|key| found.get(key).cloned()).collect())
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        claim::claim(self, claim).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Timestamp, StoreError> {
        self.lease(worker, lease, false).await
    }

    async fn held(&self, worker: &WorkerId) -> Result<Vec<HeldRun>, StoreError> {
        let worker = worker.clone();
        self.engine(Lane::Worker, Effect::Reads, move |session| {
            let query = sqlx::query(sql!("held")).bind(worker.as_str().to_owned());
            Box::pin(async move {
                let rows = session.alone(query).await?;
                let held = |row| {
                    let (project, run) = (parsed(row, "project")?, run_id(row, "run_id")?);
                    Ok(HeldRun { project, run, claim: count(row, "claim")? })
                };
                rows.iter().map(held).collect()
            })
        })
        .await
    }

    async fn forget(&self, worker: &WorkerId, runs: &[HeldRun], wake_up: WakeUp) -> Result<(), StoreError> {
        if runs.is_empty() {
            return Ok(());
        }
        let held = |held: &HeldRun| (held.project.to_string(), uuid(held.run), int(held.claim));
        self.give_back(worker, runs.iter().map(held).collect(), wake_up).await
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.lease(worker, Duration::ZERO, true).await.map(drop)
    }

    fn hint(&self, worker: Option<&WorkerId>) {
        self.hint_at(worker);
    }

    async fn hinted(&self, worker: &WorkerId) {
        self.wakes.hinted(worker).await;
    }

    fn hears_hints(&self) -> bool {
        self.wakes.hears()
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        let now = self.now();
        let answer = self.person(Effect::Reads, move |session| {
            let query = sqlx::query(sql!("ping")).bind(now);
            Box::pin(async move {
                let row = session.one(query).await?;
                Ok((time(&row, "now")?, get::<bool>(&row, "is_standby")?))
            })
        });
        match answer.await? {
            (now, false) => Ok(now),
            (_, true) => Err(StoreError::Unavailable("the server is a standby, and read-only".into())),
        }
    }
}

impl PgStore {
    /// Releases runs that the worker holds: by project, id and claim.
    async fn give_back(
        &self,
        worker: &WorkerId,
        mut runs: Vec<(String, Uuid, i64)>,
        wake_up: WakeUp,
    ) -> Result<(), StoreError> {
        runs.sort();
        let (now, worker) = (self.now(), worker.clone());
        let projects: Vec<String> = runs.iter().map(|(project, ..)| project.clone()).collect();
        let ids: Vec<Uuid> = runs.iter().map(|(_, run, _)| *run).collect();
        let claims: Vec<i64> = runs.iter().map(|(.., claim)| *claim).collect();
        let wake_at = match wake_up {
            WakeUp::At(at) => Some(at.as_micros()),
            WakeUp::Now | WakeUp::Never => None,
        };
        self.engine(Lane::Worker, Effect::Writes, move |session| {
            let query = sqlx::query(sql!("forget"))
                .bind(now)
                .bind(worker.as_str().to_owned())
                .bind(projects.clone())
                .bind(ids.clone())
                .bind(claims.clone())
                .bind(wake_up == WakeUp::Now)
                .bind(wake_at);
            Box::pin(async move { session.alone(query).await.map(drop) })
        })
        .await
    }

    async fn lease(
        &self,
        worker: &WorkerId,
        lease: Duration,
        retired: bool,
    ) -> Result<Timestamp, StoreError> {
        let (now, worker) = (self.now(), worker.clone());
        self.engine(Lane::Worker, Effect::Writes, move |session| {
            let query = sqlx::query(sql!("lease"))
                .bind(now)
                .bind(worker.as_str().to_owned())
                .bind(micros(lease))
                .bind(retired);
            Box::pin(async move { time(&session.one(query).await?, "now") })
        })
        .await
    }
}

/// A key, and who has it.
fn key_holder(row: &PgRow) -> Result<(Vec<u8>, KeyHolder), Error> {
    let fingerprint: Vec<u8> = get(row, "fingerprint")?;
    let fingerprint = fingerprint.try_into().map_err(|_| unreadable("fingerprint", "not a fingerprint"))?;
    Ok((get(row, "key")?, KeyHolder { run: run_id(row, "run_id")?, fingerprint }))
}
