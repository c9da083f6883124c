//! Runs whose history an engine cannot read: damaged, of a later release, decided by other rules, of a definition that is
//! not there.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Kit;
use super::fixture::{LEASE, bob, project, run, slug};
use crate::clock::Clock as _;
use crate::engine::{Engine, EngineOptions, Project, StartRequest};
use crate::event::{Chunk, RunStatus, chain, genesis};
use crate::failure::code;
use crate::id::ProjectId;
use crate::run::RunMeta;
use crate::store::{Claim, Commit, CommitOutcome, Hold, RunFilter, RunRecord, StartRun, WakeUp};

pub async fn runs_that_cannot_be_read_are_set_aside_and_shown_until_they_can(kit: Kit) {
    let options = EngineOptions { poll: Duration::from_millis(20), ..EngineOptions::default() };
    let engine = Engine::builder(kit.store.clone()).clock(Arc::new(kit.clock.clone())).options(options);
    let engine = engine.start().unwrap();
    let here = engine.project(&ProjectId::default_project());
    engine.create_project(&project("there"), None).await.unwrap();
    let there = engine.project(&project("there"));
    let (known, chunk) = waiting(&kit, &here, &ProjectId::default_project(), "1h").await;
    let (unknown, other) = waiting(&kit, &there, &project("there"), "2h").await;

    let unreadable = [
        (1, known.clone(), "[1]".to_owned()),
        (2, known.clone(), chunk.text.replacen("timer_set", "timer_dreamt", 1)),
        (3, known.clone(), chunk.text.replacen("\"semantics\":", "\"semantics\":99", 1)),
        (4, known.clone(), chunk.text.replacen("\"delay\"", "\"wait\"", 1)),
        (5, unknown.clone(), other.text),
    ];
    let starts = unreadable.iter().map(|(number, like, text)| {
        assert_ne!(*text, chunk.text, "run {number} is like the one that can be read");
        let of = RunMeta::new(
            run(*number),
            ProjectId::default_project(),
            slug("waits"),
            like.meta.digest.clone(),
            kit.clock.now(),
        );
        let text = text.clone();
        let chunk = Chunk::from_parts(1, chunk.last_seq, text.clone(), chain(genesis(run(*number)), &text));
        let hold = Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Running };
        Commit::Start(StartRun { meta: of, dedupe: None, worker: bob(), chunk, hold })
    });
    let committed = kit.store.commit(starts.collect()).await.unwrap();
    assert_eq!(committed, vec![CommitOutcome::Committed; unreadable.len()]);

    // Nobody holds them and nobody is kept busy, by the clock that stands still.
    until(async || is_left_alone(&kit, &engine).await).await;
    for (number, ..) in &unreadable {
        let view = here.run(run(*number)).await.unwrap();
        assert_eq!(view.status, RunStatus::Running);
        let error = view.error.unwrap_or_default();
        assert_eq!(error["code"], code::QUARANTINED, "run {number}: {error}");
    }
    let listed = here.runs(RunFilter::default()).await.unwrap();
    assert_eq!(listed.items.len(), unreadable.len() + 1, "a list shows all");
    // Others go on.
    waiting(&kit, &here, &ProjectId::default_project(), "1h").await;

    // A message has it tried. What is still unreadable is set aside again.
    here.pause(run(1), None).await.unwrap();
    until(async || is_left_alone(&kit, &engine).await).await;
    assert_eq!(here.run(run(1)).await.unwrap().error.unwrap_or_default()["code"], code::QUARANTINED);

    // What can be read by now is gone on with: in a while by itself, and at once if somebody wants something of it.
    let definition = kit.store.definition(&project("there"), &unknown.meta.digest).await.unwrap().unwrap();
    let default = ProjectId::default_project();
    kit.store.keep_definition(&default, &unknown.meta.digest, &definition).await.unwrap();
    here.pause(run(5), None).await.unwrap();
    here.resume(run(5), None).await.unwrap();
    until(async || kit.store.messages_waiting(&default, run(5)).await.unwrap().is_none()).await;
    let view = here.run(run(5)).await.unwrap();
    assert_eq!((view.status, view.error), (RunStatus::Waiting, None));
    engine.shutdown(LEASE).await;
}

/// A run that waits: its record, and its first chunk.
async fn waiting(kit: &Kit, of: &Project, id: &ProjectId, delay: &str) -> (RunRecord, Chunk) {
    let name = slug("waits");
    let nodes = json!([{ "id": "pause", "type": "delay", "config": { "for": delay } }]);
    if of.workflow(&name).await.is_err() {
        of.create_workflow(&name, json!({ "name": "Waits", "nodes": nodes })).await.unwrap();
        of.publish(&name).await.unwrap();
    }
    let run = of.start_run(&name, StartRequest::new(json!(1))).await.unwrap().run;
    let stored = kit.store.run(id, run).await.unwrap().unwrap();
    (stored.record, stored.chunks.into_iter().next().unwrap())
}

/// Whether nothing is due, and nothing held by the engine.
async fn is_left_alone(kit: &Kit, engine: &Engine) -> bool {
    let claim = Claim { worker: bob(), limit: 0, suspects: 0, bytes: 0, messages: 0, lease: LEASE };
    let next = kit.store.claim(claim).await.unwrap().next_wake_up;
    let is_due = next.is_some_and(|next| next <= kit.clock.now());
    !is_due && kit.store.held(engine.worker()).await.unwrap().is_empty()
}

async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to be");
}
