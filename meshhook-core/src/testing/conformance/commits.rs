use std::collections::BTreeSet;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::failure::Failure;
use crate::store::{AdvanceRun, Commit, CommitOutcome, Hold, RunFilter, StartRun, StoreError, WakeUp};

pub async fn a_started_run_reads_back_as_it_was_given(kit: Kit) {
    let mut given = start(1);
    given.meta.test = true;
    kit.committed(given.clone()).await;
    let stored = kit.store.run(&acme(), run(1)).await.unwrap().unwrap();
    assert_eq!(stored.record.meta, given.meta);
    assert_eq!(stored.record.status, RunStatus::Running);
    assert_eq!((stored.record.finished_at, stored.record.failure), (None, None));
    assert_eq!(stored.chunks, [given.chunk]);
}

pub async fn a_batch_commits_in_order(kit: Kit) {
    let batch = vec![start(1).into(), advance(1, 2).into(), advance(1, 3).into(), start(2).into()];
    assert_eq!(kit.commit_all(batch).await, vec![CommitOutcome::Committed; 4]);
    assert_eq!(kit.history(1).await, [chunk(1, 1), chunk(2, 2), chunk(3, 3)]);
    assert_eq!(kit.history(2).await, [chunk(1, 1)]);
}

pub async fn refused_members_of_a_batch_do_not_disturb_the_others(kit: Kit) {
    kit.committed(start(1)).await;
    let stale = AdvanceRun { claim: 9, ..advance(1, 2) };
    let batch =
        vec![start(1).into(), start(2).into(), stale.into(), advance(1, 2).into(), advance(7, 1).into()];
    use CommitOutcome::{Committed, Exists, Stale};
    assert_eq!(kit.commit_all(batch).await, [Exists, Committed, Stale, Committed, Stale]);
    assert_eq!(kit.history(1).await, [chunk(1, 1), chunk(2, 2)]);
    assert_eq!(kit.history(2).await, [chunk(1, 1)]);
}

pub async fn an_empty_batch_is_fine(kit: Kit) {
    assert_eq!(kit.commit_all(Vec::new()).await, []);
    assert_eq!(kit.store.post(Vec::new()).await.unwrap(), []);
    kit.store.forget(&ann(), &[], WakeUp::Now).await.unwrap();
}

pub async fn starting_a_run_again_says_that_it_exists(kit: Kit) {
    kit.committed(start(1)).await;
    let again = StartRun { chunk: chunk(1, 5), worker: bob(), ..start(1) };
    assert_eq!(kit.commit(again).await, CommitOutcome::Exists);
    assert_eq!(kit.history(1).await, [chunk(1, 1)]);
    kit.committed(advance(1, 2)).await;
}

pub async fn a_history_that_does_not_start_at_one_is_a_misuse(kit: Kit) {
    let wrong = StartRun { chunk: chunk(2, 2), ..start(1) };
    let error = kit.store.commit(vec![start(2).into(), wrong.into()]).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(kit.store.run_record(&acme(), run(2)).await.unwrap(), None);
}

pub async fn a_chunk_that_does_not_follow_its_position_is_a_misuse(kit: Kit) {
    kit.committed(start(1)).await;
    for after in [0, 2, u64::MAX] {
        let wrong = AdvanceRun { after, ..advance(1, 2) };
        let error = kit.store.commit(vec![start(2).into(), wrong.into()]).await.unwrap_err();
        assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
    }
    assert_eq!(kit.store.run_record(&acme(), run(2)).await.unwrap(), None);
    kit.committed(advance(1, 2)).await;
}

pub async fn an_advance_appends_to_the_history(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(AdvanceRun { chunk: Some(chunk(2, 6)), ..advance(1, 2) }).await;
    kit.committed(advance(1, 7)).await;
    assert_eq!(kit.history(1).await, [chunk(1, 1), chunk(2, 6), chunk(7, 7)]);
}

pub async fn an_advance_by_another_worker_is_stale(kit: Kit) {
    kit.committed(start(1)).await;
    assert_eq!(kit.commit(AdvanceRun { worker: bob(), ..advance(1, 2) }).await, CommitOutcome::Stale);
    assert_eq!(kit.history(1).await.len(), 1);
}

pub async fn an_advance_through_another_claim_is_stale(kit: Kit) {
    kit.committed(start(1)).await;
    for claim in [0, 2, u64::MAX] {
        assert_eq!(kit.commit(AdvanceRun { claim, ..advance(1, 2) }).await, CommitOutcome::Stale, "{claim}");
    }
    assert_eq!(kit.history(1).await.len(), 1);
}

pub async fn an_advance_that_leaves_a_gap_or_repeats_is_stale(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(advance(1, 2)).await;
    for seq in [1, 2, 4, 1_000_000] {
        assert_eq!(kit.commit(advance(1, seq)).await, CommitOutcome::Stale, "{seq}");
    }
    assert_eq!(kit.history(1).await.len(), 2);
}

pub async fn an_advance_of_a_run_that_does_not_exist_is_stale(kit: Kit) {
    assert_eq!(kit.commit(advance(1, 1)).await, CommitOutcome::Stale);
    assert_eq!(kit.commit(AdvanceRun { chunk: None, ..advance(1, 1) }).await, CommitOutcome::Stale);
    assert!(kit.store.run(&acme(), run(1)).await.unwrap().is_none());
}

pub async fn an_advance_of_a_released_or_ended_run_is_stale(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    kit.committed(start_ended(2, RunStatus::Succeeded)).await;
    for n in [1, 2] {
        assert_eq!(kit.commit(advance(n, 2)).await, CommitOutcome::Stale);
        assert_eq!(kit.commit(AdvanceRun { chunk: None, ..advance(n, 2) }).await, CommitOutcome::Stale);
    }
}

pub async fn a_run_can_end_with_its_first_commit(kit: Kit) {
    kit.committed(start_ended(1, RunStatus::Succeeded)).await;
    let record = kit.record(1).await;
    assert_eq!((record.status, record.finished_at), (RunStatus::Succeeded, Some(created(1))));
    kit.pass_lease();
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn an_ended_run_says_how_when_and_why(kit: Kit) {
    let failure =
        Failure::retryable("http_status", "status 503").with_details(serde_json::json!({"status": 503}));
    for (n, status, failure) in [
        (1, RunStatus::Succeeded, None),
        (2, RunStatus::Failed, Some(failure)),
        (3, RunStatus::Cancelled, None),
    ] {
        kit.committed(start(n)).await;
        let hold = Hold::End { status, at: kit.now(), failure: failure.clone() };
        kit.committed(AdvanceRun { hold, ..advance(n, 2) }).await;
        let record = kit.record(n).await;
        assert_eq!((record.status, record.finished_at, record.failure), (status, Some(kit.now()), failure));
        assert_eq!(kit.history(n).await.len(), 2);
    }
}

pub async fn a_run_can_be_given_back_without_events(kit: Kit) {
    kit.committed(start(1)).await;
    let hold = Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Paused };
    kit.committed(AdvanceRun { chunk: None, hold, ..advance(1, 2) }).await;
    assert_eq!(kit.record(1).await.status, RunStatus::Paused);
    assert_eq!(kit.history(1).await, [chunk(1, 1)]);
    assert_eq!(kit.claim_one(&bob()).await.chunks, [chunk(1, 1)]);
}

pub async fn a_commit_says_where_the_run_stands(kit: Kit) {
    let standing = |status| Hold::Keep { status };
    kit.committed(StartRun { hold: standing(RunStatus::Waiting), ..start(1) }).await;
    assert_eq!(kit.record(1).await.status, RunStatus::Waiting);
    let all =
        [RunStatus::Running, RunStatus::Running, RunStatus::Paused, RunStatus::Waiting, RunStatus::Running];
    for (seq, status) in (2..).zip(all) {
        kit.committed(AdvanceRun { hold: standing(status), ..advance(1, seq) }).await;
        assert_eq!(kit.record(1).await.status, status);
        let filter = RunFilter { status: Some(status), ..RunFilter::default() };
        assert_eq!(kit.store.runs(&acme(), filter).await.unwrap().items.len(), 1);
    }
    // A commit without events says it too; one that is refused does not.
    let hold = standing(RunStatus::Paused);
    kit.committed(AdvanceRun { chunk: None, hold: hold.clone(), ..advance(1, 7) }).await;
    assert_eq!(kit.record(1).await.status, RunStatus::Paused);
    let stale = AdvanceRun { claim: 9, hold: standing(RunStatus::Running), ..advance(1, 7) };
    assert_eq!(kit.commit(stale).await, CommitOutcome::Stale);
    assert_eq!(kit.record(1).await.status, RunStatus::Paused);
}

pub async fn one_worker_of_many_wins_each_position(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    for seq in 2..20 {
        let writes = (0..8).map(|_| {
            let kit = kit.clone();
            async move { kit.commit(Commit::Advance(advance(1, seq))).await }
        });
        let outcomes = futures_util::future::join_all(writes).await;
        let won = outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Committed).count();
        assert_eq!(won, 1, "{outcomes:?}");
    }
    let history = kit.history(1).await;
    let positions: BTreeSet<u64> = history.iter().map(|chunk| chunk.first_seq).collect();
    assert_eq!(positions, (1..20).collect());
    assert_eq!(history.len(), 19);
}
