//! The checks after a simulation: the store, the clients' ledger and the effects' ledger must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::client::{Answer, ClientLedger, StartEntry};
use super::coverage::Coverage;
use super::probe::probe;
use super::random::Random;
use super::world::{Counters, Execution, World, lock};
use crate::definition::ValidDefinition;
use crate::event::{Chunk, Event, EventData, RunStatus, encode_events};
use crate::id::{Digest, RunId, StepKey};
use crate::run::RunMeta;
use crate::run::{Replayed, replay, verify};
use crate::store::memory::Inspected;

/// Checks everything that was left behind.
pub(super) struct Checker<'a> {
    pub(super) world: &'a World,
    pub(super) definitions: &'a BTreeMap<Digest, ValidDefinition>,
    pub(super) coverage: Coverage,
}

impl Checker<'_> {
    pub(super) fn check(&mut self, clients: &ClientLedger) {
        let executions = lock(&self.world.executions).clone();
        let mut keys: BTreeMap<String, (RunId, StepKey)> = BTreeMap::new();
        for run in self.world.runs() {
            let Some(found) = self.world.store.inspect(&self.world.project, run) else { continue };
            let Some(definition) = self.definitions.get(&found.record.meta.digest).cloned() else { continue };
            let chunks = self.world.store.inspect_chunks(&self.world.project, run, 0);
            let of_run: Vec<&Execution> = executions.iter().filter(|one| one.run == run).collect();
            if let Some(replayed) = self.check_history(&definition, &found, &chunks) {
                self.check_order(run, &found, &replayed.events);
                self.check_record(run, &found, &replayed);
                self.check_timers(run, &found, &chunks);
                self.check_effects(run, &replayed, &of_run, &mut keys);
                for event in &replayed.events {
                    self.coverage.count_event(&definition, event);
                }
            }
        }
        self.check_starts(clients);
        self.check_events(clients);
    }

    fn breaks(&self, invariant: &'static str, run: RunId, what: impl Into<String>) {
        self.world.breaks(invariant, Some(run), what);
    }

    /// INV-3, INV-4: the chain holds, and the rules give the history again, whole and from every cut.
    fn check_history(
        &mut self,
        definition: &ValidDefinition,
        found: &Inspected,
        chunks: &[Chunk],
    ) -> Option<Replayed> {
        let meta = Arc::new(found.record.meta.clone());
        let run = meta.run;
        let replayed = match replay(definition, meta.clone(), chunks) {
            Ok(replayed) => replayed,
            Err(error) => {
                self.breaks("INV-4", run, format!("the history does not replay: {error:?}"));
                return None;
            }
        };
        for chunk in chunks {
            let first = usize::try_from(chunk.first_seq - 1).unwrap_or(usize::MAX);
            let last = usize::try_from(chunk.last_seq).unwrap_or(usize::MAX);
            if encode_events(&replayed.events[first..last]) != chunk.text {
                self.breaks(
                    "INV-4",
                    run,
                    format!("events {first}..{last} do not encode as they were stored"),
                );
            }
        }
        match verify(definition, meta.clone(), &replayed.events) {
            Ok(state) if format!("{state:?}") == format!("{:?}", replayed.state) => {}
            _ => self.breaks("INV-4", run, "a second replay gives another state"),
        }
        let mut random = Random::of(self.world.seed, &format!("probe {run}"));
        // Every cut is where a process may have died; a few of them are looked at closely.
        for _ in 0..2.min(chunks.len()) {
            let cut = usize::try_from(random.pick(chunks).last_seq).unwrap_or(usize::MAX);
            self.check_cut(definition, &meta, &replayed.events[..cut], &mut random);
        }
        Some(replayed)
    }

    fn check_cut(
        &mut self,
        definition: &ValidDefinition,
        meta: &Arc<RunMeta>,
        events: &[Event],
        random: &mut Random,
    ) {
        match verify(definition, meta.clone(), events) {
            Ok(state) => {
                if state.end().is_none() && state.outstanding(definition).is_empty() {
                    self.breaks("INV-11", meta.run, format!("nothing is owed after event {}", state.seq()));
                }
                if let Err(what) = probe(definition, &state, events, random, &mut self.coverage) {
                    self.breaks("INV-4", meta.run, what);
                }
            }
            Err(error) => self.breaks("INV-4", meta.run, format!("cut at {}: {error:?}", events.len())),
        }
    }

    /// INV-2, INV-3, INV-6: positions, times, ends and epochs follow each other.
    fn check_order(&self, run: RunId, found: &Inspected, events: &[Event]) {
        let (mut epoch, mut ended, mut last_at) = (1, None, events[0].at);
        for (event, seq) in events.iter().zip(1..) {
            if event.seq != seq {
                self.breaks("INV-3", run, format!("event {} stands at {seq}", event.seq));
            }
            if event.at < last_at {
                self.breaks("INV-3", run, format!("event {seq} is earlier than the one before"));
            }
            last_at = event.at;
            match (&event.data, ended) {
                (EventData::RunRetried { .. }, Some(RunStatus::Failed)) => ended = None,
                (EventData::RunClaimed { .. }, _) | (_, None) => {}
                (_, Some(_)) => self.breaks("INV-2", run, format!("event {seq} follows the end")),
            }
            match &event.data {
                EventData::RunClaimed { epoch: next, .. } => {
                    if *next <= epoch {
                        self.breaks("INV-6", run, format!("event {seq} has epoch {next} after {epoch}"));
                    }
                    epoch = *next;
                }
                EventData::RunSucceeded { .. } => ended = Some(RunStatus::Succeeded),
                EventData::RunFailed { .. } => ended = Some(RunStatus::Failed),
                EventData::RunCancelled => ended = Some(RunStatus::Cancelled),
                _ => {}
            }
        }
        if found.epoch < epoch {
            self.breaks("INV-6", run, format!("the store has epoch {}, the history {epoch}", found.epoch));
        }
        let quarantined = events.iter().any(
            |event| matches!(&event.data, EventData::RunFailed { failure, .. } if failure.code == "quarantined"),
        );
        let silent = Counters::of(&self.world.counters.kills) + Counters::of(&self.world.counters.freezes);
        let least = u64::from(self.world.profile.options.quarantine_after);
        if quarantined && silent < least && !self.world.profile.store_faults {
            self.breaks("QUARANTINE", run, format!("quarantined after {silent} kills"));
        }
    }

    fn check_record(&self, run: RunId, found: &Inspected, replayed: &Replayed) {
        let (record, end) = (&found.record, replayed.state.end());
        if let Some(end) = end
            && found.holder.is_none()
            && found.wake_at.is_none()
            && (record.status, record.finished_at) != (end.status, Some(end.at))
        {
            self.breaks("INV-2", run, format!("the record says {:?}, the history {end:?}", record.status));
        }
        if end.is_none() && found.holder.is_none() {
            match found.wake_at {
                None => self.breaks("INV-11", run, "nobody holds the run and it has no wake-up time"),
                Some(_) if record.status.is_terminal() => {
                    self.breaks("INV-11", run, "the record says that the run ended");
                }
                Some(_) => {}
            }
        }
    }

    /// INV-7: no timer fires before its time by the store's clock.
    fn check_timers(&self, run: RunId, found: &Inspected, chunks: &[Chunk]) {
        let profile = &self.world.profile;
        if profile.store_steps {
            return;
        }
        for (chunk, commit) in chunks.iter().zip(&found.commits) {
            for event in chunk.events().unwrap_or_default() {
                if let EventData::TimerFired { at, .. } = event.data
                    && (event.at < at || commit.at.after(profile.clocks_off()) < at)
                {
                    let what = format!("event {}: a timer for {at} fired at {}", event.seq, commit.at);
                    self.breaks("INV-7", run, what);
                }
            }
        }
    }

    /// INV-5: one key for each step, different from all others; the same request in every attempt.
    fn check_effects(
        &self,
        run: RunId,
        replayed: &Replayed,
        executions: &[&Execution],
        keys: &mut BTreeMap<String, (RunId, StepKey)>,
    ) {
        let mut configs: BTreeMap<(&str, i64), &str> = BTreeMap::new();
        for one in executions {
            let place = (run, one.step.clone());
            if *keys.entry(one.key.clone()).or_insert_with(|| place.clone()) != place {
                self.breaks("INV-5", run, format!("the key of {} belongs to another step too", one.step));
            }
            let before = *configs.entry((&one.key, one.decided_at.as_micros())).or_insert(&one.config);
            if before != one.config {
                self.breaks(
                    "INV-5",
                    run,
                    format!("{} asked for {before}, then for {}", one.step, one.config),
                );
            }
        }
        let mut started: BTreeMap<&StepKey, &str> = BTreeMap::new();
        let mut performed: BTreeSet<(&StepKey, u32)> = BTreeSet::new();
        for event in &replayed.events {
            let Some(step) = &event.step else { continue };
            match &event.data {
                EventData::StepStarted { idempotency_key, .. }
                    if *started.entry(step).or_insert(idempotency_key) != idempotency_key =>
                {
                    self.breaks("INV-5", run, format!("{step} has two keys"));
                }
                EventData::StepSucceeded { attempts: Some(attempt), .. } => {
                    performed.insert((step, *attempt));
                    if !executions.iter().any(|one| one.step == *step && one.attempt == *attempt) {
                        self.breaks("INV-5", run, format!("{step} succeeded without being performed"));
                    }
                }
                _ => {}
            }
        }
        let interrupted = {
            let counters = &self.world.counters;
            Counters::of(&counters.kills)
                + Counters::of(&counters.freezes)
                + Counters::of(&counters.shutdowns)
        };
        let mut repeated: BTreeMap<(&StepKey, u32, i64), u64> = BTreeMap::new();
        for one in executions {
            *repeated.entry((&one.step, one.attempt, one.decided_at.as_micros())).or_default() += 1;
        }
        for ((step, attempt, _), times) in repeated {
            let allowed = if self.world.profile.store_faults { u64::MAX } else { 1 + interrupted };
            // Attempts that were abandoned, by a failing run or a loop, are started again when the run is retried.
            let retries =
                replayed.events.iter().filter(|e| matches!(e.data, EventData::RunRetried { .. })).count()
                    as u64;
            if times > allowed.saturating_add(retries) {
                self.breaks("INV-5", run, format!("{step} attempt {attempt} was performed {times} times"));
            }
        }
    }

    /// INV-1: an acked start has its run, a refused one has none, and no run came from nowhere.
    fn check_starts(&self, clients: &ClientLedger) {
        let starts = lock(&clients.starts);
        let mut by_nonce: BTreeMap<u64, Vec<RunId>> = BTreeMap::new();
        for run in self.world.runs() {
            let nonce =
                self.world.with_history(run, |events| match events.first().map(|event| &event.data) {
                    Some(EventData::RunCreated(created)) => created.input["nonce"].as_u64(),
                    _ => None,
                });
            match nonce {
                Some(nonce) => by_nonce.entry(nonce).or_default().push(run),
                None => self.breaks("INV-1", run, "a run that nobody asked for"),
            }
        }
        let mut by_key: BTreeMap<(String, String), BTreeSet<RunId>> = BTreeMap::new();
        for start in starts.iter() {
            if let (Some(key), Answer::Acked((run, _))) = (&start.key, start.answer) {
                by_key.entry((start.workflow.to_string(), key.clone())).or_default().insert(run);
            }
            self.check_start(start, &by_nonce);
        }
        for (key, runs) in by_key {
            if runs.len() > 1 {
                let what = format!("the key {key:?} started {runs:?}");
                self.world.breaks("INV-1", runs.first().copied(), what);
            }
        }
        for (nonce, runs) in by_nonce {
            let asked = starts.iter().filter(|one| one.nonce == nonce);
            let possible = asked.filter(|one| one.answer != Answer::Refused).collect::<Vec<_>>();
            let most = if possible.iter().any(|one| one.key.is_some()) { 1 } else { possible.len() };
            if runs.len() > most {
                let what = format!("request {nonce} has the runs {runs:?}: {possible:?}");
                self.breaks("INV-1", runs[0], what);
            }
        }
    }

    fn check_start(&self, start: &StartEntry, by_nonce: &BTreeMap<u64, Vec<RunId>>) {
        let Answer::Acked((run, _)) = start.answer else { return };
        if !by_nonce.get(&start.nonce).is_some_and(|runs| runs.contains(&run)) {
            self.breaks("INV-1", run, format!("request {} was acked, but its run is not there", start.nonce));
        }
    }

    /// An event that was acked arrives once, unless its run ended before; one that was refused never does.
    fn check_events(&self, clients: &ClientLedger) {
        for sent in lock(&clients.events).iter() {
            let (arrived, ended) = self.world.with_history(sent.run, |events| {
                let is_it = |event: &&Event| matches!(&event.data, EventData::EventReceived { payload, .. } if payload["event"] == sent.nonce);
                (
                    events.iter().filter(is_it).count(),
                    events.iter().any(|event| event.data.is_terminal()),
                )
            });
            let waits =
                self.world.store.inspect(&self.world.project, sent.run).is_some_and(|run| run.messages > 0);
            let fine = match sent.answer {
                Answer::Acked(()) => arrived == 1 || (arrived == 0 && (ended || waits)),
                Answer::Refused => arrived == 0,
                Answer::Indeterminate => arrived <= 1,
            };
            if !fine {
                let what = format!("event {} arrived {arrived} times: {:?}", sent.nonce, sent.answer);
                self.breaks("INBOX", sent.run, what);
            }
        }
    }

    /// INV-11 while nothing goes wrong: what a run is owed by `now` happens within `bound`.
    pub(super) fn check_progress(&self, bound: Duration) {
        let now = self.world.store.now();
        let executions = lock(&self.world.executions);
        for run in self.world.runs() {
            let Some(found) = self.world.store.inspect(&self.world.project, run) else { continue };
            if found.record.status.is_terminal() {
                continue;
            }
            let Some(definition) = self.definitions.get(&found.record.meta.digest) else { continue };
            let chunks = self.world.store.inspect_chunks(&self.world.project, run, 0);
            let Ok(replayed) = replay(definition, Arc::new(found.record.meta.clone()), &chunks) else {
                continue;
            };
            let state = &replayed.state;
            for owed in state.outstanding(definition) {
                let due = owed.due_at().unwrap_or_else(|| state.at());
                let performed = match &owed {
                    crate::run::Owed::Attempt { step, .. } => {
                        executions.iter().any(|one| one.run == run && one.step == *step && one.under_way)
                    }
                    _ => false,
                };
                if !performed && due.after(bound) < now && state.at().after(bound) < now {
                    let what = format!("{owed:?} is overdue at {now}; {found:?}");
                    self.breaks("INV-11", run, what);
                    return;
                }
            }
        }
    }
}
