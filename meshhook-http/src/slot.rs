//! At most so many attempts at one host at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::breaker::Target;

/// Hands out the places at hosts. A host is known only while somebody holds or awaits one of its places.
pub(crate) struct Slots {
    per_host: usize,
    hosts: Mutex<HashMap<Target, Arc<Semaphore>>>,
}

impl Slots {
    pub(crate) fn new(per_host: usize) -> Arc<Self> {
        Arc::new(Self { per_host: per_host.clamp(1, Semaphore::MAX_PERMITS), hosts: Mutex::default() })
    }

    /// Waits for a place.
    pub(crate) async fn acquire(self: &Arc<Self>, target: Target) -> Slot {
        let semaphore = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            hosts.entry(target.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))).clone()
        };
        // Made before waiting, so that an abandoned wait cleans up as well.
        let mut slot = Slot { slots: self.clone(), target, permit: None };
        slot.permit = semaphore.acquire_owned().await.ok();
        slot
    }
}

/// A place at a host; dropping it makes room.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    target: Target,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.permit = None;
        let mut hosts = self.slots.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.get(&self.target).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            hosts.remove(&self.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn places_are_limited_per_host_and_forgotten_when_free() {
        let slots = Slots::new(1);
        let (a, b) = (Target::sample("a"), Target::sample("b"));
        let first = slots.acquire(a.clone()).await;
        let other_host = slots.acquire(b).await;
        assert!(timeout(Duration::from_millis(20), slots.acquire(a.clone())).await.is_err());
        drop(first);
        drop(slots.acquire(a).await);
        drop(other_host);
        assert!(slots.hosts.lock().unwrap().is_empty());
    }
}
