//! The worker: keeps this process's lease, and claims what is not at home anywhere.
//!
//! ```text
//!   lease:  renew ── every third of it ──► renew …        could not renew in time: drop everything
//!   claim:  look ─► claim ─► take over ─► look again at the next due time, when woken, or at the next poll
//! ```
//!
//! Being woken is a hint; looking at every poll alone would give the same result, later. The worker trusts its own
//! clock only to stop *earlier*: when it could not renew its lease for as long as that lasts, it drops what it holds,
//! because others may have taken it over. The epoch refuses what it might still commit.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::runner::{Loaded, Runner};
use super::{EngineError, Inner, Place};
use crate::definition::ValidDefinition;
use crate::event::{Event, EventData};
use crate::failure::{Failure, code};
use crate::run::{Fact, Replayed, RunMeta, replay};
use crate::store::{Claim, ClaimedRun, StoreError};
use crate::time::Timestamp;

/// The most runs taken in one look.
const CLAIM_LIMIT: usize = 64;

/// Keeps the lease.
pub(super) async fn keep_lease(inner: Arc<Inner>) {
    let every = inner.options.lease / 3;
    loop {
        let renewing = tokio::time::Instant::now();
        match tokio::time::timeout(every, inner.store.renew(&inner.worker, inner.options.lease)).await {
            Ok(Ok(())) => {
                // A process that stood still for longer than its lease may have lost runs without noticing.
                let lapsed = !inner.lease_is_good() && inner.leased.is_cancelled();
                *inner.renewed.lock().unwrap_or_else(PoisonError::into_inner) = renewing;
                inner.leased.cancel();
                if lapsed {
                    drop_everything(&inner);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "could not renew the lease"),
            Err(_) => tracing::warn!("renewing the lease took too long"),
        }
        if !inner.lease_is_good() {
            drop_everything(&inner);
        }
        let pause = if inner.lease_is_good() { every } else { every / 4 };
        tokio::select! {
            biased;
            () = inner.stopping.abandon.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Stops believing in what this worker holds. Its runs are loaded again by whoever claims them.
fn drop_everything(inner: &Inner) {
    let held = inner.held.lock().unwrap_or_else(PoisonError::into_inner);
    if !held.is_empty() {
        tracing::error!(runs = held.len(), "the lease is lost: dropping all runs");
    }
    drop(held);
    inner.lost.send_modify(|generation| *generation += 1);
    inner.reconcile_soon();
}

/// Claims runs that are due or orphaned, until the engine stops.
pub(super) async fn claim_runs(inner: Arc<Inner>) {
    let mut patience = SHORTEST_PAUSE;
    loop {
        let more = look(&inner).await;
        if !more {
            let due_in = plan(&inner).await;
            // What is due but was not claimed waits for room, or is not due yet by the store's clock.
            let pause = if due_in.is_zero() { patience } else { due_in.max(SHORTEST_PAUSE) };
            patience = if due_in.is_zero() { (patience * 2).min(inner.options.poll) } else { SHORTEST_PAUSE };
            tokio::select! {
                biased;
                () = inner.stopping.drain.cancelled() => return,
                () = inner.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if inner.stopping.drains() {
            return;
        }
    }
}

/// Looks once; whether there may be more to claim right now.
async fn look(inner: &Arc<Inner>) -> bool {
    if inner.reconcile.swap(false, Ordering::AcqRel)
        && let Err(error) = reconcile(inner).await
    {
        tracing::warn!(%error, "could not look up what this worker holds");
        inner.reconcile.store(true, Ordering::Release);
    }
    pass_messages(inner).await;
    let room = inner.options.max_held_runs.saturating_sub(inner.held_count.borrow().to_owned());
    let limit = room.min(CLAIM_LIMIT);
    if limit == 0 || !inner.lease_is_good() {
        return false;
    }
    // One suspect at a time, and none before this worker has lived for a while: if it dies then, few others are blamed.
    let may_suspect =
        inner.born.elapsed() >= inner.options.suspect_after && inner.suspect.available_permits() > 0;
    let suspects = usize::from(may_suspect);
    let claim = Claim { worker: inner.worker.clone(), limit, suspects, lease: inner.options.lease };
    let claimed = match inner.store.claim(claim).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::warn!(%error, "could not claim runs");
            if error.is_outcome_unknown() {
                inner.reconcile.store(true, Ordering::Release);
            }
            return false;
        }
    };
    let full = claimed.len() == limit;
    metrics::counter!("meshhook_claims_total").increment(claimed.len() as u64);
    for run in claimed {
        take(inner, run);
    }
    full
}

/// The shortest time between two looks when nobody wakes the worker.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// How long it is until something is due, or the next poll.
async fn plan(inner: &Inner) -> Duration {
    let poll = inner.options.poll;
    let next = inner.store.next_wake_up().await.ok().flatten();
    let now = inner.clock.now();
    let next = next.unwrap_or(Timestamp::MAX).min(now.after(poll));
    *inner.planned.lock().unwrap_or_else(PoisonError::into_inner) = next;
    next.since(now)
}

/// Wakes the owners of runs that have messages from other processes.
async fn pass_messages(inner: &Inner) {
    match inner.store.messages(&inner.worker).await {
        Ok(items) => {
            for item in items {
                inner.poke_inbox(item.run);
            }
        }
        Err(error) => tracing::warn!(%error, "could not read inboxes"),
    }
}

/// Gives back runs that the store counts as held here, but are not in memory.
async fn reconcile(inner: &Inner) -> Result<(), StoreError> {
    let held = inner.store.held(&inner.worker).await?;
    let lost: Vec<_> = {
        let here = inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.into_iter().filter(|(_, run)| !here.contains_key(run)).collect()
    };
    if !lost.is_empty() {
        tracing::info!(runs = lost.len(), "giving back runs that are not in memory");
        inner.store.forget(&inner.worker, &lost).await?;
        inner.wake.notify_one();
    }
    Ok(())
}

fn take(inner: &Arc<Inner>, claimed: ClaimedRun) {
    let Some(place) = inner.reserve(claimed.meta.run) else {
        inner.reconcile_after(claimed.meta.run);
        return;
    };
    let owner = inner.clone();
    inner.tasks.spawn(async move {
        let _suspect = if claimed.strikes >= 2 { owner.suspect.clone().try_acquire_owned().ok() } else { None };
        let run = claimed.meta.run;
        let (project, epoch) = (claimed.meta.project.clone(), claimed.epoch);
        if let Err(error) = own(&owner, &place, claimed).await {
            if error.is_transient() {
                tracing::warn!(%error, run_id = %run, "could not load a claimed run");
                owner.reconcile_after(run);
            } else {
                tracing::error!(error = &error as &dyn std::error::Error, run_id = %run, "a run cannot be gone on with");
                metrics::counter!("meshhook_runs_unreadable_total").increment(1);
                owner.set_aside(&project, run, epoch).await;
            }
        }
        drop(place);
    });
}

async fn own(inner: &Arc<Inner>, place: &Place, claimed: ClaimedRun) -> Result<(), EngineError> {
    let meta = Arc::new(claimed.meta.clone());
    let definition = inner.registry.definition(&inner.store, &meta.project, &meta.digest).await?;
    let bytes = claimed.chunks.iter().map(|chunk| chunk.text.len()).sum();
    let (owner, known) = (inner.clone(), definition.clone());
    let loading = move || load(&owner, definition, &meta, &claimed);
    let (run, events) = inner.long_work.run(&known, bytes, loading).await?;
    Runner::new(inner.clone(), run, place.inbox.clone()).take_over(events).await;
    Ok(())
}

/// Decides a claimed run's history again, and what the claim means for it.
fn load(
    inner: &Inner,
    definition: ValidDefinition,
    meta: &Arc<RunMeta>,
    claimed: &ClaimedRun,
) -> Result<(Loaded, Vec<Event>), EngineError> {
    let replayed = replay(&definition, meta.clone(), &claimed.chunks).map_err(EngineError::Unreadable)?;
    let Replayed { mut state, hash, bytes, .. } = replayed;
    let mut events = Vec::new();
    let now = inner.clock.now();
    if claimed.epoch > state.epoch() {
        let fact = Fact::Claimed { worker: inner.worker.clone(), epoch: claimed.epoch };
        events.extend(state.decide(&definition, fact, now).unwrap_or_default());
    }
    if claimed.strikes >= inner.options.quarantine_after && state.end().is_none() {
        let message = format!("{} workers died one after the other holding the run", claimed.strikes);
        let failure = Failure::permanent(code::QUARANTINED, message);
        events.extend(state.decide(&definition, Fact::Aborted { failure }, now).unwrap_or_default());
        tracing::error!(project_id = %meta.project, run_id = %meta.run, strikes = claimed.strikes, "quarantined a run");
        metrics::counter!("meshhook_runs_quarantined_total").increment(1);
    }
    debug_assert!(events.iter().all(|event| !matches!(event.data, EventData::RunCreated(_))));
    Ok((Loaded { definition, state, hash, bytes }, events))
}
