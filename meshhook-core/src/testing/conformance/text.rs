use std::time::Duration;

use serde_json::json;

use super::Kit;
use super::fixture::*;
use crate::event::{Chunk, ChunkHash, RunStatus};
use crate::failure::Failure;
use crate::store::{AdvanceRun, Commit, CommitOutcome, CreateWorkflow, Dedupe, Hold, Message, StartRun};
use crate::time::Timestamp;

const ODD: [&str; 6] = [
    "",
    "\0",
    "a\0b",
    "'; DROP TABLE runs; --",
    "\u{1F980}\u{FFFF}\u{E000}e\u{301}\u{202E}",
    "\\u0000\"\n\r\t\u{7F}",
];

fn texts(first: u64, text: &str) -> Chunk {
    Chunk::from_parts(first, first, text.into(), ChunkHash([0xFF; 32]))
}

pub async fn large_texts_are_kept_byte_for_byte(kit: Kit) {
    let large = "0123456789abcdeé".repeat(64 << 10);
    assert!(large.len() > 1 << 20);
    kit.committed(StartRun { chunk: texts(1, &large), ..start(1) }).await;
    kit.committed(AdvanceRun { chunk: Some(texts(2, &large)), ..advance(1, 2) }).await;
    assert!(kit.history(1).await.iter().all(|chunk| chunk.text == large));
    assert_eq!(kit.claim_one(&bob()).await.chunks.len(), 2);
}

pub async fn odd_characters_are_kept_byte_for_byte(kit: Kit) {
    for (n, text) in (1..).zip(ODD) {
        let dedupe = Dedupe {
            scope: text.into(),
            key: text.into(),
            fingerprint: [9; 32],
            window: Duration::from_secs(9),
        };
        let keyed = |n| StartRun { dedupe: Some(dedupe.clone()), chunk: texts(1, text), ..start(n) };
        kit.committed(keyed(n)).await;
        let expected = CommitOutcome::Duplicate { run: run(n), same: true };
        assert_eq!(kit.commit(keyed(100 + n)).await, expected, "{text:?}");
        assert_eq!(kit.history(n).await[0].text, text);
        let failure = Failure::permanent("odd", text).with_details(json!({ text: text }));
        let hold = Hold::End { status: RunStatus::Failed, at: kit.now(), failure: Some(failure.clone()) };
        kit.committed(AdvanceRun { hold, ..advance(n, 2) }).await;
        assert_eq!(kit.record(n).await.failure, Some(failure));
        assert!(kit.store.put_secret(&acme(), text, 1, text.into(), kit.now()).await.unwrap());
        kit.store.keep_definition(&acme(), &digest('a'), text).await.unwrap();
    }
    let secrets = kit.store.secrets(&acme()).await.unwrap();
    assert_eq!(secrets.len(), ODD.len());
    assert!(secrets.iter().all(|secret| secret.sealed == secret.name.as_bytes()));
}

pub async fn the_ends_of_time_are_kept(kit: Kit) {
    for (n, at) in [(1, Timestamp::MIN), (2, Timestamp::EPOCH), (3, Timestamp::MAX)] {
        let mut start = start_ended(n, RunStatus::Succeeded);
        start.meta.created_at = at;
        start.hold = end(RunStatus::Succeeded, at);
        kit.committed(start).await;
        let record = kit.record(n).await;
        assert_eq!((record.meta.created_at, record.finished_at), (at, Some(at)));
    }
    kit.committed(start_released(4, Some(Timestamp::MAX))).await;
    assert_eq!(kit.next_wake_up().await, Some(Timestamp::MAX));
    assert!(kit.claim(&bob()).await.is_empty());
    kit.committed(start_released(5, Some(Timestamp::MIN))).await;
    assert_eq!(kit.claim_one(&bob()).await.record.meta.run, run(5));
    kit.store.renew(&ann(), Duration::MAX).await.unwrap();
    kit.committed(start(6)).await;
    kit.clock.set(Timestamp::MAX.before(Duration::from_micros(1)));
    let claimed = kit.claim(&worker("carl")).await;
    assert_eq!(ids(&claimed), [run(5)]);
}

pub async fn large_messages_and_drafts_are_kept(kit: Kit) {
    let large = "\u{1F980}\0".repeat(200 << 10);
    kit.committed(start(1)).await;
    let message = Message::Event { name: "big".into(), key: None, payload: json!({ "big": large }) };
    kit.post(1, message.clone()).await;
    assert_eq!(kit.waiting(1).await[0].message, message);
    let create = CreateWorkflow { project: acme(), slug: slug("big"), draft: large.clone(), at: kit.now() };
    kit.store.create_workflow(create).await.unwrap();
    assert_eq!(kit.store.workflow(&acme(), &slug("big")).await.unwrap().unwrap().draft, large);
}

pub async fn many_runs_in_one_batch_are_kept(kit: Kit) {
    let batch: Vec<Commit> = (1..=1_000).map(|n| start_released(n, Some(kit.now())).into()).collect();
    assert!(kit.commit_all(batch).await.iter().all(|outcome| *outcome == CommitOutcome::Committed));
    let claimed = kit.claim_some(&bob(), 1_000, 0).await;
    assert_eq!(claimed.len(), 1_000);
    let advances = claimed.iter().map(|claimed| advance_claimed(claimed, bob()).into()).collect();
    assert!(kit.commit_all(advances).await.iter().all(|outcome| *outcome == CommitOutcome::Committed));
}
