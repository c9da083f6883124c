use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::policy::Bucket;
use crate::store::{Admit, Admitted};

/// Wants from a bucket of acme's that holds 5 and gets 2 a second.
fn want(key: u8, wanted: u32) -> Admit {
    Admit { project: acme(), key: [key; 32], bucket: Bucket::per_kilosecond(2_000, 5), wanted }
}

async fn admit(kit: &Kit, batch: Vec<Admit>) -> Vec<Admitted> {
    kit.store.admit(batch).await.unwrap()
}

async fn tokens(kit: &Kit, batch: Vec<Admit>) -> Vec<u32> {
    admit(kit, batch).await.iter().map(|admitted| admitted.tokens).collect()
}

const HALF: Duration = Duration::from_millis(500);

pub async fn a_bucket_gives_its_burst_and_then_what_comes_back(kit: Kit) {
    assert_eq!(admit(&kit, vec![want(1, 2)]).await, [Admitted { tokens: 2, wait: Duration::ZERO }]);
    assert_eq!(admit(&kit, vec![want(1, 9)]).await, [Admitted { tokens: 3, wait: HALF }]);
    assert_eq!(admit(&kit, vec![want(1, 1)]).await, [Admitted { tokens: 0, wait: HALF }]);
    kit.clock.advance(Duration::from_millis(400));
    let left = Duration::from_millis(100);
    assert_eq!(admit(&kit, vec![want(1, 1)]).await, [Admitted { tokens: 0, wait: left }]);
    kit.clock.advance(left);
    assert_eq!(admit(&kit, vec![want(1, 1)]).await, [Admitted { tokens: 1, wait: HALF }]);
    kit.clock.advance(Duration::from_secs(100_000));
    assert_eq!(tokens(&kit, vec![want(1, 100)]).await, [5]);
}

pub async fn a_batch_is_taken_in_order(kit: Kit) {
    assert_eq!(tokens(&kit, Vec::new()).await, [0; 0]);
    let batch = vec![want(2, 4), want(1, 1), want(2, 4), want(1, 1), want(2, 1)];
    assert_eq!(tokens(&kit, batch).await, [4, 1, 1, 1, 0]);
}

pub async fn buckets_belong_to_their_project_and_key(kit: Kit) {
    let beta = Admit { project: project("beta"), ..want(1, 9) };
    assert_eq!(tokens(&kit, vec![want(1, 9), beta.clone(), want(2, 9)]).await, [5, 5, 5]);
    assert_eq!(tokens(&kit, vec![want(2, 1), beta, want(1, 1)]).await, [0, 0, 0]);
}

pub async fn a_bucket_that_was_larger_is_empty_at_most(kit: Kit) {
    let large = Admit { bucket: Bucket::per_kilosecond(1, 100), ..want(1, 100) };
    assert_eq!(tokens(&kit, vec![large]).await, [100]);
    assert_eq!(admit(&kit, vec![want(1, 1)]).await, [Admitted { tokens: 0, wait: HALF }]);
}

pub async fn many_at_once_are_given_what_there_is_and_no_more(kit: Kit) {
    let mut tasks = Vec::new();
    for n in 0..16_u8 {
        let store = kit.store.clone();
        // In different orders, which must not hold each other up.
        let batch = if n % 2 == 0 { vec![want(1, 1), want(2, 1)] } else { vec![want(2, 1), want(1, 1)] };
        tasks.push(tokio::spawn(async move { store.admit(batch).await.unwrap() }));
    }
    let mut given = 0;
    for task in tasks {
        given += task.await.unwrap().iter().map(|admitted| admitted.tokens).sum::<u32>();
    }
    assert_eq!(given, 10);
}

pub async fn fast_and_slow_buckets_are_exact(kit: Kit) {
    let fast = Admit { bucket: Bucket::per_kilosecond(1_000_000_000, 1_000_000), ..want(1, 2_000_000) };
    assert_eq!(tokens(&kit, vec![fast.clone()]).await, [1_000_000]);
    kit.clock.advance(Duration::from_millis(1));
    assert_eq!(tokens(&kit, vec![fast]).await, [1_000]);
    let slow = Admit { bucket: Bucket::per_kilosecond(1, 1_000_000), ..want(2, u32::MAX) };
    let wait = Duration::from_secs(1_000);
    assert_eq!(admit(&kit, vec![slow]).await, [Admitted { tokens: 1_000_000, wait }]);
}
