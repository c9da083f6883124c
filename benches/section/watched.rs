//! A store that counts what it is asked, and may be slow to say that a commit is durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use meshhook::event::Chunk;
use meshhook::id::{DeliveryId, Digest, ProjectId, RunId, WorkerId, WorkflowSlug};
use meshhook::store::{
    Admit, Admitted, Claim, Claimed, Commit, CommitOutcome, CreateWorkflow, Dedupe, DeliveryFilter,
    DeliveryRecord, DeliveryStore, FireSchedule, HeldRun, Hold, HookRoute, Inbox, InboxId, InboxItem,
    KeyHolder, Ledger, Listing, Page, Post, Posted, ProjectRecord, ProjectStore, PublishOutcome,
    PublishWorkflow, RateStore, Resealed, RunFilter, RunReader, RunRecord, SaveDraft, ScheduleKey,
    ScheduleRecord, ScheduleStore, SecretRecord, SecretStore, Store, StoreError, StoredRun, TakenSchedules,
    VersionRecord, WakeUp, WorkflowRecord, WorkflowStore, WorkflowStoreError,
};
use meshhook::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A store that is watched.
pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    /// How long the reply of a commit is held back. Its transaction is over by then, so it stands for a disk that is slow
    /// to acknowledge, but for none whose slowness keeps locks.
    commit_delay: Duration,
    counts: Mutex<Counts>,
}

/// What a store was asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// How often which method was called. Each call is one transaction.
    pub(crate) calls: BTreeMap<String, u64>,
    /// How many runs ended.
    pub(crate) ended: u64,
}

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    pub(crate) fn of(&self, call: &str) -> u64 {
        self.calls.get(call).copied().unwrap_or_default()
    }
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Store>, commit_delay: Duration) -> Self {
        Self { inner, commit_delay, counts: Mutex::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn count(&self, call: &str) {
        let calls = &mut self.lock().calls;
        match calls.get_mut(call) {
            Some(count) => *count += 1,
            None => drop(calls.insert(call.into(), 1)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a run ends with this.
fn ends(commit: &Commit) -> bool {
    let hold = match commit {
        Commit::Start(start) => &start.hold,
        Commit::Advance(advance) => &advance.hold,
        _ => return false,
    };
    matches!(hold, Hold::End { .. })
}

/// Hands the calls of a role through, each counted; what stands behind `and` is as it is.
macro_rules! watch {
    (
        $role:ident { $(fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)* }
        $(and { $($other:tt)* })?
    ) => {
        #[async_trait]
        impl $role for Watched {
            $(async fn $name(&self, $($argument: $kind),*) -> $answer {
                let answer = $role::$name(&*self.inner, $($argument),*).await;
                self.count(stringify!($name));
                answer
            })*
            $($($other)*)?
        }
    };
}

watch! {
    Ledger {
        fn find_keys(project: &ProjectId, wanted: &[&Dedupe]) -> Result<Vec<Option<KeyHolder>>, StoreError>;
        fn claim(claim: Claim) -> Result<Claimed, StoreError>;
        fn renew(worker: &WorkerId, lease: Duration) -> Result<Timestamp, StoreError>;
        fn held(worker: &WorkerId) -> Result<Vec<HeldRun>, StoreError>;
        fn forget(worker: &WorkerId, runs: &[HeldRun], wake_up: WakeUp) -> Result<(), StoreError>;
        fn retire(worker: &WorkerId) -> Result<(), StoreError>;
        fn ping() -> Result<Timestamp, StoreError>;
    }
    and {
        async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
            let ends: Vec<bool> = batch.iter().map(ends).collect();
            let outcomes = self.inner.commit(batch).await?;
            if !self.commit_delay.is_zero() {
                tokio::time::sleep(self.commit_delay).await;
            }
            self.count("commit");
            let committed = outcomes.iter().map(|outcome| *outcome == CommitOutcome::Committed);
            self.lock().ended += ends.iter().zip(committed).filter(|(ends, committed)| **ends && *committed).count() as u64;
            Ok(outcomes)
        }

        fn hint(&self, worker: Option<&WorkerId>) {
            self.inner.hint(worker);
        }

        async fn hinted(&self, worker: &WorkerId) {
            self.inner.hinted(worker).await;
        }

        fn hears_hints(&self) -> bool {
            self.inner.hears_hints()
        }
    }
}

watch! {
    RunReader {
        fn run(project: &ProjectId, run: RunId) -> Result<Option<StoredRun>, StoreError>;
        fn run_record(project: &ProjectId, run: RunId) -> Result<Option<RunRecord>, StoreError>;
        fn runs(project: &ProjectId, filter: RunFilter) -> Result<Listing<StoredRun>, StoreError>;
        fn chunks_after(project: &ProjectId, run: RunId, seq: u64, limit: usize) -> Result<Listing<Chunk>, StoreError>;
    }
}

watch! {
    Inbox {
        fn post(posts: Vec<Post>) -> Result<Vec<Posted>, StoreError>;
        fn messages_for(project: &ProjectId, run: RunId, after: Option<InboxId>) -> Result<Listing<InboxItem>, StoreError>;
        fn messages_waiting(project: &ProjectId, run: RunId) -> Result<Option<(InboxId, InboxId)>, StoreError>;
    }
}

watch! {
    WorkflowStore {
        fn create_workflow(create: CreateWorkflow) -> Result<WorkflowRecord, WorkflowStoreError>;
        fn workflow(project: &ProjectId, slug: &WorkflowSlug) -> Result<Option<WorkflowRecord>, StoreError>;
        fn workflows(project: &ProjectId, page: Page<(Timestamp, WorkflowSlug)>) -> Result<Listing<WorkflowRecord>, StoreError>;
        fn save_draft(save: SaveDraft) -> Result<WorkflowRecord, WorkflowStoreError>;
        fn publish(publish: PublishWorkflow) -> Result<PublishOutcome, WorkflowStoreError>;
        fn unpublish(project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError>;
        fn delete_workflow(project: &ProjectId, slug: &WorkflowSlug) -> Result<bool, StoreError>;
        fn version(project: &ProjectId, slug: &WorkflowSlug, version: u32) -> Result<Option<VersionRecord>, StoreError>;
        fn versions(project: &ProjectId, slug: &WorkflowSlug, page: Page<u32>) -> Result<Listing<VersionRecord>, StoreError>;
        fn keep_definition(project: &ProjectId, digest: &Digest, text: &str) -> Result<(), StoreError>;
        fn definition(project: &ProjectId, digest: &Digest) -> Result<Option<String>, StoreError>;
        fn hook(project: &ProjectId, path: &str) -> Result<Option<HookRoute>, StoreError>;
        fn hook_owners(project: &ProjectId, paths: &[String]) -> Result<BTreeMap<String, WorkflowSlug>, StoreError>;
    }
}

watch! {
    ScheduleStore {
        fn take_schedules(limit: usize, hold: Duration, since: Timestamp) -> Result<TakenSchedules, StoreError>;
        fn fire_schedule(fire: FireSchedule) -> Result<bool, StoreError>;
        fn pause_schedule(schedule: &ScheduleKey) -> Result<bool, StoreError>;
        fn resume_schedule(schedule: &ScheduleKey) -> Result<bool, StoreError>;
        fn schedules(project: &ProjectId, page: Page<(WorkflowSlug, String)>) -> Result<Listing<ScheduleRecord>, StoreError>;
    }
}

watch! {
    SecretStore {
        fn put_secret(project: &ProjectId, name: &str, version: u64, sealed: Vec<u8>, at: Timestamp) -> Result<bool, StoreError>;
        fn secret_version(project: &ProjectId, name: &str) -> Result<u64, StoreError>;
        fn delete_secret(project: &ProjectId, name: &str) -> Result<bool, StoreError>;
        fn reseal_secrets(project: &ProjectId, batch: Vec<Resealed>) -> Result<usize, StoreError>;
        fn secrets(project: &ProjectId) -> Result<Vec<SecretRecord>, StoreError>;
    }
}

watch! {
    ProjectStore {
        fn create_project(record: ProjectRecord) -> Result<bool, StoreError>;
        fn project(project: &ProjectId) -> Result<Option<ProjectRecord>, StoreError>;
        fn projects(page: Page<(Timestamp, ProjectId)>) -> Result<Listing<ProjectRecord>, StoreError>;
    }
}

watch! {
    DeliveryStore {
        fn record_deliveries(batch: Vec<DeliveryRecord>) -> Result<(), StoreError>;
        fn deliveries(project: &ProjectId, filter: DeliveryFilter) -> Result<Listing<DeliveryRecord>, StoreError>;
        fn delivery(project: &ProjectId, delivery: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError>;
    }
}

watch! {
    RateStore {
        fn admit(batch: Vec<Admit>) -> Result<Vec<Admitted>, StoreError>;
    }
}
