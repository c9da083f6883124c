use super::Kit;
use super::fixture::*;
use crate::store::{Resealed, SecretRecord};

async fn put(kit: &Kit, name: &str, version: u64, sealed: &[u8]) -> bool {
    kit.store.put_secret(&acme(), name, version, sealed.to_vec(), kit.now()).await.unwrap()
}

async fn all(kit: &Kit) -> Vec<SecretRecord> {
    kit.store.secrets(&acme()).await.unwrap()
}

pub async fn a_secret_reads_back_as_set(kit: Kit) {
    let created_at = kit.now();
    let sealed: Vec<u8> = (0..=255).collect();
    assert!(put(&kit, "token", 1, &sealed).await);
    assert_eq!(all(&kit).await, [SecretRecord::new("token".into(), 1, sealed, created_at, created_at)]);
    let updated_at = kit.clock.advance(SECOND);
    assert!(put(&kit, "token", 2, &[]).await);
    assert_eq!(all(&kit).await, [SecretRecord::new("token".into(), 2, Vec::new(), created_at, updated_at)]);
}

pub async fn a_version_is_one_more_than_the_last(kit: Kit) {
    for wrong in [0, 2, u64::MAX] {
        assert!(!put(&kit, "token", wrong, b"no").await, "{wrong}");
    }
    assert!(put(&kit, "token", 1, b"one").await);
    for wrong in [0, 1, 3] {
        assert!(!put(&kit, "token", wrong, b"no").await, "{wrong}");
    }
    assert_eq!(kit.store.secret_version(&acme(), "token").await.unwrap(), 1);
    assert_eq!(all(&kit).await[0].sealed, b"one");
}

pub async fn a_removed_secret_is_gone_but_counts_on(kit: Kit) {
    assert!(put(&kit, "token", 1, b"one").await);
    assert!(put(&kit, "token", 2, b"two").await);
    assert!(kit.store.delete_secret(&acme(), "token").await.unwrap());
    assert!(all(&kit).await.is_empty());
    assert_eq!(kit.store.secret_version(&acme(), "token").await.unwrap(), 2);
    assert!(!put(&kit, "token", 1, b"no").await);
    let at = kit.clock.advance(SECOND);
    assert!(put(&kit, "token", 3, b"three").await);
    assert_eq!(all(&kit).await, [SecretRecord::new("token".into(), 3, b"three".to_vec(), at, at)]);
}

pub async fn removing_nothing_is_false(kit: Kit) {
    assert!(!kit.store.delete_secret(&acme(), "token").await.unwrap());
    assert!(put(&kit, "token", 1, b"one").await);
    assert!(kit.store.delete_secret(&acme(), "token").await.unwrap());
    assert!(!kit.store.delete_secret(&acme(), "token").await.unwrap());
}

pub async fn secrets_are_listed_by_name(kit: Kit) {
    for name in ["b", "_a", "Z", "a"] {
        assert!(put(&kit, name, 1, b"x").await);
    }
    let names: Vec<String> = all(&kit).await.into_iter().map(|record| record.name).collect();
    assert_eq!(names, ["Z", "_a", "a", "b"]);
}

async fn reseal(kit: &Kit, batch: &[(&str, u64, &[u8])]) -> usize {
    let resealed = |(name, version, sealed): &(&str, u64, &[u8])| Resealed {
        name: (*name).to_owned(),
        version: *version,
        sealed: sealed.to_vec(),
    };
    kit.store.reseal_secrets(&acme(), batch.iter().map(resealed).collect()).await.unwrap()
}

pub async fn a_seal_is_replaced_without_a_new_version(kit: Kit) {
    let at = kit.now();
    assert!(put(&kit, "a", 1, b"one").await && put(&kit, "b", 1, b"one").await);
    kit.clock.advance(SECOND);
    assert_eq!(reseal(&kit, &[("a", 1, b"other"), ("b", 1, b"another")]).await, 2);
    let record = |name: &str, sealed: &[u8]| SecretRecord::new(name.into(), 1, sealed.to_vec(), at, at);
    assert_eq!(all(&kit).await, [record("a", b"other"), record("b", b"another")]);
    assert_eq!(reseal(&kit, &[]).await, 0);
    assert!(put(&kit, "a", 2, b"two").await);
}

pub async fn a_seal_of_another_version_is_left_alone(kit: Kit) {
    let other = project("beta");
    assert!(put(&kit, "a", 1, b"one").await && put(&kit, "a", 2, b"two").await);
    assert!(put(&kit, "gone", 1, b"one").await);
    assert!(kit.store.delete_secret(&acme(), "gone").await.unwrap());
    assert!(kit.store.put_secret(&other, "b", 1, b"one".to_vec(), kit.now()).await.unwrap());
    let stale = [("a", 1, &b"x"[..]), ("a", 3, b"x"), ("gone", 1, b"x"), ("never", 0, b"x"), ("b", 1, b"x")];
    assert_eq!(reseal(&kit, &stale).await, 0);
    assert_eq!(all(&kit).await.iter().map(|record| record.sealed.clone()).collect::<Vec<_>>(), [b"two"]);
    assert_eq!(kit.store.secrets(&other).await.unwrap()[0].sealed, b"one");
}
