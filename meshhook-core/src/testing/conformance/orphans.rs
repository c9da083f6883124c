use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::store::{AdvanceRun, Claim, CommitOutcome, WakeUp};

/// Ann starts the run, and her lease ends.
async fn orphan(kit: &Kit, n: u32) {
    kit.lease(&ann()).await;
    kit.committed(start(n)).await;
    kit.pass_lease();
}

pub async fn a_lease_that_lasts_protects_its_runs(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.clock.advance(LEASE - Duration::from_micros(1));
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn runs_are_orphaned_when_the_lease_ends(kit: Kit) {
    orphan(&kit, 1).await;
    let claimed = kit.claim_one(&bob()).await;
    assert_eq!((claimed.epoch, claimed.strikes), (2, 1));
    assert_eq!(kit.store.held(&ann()).await.unwrap(), []);
}

pub async fn a_renewed_lease_protects_its_runs_again(kit: Kit) {
    orphan(&kit, 1).await;
    kit.lease(&ann()).await;
    assert!(kit.claim(&bob()).await.is_empty());
    kit.committed(advance(1, 2)).await;
}

pub async fn a_claim_renews_the_lease(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.clock.advance(LEASE - SECOND);
    kit.claim_some(&ann(), 0, 0).await;
    kit.clock.advance(LEASE - SECOND);
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn a_worker_never_claims_what_it_holds(kit: Kit) {
    orphan(&kit, 1).await;
    assert!(kit.claim(&ann()).await.is_empty());
    let now =
        Claim { worker: ann(), limit: 9, suspects: 9, bytes: usize::MAX, messages: 0, lease: Duration::ZERO };
    assert!(kit.try_claim(now).await.unwrap().runs.is_empty());
    kit.committed(advance(1, 2)).await;
}

pub async fn a_stale_owner_cannot_write_after_a_claim(kit: Kit) {
    orphan(&kit, 1).await;
    let claimed = kit.claim_one(&bob()).await;
    assert_eq!(kit.commit(advance(1, 2)).await, CommitOutcome::Stale);
    assert_eq!(kit.commit(AdvanceRun { claim: 2, ..advance(1, 2) }).await, CommitOutcome::Stale);
    kit.committed(advance_claimed(&claimed, bob())).await;
    kit.lease(&ann()).await;
    assert_eq!(kit.commit(advance(1, 3)).await, CommitOutcome::Stale);
}

pub async fn a_worker_whose_lease_ended_may_write_until_somebody_claims(kit: Kit) {
    orphan(&kit, 1).await;
    kit.committed(advance(1, 2)).await;
    assert_eq!(kit.claim_one(&bob()).await.chunks.len(), 2);
}

pub async fn runs_of_a_worker_without_a_lease_are_orphans(kit: Kit) {
    kit.committed(start(1)).await;
    assert_eq!(kit.claim_one(&bob()).await.strikes, 1);
}

pub async fn a_retired_workers_runs_are_claimable_without_a_strike(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.store.retire(&ann()).await.unwrap();
    let claimed = kit.claim_some(&bob(), 9, 0).await;
    assert_eq!((ids(&claimed), claimed[0].strikes), (vec![run(1)], 0));
    kit.pass_lease();
    assert_eq!(kit.claim_one(&ann()).await.strikes, 1);
    kit.store.retire(&ann()).await.unwrap();
    assert_eq!(kit.claim_one(&bob()).await.strikes, 1);
}

pub async fn a_retired_worker_can_come_back(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.store.retire(&ann()).await.unwrap();
    kit.lease(&ann()).await;
    assert!(kit.claim(&bob()).await.is_empty());
    kit.committed(advance(1, 2)).await;
    kit.pass_lease();
    assert_eq!(kit.claim_one(&bob()).await.strikes, 1);
}

pub async fn strikes_are_counted_at_the_claim(kit: Kit) {
    orphan(&kit, 1).await;
    for (strikes, name) in (1..).zip(["w1", "w2", "w3", "w4"]) {
        let claimed = kit.claim_one(&worker(name)).await;
        assert_eq!((claimed.strikes, claimed.epoch), (strikes, u64::from(strikes) + 1));
        kit.pass_lease();
    }
}

pub async fn strikes_start_again_when_the_run_advanced(kit: Kit) {
    orphan(&kit, 1).await;
    kit.claim_one(&bob()).await;
    kit.pass_lease();
    let claimed = kit.claim_one(&ann()).await;
    assert_eq!(claimed.strikes, 2);
    let progress = AdvanceRun { chunk: Some(chunk(2, 3)), ..advance_claimed(&claimed, ann()) };
    kit.committed(progress).await;
    kit.pass_lease();
    assert_eq!(kit.claim_some(&bob(), 9, 0).await[0].strikes, 1);
    kit.pass_lease();
    assert_eq!(kit.claim_one(&ann()).await.strikes, 2);
}

pub async fn the_event_of_the_claim_is_no_progress(kit: Kit) {
    orphan(&kit, 1).await;
    for (strikes, name) in (1..).zip(["w1", "w2", "w3"]) {
        let claimed = kit.claim_one(&worker(name)).await;
        assert_eq!(claimed.strikes, strikes);
        kit.committed(advance_claimed(&claimed, worker(name))).await;
        kit.pass_lease();
    }
}

pub async fn claims_of_released_runs_leave_strikes_alone(kit: Kit) {
    orphan(&kit, 1).await;
    let claimed = kit.claim_one(&bob()).await;
    let released = AdvanceRun { hold: release(Some(kit.now())), ..advance_claimed(&claimed, bob()) };
    kit.committed(released).await;
    assert_eq!(kit.claim_one(&ann()).await.strikes, 1);
    kit.store.forget(&ann(), &[held(1, 3)], WakeUp::Now).await.unwrap();
    assert_eq!(kit.claim_one(&bob()).await.strikes, 1);
}

pub async fn suspects_are_taken_sparingly(kit: Kit) {
    kit.lease(&ann()).await;
    for n in 1..=4 {
        kit.committed(start(n)).await;
    }
    kit.pass_lease();
    // A first strike does not make a suspect.
    assert_eq!(kit.claim_some(&bob(), 9, 0).await.len(), 4);
    kit.pass_lease();
    assert!(kit.claim_some(&ann(), 9, 0).await.is_empty());
    assert_eq!(ids(&kit.claim_some(&ann(), 9, 1).await), [run(1)]);
    kit.committed(start_in(project("beta"), start_released(8, Some(kit.now())))).await;
    let claimed = kit.claim_some(&worker("carl"), 9, 2).await;
    assert_eq!(ids(&claimed), [run(2), run(8), run(3)]);
    assert_eq!(claimed.iter().map(|claimed| claimed.strikes).collect::<Vec<_>>(), [2, 0, 2]);
}

pub async fn orphans_and_due_runs_are_taken_by_age(kit: Kit) {
    orphan(&kit, 1).await;
    let ended = kit.now();
    kit.clock.advance(SECOND * 10);
    kit.committed(start_released(2, Some(ended.before(SECOND)))).await;
    kit.committed(start_released(3, Some(ended.after(SECOND)))).await;
    assert_eq!(ids(&kit.claim(&bob()).await), [run(2), run(1), run(3)]);
}
