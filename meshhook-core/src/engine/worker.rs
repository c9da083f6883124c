//! The worker: keeps this process's lease, and claims what is not at home anywhere.
//!
//! ```text
//!   lease:  renew ── every third of it ──► renew …        could not renew in time: drop everything
//!   claim:  look ─► take over ─► look again at the next due time, when woken, or at the next poll
//! ```
//!
//! A look is one call of the store. It renews the lease, takes what is due or orphaned, names the held runs for which
//! others left messages, and says when the next run wakes up and the next [schedule](super::schedule) comes; so an idle
//! process makes one call for each poll interval.
//! The lease is renewed by itself only where no claim did so in time.
//!
//! What the store counts as held here is compared with what is in memory whenever a call may have taken something
//! without saying so, and again a lease later: a call that was given up can still reach the store after it was looked for.
//! A worker that holds something compares once in every lease anyway; an idle one has nothing to compare.
//!
//! What is due is for the store's clock to say: the next look is planned by the difference of two of its times, and a
//! claimed run finds itself due by the [same time](super::store_time).
//!
//! Being woken is a hint; looking at every poll alone would give the same result, later. Where no hints of other processes
//! are heard, whoever has found something looks again sooner, and each time after twice as long while there is nothing.
//!
//! The worker trusts its own clock only to stop *earlier*: when it could not renew its lease for as long as that lasts, it
//! drops what it holds, because others may have taken it over. The claim of each run refuses what it might still commit.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::contained::contained;
use super::deadline::answer;
use super::held::Place;
use super::runner::{Loaded, Runner};
use super::trouble::Trouble;
use super::{EngineError, Inner};
use crate::definition::ValidDefinition;
use crate::event::Event;
use crate::failure::{Failure, code};
use crate::run::{Fact, Replayed, RunMeta, replay};
use crate::store::{Claim, ClaimedRun, StoreError, WakeUp};
use crate::time::Timestamp;

/// The most runs taken in one look.
const CLAIM_LIMIT: usize = 64;
/// How many bytes of histories are enough for one look.
const CLAIM_BYTES: usize = 8 << 20;
/// The most runs with messages that are named in one look.
const MESSAGE_LIMIT: usize = 1_000;

/// Keeps the lease. While claims renew it in time, there is nothing to do.
pub(super) async fn keep_lease(inner: Arc<Inner>) {
    let every = inner.options.lease / 3;
    let trouble = Trouble::new("could not renew the lease", "the lease is renewed again");
    let mut next = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            () = inner.stopping.abandon.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        let fresh_until = inner.renewed_at() + every;
        if inner.leased.is_cancelled() && tokio::time::Instant::now() < fresh_until {
            next = fresh_until;
            continue;
        }
        let (began, before) = (tokio::time::Instant::now(), inner.time.by_own_clock());
        match answer(every, inner.store.renew(&inner.worker, inner.options.lease)).await {
            Ok(now) => {
                trouble.over();
                inner.time.learn(before, now);
                inner.note_renewal(began);
            }
            Err(error) => trouble.met(&error),
        }
        if !inner.lease_is_good() {
            inner.drop_everything();
        }
        let pause = if inner.lease_is_good() { every } else { every / 4 };
        next = tokio::time::Instant::now() + pause;
    }
}

/// Claims runs that are due or orphaned, until the engine stops.
pub(super) async fn claim_runs(inner: Arc<Inner>) {
    let mut patience = SHORTEST_PAUSE;
    let mut messages = Messages::default();
    let mut doubt = Doubt { since: tokio::time::Instant::now(), grew: false };
    loop {
        if doubt.has_lasted(&inner) {
            inner.reconcile.store(true, Ordering::Release);
        }
        let pause = match look(&inner, &mut messages).await {
            Look::MoreIsDue => Duration::ZERO,
            // What is due but was not claimed waits for room, or for a worker that may take suspects.
            Look::NextIn(pause) if pause.is_zero() => {
                let pause = patience;
                patience = (patience * 2).min(inner.options.poll);
                pause
            }
            Look::NextIn(pause) => {
                patience = SHORTEST_PAUSE;
                pause.max(SHORTEST_PAUSE)
            }
        };
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = inner.stopping.drain.cancelled() => return,
                () = inner.wake.notified() => {}
                // There may be messages, however short a while ago they were asked for.
                () = inner.store.hinted(&inner.worker) => messages.asked = None,
                () = tokio::time::sleep(pause) => {}
            }
        }
        if inner.stopping.drains() {
            return;
        }
    }
}

/// Whether the store may count more as held here than is known.
struct Doubt {
    /// When that was found out last.
    since: tokio::time::Instant,
    /// Whether anything was held since, or went wrong.
    grew: bool,
}

impl Doubt {
    /// Whether it is time to find out, a lease after the last time or after something went wrong.
    fn has_lasted(&mut self, inner: &Inner) -> bool {
        if inner.reconcile.load(Ordering::Acquire) {
            *self = Doubt { since: tokio::time::Instant::now(), grew: true };
        }
        self.grew |= *inner.held_count.borrow() > 0;
        let has_lasted = self.grew && self.since.elapsed() >= inner.options.lease;
        if has_lasted {
            *self = Doubt { since: tokio::time::Instant::now(), grew: false };
        }
        has_lasted
    }
}

/// When messages from other processes were asked for last, and how long to wait for what nobody hints at.
#[derive(Default)]
struct Messages {
    asked: Option<tokio::time::Instant>,
    pace: Duration,
}

impl Messages {
    /// How many runs with messages to ask for: none if that was done a moment ago, however often something is due.
    fn ask(&mut self, poll: Duration) -> usize {
        let now = tokio::time::Instant::now();
        if self.asked.is_some_and(|asked| now.duration_since(asked) < poll / 10) {
            return 0;
        }
        self.asked = Some(now);
        MESSAGE_LIMIT
    }

    /// How long to wait for what others leave or start and nobody hints at.
    fn pace(&mut self, has_found: bool, inner: &Inner) -> Duration {
        let poll = inner.options.poll;
        self.pace = if has_found { poll / 8 } else { (self.pace * 2).clamp(poll / 8, poll) };
        if inner.store.hears_hints() { poll } else { self.pace }
    }
}

/// What is to be done after a look.
enum Look {
    /// There may be more to claim right now.
    MoreIsDue,
    /// The next look is worth while after this time.
    NextIn(Duration),
}

/// Looks once at what is due and what others want.
async fn look(inner: &Arc<Inner>, messages: &mut Messages) -> Look {
    let poll = inner.options.poll;
    if inner.reconcile.swap(false, Ordering::AcqRel) {
        match reconcile(inner).await {
            Ok(()) => inner.lost_track.over(),
            Err(error) => {
                inner.lost_track.met(&error);
                inner.reconcile.store(true, Ordering::Release);
            }
        }
    }
    if inner.stopping.drains() {
        // What is taken now would only be handed back.
        return Look::NextIn(poll);
    }
    let room = inner.options.max_held_runs.saturating_sub(inner.held_count.borrow().to_owned());
    // What cannot be committed would only be held here. After a while one run shows whether it can.
    let limit = match inner.committer.full_since() {
        None => room.min(CLAIM_LIMIT),
        Some(since) if since.elapsed() < FULL_FOR => 0,
        Some(_) => room.min(1),
    };
    // One suspect at a time, and none before this worker has lived for a while: if it dies then, few others are blamed.
    let may_suspect =
        inner.born.elapsed() >= inner.options.suspect_after && inner.suspect.available_permits() > 0;
    let claim = Claim {
        worker: inner.worker.clone(),
        limit,
        suspects: usize::from(may_suspect),
        bytes: CLAIM_BYTES,
        messages: messages.ask(poll),
        lease: inner.options.lease,
    };
    let (began, before) = (tokio::time::Instant::now(), inner.time.by_own_clock());
    let claimed = match answer(inner.options.lease, inner.store.claim(claim)).await {
        Ok(claimed) => claimed,
        Err(error) => {
            inner.blind.met(&error);
            messages.asked = None;
            // Whatever the store says, whoever looks finds out what it took.
            inner.reconcile.store(true, Ordering::Release);
            return Look::NextIn(poll);
        }
    };
    inner.blind.over();
    inner.time.learn(before, claimed.now);
    inner.note_renewal(began);
    let pace = messages.pace(!claimed.runs.is_empty() || !claimed.messages.is_empty(), inner);
    *inner.looked.lock().unwrap_or_else(PoisonError::into_inner) = began;
    for (_, run) in claimed.messages {
        inner.poke_inbox(run);
    }
    inner.looking.lock().unwrap_or_else(PoisonError::into_inner).note(claimed.now);
    // A schedule that is due is not this task's to wait for.
    let next_schedule = claimed.next_schedule.filter(|at| *at > claimed.now);
    if claimed.next_schedule.is_some() && next_schedule.is_none() {
        inner.schedules_due.notify_one();
    }
    // Until when there is nothing to do, by the clock that decides what is due.
    let next = [claimed.next_wake_up, next_schedule].into_iter().flatten().min().unwrap_or(Timestamp::MAX);
    let next = inner.stand_back.get_up(next.min(claimed.now.after(pace)));
    *inner.planned.lock().unwrap_or_else(PoisonError::into_inner) = next;
    let bytes: usize = claimed.runs.iter().map(ClaimedRun::bytes).sum();
    let full = limit > 0 && (claimed.runs.len() == limit || bytes >= CLAIM_BYTES);
    metrics::counter!("meshhook_claims_total").increment(claimed.runs.len() as u64);
    for run in claimed.runs {
        take(inner, run);
    }
    if full { Look::MoreIsDue } else { Look::NextIn(next.since(claimed.now)) }
}

/// How long a store that had no room for a commit is believed to have none. Runs that are held try more often than that.
const FULL_FOR: Duration = Duration::from_secs(6);

/// The shortest time between two looks when nobody wakes the worker.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Gives back runs that the store counts as held here, but are not in memory.
async fn reconcile(inner: &Inner) -> Result<(), StoreError> {
    let within = inner.options.lease;
    let held = answer(within, inner.store.held(&inner.worker)).await?;
    let lost: Vec<_> = {
        let here = inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.into_iter().filter(|held| !here.contains_key(&held.run)).collect()
    };
    if !lost.is_empty() {
        tracing::info!(runs = lost.len(), "giving back runs that are not in memory");
        answer(within, inner.store.forget(&inner.worker, &lost, WakeUp::Now)).await?;
        inner.wake.notify_one();
    }
    Ok(())
}

fn take(inner: &Arc<Inner>, claimed: ClaimedRun) {
    let Some(place) = inner.reserve(claimed.record.meta.run) else {
        inner.reconcile_after(claimed.record.meta.run);
        return;
    };
    let owner = inner.clone();
    inner.tasks.spawn(async move {
        let suspicion = Suspicion::of(&owner, &claimed);
        let run = claimed.record.meta.run;
        let held = claimed.held();
        if let Err(error) = contained(own(&owner, &place, claimed, suspicion)).await.flatten() {
            if error.is_transient() {
                owner.unloaded.met(&error);
                owner.reconcile_after(run);
            } else {
                owner.set_aside(held, &error).await;
            }
        }
        drop(place);
    });
}

async fn own(
    inner: &Arc<Inner>,
    place: &Place,
    claimed: ClaimedRun,
    suspicion: Option<Suspicion>,
) -> Result<(), EngineError> {
    let meta = Arc::new(claimed.record.meta.clone());
    let reading = inner.registry.definition(&inner.store, &meta.project, &meta.digest);
    let definition = answer(inner.options.lease, reading).await?;
    let bytes = claimed.bytes();
    let (owner, known) = (inner.clone(), definition.clone());
    let loading = move || load(&owner, definition, &meta, &claimed);
    let (run, events) = inner.long_work.run(&known, bytes, loading).await?;
    inner.unloaded.over();
    Runner::new(inner.clone(), run, place.inbox.clone()).suspected(suspicion).take_over(events).await;
    Ok(())
}

/// A run that may kill its worker is in memory, and no other such run is taken meanwhile. It ends when the run has
/// advanced, which starts its strikes anew, or is gone; then the next one is taken at once: after a worker with many runs
/// has died twice, all of them are suspects.
#[derive(Debug)]
pub(super) struct Suspicion {
    inner: Arc<Inner>,
    permit: Option<OwnedSemaphorePermit>,
    /// The last event when the run was claimed.
    claimed_at: u64,
}

impl Suspicion {
    fn of(inner: &Arc<Inner>, claimed: &ClaimedRun) -> Option<Self> {
        if claimed.strikes < 2 {
            return None;
        }
        let permit = inner.suspect.clone().try_acquire_owned().ok()?;
        Some(Self { inner: inner.clone(), permit: Some(permit), claimed_at: claimed.last_seq() })
    }

    /// Whether a history up to this event has advanced since the claim: the claim's own event is no advance.
    pub(super) fn is_over(&self, last_seq: u64) -> bool {
        last_seq > self.claimed_at + 1
    }
}

impl Drop for Suspicion {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.inner.wake.notify_one();
    }
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
    let now = inner.time.now();
    if claimed.epoch > state.epoch() {
        tracing::info!(project_id = %meta.project, run_id = %meta.run, epoch = claimed.epoch, "took over");
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
    let (claim, status) = (claimed.claim, claimed.record.status);
    Ok((Loaded { definition, state, claim, hash, bytes, status }, events))
}
