//! Schedules: runs that the clock starts.
//!
//! ```text
//!   look: a schedule is due ─► take it ─► which slots start runs ─► fire: runs and the step past them, in one commit
//! ```
//!
//! Any number of workers may look at the same time: taking gives a schedule to one of them for as long as a lease lasts,
//! and should two have it all the same, or one come back from the dead, only one of them gets past the slot. The runs
//! are released as they are made, and claimed like any that is due.
//!
//! # Slots that were missed
//!
//! What becomes of slots that passed while nobody looked is for the schedule to say. Somebody looked when a slot came if
//! the worker that takes the schedule has been looking ever since: then the slot starts its run, however late it has
//! become meanwhile. That it was seen is noted when it is taken, so that it starts its run also when that worker dies
//! before it has fired. What came before is *missed*:
//!
//! | `catch_up` | of the missed slots |
//! | --- | --- |
//! | `skip` | none starts a run, but one that came within the last second before the worker began to look |
//! | `one` | the latest starts a run |
//! | `all` | each starts a run, in order, at most the latest [`MAX_CAUGHT_UP`] |
//!
//! A worker that has not got an answer from the store for [`UNBROKEN`] begins to look anew, and so does one whose store's
//! clock went forward by that. Where nobody looked between what was noted and what the worker saw itself, it fires up to
//! the end of the former, and then takes the schedule again. When the store's clock goes back, nothing is started twice: a
//! schedule is done with its slots up to a time, and that only grows.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Map;

use super::contained::contained;
use super::intake::NewRun;
use super::long_work::text_len;
use super::{EngineError, Inner, began, ended};
use crate::definition::{CatchUp, ScheduleTrigger, TriggerKind, ValidDefinition};
use crate::id::RunId;
use crate::run::RunEnd;
use crate::schedule::Schedule;
use crate::store::{FireSchedule, Hold, Seen, StartRun, StoreError, TakenSchedule, WakeUp};
use crate::time::Timestamp;

/// The most missed slots of a schedule that are caught up with.
pub(super) const MAX_CAUGHT_UP: usize = 1_000;
/// How long a worker may be without an answer from the store and still count as looking.
const UNBROKEN: Duration = Duration::from_secs(60);
/// How long ago a slot may have come when its worker began to look, and not count as missed.
const ON_TIME: Duration = Duration::from_secs(1);
/// The most schedules taken at once.
const TAKE_LIMIT: usize = 64;
/// How many schedules are fired at the same time.
const FIRED_AT_ONCE: usize = 8;
/// The most runs that are started in one commit; the schedule is due again at once where there are more.
const FIRE_LIMIT: usize = 50;
/// After how many bytes of histories no further run is added to a commit.
const FIRE_BYTES: usize = 4 * 1024 * 1024;
/// How long a worker that could not fire a schedule leaves those that come due to others: they may be able to, by a key
/// or a node type that it does not have.
const STAND_BACK: Duration = Duration::from_millis(250);
/// After which pauses firing is tried again.
const FIRE_AGAIN: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];

/// Since when a worker has been looking for what is due, without a break.
#[derive(Debug, Default)]
pub(super) struct Looking {
    since: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Looking {
    /// Notes that the store answered a look, and its time.
    pub(super) fn note(&mut self, now: Timestamp) {
        if self.last.is_none_or(|last| now.since(last) > UNBROKEN) {
            self.since = Some(now);
        }
        self.last = Some(now);
    }
}

/// Fires schedules whenever a look has found some that are due, until the engine stops. What it has begun to fire then, it
/// fires, as long as the engine waits for it.
pub(super) async fn fire_schedules(inner: Arc<Inner>) {
    let firing = async {
        let mut has_failed = false;
        while is_due(&inner, has_failed).await {
            loop {
                let Ok(_firing) = inner.firing.acquire().await else { return };
                if inner.stopping.drains() {
                    return;
                }
                let round = contained(fire_some(&inner)).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "could not fire schedules");
                    Some(Round { is_full: false, has_failed: true })
                });
                let Some(round) = round else { break };
                has_failed = round.has_failed;
                if !round.is_full {
                    break;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = inner.stopping.abandon.cancelled() => {}
        () = firing => {}
    }
}

/// Waits until schedules are due; `false` when the engine stops before.
async fn is_due(inner: &Inner, has_failed: bool) -> bool {
    let due = async {
        inner.schedules_due.notified().await;
        if has_failed {
            tokio::time::sleep(STAND_BACK).await;
        }
    };
    tokio::select! {
        biased;
        () = inner.stopping.drain.cancelled() => false,
        () = due => true,
    }
}

/// What came of firing some schedules.
struct Round {
    /// Whether there may be more.
    is_full: bool,
    has_failed: bool,
}

/// Fires what is due; `None` when there was nothing, or nobody could tell.
async fn fire_some(inner: &Arc<Inner>) -> Option<Round> {
    let since = inner.looking.lock().unwrap_or_else(PoisonError::into_inner).since;
    let since = since.unwrap_or_else(|| inner.time.now());
    let taking = inner.store.take_schedules(TAKE_LIMIT, inner.options.lease, since);
    let taken = match super::deadline::answer(inner.options.lease, taking).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::warn!(%error, "could not take schedules");
            return None;
        }
    };
    if taken.schedules.is_empty() {
        return None;
    }
    let view = View { since, now: taken.now };
    let is_full = taken.schedules.len() == TAKE_LIMIT;
    let firing = taken.schedules.into_iter().map(|schedule| async {
        let key = schedule.key.clone();
        let fired = contained(inner.fire(schedule, &view)).await.flatten();
        if let Err(error) = &fired {
            // It is due again when nobody has it any more.
            tracing::warn!(%error, project_id = %key.project, workflow = %key.workflow, trigger = key.trigger, "could not fire a schedule");
        }
        fired.is_err()
    });
    let failures = futures_util::stream::iter(firing).buffer_unordered(FIRED_AT_ONCE);
    let has_failed = failures.fold(false, |any, failed| std::future::ready(any || failed)).await;
    Some(Round { is_full, has_failed })
}

/// What a worker knows of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct View {
    /// Since when somebody has been looking.
    since: Timestamp,
    /// The store's time.
    now: Timestamp,
}

impl View {
    /// As it is where others saw something of a schedule before. What they saw and this worker did not is dealt with first,
    /// as if it were still then.
    fn with(self, seen: Seen, done_until: Timestamp) -> Self {
        if seen.until >= self.since {
            Self { since: self.since.min(seen.since), ..self }
        } else if seen.until > done_until {
            Self { since: seen.since, now: seen.until }
        } else {
            self
        }
    }
}

/// What becomes of the slots that have come.
#[derive(Debug, PartialEq)]
struct Due {
    /// Those that start runs, in order.
    slots: Vec<Timestamp>,
    /// Up to when all are dealt with then.
    done_until: Timestamp,
    /// When there is something to do next.
    wake_at: Option<Timestamp>,
}

impl Due {
    fn of(schedule: &Schedule, catch_up: CatchUp, done_until: Timestamp, view: &View) -> Self {
        let &View { since, now } = view;
        // A missed slot is one before the worker began to look.
        let missed_until = Timestamp::from_micros(since.as_micros().saturating_sub(1)).min(now);
        let caught_up = match catch_up {
            CatchUp::Skip | CatchUp::One => 1,
            CatchUp::All => MAX_CAUGHT_UP,
        };
        let mut slots = schedule.last_between(done_until, missed_until, caught_up);
        if catch_up == CatchUp::Skip {
            slots.retain(|slot| since.since(*slot) <= ON_TIME);
        }
        let seen = schedule.between(done_until.max(missed_until), now);
        slots.extend(seen.take((FIRE_LIMIT + 1).saturating_sub(slots.len())));
        let done_until = done_until.max(now);
        let mut due = Self { slots, done_until, wake_at: schedule.next_after(done_until) };
        due.keep(FIRE_LIMIT, view);
        due
    }

    /// Leaves all but the first `count` slots to the next time, which is now.
    fn keep(&mut self, count: usize, view: &View) {
        if count < self.slots.len() {
            self.slots.truncate(count);
            self.done_until = self.slots.last().copied().unwrap_or(self.done_until);
            self.wake_at = Some(view.now);
        }
    }
}

impl Inner {
    /// Starts the runs of a schedule's slots that have come.
    async fn fire(&self, taken: TakenSchedule, view: &View) -> Result<(), EngineError> {
        let TakenSchedule { key, turn, done_until, seen, version, digest } = taken;
        let reading = self.registry.definition(&self.store, &key.project, &digest);
        let definition = super::deadline::answer(self.options.lease, reading).await?;
        let Some(trigger) = schedule_trigger(&definition, &key.trigger) else {
            let message = format!("the published version has no schedule {:?}", key.trigger);
            return Err(EngineError::InvalidArgument { message });
        };
        let schedule = Schedule::new(trigger.cron.clone(), trigger.timezone.clone());
        let view = view.with(seen, done_until);
        let mut due = Due::of(&schedule, trigger.catch_up, done_until, &view);
        let bytes = text_len(&trigger.input);
        let (mut starts, mut ends, mut held) = (Vec::new(), Vec::new(), 0);
        for (slot, place) in due.slots.iter().zip(0..) {
            let new = NewRun {
                project: key.project.clone(),
                workflow: key.workflow.clone(),
                version: Some(version),
                definition: definition.clone(),
                trigger: Map::from_iter([
                    ("type".to_owned(), "schedule".into()),
                    ("id".to_owned(), (*key.trigger).into()),
                    ("slot".to_owned(), slot.to_string().into()),
                ]),
                input: Some((*trigger.input).clone()),
                bytes,
                test: false,
                dedupe: None,
                wait: None,
                prospect: None,
            };
            let (created_at, random) = self.origin()?;
            let run = RunId::made_together(created_at, place, random);
            let begun = self.begin_as(new, (run, created_at)).await?;
            held += begun.chunk.text.len();
            starts.push(begun.released(&self.worker));
            ends.push(begun.state.end().cloned());
            if held >= FIRE_BYTES {
                break;
            }
        }
        due.keep(starts.len(), &view);
        let Due { slots, done_until, wake_at } = due;
        let (last_at, starts) = (slots.last().copied(), starts.into());
        let fire = FireSchedule { key: key.clone(), turn, digest, done_until, wake_at, last_at, starts };
        let fired = self.fire_soon(&fire).await;
        if fired.as_ref().is_ok_and(|fired| *fired) {
            for (start, end) in fire.starts.iter().zip(&ends) {
                note_start(start, end.as_ref());
            }
            metrics::counter!("meshhook_schedule_slots_total").increment(slots.len() as u64);
        }
        if let Some(at) = wake_at {
            self.wake_by(WakeUp::At(at));
        }
        if !slots.is_empty() {
            self.look_soon();
        }
        fired?;
        Ok(())
    }

    /// Fires, a few times if need be: only one of the tries can take effect, whatever became of those before.
    async fn fire_soon(&self, fire: &FireSchedule) -> Result<bool, StoreError> {
        let mut pauses = FIRE_AGAIN.into_iter();
        loop {
            let firing = self.store.fire_schedule(fire.clone());
            match (super::deadline::answer(self.options.lease, firing).await, pauses.next()) {
                (Err(error), Some(pause)) if error.is_transient() => {
                    tracing::debug!(%error, "could not fire a schedule, trying again");
                    tokio::time::sleep(pause).await;
                }
                (answer, _) => return answer,
            }
        }
    }
}

/// Notes that a run came to be.
fn note_start(start: &StartRun, end: Option<&RunEnd>) {
    began(&start.meta);
    if let (Hold::End { .. }, Some(end)) = (&start.hold, end) {
        ended(&start.meta, end);
    }
}

fn schedule_trigger<'a>(definition: &'a ValidDefinition, id: &str) -> Option<&'a ScheduleTrigger> {
    definition.triggers().iter().find(|trigger| *trigger.id == *id).and_then(|trigger| match &trigger.kind {
        TriggerKind::Schedule(schedule) => Some(&**schedule),
        TriggerKind::Webhook(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Cron, Zone};

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    /// Which slots of `* * * * *` start runs, as minutes, and when there is something to do next.
    fn due(catch_up: CatchUp, done_until: &str, since: &str, now: &str) -> (Vec<i64>, Option<Timestamp>) {
        let schedule = Schedule::new(Cron::parse("* * * * *").unwrap(), Zone::utc());
        let view = View { since: at(since), now: at(now) };
        let due = Due::of(&schedule, catch_up, at(done_until), &view);
        assert!(due.wake_at.is_none_or(|wake_at| wake_at >= view.now));
        let minute = |slot: &Timestamp| slot.as_micros() / 60_000_000 % 1_440;
        (due.slots.iter().map(minute).collect(), due.wake_at)
    }

    const ALL: [CatchUp; 3] = [CatchUp::Skip, CatchUp::One, CatchUp::All];

    #[test]
    fn a_slot_that_came_while_the_worker_looked_starts_its_run() {
        for catch_up in ALL {
            assert_eq!(due(catch_up, "00:01:00", "00:00:30", "00:02:00"), (vec![2], Some(at("00:03:00"))));
            assert_eq!(due(catch_up, "00:01:00", "00:02:00", "00:02:59"), (vec![2], Some(at("00:03:00"))));
            assert_eq!(due(catch_up, "00:01:00", "00:00:30", "00:03:40").0, [2, 3], "however late");
            assert_eq!(due(catch_up, "00:01:10", "00:00:30", "00:01:50"), (vec![], Some(at("00:02:00"))));
        }
    }

    #[test]
    fn slots_that_came_before_are_missed() {
        let found = ALL.map(|catch_up| due(catch_up, "00:01:00", "00:04:30", "00:06:10").0);
        assert_eq!(found, [vec![5, 6], vec![4, 5, 6], vec![2, 3, 4, 5, 6]]);
        let found = ALL.map(|catch_up| due(catch_up, "00:01:00", "00:04:30", "00:04:30").0);
        assert_eq!(found, [vec![], vec![4], vec![2, 3, 4]]);
    }

    #[test]
    fn a_slot_that_came_just_before_is_not_skipped() {
        let found = ALL.map(|catch_up| due(catch_up, "00:01:00", "00:04:01", "00:04:02").0);
        assert_eq!(found, [vec![4], vec![4], vec![2, 3, 4]]);
        assert_eq!(due(CatchUp::Skip, "00:01:00", "00:04:01.000001", "00:04:02").0, [0; 0]);
    }

    #[test]
    fn what_somebody_saw_is_not_missed_whoever_comes_after() {
        // Who is asked began to look at 10:30. Another one had looked since 04:30, and took the schedule last at `until`.
        for (done_until, until, expected) in [
            // Both looked at the same time.
            ("00:03:00", "00:10:40", [vec![5, 6, 7, 8, 9, 10, 11], vec![4, 5, 6, 7, 8, 9, 10, 11]]),
            // There was a break in between: what was seen before comes first, and then what was missed after.
            ("00:03:00", "00:05:10", [vec![5], vec![4, 5]]),
            ("00:05:10", "00:05:10", [vec![11], vec![10, 11]]),
        ] {
            let view = View { since: at("00:10:30"), now: at("00:11:10") };
            let seen = Seen { since: at("00:04:30"), until: at(until) };
            let view = view.with(seen, at(done_until));
            let found = [CatchUp::Skip, CatchUp::One].map(|catch_up| {
                let schedule = Schedule::new(Cron::parse("* * * * *").unwrap(), Zone::utc());
                let due = Due::of(&schedule, catch_up, at(done_until), &view);
                due.slots.iter().map(|slot| slot.as_micros() / 60_000_000 % 1_440).collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{done_until} {until}");
        }
    }

    #[test]
    fn nothing_that_is_done_with_is_started_again() {
        // The store's clock went back.
        for catch_up in ALL {
            assert_eq!(due(catch_up, "01:00:00", "00:30:00", "00:40:00"), (vec![], Some(at("01:01:00"))));
        }
    }

    #[test]
    fn many_slots_are_started_part_by_part_and_the_latest_thousand_only() {
        let (mut done_until, mut started) = (at("00:00:00"), Vec::new());
        let schedule = Schedule::new(Cron::parse("* * * * *").unwrap(), Zone::utc());
        let view = View { since: at("20:00:30"), now: at("20:01:30") };
        loop {
            let due = Due::of(&schedule, CatchUp::All, done_until, &view);
            assert!(due.slots.len() <= FIRE_LIMIT);
            started.extend(due.slots);
            done_until = due.done_until;
            if due.wake_at != Some(view.now) {
                break;
            }
        }
        let expected: Vec<_> = schedule.between(at("03:20:00"), view.now).collect();
        assert_eq!(started.len(), MAX_CAUGHT_UP + 1);
        assert_eq!(started, expected);
    }

    #[test]
    fn looking_is_broken_by_a_long_silence() {
        let mut looking = Looking::default();
        for (now, since) in [
            ("00:00:00", "00:00:00"),
            ("00:00:59", "00:00:00"),
            ("00:01:59", "00:00:00"),
            ("00:03:00", "00:03:00"),
            ("00:02:00", "00:03:00"),
            ("00:02:30", "00:03:00"),
        ] {
            looking.note(at(now));
            assert_eq!(looking.since, Some(at(since)), "{now}");
        }
    }
}
