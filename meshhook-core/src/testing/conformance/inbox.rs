use serde_json::json;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::failure::Failure;
use crate::store::{
    AdvanceRun, Claim, CommitOutcome, InboxItem, MAX_LISTING_BYTES, MAX_MESSAGES_READ, Message, Posted,
    StoreError,
};

fn contents(items: Vec<InboxItem>) -> Vec<Message> {
    items.into_iter().map(|item| item.message).collect()
}

pub async fn a_message_for_a_held_run_names_the_owner(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    assert_eq!(kit.post(1, event("paid")).await, Posted::Held { worker: ann() });
    kit.pass_lease();
    assert_eq!(kit.post(1, event("paid")).await, Posted::Held { worker: ann() });
    kit.claim_one(&bob()).await;
    assert_eq!(kit.post(1, event("paid")).await, Posted::Held { worker: bob() });
    assert_eq!(kit.waiting(1).await.len(), 3);
}

pub async fn a_message_makes_a_released_run_due(kit: Kit) {
    kit.committed(start_released(1, None)).await;
    kit.committed(start_released(2, Some(kit.now().after(SECOND)))).await;
    for n in [1, 2] {
        assert_eq!(kit.post(n, event("paid")).await, Posted::Due);
        assert_eq!(ids(&kit.claim(&bob()).await), [run(n)]);
    }
}

pub async fn a_message_does_not_postpone_a_run_that_is_due(kit: Kit) {
    let since = kit.now();
    kit.committed(start_released(1, Some(since))).await;
    kit.clock.advance(SECOND);
    assert_eq!(kit.post(1, event("paid")).await, Posted::Due);
    assert_eq!(kit.next_wake_up().await, Some(since));
}

pub async fn a_message_for_no_run_is_not_left(kit: Kit) {
    assert_eq!(kit.post(1, event("paid")).await, Posted::NotFound);
    assert_eq!(kit.post(1, retry()).await, Posted::NotFound);
    kit.committed(start(1)).await;
    assert!(kit.waiting(1).await.is_empty());
}

pub async fn a_message_for_an_ended_run_is_not_left(kit: Kit) {
    for (n, status) in [(1, RunStatus::Succeeded), (2, RunStatus::Failed), (3, RunStatus::Cancelled)] {
        kit.committed(start_ended(n, status)).await;
        assert_eq!(kit.post(n, event("paid")).await, Posted::Ended);
        assert_eq!(kit.post(n, Message::Cancel { by: None }).await, Posted::Ended);
        assert!(kit.waiting(n).await.is_empty());
    }
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn a_retry_makes_a_failed_run_due(kit: Kit) {
    kit.committed(start_ended(1, RunStatus::Failed)).await;
    assert_eq!(kit.post(1, retry()).await, Posted::Due);
    let claimed = kit.claim_one(&bob()).await;
    let items = kit.waiting(1).await;
    assert_eq!(contents(items.clone()), [retry()]);
    let consumed = item_ids(&items);
    kit.committed(AdvanceRun { consumed, ..advance_claimed(&claimed, bob()) }).await;
    assert!(kit.waiting(1).await.is_empty());
}

pub async fn a_retry_of_a_run_that_did_not_fail_is_refused(kit: Kit) {
    for (n, status) in [(1, RunStatus::Succeeded), (2, RunStatus::Cancelled)] {
        kit.committed(start_ended(n, status)).await;
        assert_eq!(kit.post(n, retry()).await, Posted::Ended);
    }
    assert!(kit.claim(&bob()).await.is_empty());
}

pub async fn a_failed_run_looks_failed_until_the_commit_that_retries_it(kit: Kit) {
    kit.committed(start_ended(1, RunStatus::Failed)).await;
    let before = kit.record(1).await;
    kit.post(1, retry()).await;
    assert_eq!(kit.record(1).await, before);
    assert_eq!(kit.post(1, event("paid")).await, Posted::Due);
    let claimed = kit.claim_one(&bob()).await;
    assert_eq!(kit.record(1).await, before);
    let consumed = item_ids(&kit.waiting(1).await);
    kit.committed(AdvanceRun { consumed, ..advance_claimed(&claimed, bob()) }).await;
    let record = kit.record(1).await;
    assert_eq!((record.status, record.finished_at, record.failure), (RunStatus::Running, None, None));
    let ended = end(RunStatus::Failed, created(1));
    let as_before = AdvanceRun { chunk: None, after: 2, hold: ended, ..advance_claimed(&claimed, bob()) };
    kit.committed(as_before).await;
    assert_eq!(kit.record(1).await, before);
    // Nor does a release leave the end behind.
    kit.post(1, retry()).await;
    let claimed = kit.claim_one(&bob()).await;
    let consumed = item_ids(&kit.waiting(1).await);
    let released = AdvanceRun { hold: release(None), consumed, ..advance_claimed(&claimed, bob()) };
    kit.committed(released).await;
    let record = kit.record(1).await;
    assert_eq!((record.status, record.finished_at, record.failure), (RunStatus::Waiting, None, None));
}

pub async fn messages_keep_their_order_and_content(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(start(2)).await;
    let failure = Failure::retryable("http_status", "status 503").with_details(json!({"status": 503}));
    let child = |status, output, failure| Message::ChildFinished { run: run(9), status, output, failure };
    let messages = [
        Message::Pause { by: Some("ann".into()) },
        Message::Resume { by: None },
        Message::Event {
            name: "paid".into(),
            key: Some("κλειδί".into()),
            payload: json!({"b": [1, null], "a": "\0"}),
        },
        Message::Event { name: String::new(), key: None, payload: json!(null) },
        child(RunStatus::Succeeded, Some(json!(null)), None),
        child(RunStatus::Failed, None, Some(failure)),
        child(RunStatus::Cancelled, None, None),
        Message::Cancel { by: None },
        retry(),
    ];
    let mut posts = Vec::new();
    for message in &messages {
        posts.extend([post(1, message.clone()), post(2, message.clone())]);
    }
    kit.store.post(posts).await.unwrap();
    let items = kit.waiting(1).await;
    assert!(items.is_sorted_by_key(|item| item.id));
    assert!(items.iter().all(|item| item.run == run(1) && item.project == acme()));
    assert_eq!(contents(items), messages);
    assert_eq!(kit.messages(&ann()).await, [run(1), run(2)]);
}

pub async fn a_claim_names_the_runs_held_before_for_which_messages_wait(kit: Kit) {
    kit.lease(&ann()).await;
    for n in [1, 2] {
        kit.committed(start(n)).await;
    }
    kit.committed(start_released(3, None)).await;
    kit.committed(start(4)).await;
    assert!(kit.messages(&ann()).await.is_empty());
    for n in [3, 2, 1, 2] {
        kit.post(n, event(&format!("e{n}"))).await;
    }
    assert_eq!(kit.messages(&ann()).await, [run(1), run(2)]);
    assert!(kit.messages(&bob()).await.is_empty());
    let taking = kit.look(&bob(), 9, 9).await;
    assert_eq!((ids(&taking.runs), taking.messages), (vec![run(3)], vec![]));
    assert_eq!(kit.messages(&bob()).await, [run(3)]);
    for (limit, named) in [(0, 0), (1, 1), (9, 2)] {
        let claim = Claim { messages: limit, ..claim(&ann(), 0, 0) };
        assert_eq!(kit.try_claim(claim).await.unwrap().messages.len(), named);
    }
    let consumed = item_ids(&kit.waiting(1).await);
    kit.committed(AdvanceRun { consumed, ..advance(1, 2) }).await;
    assert_eq!(kit.messages(&ann()).await, [run(2)]);
}

pub async fn messages_are_read_in_parts(kit: Kit) {
    kit.committed(start(1)).await;
    kit.store.post((0..70).map(|n| post(1, event(&format!("e{n}")))).collect()).await.unwrap();
    let first = kit.store.messages_for(&acme(), run(1), None).await.unwrap();
    assert_eq!((first.items.len(), first.more), (MAX_MESSAGES_READ, true));
    let after = first.items.last().map(|item| item.id);
    let rest = kit.store.messages_for(&acme(), run(1), after).await.unwrap();
    assert_eq!((rest.items.len(), rest.more), (70 - MAX_MESSAGES_READ, false));
    let expected: Vec<_> = (0..70).map(|n| event(&format!("e{n}"))).collect();
    assert_eq!(contents(kit.waiting(1).await), expected);
    let after = rest.items.last().map(|item| item.id);
    assert!(kit.store.messages_for(&acme(), run(1), after).await.unwrap().items.is_empty());
    let beta = project("beta");
    assert!(kit.store.messages_for(&beta, run(1), None).await.unwrap().items.is_empty());
}

pub async fn large_messages_are_read_in_parts(kit: Kit) {
    kit.committed(start(1)).await;
    let large = |n| Message::Event {
        name: format!("e{n}"),
        key: None,
        payload: json!("x".repeat(MAX_LISTING_BYTES / 4)),
    };
    for n in 0..5 {
        kit.post(1, large(n)).await;
    }
    let first = kit.store.messages_for(&acme(), run(1), None).await.unwrap();
    assert_eq!((first.items.len(), first.more), (3, true));
    assert_eq!(contents(kit.waiting(1).await), (0..5).map(large).collect::<Vec<_>>());
}

pub async fn an_inbox_is_bounded(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.committed(start_released(2, Some(kit.now().after(SECOND)))).await;
    let child = || {
        let (status, output) = (RunStatus::Succeeded, Some(json!(1)));
        Message::ChildFinished { run: run(9), status, output, failure: None }
    };
    let cancel = || Message::Cancel { by: None };
    for n in [1, 2] {
        let (events, people) = (event("paid").room(), cancel().room());
        let posted = kit.store.post(vec![post(n, event("paid")); events]).await.unwrap();
        assert!(!posted.contains(&Posted::Full));
        assert_eq!(kit.post(n, event("paid")).await, Posted::Full);
        let posted = kit.store.post(vec![post(n, cancel()); people - events]).await.unwrap();
        assert!(!posted.contains(&Posted::Full));
        assert_eq!(kit.post(n, cancel()).await, Posted::Full);
        assert_ne!(kit.post(n, child()).await, Posted::Full);
        assert_eq!(kit.waiting(n).await.len(), people + 1);
    }
    // Other inboxes have room, and so has this one once something was consumed.
    kit.committed(start(3)).await;
    assert_eq!(kit.post(3, event("paid")).await, Posted::Held { worker: ann() });
    let consumed = item_ids(&kit.waiting(1).await);
    kit.committed(AdvanceRun { consumed, ..advance(1, 2) }).await;
    assert_eq!(kit.post(1, event("paid")).await, Posted::Held { worker: ann() });
}

pub async fn the_ends_of_what_waits_tell_what_has_taken_effect(kit: Kit) {
    let ends = async |n: u32| kit.store.messages_waiting(&acme(), run(n)).await.unwrap();
    kit.committed(start(1)).await;
    kit.committed(start(2)).await;
    assert_eq!((ends(1).await, ends(3).await), (None, None));
    for n in [1, 1, 2, 1] {
        kit.post(n, event("paid")).await;
    }
    let items = item_ids(&kit.waiting(1).await);
    assert_eq!(ends(1).await, Some((items[0], items[2])));
    kit.committed(AdvanceRun { consumed: items[..2].to_vec(), ..advance(1, 2) }).await;
    assert_eq!(ends(1).await, Some((items[2], items[2])));
    assert_ne!(ends(2).await, None);
}

pub async fn a_consumed_message_is_gone_for_good(kit: Kit) {
    kit.committed(start(1)).await;
    for name in ["a", "b", "c"] {
        kit.post(1, event(name)).await;
    }
    let waiting = item_ids(&kit.waiting(1).await);
    kit.committed(AdvanceRun { consumed: vec![waiting[1]], ..advance(1, 2) }).await;
    assert_eq!(contents(kit.waiting(1).await), [event("a"), event("c")]);
    // Consuming a message again takes nothing else, whatever was left since.
    kit.committed(AdvanceRun { consumed: waiting.clone(), chunk: None, ..advance(1, 3) }).await;
    kit.post(1, event("d")).await;
    kit.committed(AdvanceRun { consumed: waiting, ..advance(1, 3) }).await;
    assert_eq!(contents(kit.waiting(1).await), [event("d")]);
}

pub async fn a_stale_commit_consumes_nothing(kit: Kit) {
    kit.committed(start(1)).await;
    kit.post(1, event("a")).await;
    let consumed = item_ids(&kit.waiting(1).await);
    for stale in [AdvanceRun { claim: 7, ..advance(1, 2) }, advance(1, 9)] {
        let stale = AdvanceRun { consumed: consumed.clone(), ..stale };
        assert_eq!(kit.commit(stale).await, CommitOutcome::Stale);
    }
    assert_eq!(kit.waiting(1).await.len(), 1);
}

pub async fn a_commit_consumes_only_its_own_runs_messages(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(start(2)).await;
    kit.post(2, event("a")).await;
    let consumed = item_ids(&kit.waiting(2).await);
    kit.committed(AdvanceRun { consumed, ..advance(1, 2) }).await;
    assert_eq!(kit.waiting(2).await.len(), 1);
}

pub async fn a_run_released_while_a_message_waits_is_due(kit: Kit) {
    kit.committed(start(1)).await;
    kit.committed(start(2)).await;
    kit.post(1, event("a")).await;
    kit.post(2, event("b")).await;
    kit.committed(AdvanceRun { hold: release(None), ..advance(1, 2) }).await;
    let later = Some(kit.now().after(SECOND));
    let consumed = item_ids(&kit.waiting(2).await);
    kit.committed(AdvanceRun { hold: release(later), consumed, ..advance(2, 2) }).await;
    assert_eq!(ids(&kit.claim(&bob()).await), [run(1)]);
    assert_eq!(kit.next_wake_up().await, later);
}

pub async fn messages_that_wait_go_with_a_run_that_ends_well(kit: Kit) {
    for (n, status) in [(1, RunStatus::Succeeded), (2, RunStatus::Cancelled)] {
        kit.lease(&ann()).await;
        kit.committed(start(n)).await;
        kit.post(n, event("a")).await;
        kit.post(n, retry()).await;
        kit.committed(AdvanceRun { hold: end(status, kit.now()), ..advance(n, 2) }).await;
        assert!(kit.waiting(n).await.is_empty());
        assert!(kit.claim(&bob()).await.is_empty());
    }
}

pub async fn messages_that_wait_stay_with_a_failed_run(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.post(1, event("a")).await;
    kit.committed(AdvanceRun { hold: end(RunStatus::Failed, kit.now()), ..advance(1, 2) }).await;
    assert!(kit.claim(&bob()).await.is_empty());
    assert_eq!(kit.post(1, retry()).await, Posted::Due);
    kit.claim_one(&bob()).await;
    assert_eq!(contents(kit.waiting(1).await), [event("a"), retry()]);
}

pub async fn a_retry_that_waits_makes_a_run_that_fails_due(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.post(1, retry()).await;
    kit.committed(AdvanceRun { hold: end(RunStatus::Failed, kit.now()), ..advance(1, 2) }).await;
    let record = kit.record(1).await;
    assert_eq!((record.status, record.finished_at), (RunStatus::Failed, Some(kit.now())));
    assert_eq!(kit.claim_one(&bob()).await.record.meta.run, run(1));
}

pub async fn a_message_that_cannot_be_read_back_is_a_misuse(kit: Kit) {
    kit.committed(start(1)).await;
    let mut deep = json!(1);
    for _ in 0..600 {
        deep = json!([deep]);
    }
    let message = Message::Event { name: "deep".into(), key: None, payload: deep };
    let error = kit.store.post(vec![post(1, event("a")), post(1, message)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error:?}");
    assert!(kit.waiting(1).await.is_empty());
}
