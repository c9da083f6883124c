use std::sync::Arc;

use meshhook_core::engine::{Engine, EngineError};
use meshhook_core::id::ProjectId;
use meshhook_core::secret::{MasterKey, SecretName, SecretValue, StaticKeys, key_of};
use meshhook_core::store::memory::MemoryStore;
use meshhook_core::store::{SecretRecord, SecretStore as _};
use meshhook_core::testing::VirtualClock;

fn key(byte: u8) -> MasterKey {
    MasterKey::from_bytes([byte; 32])
}

fn engine(store: &Arc<MemoryStore>, keys: StaticKeys) -> Engine {
    let clock = Arc::new(VirtualClock::new());
    Engine::builder(store.clone()).clock(clock).key_provider(Arc::new(keys)).start().unwrap()
}

async fn stored(store: &MemoryStore) -> Vec<SecretRecord> {
    store.secrets(&ProjectId::default_project()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn secrets_are_wrapped_under_the_active_key_and_stay_what_they_are() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    let old = engine(&store, StaticKeys::new(key(1)));
    let project = old.project(&ProjectId::default_project());
    for n in 0..250 {
        let name = SecretName::new(&format!("s{n}")).unwrap();
        project.set_secret(&name, &SecretValue::new(format!("correct-horse-{n}"))).await.unwrap();
    }
    let before = stored(&store).await;

    let both = engine(&store, StaticKeys::new(key(2)).with_older(key(1)));
    let project = both.project(&ProjectId::default_project());
    project.set_secret(&SecretName::new("new").unwrap(), &SecretValue::from("battery")).await.unwrap();
    let rotated = project.rotate_secrets().await.unwrap();
    assert_eq!((rotated.secrets, rotated.rewrapped), (251, 250));
    let again = project.rotate_secrets().await.unwrap();
    assert_eq!((again.secrets, again.rewrapped), (251, 0));

    let after = stored(&store).await;
    assert!(after.iter().all(|record| key_of(&record.sealed).unwrap() == key(2).id()));
    for record in &before {
        let kept = after.iter().find(|kept| kept.name == record.name).unwrap();
        assert_eq!((kept.version, kept.updated_at), (record.version, record.updated_at));
    }
    // Nothing asks for the old key any more.
    let new = engine(&store, StaticKeys::new(key(2)));
    let project = new.project(&ProjectId::default_project());
    assert_eq!(project.rotate_secrets().await.unwrap().rewrapped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_secret_under_an_unknown_key_does_not_keep_the_others() {
    let store = Arc::new(MemoryStore::new(Arc::new(VirtualClock::new())));
    for (byte, name) in [(1, "a"), (3, "b"), (1, "c")] {
        let project = engine(&store, StaticKeys::new(key(byte))).project(&ProjectId::default_project());
        project.set_secret(&SecretName::new(name).unwrap(), &SecretValue::from("battery")).await.unwrap();
    }
    let project =
        engine(&store, StaticKeys::new(key(2)).with_older(key(1))).project(&ProjectId::default_project());
    let error = project.rotate_secrets().await.unwrap_err();
    assert!(matches!(&error, EngineError::Vault { message } if message.contains("\"b\"")), "{error}");
    let under: Vec<_> = stored(&store).await.iter().map(|record| key_of(&record.sealed).unwrap()).collect();
    assert_eq!(under, [key(2).id(), key(3).id(), key(2).id()]);
}
