use meshhook_core::engine::EngineError;
use meshhook_core::id::{ProjectId, WorkflowSlug};
use meshhook_core::secret::{SecretName, SecretValue};
use serde_json::json;

use crate::kit::Kit;

#[tokio::test(start_paused = true)]
async fn a_project_takes_nothing_before_it_is_made() {
    let kit = Kit::start();
    let (id, slug) = (ProjectId::new("acme").unwrap(), WorkflowSlug::new("w").unwrap());
    let (acme, draft) = (kit.engine.project(&id), json!({ "name": "W", "nodes": [] }));
    let unknown = |error: EngineError| matches!(error, EngineError::NotFound { what: "project" });
    assert!(unknown(acme.require_existing().await.unwrap_err()));
    assert!(unknown(acme.create_workflow(&slug, draft.clone()).await.unwrap_err()));
    let name = SecretName::new("token").unwrap();
    assert!(unknown(acme.set_secret(&name, &SecretValue::from("correct-horse")).await.unwrap_err()));

    kit.engine.create_project(&id, None).await.unwrap();
    acme.require_existing().await.unwrap();
    acme.create_workflow(&slug, draft).await.unwrap();
    let again = kit.engine.create_project(&id, None).await.unwrap_err();
    assert!(matches!(again, EngineError::ProjectTaken), "{again:?}");
}
