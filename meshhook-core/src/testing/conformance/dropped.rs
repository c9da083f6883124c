use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::id::DeliveryId;
use crate::policy::Bucket;
use crate::store::{
    Admit, ClaimedRun, Commit, CommitOutcome, CreateWorkflow, Dedupe, DeliveryFilter, DeliveryRecord, Page,
    PublishWorkflow, RunFilter, SaveDraft, Store, WakeUp,
};
use crate::webhook::Verdict;

/// Polls a call a number of times and drops it then, unless it has ended.
struct DropAfter<F> {
    call: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> Future for DropAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polls = self.polls;
        let Some(call) = self.call.as_mut().filter(|_| polls > 0) else {
            self.call = None;
            return Poll::Ready(None);
        };
        let polled = call.as_mut().poll(context);
        self.polls -= 1;
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.polls == 0 => {
                self.call = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Makes the call again and again, dropped after 0, 1, 2 … polls, until it ends.
async fn drop_everywhere<F: Future>(call: impl Fn(u32) -> F) -> F::Output {
    for polls in 0..=100 {
        let number = u32::try_from(polls).expect("polls are few");
        if let Some(output) = (DropAfter { call: Some(Box::pin(call(number))), polls }).await {
            return output;
        }
    }
    panic!("the call does not end within 100 polls");
}

pub async fn a_dropped_start_happened_or_did_not(kit: Kit) {
    kit.lease(&ann()).await;
    let store = &*kit.store;
    let outcome = drop_everywhere(|n| store.commit(vec![Commit::Start(start(1 + n))])).await;
    assert_eq!(outcome.unwrap(), [CommitOutcome::Committed]);
    for n in 1..=20 {
        if let Some(found) = kit.store.run(&acme(), run(n)).await.unwrap() {
            assert_eq!(found.chunks, [chunk(1, 1)]);
        }
        let again = kit.commit(start(n)).await;
        assert!(matches!(again, CommitOutcome::Committed | CommitOutcome::Exists));
        kit.committed(advance(n, 2)).await;
    }
}

pub async fn a_dropped_claim_leaves_runs_claimable(kit: Kit) {
    for n in 1..=20 {
        kit.committed(start_released(n, Some(kit.now()))).await;
    }
    let claim = || claim(&bob(), 2, 2);
    let store = &*kit.store;
    let known = drop_everywhere(|_| store.claim(claim())).await.unwrap();
    let known: Vec<_> = known.runs.iter().map(ClaimedRun::held).collect();
    let held = kit.store.held(&bob()).await.unwrap();
    assert!(known.iter().all(|run| held.contains(run)));
    let unknown: Vec<_> = held.into_iter().filter(|run| !known.contains(run)).collect();
    kit.store.forget(&bob(), &unknown, WakeUp::Now).await.unwrap();
    assert_eq!(kit.claim(&bob()).await.len(), 20 - known.len());
    assert_eq!(kit.store.held(&bob()).await.unwrap().len(), 20);
}

pub async fn a_dropped_post_leaves_one_message_or_none(kit: Kit) {
    for n in 0..=20 {
        kit.committed(start(n)).await;
    }
    let store = &*kit.store;
    drop_everywhere(|n| store.post(vec![post(n, event("a"))])).await.unwrap();
    for n in 0..=20 {
        assert!(kit.waiting(n).await.len() <= 1);
    }
}

pub async fn the_store_is_usable_after_any_call_was_dropped(kit: Kit) {
    let (store, at): (&dyn Store, _) = (&*kit.store, kit.now());
    let (beta, ann, bob) = (project("beta"), ann(), bob());
    kit.lease(&ann).await;
    kit.committed(start(1)).await;
    kit.committed(start_ended(2, RunStatus::Failed)).await;
    drop_everywhere(|_| store.renew(&ann, LEASE)).await.unwrap();
    drop_everywhere(|_| store.held(&ann)).await.unwrap();
    drop_everywhere(|_| store.ping()).await.unwrap();
    drop_everywhere(|_| store.run(&beta, run(1))).await.unwrap();
    drop_everywhere(|_| store.run_record(&beta, run(1))).await.unwrap();
    drop_everywhere(|_| store.runs(&beta, RunFilter::default())).await.unwrap();
    drop_everywhere(|_| store.chunks_after(&beta, run(1), 0, 9)).await.unwrap();
    drop_everywhere(|_| store.messages_for(&beta, run(1), None)).await.unwrap();
    let flow = slug("flow");
    drop_everywhere(|n| {
        let slug = slug(&format!("w{n}"));
        store.create_workflow(CreateWorkflow { project: acme(), slug, draft: "1".into(), at })
    })
    .await
    .unwrap();
    let create = CreateWorkflow { project: acme(), slug: flow.clone(), draft: "1".into(), at };
    store.create_workflow(create).await.unwrap();
    let acme = acme();
    let publish = || PublishWorkflow {
        project: acme.clone(),
        slug: flow.clone(),
        revision: 1,
        digest: digest('a'),
        definition: "{}".into(),
        schedules: Vec::new(),
        hooks: Vec::new(),
        at,
    };
    drop_everywhere(|_| store.publish(publish())).await.unwrap();
    let save =
        || SaveDraft { project: acme.clone(), slug: flow.clone(), draft: "2".into(), revision: None, at };
    drop_everywhere(|_| store.save_draft(save())).await.unwrap();
    drop_everywhere(|_| store.workflow(&acme, &flow)).await.unwrap();
    drop_everywhere(|_| store.workflows(&acme, Page::default())).await.unwrap();
    drop_everywhere(|_| store.version(&acme, &flow, 1)).await.unwrap();
    drop_everywhere(|_| store.versions(&acme, &flow, Page::default())).await.unwrap();
    let kept = digest('b');
    drop_everywhere(|_| store.keep_definition(&acme, &kept, "{}")).await.unwrap();
    drop_everywhere(|_| store.definition(&acme, &kept)).await.unwrap();
    drop_everywhere(|_| store.hook(&acme, "p")).await.unwrap();
    let paths = ["p".to_owned()];
    drop_everywhere(|_| store.hook_owners(&acme, &paths)).await.unwrap();
    drop_everywhere(|_| store.unpublish(&acme, &flow)).await.unwrap();
    drop_everywhere(|_| store.delete_workflow(&acme, &flow)).await.unwrap();
    drop_everywhere(|_| store.put_secret(&acme, "s", 1, vec![1], at)).await.unwrap();
    drop_everywhere(|_| store.secret_version(&acme, "s")).await.unwrap();
    drop_everywhere(|_| store.secrets(&acme)).await.unwrap();
    drop_everywhere(|_| store.delete_secret(&acme, "s")).await.unwrap();
    let delivery =
        || DeliveryRecord::new(acme.clone(), DeliveryId::from_bytes([1; 16]), (at, at), Verdict::Accepted);
    drop_everywhere(|_| store.record_deliveries(vec![delivery()])).await.unwrap();
    drop_everywhere(|_| store.deliveries(&acme, DeliveryFilter::default())).await.unwrap();
    drop_everywhere(|_| store.delivery(&acme, delivery().id)).await.unwrap();
    let admit = || Admit { project: acme.clone(), key: [1; 32], bucket: Bucket::new(1, 1), wanted: 1 };
    drop_everywhere(|_| store.admit(vec![admit()])).await.unwrap();
    drop_everywhere(|_| store.forget(&bob, &[], WakeUp::Now)).await.unwrap();
    let (scope, key) = ("hook".to_owned(), "k".to_owned());
    let key = Dedupe { scope, key, fingerprint: [1; 32], window: Duration::from_secs(1) };
    let wanted = [&key];
    drop_everywhere(|_| store.find_keys(&acme, &wanted)).await.unwrap();
    drop_everywhere(|_| store.retire(&bob)).await.unwrap();
    kit.committed(advance(1, 2)).await;
    assert_eq!(kit.history(1).await.len(), 2);
    assert_eq!(kit.claim(&bob).await.len(), 0);
}
