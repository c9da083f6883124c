use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::id::DeliveryId;
use crate::store::{DeliveryFilter, DeliveryRecord, MAX_LISTING_BYTES, Page};
use crate::time::Timestamp;
use crate::webhook::{RecordedVerdict, Verdict};

fn id(n: u32) -> DeliveryId {
    let mut random = [7; 8];
    random[4..].copy_from_slice(&n.to_be_bytes());
    DeliveryId::new(created(n), random)
}

/// The n-th delivery, of acme: later ones are newer. It is kept for an hour from now.
fn delivery(kit: &Kit, n: u32) -> DeliveryRecord {
    let times = (created(n), kit.now().after(Duration::from_secs(3_600)));
    DeliveryRecord::new(acme(), id(n), times, Verdict::Accepted)
}

/// The same, found in each of the [`ways`].
fn refused(kit: &Kit, n: u32) -> DeliveryRecord {
    DeliveryRecord { workflow: Some(slug("flow")), verdict: Verdict::Mismatch.into(), ..delivery(kit, n) }
}

/// The ways to look for deliveries, for each of which a store may have a statement of its own.
fn ways() -> [DeliveryFilter; 4] {
    let (workflow, verdict) = (Some(slug("flow")), Some(Verdict::Mismatch));
    let of = |workflow, verdict| DeliveryFilter { workflow, verdict, ..DeliveryFilter::default() };
    [of(None, None), of(workflow.clone(), None), of(None, verdict), of(workflow, verdict)]
}

async fn record(kit: &Kit, batch: Vec<DeliveryRecord>) {
    kit.store.record_deliveries(batch).await.unwrap();
}

/// The numbers of what a filter finds.
async fn found(kit: &Kit, filter: DeliveryFilter) -> (Vec<u32>, bool) {
    let part = kit.store.deliveries(&acme(), filter).await.unwrap();
    let number = |record: &DeliveryRecord| (0..100).find(|n| id(*n) == record.id).unwrap();
    (part.items.iter().map(number).collect(), part.more)
}

async fn all(kit: &Kit, filter: DeliveryFilter) -> Vec<u32> {
    let (found, more) = found(kit, filter).await;
    assert!(!more);
    found
}

pub async fn a_delivery_reads_back_as_recorded(kit: Kit) {
    let mut first = delivery(&kit, 1);
    first.workflow = Some(slug("flow"));
    first.verdict = Verdict::BadEncoding.into();
    first.facts = "{\"odd\":\"\u{0}\u{1F980}\\u0000'\"}".into();
    first.sealed = Some((0..=255).collect());
    let second = delivery(&kit, 2);
    record(&kit, vec![first.clone(), second.clone()]).await;
    assert_eq!(kit.store.delivery(&acme(), id(1)).await.unwrap(), Some(first.clone()));
    assert_eq!(kit.store.delivery(&acme(), id(2)).await.unwrap(), Some(second.clone()));
    assert_eq!(kit.store.delivery(&acme(), id(3)).await.unwrap(), None);
    let listed = kit.store.deliveries(&acme(), DeliveryFilter::default()).await.unwrap();
    assert_eq!(listed.items, [second, first]);
}

pub async fn every_verdict_is_kept(kit: Kit) {
    let of =
        |(n, verdict): (u32, &Verdict)| DeliveryRecord { verdict: (*verdict).into(), ..delivery(&kit, n) };
    let mut batch: Vec<_> = (0..).zip(Verdict::ALL).map(of).collect();
    // What a process of a newer release has written beside this one.
    let newer = RecordedVerdict::from_name("of_a_newer_release");
    batch.push(DeliveryRecord { verdict: newer, ..delivery(&kit, 99) });
    record(&kit, batch.clone()).await;
    for expected in batch {
        assert_eq!(kit.store.delivery(&acme(), expected.id).await.unwrap(), Some(expected));
    }
    assert_eq!(all(&kit, DeliveryFilter::default()).await[0], 99);
}

pub async fn recording_again_changes_nothing(kit: Kit) {
    record(&kit, Vec::new()).await;
    let first = delivery(&kit, 1);
    let other = DeliveryRecord { facts: "{\"other\":1}".into(), ..first.clone() };
    record(&kit, vec![first.clone(), other.clone()]).await;
    record(&kit, vec![other, delivery(&kit, 2)]).await;
    assert_eq!(kit.store.delivery(&acme(), id(1)).await.unwrap(), Some(first));
    assert_eq!(all(&kit, DeliveryFilter::default()).await, [2, 1]);
}

pub async fn deliveries_belong_to_their_project(kit: Kit) {
    let beta = DeliveryRecord { project: project("beta"), facts: "{\"b\":1}".into(), ..delivery(&kit, 1) };
    record(&kit, vec![delivery(&kit, 1), beta.clone()]).await;
    assert_eq!(kit.store.delivery(&beta.project, id(1)).await.unwrap(), Some(beta));
    assert_eq!(kit.store.delivery(&acme(), id(1)).await.unwrap(), Some(delivery(&kit, 1)));
    assert_eq!(all(&kit, DeliveryFilter::default()).await, [1]);
    assert_eq!(kit.store.delivery(&project("acm"), id(1)).await.unwrap(), None);
}

pub async fn deliveries_are_paged_newest_first(kit: Kit) {
    record(&kit, (1..=7).map(|n| refused(&kit, n)).collect()).await;
    for way in ways() {
        let page = |limit, after: Option<u32>| DeliveryFilter {
            page: Page { limit, after: after.map(id) },
            ..way.clone()
        };
        assert_eq!(found(&kit, page(3, None)).await, (vec![7, 6, 5], true));
        assert_eq!(found(&kit, page(3, Some(5))).await, (vec![4, 3, 2], true));
        assert_eq!(found(&kit, page(3, Some(2))).await, (vec![1], false));
        assert_eq!(found(&kit, page(0, None)).await.0, [0; 0]);
    }
}

pub async fn deliveries_are_filtered_by_workflow_verdict_and_time(kit: Kit) {
    let verdicts = [Verdict::Accepted, Verdict::Mismatch, Verdict::UnknownPath];
    let of = |n: u32| DeliveryRecord {
        workflow: (!n.is_multiple_of(4)).then(|| slug(if n.is_multiple_of(2) { "even" } else { "odd" })),
        verdict: verdicts[n as usize % 3].into(),
        ..delivery(&kit, n)
    };
    record(&kit, (1..=12).map(of).collect()).await;
    let none = DeliveryFilter::default;
    assert_eq!(all(&kit, DeliveryFilter { workflow: Some(slug("even")), ..none() }).await, [10, 6, 2]);
    assert_eq!(all(&kit, DeliveryFilter { verdict: Some(Verdict::Accepted), ..none() }).await, [12, 9, 6, 3]);
    assert_eq!(all(&kit, DeliveryFilter { verdict: Some(Verdict::Mismatch), ..none() }).await, [10, 7, 4, 1]);
    assert_eq!(all(&kit, DeliveryFilter { verdict: Some(Verdict::Stale), ..none() }).await, [0; 0]);
    let time = |from: Option<Timestamp>, to: Option<Timestamp>| DeliveryFilter { from, to, ..none() };
    assert_eq!(all(&kit, time(Some(created(10)), None)).await, [12, 11, 10]);
    assert_eq!(all(&kit, time(None, Some(created(3)))).await, [2, 1]);
    assert_eq!(all(&kit, time(Some(created(5)), Some(created(7)))).await, [6, 5]);
    let both = DeliveryFilter {
        workflow: Some(slug("even")),
        verdict: Some(Verdict::Mismatch),
        page: Page { limit: 1, after: Some(id(12)) },
        ..time(Some(created(2)), Some(created(11)))
    };
    assert_eq!(found(&kit, both).await, (vec![10], false));
}

pub async fn a_delivery_is_forgotten_when_its_time_is_over(kit: Kit) {
    let short = DeliveryRecord { expires_at: kit.now().after(SECOND), ..refused(&kit, 1) };
    record(&kit, vec![short, refused(&kit, 2)]).await;
    for way in ways() {
        assert_eq!(all(&kit, way).await, [2, 1]);
    }
    kit.clock.advance(SECOND);
    for way in ways() {
        assert_eq!(all(&kit, way).await, [2]);
    }
    assert_eq!(kit.store.delivery(&acme(), id(1)).await.unwrap(), None);
    record(&kit, vec![delivery(&kit, 3)]).await;
    assert_eq!(all(&kit, DeliveryFilter::default()).await, [3, 2]);
}

pub async fn large_deliveries_come_in_smaller_parts(kit: Kit) {
    let large = MAX_LISTING_BYTES / 2 - 100;
    let of = |n: u32| DeliveryRecord { sealed: Some(vec![n as u8; large]), ..refused(&kit, n) };
    for n in 1..=3 {
        record(&kit, vec![of(n)]).await;
    }
    for way in ways() {
        assert_eq!(found(&kit, way).await, (vec![3, 2], true));
    }
}
