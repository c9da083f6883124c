use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::store::{AdvanceRun, Claim, CommitOutcome, HeldRun, Hold, StartRun, WakeUp};

pub async fn a_released_run_is_claimed_when_its_time_comes(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now().after(SECOND)))).await;
    kit.clock.advance(SECOND - Duration::from_micros(1));
    assert!(kit.claim(&bob()).await.is_empty());
    kit.clock.advance(Duration::from_micros(1));
    assert_eq!(ids(&kit.claim(&bob()).await), [run(1)]);
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn a_run_released_for_ever_is_not_claimed(kit: Kit) {
    kit.committed(start_released(1, None)).await;
    kit.clock.advance(Duration::from_secs(1 << 30));
    assert!(kit.claim(&bob()).await.is_empty());
    assert_eq!(kit.next_wake_up().await, None);
}

pub async fn a_claimed_run_is_held(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    assert_eq!(kit.record(1).await.status, RunStatus::Waiting);
    let claimed = kit.claim_one(&bob()).await;
    assert_eq!(claimed.record, kit.record(1).await);
    assert_eq!(claimed.record.meta, meta(1));
    assert_eq!(claimed.chunks, [chunk(1, 1)]);
    assert_eq!((claimed.epoch, claimed.claim, claimed.strikes), (2, 2, 0));
    assert_eq!(kit.store.held(&bob()).await.unwrap(), [held(1, 2)]);
}

pub async fn a_claim_leaves_the_record_as_it_stands(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    kit.committed(start_ended(2, RunStatus::Failed)).await;
    kit.post(2, retry()).await;
    let before = (kit.record(1).await, kit.record(2).await);
    assert_eq!(kit.claim(&bob()).await.len(), 2);
    assert_eq!((kit.record(1).await, kit.record(2).await), before);
}

pub async fn a_claim_answers_the_time_of_the_store(kit: Kit) {
    assert_eq!(kit.look(&bob(), 9, 9).await.now, kit.now());
    kit.clock.advance(SECOND);
    assert_eq!(kit.look(&bob(), 0, 0).await.now, kit.now());
    assert_eq!(kit.store.renew(&bob(), LEASE).await.unwrap(), kit.now());
    assert_eq!(kit.store.ping().await.unwrap(), kit.now());
}

pub async fn a_run_released_to_be_due_now_is_due_by_the_clock_of_the_store(kit: Kit) {
    let hold = Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Running };
    kit.committed(StartRun { hold: hold.clone(), ..start(1) }).await;
    assert_eq!(kit.next_wake_up().await, Some(kit.now()));
    let claimed = kit.claim_one(&bob()).await;
    kit.clock.advance(SECOND);
    kit.committed(AdvanceRun { hold, ..advance_claimed(&claimed, bob()) }).await;
    assert_eq!(kit.next_wake_up().await, Some(kit.now()));
}

pub async fn the_claiming_worker_may_write_through_its_claim(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    let claimed = kit.claim_one(&bob()).await;
    let old = AdvanceRun { worker: bob(), ..advance(1, 2) };
    assert_eq!(kit.commit(old).await, CommitOutcome::Stale);
    kit.committed(advance_claimed(&claimed, bob())).await;
    assert_eq!(kit.history(1).await.len(), 2);
}

pub async fn the_worker_that_released_a_run_claims_it_without_a_new_epoch(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    let claimed = kit.claim_one(&ann()).await;
    assert_eq!((claimed.epoch, claimed.claim), (1, 2));
    assert_eq!(kit.commit(advance(1, 2)).await, CommitOutcome::Stale);
    kit.committed(advance_claimed(&claimed, ann())).await;
}

pub async fn a_claim_takes_no_more_than_its_limit(kit: Kit) {
    for n in 1..=5 {
        kit.committed(start_released(n, Some(kit.now()))).await;
    }
    assert_eq!(kit.claim_some(&bob(), 0, 0).await.len(), 0);
    assert_eq!(kit.claim_some(&bob(), 2, 0).await.len(), 2);
    assert_eq!(kit.claim_some(&bob(), 2, 0).await.len(), 2);
    assert_eq!(kit.claim_some(&bob(), 2, 0).await.len(), 1);
    assert_eq!(kit.store.held(&bob()).await.unwrap().len(), 5);
}

pub async fn a_claim_takes_no_further_run_once_the_histories_are_long_enough(kit: Kit) {
    for n in 1..=4 {
        kit.committed(start_released(n, Some(kit.now()))).await;
    }
    let each = chunk(1, 1).text.len();
    let taken = async |bytes| {
        let claim = Claim { bytes, ..claim(&bob(), 9, 0) };
        ids(&kit.try_claim(claim).await.unwrap().runs)
    };
    // The first is taken whatever its size; the one that reaches the limit is the last.
    assert_eq!(taken(0).await, [run(1)]);
    assert_eq!(kit.store.held(&bob()).await.unwrap(), [held(1, 2)]);
    assert_eq!(kit.next_wake_up().await, Some(kit.now()));
    assert_eq!(taken(each + 1).await, [run(2), run(3)]);
    assert_eq!(taken(each).await, [run(4)]);
}

pub async fn a_claim_counts_orphans_and_all_their_chunks(kit: Kit) {
    kit.lease(&ann()).await;
    for n in 1..=3 {
        kit.committed(start(n)).await;
        kit.committed(advance(n, 2)).await;
    }
    kit.pass_lease();
    let bytes = chunk(1, 1).text.len() + chunk(2, 2).text.len();
    let claim = Claim { bytes, ..claim(&bob(), 9, 0) };
    assert_eq!(ids(&kit.try_claim(claim.clone()).await.unwrap().runs), [run(1)]);
    // What was not taken is no worker's fault.
    let rest = kit.try_claim(Claim { bytes: bytes + 1, ..claim }).await.unwrap().runs;
    assert_eq!(rest.iter().map(|run| run.strikes).collect::<Vec<_>>(), [1, 1]);
}

pub async fn a_claim_takes_the_oldest_first(kit: Kit) {
    let now = kit.now();
    for (n, age) in [(1, 1), (2, 3), (3, 2), (4, 3)] {
        kit.committed(start_released(n, Some(now.before(SECOND * age)))).await;
    }
    assert_eq!(ids(&kit.claim_some(&bob(), 3, 0).await), [run(2), run(4), run(3)]);
    assert_eq!(ids(&kit.claim_some(&bob(), 3, 0).await), [run(1)]);
}

pub async fn projects_take_turns(kit: Kit) {
    let now = kit.now();
    for n in 1..=20 {
        kit.committed(start_released(n, Some(now.before(SECOND * 100)))).await;
    }
    for (name, n) in [("zeta", 30), ("beta", 40), ("beta", 41)] {
        kit.committed(start_in(project(name), start_released(n, Some(now.before(SECOND))))).await;
    }
    let claimed = kit.claim_some(&bob(), 5, 0).await;
    assert_eq!(ids(&claimed), [run(1), run(30), run(40), run(2), run(41)]);
}

pub async fn a_claim_of_nothing_is_empty(kit: Kit) {
    assert!(kit.claim(&bob()).await.is_empty());
    kit.committed(start_released(1, Some(kit.now().after(SECOND)))).await;
    kit.committed(start_ended(2, RunStatus::Failed)).await;
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn the_next_wake_up_is_the_earliest_of_all_projects(kit: Kit) {
    let now = kit.now();
    assert_eq!(kit.next_wake_up().await, None);
    kit.lease(&ann()).await;
    kit.committed(start_released(1, Some(now.after(SECOND * 9)))).await;
    kit.committed(start_in(project("zeta"), start_released(2, Some(now.after(SECOND * 3))))).await;
    kit.committed(start_released(3, None)).await;
    kit.committed(start(4)).await;
    assert_eq!(kit.next_wake_up().await, Some(now.after(SECOND * 3)));
    kit.committed(start_released(5, Some(now.before(SECOND)))).await;
    assert_eq!(kit.next_wake_up().await, Some(now.before(SECOND)));
    kit.clock.advance(SECOND * 3);
    // What is left behind is in the past; a run that is taken wakes nobody up.
    let some = kit.look(&bob(), 1, 0).await;
    assert_eq!((ids(&some.runs), some.next_wake_up), (vec![run(5)], Some(now.after(SECOND * 3))));
    let rest = kit.look(&bob(), 9, 0).await;
    assert_eq!((ids(&rest.runs), rest.next_wake_up), (vec![run(2)], Some(now.after(SECOND * 9))));
}

pub async fn forgotten_runs_are_due_at_once(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.store.forget(&ann(), &[held(1, 1)], WakeUp::Now).await.unwrap();
    assert_eq!(kit.store.held(&ann()).await.unwrap(), []);
    assert_eq!(kit.record(1).await.status, RunStatus::Running);
    assert_eq!(kit.commit(advance(1, 2)).await, CommitOutcome::Stale);
    assert_eq!(kit.next_wake_up().await, Some(kit.now()));
    assert_eq!(kit.claim_one(&bob()).await.strikes, 0);
}

pub async fn forgotten_runs_can_be_left_alone_for_a_while(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start_ended(1, RunStatus::Failed)).await;
    kit.post(1, retry()).await;
    kit.claim_one(&ann()).await;
    kit.committed(start(2)).await;
    kit.post(2, event("waits")).await;
    let before = (kit.record(1).await, kit.record(2).await);
    let runs = [held(1, 2), held(2, 1)];
    kit.store.forget(&ann(), &runs, WakeUp::At(kit.now().after(SECOND * 9))).await.unwrap();
    assert_eq!((kit.record(1).await, kit.record(2).await), before);
    assert!(kit.claim(&bob()).await.is_empty());
    assert_eq!(kit.next_wake_up().await, Some(kit.now().after(SECOND * 9)));
    kit.post(2, event("comes later")).await;
    assert_eq!(ids(&kit.claim(&bob()).await), [run(2)]);
    kit.clock.advance(SECOND * 9);
    assert_eq!(ids(&kit.claim(&bob()).await), [run(1)]);
    kit.store.forget(&bob(), &[held(1, 3), held(2, 2)], WakeUp::Never).await.unwrap();
    assert_eq!(kit.next_wake_up().await, None);
    assert_eq!((kit.waiting(1).await.len(), kit.waiting(2).await.len()), (1, 2));
}

pub async fn only_the_holder_can_forget(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.committed(start_released(2, None)).await;
    kit.committed(start_ended(3, RunStatus::Failed)).await;
    let all = [1, 2, 3, 4].map(|n| held(n, 1));
    kit.store.forget(&bob(), &all, WakeUp::Now).await.unwrap();
    assert_eq!(kit.store.held(&ann()).await.unwrap(), [held(1, 1)]);
    kit.store.forget(&ann(), &all[1..], WakeUp::Now).await.unwrap();
    assert!(kit.claim(&bob()).await.is_empty());
    assert_eq!(kit.record(3).await.status, RunStatus::Failed);
    kit.committed(advance(1, 2)).await;
}

pub async fn held_runs_are_listed_for_their_worker(kit: Kit) {
    kit.lease(&ann()).await;
    for n in [2, 1, 3] {
        kit.committed(start(n)).await;
    }
    kit.committed(start_in(project("aaa"), start(9))).await;
    kit.committed(start_released(4, Some(kit.now()))).await;
    kit.claim_one(&bob()).await;
    let mut expected = vec![HeldRun { project: project("aaa"), ..held(9, 1) }];
    expected.extend([1, 2, 3].map(|n| held(n, 1)));
    assert_eq!(kit.store.held(&ann()).await.unwrap(), expected);
    assert_eq!(kit.store.held(&bob()).await.unwrap(), [held(4, 2)]);
    assert_eq!(kit.store.held(&worker("an")).await.unwrap(), []);
    kit.committed(AdvanceRun { hold: end(RunStatus::Succeeded, kit.now()), ..advance(1, 2) }).await;
    kit.committed(AdvanceRun { hold: release(None), ..advance(2, 2) }).await;
    assert_eq!(kit.store.held(&ann()).await.unwrap().len(), 2);
}

pub async fn a_claim_that_was_not_written_is_repeated_through_the_same_epoch(kit: Kit) {
    kit.committed(start_released(1, Some(kit.now()))).await;
    let lost = kit.claim_one(&bob()).await;
    kit.store.forget(&bob(), &[lost.held()], WakeUp::Now).await.unwrap();
    let claimed = kit.claim_one(&bob()).await;
    assert_eq!((claimed.epoch, claimed.claim), (lost.epoch, lost.claim + 1));
    kit.committed(advance_claimed(&claimed, bob())).await;
}

pub async fn ended_runs_are_never_claimed(kit: Kit) {
    kit.lease(&ann()).await;
    for (n, status) in [(1, RunStatus::Succeeded), (2, RunStatus::Failed), (3, RunStatus::Cancelled)] {
        kit.committed(start(n)).await;
        kit.committed(AdvanceRun { hold: end(status, kit.now()), ..advance(n, 2) }).await;
    }
    kit.clock.advance(LEASE * 10);
    assert!(kit.claim(&bob()).await.is_empty());
    assert_eq!(kit.next_wake_up().await, None);
}
