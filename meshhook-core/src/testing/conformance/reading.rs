use super::Kit;
use super::fixture::*;
use crate::event::Chunk;
use crate::event::RunStatus;
use crate::id::RunId;
use crate::store::{AdvanceRun, Listing, MAX_LISTING_BYTES, Page, RunFilter, StoredRun};

async fn listed(kit: &Kit, filter: RunFilter) -> Vec<RunId> {
    let runs = kit.store.runs(&acme(), filter).await.unwrap();
    runs.items.iter().map(|stored| stored.record.meta.run).collect()
}

fn page(limit: usize, after: Option<u32>) -> Page<RunId> {
    Page { limit, after: after.map(run) }
}

fn of(numbers: &[u32]) -> Vec<RunId> {
    numbers.iter().map(|n| run(*n)).collect()
}

/// The ways to look for runs of `flow` with a status, for each of which a store may have a statement of its own.
fn ways(status: RunStatus) -> [RunFilter; 4] {
    let (workflow, status) = (Some(slug("flow")), Some(status));
    let of = |workflow, status| RunFilter { workflow, status, ..RunFilter::default() };
    [of(None, None), of(workflow.clone(), None), of(None, status), of(workflow, status)]
}

/// Runs 1 to 6: `flow` but for 2 and 5, which are `other`; 1 and 2 succeeded, 3 failed, 4 waits, 5 and 6 are held.
async fn six(kit: &Kit) {
    kit.lease(&ann()).await;
    for n in [3, 1, 2, 6, 4, 5] {
        let mut start = match n {
            1 | 2 => start_ended(n, RunStatus::Succeeded),
            3 => start_ended(n, RunStatus::Failed),
            4 => start_released(n, None),
            _ => start(n),
        };
        if matches!(n, 2 | 5) {
            start.meta.workflow = slug("other");
        }
        kit.committed(start).await;
    }
}

pub async fn a_run_that_does_not_exist_is_none(kit: Kit) {
    assert!(kit.store.run(&acme(), run(1)).await.unwrap().is_none());
    assert_eq!(kit.store.run_record(&acme(), run(1)).await.unwrap(), None);
    assert!(kit.store.chunks_after(&acme(), run(1), 0, 10).await.unwrap().items.is_empty());
    assert!(kit.waiting(1).await.is_empty());
    assert!(listed(&kit, RunFilter::default()).await.is_empty());
}

pub async fn a_run_reads_with_its_whole_history(kit: Kit) {
    kit.committed(start(1)).await;
    for seq in 2..=60 {
        kit.committed(advance(1, seq)).await;
    }
    let StoredRun { record, chunks } = kit.store.run(&acme(), run(1)).await.unwrap().unwrap();
    assert_eq!(chunks, (1..=60).map(|seq| chunk(seq, seq)).collect::<Vec<_>>());
    assert_eq!(kit.record(1).await, record);
}

pub async fn chunks_after_a_position_are_those_that_hold_later_events(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(AdvanceRun { chunk: Some(chunk(2, 5)), ..advance(1, 2) }).await;
    kit.committed(advance(1, 6)).await;
    let all = [chunk(1, 1), chunk(2, 5), chunk(6, 6)];
    for (seq, from) in [(0, 0), (1, 1), (2, 1), (4, 1), (5, 2), (6, 3), (7, 3), (u64::MAX, 3)] {
        let chunks = kit.store.chunks_after(&acme(), run(1), seq, 10).await.unwrap().items;
        assert_eq!(chunks, all[from..], "after {seq}");
    }
}

pub async fn chunks_are_limited(kit: Kit) {
    kit.committed(start(1)).await;
    for seq in 2..=5 {
        kit.committed(advance(1, seq)).await;
    }
    for (limit, count) in [(0, 0), (1, 1), (3, 3), (99, 4), (usize::MAX, 4)] {
        let Listing { items: chunks, more, .. } =
            kit.store.chunks_after(&acme(), run(1), 1, limit).await.unwrap();
        assert_eq!((chunks.len(), more), (count, count > 0 && count < 4));
        assert!(chunks.first().is_none_or(|first| first.first_seq == 2));
    }
}

pub async fn runs_are_listed_newest_first(kit: Kit) {
    six(&kit).await;
    assert_eq!(listed(&kit, RunFilter::default()).await, of(&[6, 5, 4, 3, 2, 1]));
}

pub async fn listed_runs_have_the_ends_of_their_history(kit: Kit) {
    kit.committed(start(1)).await;
    for n in [2, 3] {
        kit.committed(start(n)).await;
        kit.committed(advance(n, 2)).await;
    }
    kit.committed(AdvanceRun { chunk: Some(chunk(3, 8)), ..advance(3, 3) }).await;
    let ends = async |way: RunFilter| {
        let runs = kit.store.runs(&acme(), way).await.unwrap();
        runs.items.into_iter().map(|stored| stored.chunks).collect::<Vec<_>>()
    };
    let first = chunk(1, 1);
    for way in ways(RunStatus::Running) {
        let expected =
            [vec![first.clone(), chunk(3, 8)], vec![first.clone(), chunk(2, 2)], vec![first.clone()]];
        assert_eq!(ends(way).await, expected);
    }
    for (n, seq) in [(1, 2), (2, 3), (3, 9)] {
        kit.committed(AdvanceRun { hold: end(RunStatus::Failed, kit.now()), ..advance(n, seq) }).await;
    }
    for way in ways(RunStatus::Failed) {
        let expected = [9, 3, 2].map(|seq| vec![first.clone(), chunk(seq, seq)]);
        assert_eq!(ends(way).await, expected);
    }
}

pub async fn runs_are_filtered_by_workflow_status_and_time(kit: Kit) {
    six(&kit).await;
    let workflow = |name: &str| RunFilter { workflow: Some(slug(name)), ..RunFilter::default() };
    assert_eq!(listed(&kit, workflow("other")).await, of(&[5, 2]));
    assert_eq!(listed(&kit, workflow("oth")).await, of(&[]));
    for (status, expected) in [
        (RunStatus::Succeeded, &[2, 1][..]),
        (RunStatus::Failed, &[3]),
        (RunStatus::Waiting, &[4]),
        (RunStatus::Running, &[6, 5]),
        (RunStatus::Paused, &[]),
    ] {
        let filter = RunFilter { status: Some(status), ..RunFilter::default() };
        assert_eq!(listed(&kit, filter).await, of(expected), "{status:?}");
    }
    let (from, to) = (Some(created(2)), Some(created(5)));
    assert_eq!(listed(&kit, RunFilter { from, ..RunFilter::default() }).await, of(&[6, 5, 4, 3, 2]));
    assert_eq!(listed(&kit, RunFilter { to, ..RunFilter::default() }).await, of(&[4, 3, 2, 1]));
    assert_eq!(listed(&kit, RunFilter { from, to, ..RunFilter::default() }).await, of(&[4, 3, 2]));
}

pub async fn filters_combine(kit: Kit) {
    six(&kit).await;
    for (name, status, expected) in [
        ("flow", RunStatus::Succeeded, &[1][..]),
        ("other", RunStatus::Succeeded, &[2]),
        ("flow", RunStatus::Running, &[6]),
        ("other", RunStatus::Running, &[5]),
        ("other", RunStatus::Failed, &[]),
    ] {
        let filter = RunFilter { workflow: Some(slug(name)), status: Some(status), ..RunFilter::default() };
        assert_eq!(listed(&kit, filter).await, of(expected), "{name} {status:?}");
    }
    let filter = RunFilter {
        workflow: Some(slug("flow")),
        from: Some(created(2)),
        page: page(1, Some(6)),
        ..RunFilter::default()
    };
    assert_eq!(listed(&kit, filter).await, of(&[4]));
}

pub async fn pages_continue_where_the_last_one_ended(kit: Kit) {
    six(&kit).await;
    let filter = |after| RunFilter { page: page(4, after), ..RunFilter::default() };
    assert_eq!(listed(&kit, filter(None)).await, of(&[6, 5, 4, 3]));
    assert_eq!(listed(&kit, filter(Some(3))).await, of(&[2, 1]));
    assert_eq!(listed(&kit, filter(Some(1))).await, of(&[]));
    // The place need not be taken.
    kit.committed(start(9)).await;
    assert_eq!(listed(&kit, filter(Some(8))).await, of(&[6, 5, 4, 3]));
}

pub async fn a_page_of_none_is_empty(kit: Kit) {
    six(&kit).await;
    assert!(listed(&kit, RunFilter { page: page(0, None), ..RunFilter::default() }).await.is_empty());
    let all = RunFilter { page: page(usize::MAX, None), ..RunFilter::default() };
    assert_eq!(listed(&kit, all).await.len(), 6);
}

pub async fn large_items_come_in_smaller_parts(kit: Kit) {
    let large = |seq: u64, part: usize| {
        let text = "x".repeat(MAX_LISTING_BYTES / part);
        Chunk::from_parts(seq, seq, text, chunk(seq, seq).hash)
    };
    for n in 1..=3 {
        kit.committed(start(n)).await;
        kit.committed(AdvanceRun { chunk: Some(large(2, 2)), ..advance(n, 2) }).await;
    }
    kit.committed(AdvanceRun { chunk: Some(large(3, 2)), ..advance(1, 3) }).await;
    kit.committed(AdvanceRun { chunk: Some(large(4, 1)), ..advance(1, 4) }).await;
    let come_in_parts = async |status: RunStatus| {
        for way in ways(status) {
            for (after, expected) in
                [(None, (of(&[3]), true)), (Some(3), (of(&[2]), true)), (Some(2), (of(&[1]), false))]
            {
                let filter = RunFilter { page: page(9, after), ..way.clone() };
                let part = kit.store.runs(&acme(), filter).await.unwrap();
                let runs: Vec<_> = part.items.iter().map(|stored| stored.record.meta.run).collect();
                assert_eq!((runs, part.more), expected);
            }
        }
    };
    come_in_parts(RunStatus::Running).await;
    let chunks = |after: u64| {
        let store = kit.store.clone();
        async move {
            let part = store.chunks_after(&acme(), run(1), after, 9).await.unwrap();
            (part.items.iter().map(|chunk| chunk.first_seq).collect::<Vec<_>>(), part.more)
        }
    };
    assert_eq!(chunks(1).await, (vec![2, 3], true));
    assert_eq!(chunks(3).await, (vec![4], false));
    for (n, seq, part) in [(1, 5, 1), (2, 3, 2), (3, 3, 2)] {
        let hold = end(RunStatus::Failed, kit.now());
        kit.committed(AdvanceRun { chunk: Some(large(seq, part)), hold, ..advance(n, seq) }).await;
    }
    come_in_parts(RunStatus::Failed).await;
}
