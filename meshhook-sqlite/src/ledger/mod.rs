//! Who owns a run, and its history.

mod claim;
pub(crate) mod commit;

use std::time::Duration;

use async_trait::async_trait;
use meshhook_core::id::{ProjectId, WorkerId};
use meshhook_core::store::{
    Claim, Claimed, Commit, CommitOutcome, Dedupe, HeldRun, KeyHolder, Ledger, StoreError, WakeUp,
};
use meshhook_core::time::Timestamp;
use rusqlite::params;

use crate::row::{all, count, execute, first, int, parsed, run_id};
use crate::{SqliteStore, sql};

#[async_trait]
impl Ledger for SqliteStore {
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        for commit in &batch {
            commit.check().map_err(StoreError::internal)?;
        }
        self.write(move |connection, now| commit::commit(connection, &batch, now)).await
    }

    async fn find_keys(
        &self,
        project: &ProjectId,
        wanted: &[&Dedupe],
    ) -> Result<Vec<Option<KeyHolder>>, StoreError> {
        let project = project.clone();
        let keys: Vec<(String, String)> =
            wanted.iter().map(|dedupe| (dedupe.scope.clone(), dedupe.key.clone())).collect();
        self.read(move |connection, now| {
            let holder =
                |(scope, key): &(String, String)| commit::key_holder(connection, &project, scope, key, now);
            keys.iter().map(holder).collect()
        })
        .await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.write(move |connection, now| claim::claim(connection, &claim, now)).await
    }

    async fn renew(&self, worker: &WorkerId, lease: Duration) -> Result<Timestamp, StoreError> {
        let worker = worker.clone();
        self.write(move |connection, now| {
            let params = params![worker.as_str(), now.after(lease).as_micros()];
            execute(connection, sql!("worker_renew"), params).map(|_| now)
        })
        .await
    }

    async fn held(&self, worker: &WorkerId) -> Result<Vec<HeldRun>, StoreError> {
        let worker = worker.clone();
        self.read(move |connection, _| {
            all(connection, sql!("held_runs"), params![worker.as_str()], |row| {
                Ok(HeldRun { project: parsed(row, 0)?, run: run_id(row, 1)?, claim: count(row, 2)? })
            })
        })
        .await
    }

    async fn forget(&self, worker: &WorkerId, runs: &[HeldRun], wake_up: WakeUp) -> Result<(), StoreError> {
        let (worker, runs) = (worker.clone(), runs.to_vec());
        self.write(move |connection, now| {
            let wake_at = wake_up.at(now).map(Timestamp::as_micros);
            for HeldRun { project, run, claim } in &runs {
                let params = params![project.as_str(), run.as_bytes(), worker.as_str(), wake_at, int(*claim)];
                execute(connection, sql!("run_forget"), params)?;
            }
            Ok(())
        })
        .await
    }

    async fn retire(&self, worker: &WorkerId) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.write(move |connection, now| {
            execute(connection, sql!("worker_retire"), params![worker.as_str(), now.as_micros()]).map(|_| ())
        })
        .await
    }

    async fn ping(&self) -> Result<Timestamp, StoreError> {
        self.read(|connection, now| {
            // A file that is gone or broken shows when it is read.
            first(connection, sql!("ping"), [], |_| Ok(()))?;
            Ok(now)
        })
        .await
    }
}
