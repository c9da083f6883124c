use super::Kit;
use super::fixture::*;
use crate::id::Digest;
use crate::store::{
    CreateWorkflow, Hook, HookRoute, LiveVersion, MAX_LISTING_BYTES, Page, PublishOutcome, PublishWorkflow,
    SaveDraft, WorkflowRecord, WorkflowStoreError,
};
use crate::time::Timestamp;

fn draft(name: &str, at: Timestamp) -> CreateWorkflow {
    CreateWorkflow { project: acme(), slug: slug(name), draft: format!("draft of {name}"), at }
}

fn save(name: &str, revision: Option<u64>, at: Timestamp) -> SaveDraft {
    SaveDraft { project: acme(), slug: slug(name), draft: "saved".into(), revision, at }
}

fn publication(name: &str, of: char, paths: &[&str], at: Timestamp) -> PublishWorkflow {
    let hook = |path: &&str| Hook { path: (*path).to_owned(), trigger: format!("on-{path}") };
    PublishWorkflow {
        project: acme(),
        slug: slug(name),
        revision: 1,
        digest: digest(of),
        definition: format!("definition {of}"),
        schedules: Vec::new(),
        hooks: paths.iter().map(hook).collect(),
        at,
    }
}

async fn create(kit: &Kit, name: &str) -> WorkflowRecord {
    kit.store.create_workflow(draft(name, kit.now())).await.unwrap()
}

async fn publish(kit: &Kit, name: &str, of: char, paths: &[&str]) -> PublishOutcome {
    kit.store.publish(publication(name, of, paths, kit.now())).await.unwrap()
}

async fn workflow(kit: &Kit, name: &str) -> WorkflowRecord {
    kit.store.workflow(&acme(), &slug(name)).await.unwrap().unwrap()
}

async fn route(kit: &Kit, path: &str) -> Option<HookRoute> {
    kit.store.hook(&acme(), path).await.unwrap()
}

/// The paths of the hooks that are live.
async fn paths(kit: &Kit, name: &str) -> Vec<String> {
    let live = kit.store.workflow(&acme(), &slug(name)).await.unwrap().and_then(|record| record.live);
    live.into_iter().flat_map(|live| live.hooks).map(|hook| hook.path).collect()
}

fn live_version(record: &WorkflowRecord) -> Option<u32> {
    record.live.as_ref().map(|live| live.version)
}

const fn published(version: u32) -> PublishOutcome {
    PublishOutcome::Published { version }
}

const fn unchanged(version: u32) -> PublishOutcome {
    PublishOutcome::Unchanged { version }
}

pub async fn a_workflow_reads_back_as_created(kit: Kit) {
    let record = create(&kit, "a").await;
    assert_eq!(record, WorkflowRecord::new(slug("a"), "draft of a".into(), kit.now()));
    assert_eq!(workflow(&kit, "a").await, record);
    assert_eq!(kit.store.workflow(&acme(), &slug("b")).await.unwrap(), None);
}

pub async fn a_name_is_taken_once(kit: Kit) {
    create(&kit, "a").await;
    let again = CreateWorkflow { draft: "other".into(), ..draft("a", kit.now()) };
    let refused = kit.store.create_workflow(again).await;
    assert!(matches!(refused, Err(WorkflowStoreError::SlugTaken)));
    assert_eq!(workflow(&kit, "a").await.draft, "draft of a");
}

pub async fn saving_raises_the_revision(kit: Kit) {
    let created_at = create(&kit, "a").await.created_at;
    let at = kit.clock.advance(SECOND);
    let record = kit.store.save_draft(save("a", Some(1), at)).await.unwrap();
    assert_eq!((record.revision, record.draft.as_str()), (2, "saved"));
    assert_eq!((record.created_at, record.updated_at), (created_at, at));
    assert_eq!(workflow(&kit, "a").await, record);
    assert_eq!(kit.store.save_draft(save("a", None, at)).await.unwrap().revision, 3);
}

pub async fn saving_over_another_revision_is_refused(kit: Kit) {
    create(&kit, "a").await;
    kit.store.save_draft(save("a", None, kit.now())).await.unwrap();
    for revision in [0, 1, 3, u64::MAX] {
        let refused = kit.store.save_draft(save("a", Some(revision), kit.now())).await;
        assert!(matches!(refused, Err(WorkflowStoreError::RevisionStale { current: 2 })), "{refused:?}");
    }
    assert_eq!(workflow(&kit, "a").await.revision, 2);
}

pub async fn saving_or_publishing_nothing_is_not_found(kit: Kit) {
    let saved = kit.store.save_draft(save("a", None, kit.now())).await;
    assert!(matches!(saved, Err(WorkflowStoreError::NotFound)));
    let published = kit.store.publish(publication("a", 'a', &["p"], kit.now())).await;
    assert!(matches!(published, Err(WorkflowStoreError::NotFound)));
    assert!(!kit.store.unpublish(&acme(), &slug("a")).await.unwrap());
    assert!(!kit.store.delete_workflow(&acme(), &slug("a")).await.unwrap());
    assert_eq!(route(&kit, "p").await, None);
    assert_eq!(kit.store.definition(&acme(), &digest('a')).await.unwrap(), None);
}

pub async fn publishing_numbers_versions(kit: Kit) {
    create(&kit, "a").await;
    assert_eq!(publish(&kit, "a", 'a', &[]).await, published(1));
    let at = kit.clock.advance(SECOND);
    assert_eq!(publish(&kit, "a", 'b', &[]).await, published(2));
    let record = workflow(&kit, "a").await;
    assert_eq!((record.latest_version, live_version(&record)), (Some(2), Some(2)));
    assert_eq!(record.revision, 1);
    let second = kit.store.version(&acme(), &slug("a"), 2).await.unwrap().unwrap();
    assert_eq!((second.version, second.digest, second.created_at), (2, digest('b'), at));
    assert_eq!(second.definition, "definition b");
    assert_eq!(kit.store.version(&acme(), &slug("a"), 3).await.unwrap(), None);
    assert_eq!(kit.store.definition(&acme(), &digest('a')).await.unwrap().as_deref(), Some("definition a"));
}

pub async fn publishing_makes_hooks_live(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["q/r", "p"]).await;
    assert_eq!(paths(&kit, "a").await, ["p", "q/r"]);
    let hook = |path: &str| Hook { path: path.into(), trigger: format!("on-{path}") };
    let live = LiveVersion::new(1, digest('a'), vec![hook("p"), hook("q/r")]);
    assert_eq!(workflow(&kit, "a").await.live, Some(live));
    let listed = kit.store.workflows(&acme(), Page::default()).await.unwrap();
    assert_eq!(listed.items, [workflow(&kit, "a").await]);
    let expected = HookRoute::new(slug("a"), 1, digest('a'), "on-p".into());
    assert_eq!(route(&kit, "p").await, Some(expected));
    for unknown in ["", "q", "q/", "P", "q/r/"] {
        assert_eq!(route(&kit, unknown).await, None, "{unknown}");
    }
}

pub async fn publishing_another_draft_than_the_known_one_is_refused(kit: Kit) {
    create(&kit, "a").await;
    kit.store.save_draft(save("a", None, kit.now())).await.unwrap();
    let refused = kit.store.publish(publication("a", 'a', &["p"], kit.now())).await;
    assert!(matches!(refused, Err(WorkflowStoreError::RevisionStale { current: 2 })));
    assert_eq!(workflow(&kit, "a").await.latest_version, None);
    assert_eq!(route(&kit, "p").await, None);
}

pub async fn publishing_the_same_again_changes_nothing(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p"]).await;
    let before = workflow(&kit, "a").await;
    kit.clock.advance(SECOND);
    assert_eq!(publish(&kit, "a", 'a', &["q"]).await, unchanged(1));
    assert_eq!(workflow(&kit, "a").await, before);
    assert_eq!(paths(&kit, "a").await, ["p"]);
}

pub async fn publishing_an_earlier_definition_again_is_a_new_version(kit: Kit) {
    create(&kit, "a").await;
    for (of, version) in [('a', 1), ('b', 2), ('a', 3)] {
        assert_eq!(publish(&kit, "a", of, &["p"]).await, published(version));
        assert_eq!(route(&kit, "p").await.unwrap().version, version);
    }
}

pub async fn publishing_the_same_after_unpublishing_makes_it_live_again(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p"]).await;
    kit.store.unpublish(&acme(), &slug("a")).await.unwrap();
    assert_eq!(publish(&kit, "a", 'a', &["q"]).await, unchanged(1));
    assert_eq!(live_version(&workflow(&kit, "a").await), Some(1));
    assert_eq!(paths(&kit, "a").await, ["q"]);
    assert_eq!(route(&kit, "q").await.unwrap().version, 1);
}

pub async fn a_taken_path_leaves_everything_as_it_was(kit: Kit) {
    create(&kit, "a").await;
    create(&kit, "b").await;
    publish(&kit, "a", 'a', &["p"]).await;
    publish(&kit, "b", 'b', &["q"]).await;
    let before = workflow(&kit, "b").await;
    let refused = kit.store.publish(publication("b", 'c', &["r", "p"], kit.now())).await;
    assert!(matches!(refused, Err(WorkflowStoreError::PathTaken { path }) if path == "p"));
    assert_eq!(workflow(&kit, "b").await, before);
    assert_eq!(paths(&kit, "b").await, ["q"]);
    assert_eq!(route(&kit, "p").await.unwrap().workflow, slug("a"));
    assert_eq!(route(&kit, "r").await, None);
    assert_eq!(kit.store.definition(&acme(), &digest('c')).await.unwrap(), None);
}

pub async fn a_path_within_one_publication_is_taken_once(kit: Kit) {
    create(&kit, "a").await;
    let refused = kit.store.publish(publication("a", 'a', &["p", "p"], kit.now())).await;
    assert!(matches!(refused, Err(WorkflowStoreError::PathTaken { path }) if path == "p"));
    assert_eq!(route(&kit, "p").await, None);
}

pub async fn hooks_are_swapped_as_one(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p", "q"]).await;
    publish(&kit, "a", 'b', &["q", "r"]).await;
    assert_eq!(paths(&kit, "a").await, ["q", "r"]);
    assert_eq!(route(&kit, "p").await, None);
    assert_eq!(route(&kit, "q").await, Some(HookRoute::new(slug("a"), 2, digest('b'), "on-q".into())));
}

pub async fn a_path_is_free_after_unpublishing(kit: Kit) {
    create(&kit, "a").await;
    create(&kit, "b").await;
    publish(&kit, "a", 'a', &["p"]).await;
    assert!(kit.store.unpublish(&acme(), &slug("a")).await.unwrap());
    assert_eq!(publish(&kit, "b", 'b', &["p"]).await, published(1));
    let refused = kit.store.publish(publication("a", 'a', &["p"], kit.now())).await;
    assert!(matches!(refused, Err(WorkflowStoreError::PathTaken { .. })));
    assert_eq!(live_version(&workflow(&kit, "a").await), None);
    assert!(kit.store.delete_workflow(&acme(), &slug("b")).await.unwrap());
    assert_eq!(publish(&kit, "a", 'a', &["p"]).await, unchanged(1));
}

pub async fn unpublishing_keeps_versions(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p"]).await;
    for _ in 0..2 {
        assert!(kit.store.unpublish(&acme(), &slug("a")).await.unwrap());
    }
    let record = workflow(&kit, "a").await;
    assert_eq!((record.latest_version, live_version(&record)), (Some(1), None));
    assert_eq!(route(&kit, "p").await, None);
    assert!(paths(&kit, "a").await.is_empty());
    assert!(kit.store.version(&acme(), &slug("a"), 1).await.unwrap().is_some());
}

pub async fn deleting_keeps_definitions(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p"]).await;
    assert!(kit.store.delete_workflow(&acme(), &slug("a")).await.unwrap());
    assert!(!kit.store.delete_workflow(&acme(), &slug("a")).await.unwrap());
    assert_eq!(kit.store.workflow(&acme(), &slug("a")).await.unwrap(), None);
    assert_eq!(kit.store.version(&acme(), &slug("a"), 1).await.unwrap(), None);
    assert!(kit.store.versions(&acme(), &slug("a"), Page::default()).await.unwrap().items.is_empty());
    assert_eq!(route(&kit, "p").await, None);
    assert!(paths(&kit, "a").await.is_empty());
    assert!(kit.store.definition(&acme(), &digest('a')).await.unwrap().is_some());
}

pub async fn a_workflow_created_again_starts_anew(kit: Kit) {
    create(&kit, "a").await;
    publish(&kit, "a", 'a', &["p"]).await;
    publish(&kit, "a", 'b', &["p"]).await;
    kit.store.delete_workflow(&acme(), &slug("a")).await.unwrap();
    let record = create(&kit, "a").await;
    assert_eq!((record.revision, record.latest_version), (1, None));
    assert_eq!(publish(&kit, "a", 'b', &["p"]).await, published(1));
}

pub async fn workflows_are_paged_newest_first(kit: Kit) {
    for (name, seconds) in [("b", 1), ("c", 2), ("a", 1), ("d", 0), ("e", 1)] {
        kit.store.create_workflow(draft(name, kit.now().after(SECOND * seconds))).await.unwrap();
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = kit.store.workflows(&acme(), Page { limit: 2, after: after.take() }).await.unwrap();
        after = page.items.last().map(|last| (last.created_at, last.slug.clone()));
        seen.push(page.items.into_iter().map(|record| record.slug.to_string()).collect::<Vec<_>>());
        if !page.more {
            break;
        }
    }
    let none = kit.store.workflows(&acme(), Page { limit: 2, after }).await.unwrap();
    assert!(none.items.is_empty() && !none.more);
    assert_eq!(seen, [vec!["c", "e"], vec!["b", "a"], vec!["d"]]);
    assert!(kit.store.workflows(&acme(), Page { limit: 0, after: None }).await.unwrap().items.is_empty());
}

pub async fn versions_are_paged_newest_first(kit: Kit) {
    create(&kit, "a").await;
    for of in ['a', 'b', 'c'] {
        publish(&kit, "a", of, &[]).await;
    }
    let page = async |limit, after| {
        let versions = kit.store.versions(&acme(), &slug("a"), Page { limit, after }).await.unwrap();
        versions.items.into_iter().map(|version| (version.version, version.digest)).collect::<Vec<_>>()
    };
    assert_eq!(page(2, None).await, [(3, digest('c')), (2, digest('b'))]);
    assert_eq!(page(2, Some(2)).await, [(1, digest('a'))]);
    assert_eq!(page(2, Some(1)).await, []);
    assert_eq!(page(0, None).await, []);
    assert_eq!(page(usize::MAX, Some(u32::MAX)).await.len(), 3);
}

pub async fn large_drafts_come_in_smaller_parts(kit: Kit) {
    for n in 0..3 {
        let draft = "x".repeat(MAX_LISTING_BYTES / 2);
        let at = kit.now().after(SECOND * n);
        let create = CreateWorkflow { project: acme(), slug: slug(&format!("w{n}")), draft, at };
        kit.store.create_workflow(create).await.unwrap();
    }
    let first = kit.store.workflows(&acme(), Page::default()).await.unwrap();
    assert_eq!((first.items.len(), first.more), (2, true));
    let after = first.items.last().map(|last| (last.created_at, last.slug.clone()));
    let rest = kit.store.workflows(&acme(), Page { after, ..Page::default() }).await.unwrap();
    assert_eq!((rest.items.len(), rest.more), (1, false));
}

pub async fn hooks_are_looked_up_by_path(kit: Kit) {
    create(&kit, "a").await;
    create(&kit, "b").await;
    publish(&kit, "a", 'a', &["p", "q"]).await;
    publish(&kit, "b", 'b', &["r"]).await;
    let owners = async |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let found = kit.store.hook_owners(&acme(), &paths).await.unwrap();
        found.into_iter().map(|(path, owner)| format!("{path} {owner}")).collect::<Vec<_>>()
    };
    assert_eq!(owners(&["r", "none", "p", "p"]).await, ["p a", "r b"]);
    assert!(owners(&[]).await.is_empty());
    kit.store.unpublish(&acme(), &slug("a")).await.unwrap();
    assert_eq!(owners(&["r", "p"]).await, ["r b"]);
    assert!(kit.store.hook_owners(&project("beta"), &["r".to_owned()]).await.unwrap().is_empty());
}

pub async fn a_definition_is_kept_once(kit: Kit) {
    let keep = async |of: &Digest, text: &str| kit.store.keep_definition(&acme(), of, text).await.unwrap();
    keep(&digest('a'), "first").await;
    keep(&digest('a'), "second").await;
    assert_eq!(kit.store.definition(&acme(), &digest('a')).await.unwrap().as_deref(), Some("first"));
    assert_eq!(kit.store.definition(&acme(), &digest('b')).await.unwrap(), None);
    create(&kit, "w").await;
    publish(&kit, "w", 'a', &[]).await;
    let version = kit.store.version(&acme(), &slug("w"), 1).await.unwrap().unwrap();
    assert_eq!(version.definition, "first");
}
