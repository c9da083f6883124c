use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::id::WorkerId;
use crate::store::{AdvanceRun, ClaimedRun, CommitOutcome, Hold, WakeUp};

/// A run that ann released and took back, with nothing written in between; and the release.
async fn taken_back(kit: &Kit) -> (AdvanceRun, ClaimedRun) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    let hold = Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Running };
    let release = AdvanceRun { chunk: None, hold, ..advance(1, 2) };
    kit.committed(release.clone()).await;
    let claimed = kit.claim_one(&ann()).await;
    assert_eq!((claimed.epoch, claimed.last_seq()), (1, 1));
    (release, claimed)
}

/// Nothing that is said late has changed what the worker holds: it goes on.
async fn goes_on(kit: &Kit, claimed: &ClaimedRun, worker: &WorkerId) {
    assert_eq!(kit.store.held(worker).await.unwrap(), [claimed.held()]);
    assert_eq!(kit.next_wake_up().await, None);
    kit.committed(advance_claimed(claimed, worker.clone())).await;
}

pub async fn a_late_release_leaves_a_run_that_was_claimed_again(kit: Kit) {
    let (release, claimed) = taken_back(&kit).await;
    let never = Hold::Release { wake_up: WakeUp::Never, status: RunStatus::Waiting };
    for late in [release.clone(), AdvanceRun { hold: never, ..release }] {
        assert_eq!(kit.commit(late).await, CommitOutcome::Stale);
    }
    goes_on(&kit, &claimed, &ann()).await;
}

pub async fn a_late_keep_leaves_a_run_that_went_on(kit: Kit) {
    kit.committed(start(1)).await;
    kit.post(1, event("a")).await;
    let consumed = item_ids(&kit.waiting(1).await);
    let hold = Hold::Keep { status: RunStatus::Paused };
    let keep = AdvanceRun { chunk: None, hold, consumed, ..advance(1, 2) };
    kit.committed(advance(1, 2)).await;
    assert_eq!(kit.commit(keep).await, CommitOutcome::Stale);
    assert_eq!(kit.record(1).await.status, RunStatus::Running);
    assert_eq!(kit.waiting(1).await.len(), 1);
    kit.committed(advance(1, 3)).await;
}

pub async fn a_late_keep_leaves_a_run_that_was_claimed_again(kit: Kit) {
    let (release, claimed) = taken_back(&kit).await;
    let keep = AdvanceRun { hold: Hold::Keep { status: RunStatus::Paused }, ..release };
    assert_eq!(kit.commit(keep).await, CommitOutcome::Stale);
    assert_eq!(kit.record(1).await.status, RunStatus::Running);
    goes_on(&kit, &claimed, &ann()).await;
}

pub async fn a_late_end_leaves_a_run_that_is_retried(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start_ended(1, RunStatus::Failed)).await;
    kit.post(1, retry()).await;
    let first = kit.claim_one(&ann()).await;
    let consumed = item_ids(&kit.waiting(1).await);
    // It ends as it had ended: the message needed no event.
    let hold = end(RunStatus::Failed, kit.now());
    let ends = AdvanceRun { chunk: None, after: 1, hold, consumed, ..advance_claimed(&first, ann()) };
    kit.committed(ends.clone()).await;
    kit.post(1, retry()).await;
    let claimed = kit.claim_one(&ann()).await;
    assert_eq!((claimed.epoch, claimed.claim), (first.epoch, first.claim + 1));
    assert_eq!(kit.commit(ends).await, CommitOutcome::Stale);
    goes_on(&kit, &claimed, &ann()).await;
}

pub async fn a_late_copy_of_events_is_stale(kit: Kit) {
    let (release, _) = taken_back(&kit).await;
    let claimed = AdvanceRun { claim: 2, ..release };
    kit.committed(AdvanceRun { hold: keep(), ..claimed.clone() }).await;
    let step = AdvanceRun { chunk: Some(chunk(2, 4)), hold: keep(), ..claimed.clone() };
    kit.committed(step.clone()).await;
    for late in [step, AdvanceRun { after: 1, ..claimed.clone() }, AdvanceRun { after: 3, ..claimed.clone() }]
    {
        assert_eq!(kit.commit(late).await, CommitOutcome::Stale);
    }
    kit.committed(AdvanceRun { after: 4, ..claimed }).await;
    assert_eq!(kit.history(1).await, [chunk(1, 1), chunk(2, 4)]);
}

pub async fn giving_back_late_leaves_a_run_that_was_claimed_again(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.store.forget(&ann(), &[held(1, 1)], WakeUp::Now).await.unwrap();
    let claimed = kit.claim_one(&ann()).await;
    for late in [WakeUp::Now, WakeUp::Never] {
        kit.store.forget(&ann(), &[held(1, 1), held(1, 3)], late).await.unwrap();
    }
    goes_on(&kit, &claimed, &ann()).await;
}

pub async fn a_commit_without_events_can_be_repeated_while_nothing_happened(kit: Kit) {
    kit.committed(start(1)).await;
    let keep = AdvanceRun { chunk: None, hold: Hold::Keep { status: RunStatus::Waiting }, ..advance(1, 2) };
    for _ in 0..2 {
        kit.committed(keep.clone()).await;
        assert_eq!(kit.record(1).await.status, RunStatus::Waiting);
    }
    let release = AdvanceRun { hold: release(None), ..keep.clone() };
    kit.committed(release.clone()).await;
    for late in [release, keep] {
        assert_eq!(kit.commit(late).await, CommitOutcome::Stale);
    }
}
