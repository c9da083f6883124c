use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::store::{Commit, CommitOutcome, Dedupe, KeyHolder, StartRun};

const WINDOW: Duration = Duration::from_secs(3_600);

fn dedupe(scope: &str, key: &str, fingerprint: u8) -> Option<Dedupe> {
    Some(Dedupe { scope: scope.into(), key: key.into(), fingerprint: [fingerprint; 32], window: WINDOW })
}

fn keyed(n: u32, key: &str) -> StartRun {
    StartRun { dedupe: dedupe("hook", key, 1), ..start(n) }
}

fn duplicate(of: u32, same: bool) -> CommitOutcome {
    CommitOutcome::Duplicate { run: run(of), same }
}

pub async fn a_key_admits_one_run(kit: Kit) {
    kit.committed(keyed(1, "k")).await;
    assert_eq!(kit.commit(keyed(2, "k")).await, duplicate(1, true));
    assert!(kit.store.run(&acme(), run(2)).await.unwrap().is_none());
    kit.committed(keyed(3, "other")).await;
    let done = StartRun { hold: end(RunStatus::Succeeded, created(4)), ..keyed(4, "done") };
    kit.committed(done).await;
    assert_eq!(kit.commit(keyed(5, "done")).await, duplicate(4, true));
}

pub async fn a_key_tells_a_repetition_from_a_collision(kit: Kit) {
    kit.committed(keyed(1, "k")).await;
    let other = StartRun { dedupe: dedupe("hook", "k", 2), ..start(2) };
    assert_eq!(kit.commit(other).await, duplicate(1, false));
    assert_eq!(kit.commit(keyed(3, "k")).await, duplicate(1, true));
}

pub async fn a_key_counts_within_its_scope(kit: Kit) {
    kit.committed(keyed(1, "k")).await;
    kit.committed(StartRun { dedupe: dedupe("api", "k", 1), ..start(2) }).await;
    kit.committed(StartRun { dedupe: dedupe("ap", "ik", 1), ..start(3) }).await;
    kit.committed(StartRun { dedupe: dedupe("", "", 1), ..start(4) }).await;
    assert_eq!(kit.commit(StartRun { dedupe: dedupe("", "", 1), ..start(5) }).await, duplicate(4, true));
}

pub async fn a_key_counts_within_its_batch(kit: Kit) {
    let batch: Vec<Commit> = (1..=3).map(|n| keyed(n, "k").into()).collect();
    let expected = [CommitOutcome::Committed, duplicate(1, true), duplicate(1, true)];
    assert_eq!(kit.commit_all(batch).await, expected);
}

pub async fn a_key_is_free_again_after_its_window(kit: Kit) {
    kit.committed(keyed(1, "k")).await;
    kit.clock.advance(WINDOW - Duration::from_micros(1));
    assert_eq!(kit.commit(keyed(2, "k")).await, duplicate(1, true));
    kit.clock.advance(Duration::from_micros(1));
    kit.committed(keyed(3, "k")).await;
    kit.clock.advance(WINDOW - Duration::from_micros(1));
    assert_eq!(kit.commit(keyed(4, "k")).await, duplicate(3, true));
}

pub async fn a_refused_run_does_not_take_its_key(kit: Kit) {
    kit.committed(start(1)).await;
    assert_eq!(kit.commit(keyed(1, "k")).await, CommitOutcome::Exists);
    kit.committed(keyed(2, "k")).await;
}

pub async fn a_repeated_start_exists_rather_than_duplicates_itself(kit: Kit) {
    kit.committed(keyed(1, "k")).await;
    assert_eq!(kit.commit(keyed(1, "k")).await, CommitOutcome::Exists);
}

pub async fn a_taken_key_is_found(kit: Kit) {
    let find = async |scope: &str, key: &str| {
        let wanted = dedupe(scope, key, 7).unwrap();
        kit.store.find_keys(&acme(), &[&wanted]).await.unwrap().remove(0)
    };
    assert_eq!(find("hook", "k").await, None);
    kit.committed(keyed(1, "k")).await;
    kit.commit(StartRun { dedupe: dedupe("hook", "k", 2), ..start(2) }).await;
    let found = Some(KeyHolder { run: run(1), fingerprint: [1; 32] });
    assert_eq!(find("hook", "k").await, found);
    assert_eq!(find("hook", "other").await, None);
    assert_eq!(find("api", "k").await, None);
    kit.clock.advance(WINDOW - Duration::from_micros(1));
    assert_eq!(find("hook", "k").await, found);
    kit.clock.advance(Duration::from_micros(1));
    assert_eq!(find("hook", "k").await, None);
}

pub async fn many_keys_are_looked_for_at_once(kit: Kit) {
    assert_eq!(kit.store.find_keys(&acme(), &[]).await.unwrap(), []);
    kit.committed(keyed(1, "a")).await;
    kit.committed(keyed(2, "b")).await;
    let wanted: Vec<_> = ["b", "free", "a", "b"].map(|key| dedupe("hook", key, 7).unwrap()).into();
    let found = kit.store.find_keys(&acme(), &wanted.iter().collect::<Vec<_>>()).await.unwrap();
    let holders: Vec<_> = found.iter().map(|found| found.as_ref().map(|holder| holder.run)).collect();
    assert_eq!(holders, [Some(run(2)), None, Some(run(1)), Some(run(2))]);
}
