//! One history: its chain, its order, and what it tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meshhook_core::event::{Chunk, Event, EventData, RunTrigger, genesis};
use meshhook_core::id::RunId;
use meshhook_core::time::Timestamp;

use super::Violation;
use crate::batch::digest;

/// What a history tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story {
    pub(crate) run: String,
    /// The delivery that started it.
    pub(crate) delivery: Option<String>,
    /// The item of that delivery that it is, if it has several.
    pub(crate) item: Option<ItemOfRun>,
    pub(crate) intents: BTreeMap<String, Intent>,
    pub(crate) ends: BTreeMap<String, End>,
    /// When it was taken over, in order.
    pub(crate) takeovers: Vec<Timestamp>,
    pub(crate) lateness: Vec<Duration>,
    /// When it was decided on, in order.
    pub(crate) decided: BTreeSet<Timestamp>,
    pub(crate) has_ended: bool,
    pub(crate) failed_with: Option<String>,
    pub(crate) events: usize,
}

/// The item that a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemOfRun {
    pub(crate) label: String,
    pub(crate) place: usize,
    /// SHA-256 of its canonical text.
    pub(crate) digest: [u8; 32],
}

impl ItemOfRun {
    /// What a run's trigger says of its item.
    fn of(trigger: &RunTrigger) -> Option<Self> {
        let place = usize::try_from(trigger.get("item")?.as_u64()?).ok()?;
        let body = trigger.body()?;
        let label = body["label"].as_str().unwrap_or_default().to_owned();
        Some(Self { label, place, digest: digest(body) })
    }
}

/// What a step was about to do.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) key: String,
    pub(crate) at: Timestamp,
}

/// The end of a step.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) at: Timestamp,
    pub(crate) succeeded: bool,
    pub(crate) attempts: usize,
}

/// The latest that a timer may fire: its worker may die, and the next one, and the database meanwhile. A run that waited as a
/// suspect is given that time from when it was taken: it stands behind all other suspects, and whoever may take one must
/// have lived for a while, which under many faults is seldom.
const LATEST: Duration = Duration::from_secs(90);

/// Reads the history of a run as it is stored.
pub(crate) fn read(run: RunId, chunks: &[Chunk]) -> (Story, Vec<Violation>) {
    let mut reading =
        Reading { story: Story { run: run.to_string(), ..Story::default() }, ..Reading::default() };
    let (mut hash, mut seq) = (genesis(run), 0);
    for chunk in chunks {
        match chunk.decode(hash, seq) {
            Ok(events) => events.iter().for_each(|event| reading.take(event)),
            Err(error) => {
                reading.object(3, error.to_string());
                break;
            }
        }
        (hash, seq) = (chunk.hash, chunk.last_seq);
    }
    if seq == 0 {
        reading.object(3, "no event");
    } else if !reading.story.has_ended {
        reading.object(2, "did not end");
    }
    (reading.story, reading.violations)
}

#[derive(Default)]
struct Reading {
    story: Story,
    violations: Vec<Violation>,
    epoch: u64,
    /// When somebody took it over from an owner that had taken it over, too, and had not advanced it.
    suspected: Option<Timestamp>,
    is_taken_over: bool,
    at: Option<Timestamp>,
    timers: BTreeMap<String, Timestamp>,
}

impl Reading {
    fn object(&mut self, invariant: u8, what: impl Into<String>) {
        self.violations.push(Violation::of(invariant, &self.story.run, what));
    }

    fn take(&mut self, event: &Event) {
        let (seq, kind) = (event.seq, event.data.kind());
        if self.story.has_ended {
            self.object(2, format!("{kind} at {seq} follows the end"));
        }
        if self.at.is_some_and(|before| event.at < before) {
            self.object(3, format!("{kind} at {seq} is earlier than the event before it"));
        }
        if (seq == 1) != matches!(event.data, EventData::RunCreated(_)) {
            self.object(3, format!("{kind} at {seq}"));
        }
        self.at = Some(event.at);
        self.story.decided.insert(event.at);
        self.story.events += 1;
        let step = event.step.as_ref().map(ToString::to_string).unwrap_or_default();
        let is_taken_over = matches!(event.data, EventData::RunClaimed { .. });
        match &event.data {
            EventData::RunCreated(created) => {
                self.story.delivery =
                    created.trigger.get("delivery_id").and_then(serde_json::Value::as_str).map(str::to_owned);
                self.story.item = ItemOfRun::of(&created.trigger);
            }
            EventData::RunClaimed { epoch, .. } => {
                if *epoch <= self.epoch {
                    self.object(6, format!("epoch {epoch} at {seq} follows {}", self.epoch));
                }
                // Whoever died before it wrote anything down has left a gap.
                if self.is_taken_over || *epoch > self.epoch.max(1) + 1 {
                    self.suspected = Some(event.at);
                }
                self.epoch = *epoch;
                self.story.takeovers.push(event.at);
            }
            EventData::StepStarted { idempotency_key, .. } => {
                let intent = Intent { key: idempotency_key.clone(), at: event.at };
                if self.story.intents.insert(step.clone(), intent).is_some() {
                    self.object(5, format!("{step} was started twice, again at {seq}"));
                }
            }
            EventData::StepSucceeded { attempts, .. } => self.end_step(event, &step, true, *attempts),
            EventData::StepFailed { attempts, .. } => self.end_step(event, &step, false, *attempts),
            EventData::TimerSet { at, .. } => {
                self.timers.insert(step, *at);
            }
            EventData::TimerFired { .. } => match self.timers.remove(&step) {
                None => self.object(7, format!("the timer of {step} fired at {seq} and was not set")),
                Some(due) if event.at < due => {
                    let early = due.since(event.at);
                    self.object(7, format!("the timer of {step} fired {early:?} early at {seq}"));
                }
                Some(due) => {
                    let late = event.at.since(due);
                    self.story.lateness.push(late);
                    if event.at.since(self.suspected.map_or(due, |suspected| suspected.max(due))) > LATEST {
                        self.object(7, format!("the timer of {step} fired {late:?} late at {seq}"));
                    }
                }
            },
            EventData::RunFailed { failure, .. } => {
                self.story.has_ended = true;
                self.story.failed_with = Some(failure.code.to_string());
            }
            EventData::RunSucceeded { .. } => self.story.has_ended = true,
            EventData::RunCancelled => {
                self.story.has_ended = true;
                self.story.failed_with = Some("cancelled".to_owned());
            }
            _ => {}
        }
        self.is_taken_over = is_taken_over;
    }

    fn end_step(&mut self, event: &Event, step: &str, succeeded: bool, attempts: Option<u32>) {
        let attempts = attempts.map_or(0, |attempts| attempts as usize);
        let end = End { at: event.at, succeeded, attempts };
        if self.story.ends.insert(step.to_owned(), end).is_some() {
            self.object(5, format!("{step} ended twice, again at {}", event.seq));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meshhook_core::event::{RunCreated, TimerPurpose};
    use meshhook_core::failure::Failure;
    use serde_json::{Value, json};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn created() -> EventData {
        let digest = "0".repeat(64).parse().unwrap();
        let trigger = json!({ "type": "webhook", "delivery_id": "d1" });
        let trigger = trigger.as_object().unwrap().clone().into();
        EventData::RunCreated(RunCreated::new(digest, trigger, Arc::new(Value::Null)))
    }

    fn succeeded() -> EventData {
        EventData::RunSucceeded { output: Arc::new(Value::Null), response: None }
    }

    fn step_succeeded() -> EventData {
        EventData::StepSucceeded { port: None, output: Arc::new(Value::Null), attempts: Some(2) }
    }

    /// Reads a history of one chunk per event; the step is `s` where there is one.
    fn violations(events: &[(i64, EventData)]) -> Vec<u8> {
        let run = RunId::new(at(0), [7; 8]);
        let mut chunks: Vec<Chunk> = Vec::new();
        for ((seconds, data), seq) in events.iter().zip(1..) {
            let is_of_run = matches!(data.kind().split_once('_'), Some(("run", _)));
            let step = (!is_of_run).then(|| "s".parse().unwrap());
            let event = Event::new(seq, at(*seconds), step, data.clone());
            let before = chunks.last().map_or(genesis(run), |chunk| chunk.hash);
            chunks.push(Chunk::encode(before, &[event]));
        }
        read(run, &chunks).1.into_iter().map(|violation| violation.invariant).collect()
    }

    #[test]
    fn a_sound_history_gives_no_offence() {
        let started = EventData::StepStarted { input: Arc::new(Value::Null), idempotency_key: "k".into() };
        let claimed = |epoch| EventData::RunClaimed { worker: "w".parse().unwrap(), epoch };
        let history = [
            (1, created()),
            (2, started),
            (3, claimed(2)),
            (4, claimed(3)),
            (5, step_succeeded()),
            (5, succeeded()),
        ];
        assert_eq!(violations(&history), Vec::<u8>::new());
    }

    #[test]
    fn every_kind_of_offence_is_found() {
        let claimed = |epoch| EventData::RunClaimed { worker: "w".parse().unwrap(), epoch };
        let timer = |seconds| EventData::TimerSet { at: at(seconds), purpose: TimerPurpose::Delay };
        let fired = EventData::TimerFired { at: at(5), purpose: TimerPurpose::Delay };
        let failed =
            EventData::RunFailed { failure: Failure::permanent("x", "y"), failed_step: None, response: None };
        for (events, invariant) in [
            (vec![(1, created())], 2),
            (vec![(1, created()), (2, succeeded()), (3, failed)], 2),
            (vec![(1, succeeded())], 3),
            (vec![(2, created()), (1, succeeded())], 3),
            (vec![(1, created()), (2, claimed(3)), (3, claimed(3)), (4, succeeded())], 6),
            (vec![(1, created()), (2, step_succeeded()), (3, step_succeeded()), (4, succeeded())], 5),
            (vec![(1, created()), (2, timer(5)), (4, fired.clone()), (5, succeeded())], 7),
            (vec![(1, created()), (4, fired.clone()), (5, succeeded())], 7),
            (vec![(1, created()), (2, timer(5)), (500, fired), (500, succeeded())], 7),
        ] {
            assert_eq!(violations(&events), [invariant], "{events:?}");
        }
    }

    #[test]
    fn a_timer_may_be_late_in_a_run_that_waited_as_a_suspect() {
        let claimed = |epoch| EventData::RunClaimed { worker: "w".parse().unwrap(), epoch };
        let timer = EventData::TimerSet { at: at(5), purpose: TimerPurpose::Delay };
        let fired = EventData::TimerFired { at: at(5), purpose: TimerPurpose::Delay };
        let told = |claims: &[(i64, u64)], seconds: i64| {
            let claims = claims.iter().map(|(seconds, epoch)| (*seconds, claimed(*epoch)));
            let end = [(seconds, fired.clone()), (seconds, succeeded())];
            let history: Vec<_> =
                [(1, created()), (2, timer.clone())].into_iter().chain(claims).chain(end).collect();
            violations(&history)
        };
        assert_eq!(told(&[(3, 2), (400, 3)], 401), [0; 0]);
        assert_eq!(told(&[(400, 3)], 401), [0; 0]);
        assert_eq!(told(&[(400, 2)], 401), [7]);
        assert_eq!(told(&[(3, 2), (400, 3)], 500), [7]);
    }

    #[test]
    fn a_broken_chain_is_found() {
        let run = RunId::new(at(0), [7; 8]);
        let first = Chunk::encode(genesis(run), &[Event::new(1, at(1), None, created())]);
        let third = Chunk::encode(first.hash, &[Event::new(3, at(1), None, succeeded())]);
        let (_, found) = read(run, &[first, third]);
        assert_eq!(found.iter().map(|violation| violation.invariant).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(read(run, &[]).1[0].invariant, 3);
    }
}
