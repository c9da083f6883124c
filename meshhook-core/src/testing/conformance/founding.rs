use super::Kit;
use super::fixture::*;
use crate::id::ProjectId;
use crate::store::{Page, ProjectRecord};

async fn make(kit: &Kit, id: &str, name: Option<&str>, seconds: u32) -> bool {
    let at = kit.now().after(SECOND * seconds);
    kit.store.create_project(ProjectRecord::new(project(id), name.map(str::to_owned), at)).await.unwrap()
}

pub async fn the_default_project_exists_from_the_start(kit: Kit) {
    let first = ProjectRecord::default_project();
    assert_eq!(kit.store.project(&ProjectId::default_project()).await.unwrap(), Some(first.clone()));
    assert_eq!(kit.store.projects(Page { limit: 9, after: None }).await.unwrap().items, [first]);
    assert!(!make(&kit, "default", Some("mine"), 0).await);
    assert_eq!(kit.store.project(&acme()).await.unwrap(), None);
}

pub async fn a_project_reads_back_as_made(kit: Kit) {
    assert!(make(&kit, "acme", Some("Acme \u{1F3ED} \"Inc.\"\n"), 3).await);
    assert!(make(&kit, "beta", None, 0).await);
    let made = kit.store.project(&acme()).await.unwrap().unwrap();
    let at = kit.now().after(SECOND * 3);
    assert_eq!(made, ProjectRecord::new(acme(), Some("Acme \u{1F3ED} \"Inc.\"\n".into()), at));
    assert_eq!(kit.store.project(&project("beta")).await.unwrap().unwrap().name, None);
}

pub async fn a_project_is_made_once(kit: Kit) {
    assert!(make(&kit, "acme", Some("first"), 0).await);
    assert!(!make(&kit, "acme", Some("second"), 1).await);
    assert_eq!(kit.store.project(&acme()).await.unwrap().unwrap().name.as_deref(), Some("first"));
}

pub async fn projects_are_paged_newest_first(kit: Kit) {
    for (id, seconds) in [("b", 1), ("c", 2), ("a", 1), ("d", 0), ("e", 1)] {
        assert!(make(&kit, id, None, seconds).await);
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = kit.store.projects(Page { limit: 2, after: after.take() }).await.unwrap();
        after = page.items.last().map(|last| (last.created_at, last.id.clone()));
        seen.push(page.items.into_iter().map(|record| record.id.to_string()).collect::<Vec<_>>());
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [vec!["c", "e"], vec!["b", "a"], vec!["d", "default"]]);
    assert!(kit.store.projects(Page { limit: 0, after: None }).await.unwrap().items.is_empty());
}
