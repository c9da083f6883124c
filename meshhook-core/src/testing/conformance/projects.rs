use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::store::{
    AdvanceRun, CommitOutcome, CreateWorkflow, Dedupe, HeldRun, Hook, Page, Post, Posted, PublishOutcome,
    PublishWorkflow, RunFilter, SaveDraft, StartRun, WakeUp, WorkflowStoreError,
};

pub async fn the_same_run_id_may_exist_in_two_projects(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.committed(start_in(project("beta"), start(1))).await;
    kit.committed(AdvanceRun { project: project("beta"), ..advance(1, 2) }).await;
    assert_eq!(kit.history(1).await.len(), 1);
    assert_eq!(kit.store.run(&project("beta"), run(1)).await.unwrap().unwrap().chunks.len(), 2);
    assert_eq!(
        kit.store.held(&ann()).await.unwrap(),
        [held(1, 1), HeldRun { project: project("beta"), ..held(1, 1) }]
    );
}

pub async fn runs_are_not_seen_from_other_projects(kit: Kit) {
    kit.committed(start(1)).await;
    kit.post(1, event("a")).await;
    for other in ["acm", "acme-2", "beta"].map(project) {
        assert!(kit.store.run(&other, run(1)).await.unwrap().is_none());
        assert_eq!(kit.store.run_record(&other, run(1)).await.unwrap(), None);
        assert!(kit.store.runs(&other, RunFilter::default()).await.unwrap().items.is_empty());
        assert!(kit.store.chunks_after(&other, run(1), 0, 9).await.unwrap().items.is_empty());
        assert!(kit.store.messages_for(&other, run(1), None).await.unwrap().items.is_empty());
        assert_eq!(kit.store.messages_waiting(&other, run(1)).await.unwrap(), None);
    }
}

pub async fn runs_are_not_changed_from_other_projects(kit: Kit) {
    kit.lease(&ann()).await;
    kit.committed(start(1)).await;
    kit.committed(start_ended(2, RunStatus::Failed)).await;
    kit.post(1, event("a")).await;
    let item = kit.waiting(1).await[0].id;
    let other = project("beta");
    kit.committed(start_in(other.clone(), start(3))).await;
    let foreign = AdvanceRun { project: other.clone(), ..advance(1, 2) };
    assert_eq!(kit.commit(foreign).await, CommitOutcome::Stale);
    kit.committed(AdvanceRun { project: other.clone(), consumed: vec![item], ..advance(3, 2) }).await;
    let posts = [(1, event("b")), (2, retry())].map(|(n, message)| Post {
        project: other.clone(),
        run: run(n),
        message,
    });
    let posted = kit.store.post(posts.to_vec()).await.unwrap();
    assert_eq!(posted, [Posted::NotFound, Posted::NotFound]);
    kit.store.forget(&ann(), &[HeldRun { project: other, ..held(1, 1) }], WakeUp::Now).await.unwrap();
    assert_eq!(kit.waiting(1).await.len(), 1);
    assert_eq!(kit.history(1).await.len(), 1);
    assert!(kit.claim(&bob()).await.is_empty());
    kit.committed(advance(1, 2)).await;
}

pub async fn keys_count_within_their_project(kit: Kit) {
    let window = Duration::from_secs(60);
    let dedupe = Dedupe { scope: "hook".into(), key: "k".into(), fingerprint: [1; 32], window };
    let keyed = |n| StartRun { dedupe: Some(dedupe.clone()), ..start(n) };
    kit.committed(keyed(1)).await;
    kit.committed(start_in(project("beta"), keyed(2))).await;
    let third = start_in(project("beta"), keyed(3));
    assert_eq!(kit.commit(third).await, CommitOutcome::Duplicate { run: run(2), same: true });
}

pub async fn workflows_belong_to_their_project(kit: Kit) {
    let (at, other) = (kit.now(), project("beta"));
    let create =
        |project, draft: &str| CreateWorkflow { project, slug: slug("flow"), draft: draft.into(), at };
    kit.store.create_workflow(create(acme(), "1")).await.unwrap();
    let publish = |project| PublishWorkflow {
        project,
        slug: slug("flow"),
        revision: 1,
        digest: digest('a'),
        definition: "{}".into(),
        hooks: vec![Hook { path: "p".into(), trigger: "t".into() }],
        schedules: Vec::new(),
        at,
    };
    kit.store.publish(publish(acme())).await.unwrap();
    assert_eq!(kit.store.workflow(&other, &slug("flow")).await.unwrap(), None);
    assert!(kit.store.workflows(&other, Page::default()).await.unwrap().items.is_empty());
    assert_eq!(kit.store.version(&other, &slug("flow"), 1).await.unwrap(), None);
    assert!(kit.store.versions(&other, &slug("flow"), Page::default()).await.unwrap().items.is_empty());
    assert_eq!(kit.store.definition(&other, &digest('a')).await.unwrap(), None);
    assert_eq!(kit.store.hook(&other, "p").await.unwrap(), None);
    assert!(!kit.store.unpublish(&other, &slug("flow")).await.unwrap());
    assert!(!kit.store.delete_workflow(&other, &slug("flow")).await.unwrap());
    let save =
        SaveDraft { project: other.clone(), slug: slug("flow"), draft: "2".into(), revision: None, at };
    assert!(matches!(kit.store.save_draft(save).await, Err(WorkflowStoreError::NotFound)));
    assert!(matches!(kit.store.publish(publish(other.clone())).await, Err(WorkflowStoreError::NotFound)));
    kit.store.create_workflow(create(other.clone(), "3")).await.unwrap();
    let published = kit.store.publish(publish(other.clone())).await.unwrap();
    assert_eq!(published, PublishOutcome::Published { version: 1 });
    assert!(kit.store.delete_workflow(&other, &slug("flow")).await.unwrap());
    let kept = kit.store.workflow(&acme(), &slug("flow")).await.unwrap().unwrap();
    assert_eq!((kept.draft.as_str(), kept.live.map(|live| live.version)), ("1", Some(1)));
    assert!(kit.store.hook(&acme(), "p").await.unwrap().is_some());
}

pub async fn secrets_belong_to_their_project(kit: Kit) {
    let other = project("beta");
    assert!(kit.store.put_secret(&acme(), "token", 1, vec![1], kit.now()).await.unwrap());
    assert!(kit.store.secrets(&other).await.unwrap().is_empty());
    assert_eq!(kit.store.secret_version(&other, "token").await.unwrap(), 0);
    assert!(!kit.store.delete_secret(&other, "token").await.unwrap());
    assert!(!kit.store.put_secret(&other, "token", 2, vec![2], kit.now()).await.unwrap());
    assert!(kit.store.put_secret(&other, "token", 1, vec![2], kit.now()).await.unwrap());
    assert_eq!(kit.store.secrets(&acme()).await.unwrap()[0].sealed, [1]);
}
