//! Runs that the clock starts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshhook_core::clock::Clock;
use meshhook_core::engine::{Engine, EngineError, EngineOptions, Project, ScheduleView, Stopped};
use meshhook_core::event::RunStatus;
use meshhook_core::id::{Digest, ProjectId, WorkflowSlug};
use meshhook_core::store::memory::{Fault, FaultPlan, Loss, MemoryStore, Operation};
use meshhook_core::store::{
    CreateWorkflow, Page, PublishWorkflow, PublishedSchedule, RunFilter, WorkflowStore as _,
};
use meshhook_core::testing::{Gate, VirtualClock};
use meshhook_core::time::Timestamp;
use serde_json::{Value, json};

use crate::kit::{Kit, Plan};

/// A workflow that a schedule starts, with members of its config beside the times.
fn scheduled(cron: &str, mut config: Value) -> Value {
    config["cron"] = cron.into();
    json!({
        "name": "Scheduled",
        "triggers": [{ "id": "clock", "type": "schedule", "config": config }],
        "nodes": [{ "id": "say", "type": "transform",
            "config": { "template": { "at": "{{ trigger.slot }}", "input": "{{ input }}" } } }],
    })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn flow() -> WorkflowSlug {
    WorkflowSlug::new("flow").unwrap()
}

/// Waits until the clock shows this time of the day, 2026-01-02.
async fn until(clock: &dyn Clock, time: &str) {
    tokio::time::sleep(at(&format!("2026-01-02T{time}Z")).since(clock.now())).await;
}

/// The slots of all runs, oldest run first, as times of the day.
async fn slots(project: &Project) -> Vec<String> {
    let (mut after, mut runs) = (None, Vec::new());
    loop {
        let page = Page { limit: 10_000, after };
        let part = project.runs(RunFilter { page, ..RunFilter::default() }).await.unwrap();
        runs.extend(part.items.iter().map(|run| run.id));
        after = runs.last().copied();
        if !part.more {
            break;
        }
    }
    let mut slots = Vec::new();
    for run in runs.into_iter().rev() {
        let view = project.run(run).await.unwrap();
        assert_eq!((&view.trigger["type"], &view.trigger["id"]), (&json!("schedule"), &json!("clock")));
        let slot = view.trigger["slot"].as_str().unwrap();
        slots.push(slot.strip_prefix("2026-01-02T").unwrap().replace(".000000Z", ""));
    }
    slots
}

async fn view(project: &Project) -> ScheduleView {
    let mut listed = project.schedules(Page::default()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    listed.remove(0)
}

fn start(store: &Arc<MemoryStore>, clock: impl Clock, gate: Option<Arc<Gate>>) -> Engine {
    let builder = Engine::builder(store.clone()).clock(Arc::new(clock));
    match gate {
        Some(gate) => builder.gate(gate).start().unwrap(),
        None => builder.start().unwrap(),
    }
}

fn default_of(engine: &Engine) -> Project {
    engine.project(&ProjectId::default_project())
}

/// Lets the next calls take some time before and after they take effect.
fn take_time(plan: &Plan) {
    let moment = Some(Duration::from_millis(2));
    for operation in [Operation::TakeSchedules, Operation::FireSchedule] {
        for _ in 0..20 {
            plan.push(operation, Fault { delay_before: moment, delay_after: moment, loss: None });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_starts_a_run_with_its_time_and_the_schedules_input() {
    let kit = Kit::start();
    let more = json!({ "timezone": "Asia/Kolkata", "input": { "n": 1 } });
    kit.publish("flow", scheduled("*/10 8 * * *", more)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let expected = ["03:10", "03:20", "2026-01-03T02:30"];
    let before = view(&kit.project).await;
    let shown = [&before.cron, &before.timezone, &before.trigger, before.workflow.as_str()];
    assert_eq!(shown, ["*/10 8 * * *", "Asia/Kolkata", "clock", "flow"]);
    assert_eq!((before.paused, before.last_at, before.upcoming.len()), (false, None, 5));
    assert_eq!(before.next_at(), Some(at("2026-01-02T03:10:00Z")));
    assert_eq!(before.upcoming[2], at(&format!("{}:00Z", expected[2])));
    until(&kit.clock, "03:20:01").await;
    assert_eq!(slots(&kit.project).await, ["03:10:00", "03:20:00"]);
    let runs = kit.project.runs(RunFilter::default()).await.unwrap().items;
    let run = kit.finish(runs[0].id).await;
    assert_eq!(
        *run.output.clone().unwrap(),
        json!({ "at": "2026-01-02T03:20:00.000000Z", "input": { "n": 1 } })
    );
    assert!(run.created_at.since(at("2026-01-02T03:20:00Z")) < Duration::from_millis(100), "{run:?}");
    assert_eq!(run.version, Some(1));
    let after = view(&kit.project).await;
    assert_eq!(after.last_at, Some(at("2026-01-02T03:20:00Z")));
    assert_eq!(after.next_at(), Some(at("2026-01-03T02:30:00Z")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_slot_started_goes_on_like_any_other() {
    let kit = Kit::start();
    let mut definition = scheduled("30 * * * * *", json!({}));
    definition["nodes"] = json!([
        { "id": "wait", "type": "delay", "config": { "for": "90s" } },
        { "id": "call", "type": "http_call", "config": { "method": "POST", "url": "https://example.com/" } },
    ]);
    definition["edges"] = json!([{ "from": "wait", "to": "call" }]);
    kit.publish("flow", definition).await;
    until(&kit.clock, "03:04:40").await;
    let run = kit.project.runs(RunFilter::default()).await.unwrap().items[0].id;
    assert_eq!(kit.finish(run).await.status, RunStatus::Succeeded);
    assert_eq!(kit.effects.seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_costs_an_idle_engine_nothing_between_its_slots() {
    let kit = Kit::start();
    kit.publish("flow", scheduled("0 5 * * *", json!({}))).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let calls = || {
        let counted = kit.store.transactions();
        counted.writes() + counted.of(Operation::Read)
    };
    let before = calls();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(calls() - before <= 600, "{:?}", kit.store.transactions());
}

#[tokio::test(start_paused = true)]
async fn every_slot_starts_one_run_whatever_goes_wrong_with_many_workers() {
    for losses in [
        [Loss::ReplyLost, Loss::RequestLost],
        [Loss::ReplyLost, Loss::Late(Duration::from_secs(2))],
        [Loss::Unavailable, Loss::ReplyLost],
    ] {
        let plan = Arc::new(Plan::default());
        let kit = Kit::disturbed(&plan);
        let others: Vec<Engine> = (0..3).map(|_| start(&kit.store, kit.clock, None)).collect();
        kit.publish("flow", scheduled("*/5 * * * * *", json!({}))).await;
        until(&kit.clock, "03:05:01").await;
        for turn in 0..12_u64 {
            for loss in losses {
                plan.lose(Operation::FireSchedule, loss);
                plan.lose(Operation::TakeSchedules, loss);
            }
            plan.delay(Operation::TakeSchedules, Duration::from_millis(turn * 700));
            plan.delay(Operation::FireSchedule, Duration::from_millis(turn * 900));
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        plan.clear();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut found = slots(&kit.project).await;
        found.sort();
        found.retain(|slot| slot.as_str() < "03:06:55");
        let (mut slot, mut expected) = (at("2026-01-02T03:04:05Z"), Vec::new());
        while slot < at("2026-01-02T03:06:50Z") {
            slot = slot.after(Duration::from_secs(5));
            expected.push(slot.to_string()["2026-01-02T".len()..][..8].to_owned());
        }
        assert_eq!(found, expected, "{losses:?}");
        for other in others {
            other.shutdown(Duration::ZERO).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_killed_at_any_moment_leaves_its_slot_to_another() {
    let mut late = 0;
    for polls in 1..60 {
        let (clock, plan) = (VirtualClock::new(), Arc::new(Plan::default()));
        let store = plan.store(clock);
        take_time(&plan);
        let gate = Gate::new();
        let (first, second) = (start(&store, clock, Some(gate.clone())), start(&store, clock, None));
        let project = default_of(&second);
        project.create_workflow(&flow(), scheduled("0 5 3 * * *", json!({}))).await.unwrap();
        project.publish(&flow()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        until(&clock, "03:04:59.500").await;
        gate.crash_after(polls);
        tokio::time::sleep(Duration::from_secs(2)).await;
        late += usize::from(slots(&project).await.is_empty());
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(slots(&project).await, ["03:05:00"], "killed after {polls} polls");
        let runs = project.runs(RunFilter::default()).await.unwrap().items;
        let status = project.wait_for_end(runs[0].id, Duration::from_secs(60)).await.unwrap();
        assert_eq!(status, RunStatus::Succeeded);
        drop((first, second));
    }
    assert!(late > 0, "no worker was killed between taking and firing");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_seen_is_not_missed_when_its_worker_dies() {
    let mut late = 0;
    for polls in 1..60 {
        let (clock, plan) = (VirtualClock::new(), Arc::new(Plan::default()));
        let store = plan.store(clock);
        let gate = Gate::new();
        let first = start(&store, clock, Some(gate.clone()));
        let project = default_of(&first);
        project.create_workflow(&flow(), scheduled("0 5 3 * * *", json!({}))).await.unwrap();
        project.publish(&flow()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        until(&clock, "03:04:59.990").await;
        take_time(&plan);
        let takes = store.transactions().of(Operation::TakeSchedules);
        gate.crash_after(polls);
        until(&clock, "03:07:00").await;
        // Whether it was seen; who comes next was not there.
        let was_seen = store.transactions().of(Operation::TakeSchedules) > takes;
        let has_run = !slots(&project).await.is_empty();
        late += usize::from(was_seen && !has_run);
        let second = start(&store, clock, None);
        tokio::time::sleep(Duration::from_secs(40)).await;
        let expected: &[&str] = if was_seen { &["03:05:00"] } else { &[] };
        assert_eq!(slots(&default_of(&second)).await, expected, "killed after {polls} polls");
        drop((first, second));
    }
    assert!(late > 0, "no worker was killed between taking and firing");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stops_fires_what_it_has_begun_to() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    kit.publish("flow", scheduled("0 5 3 * * *", json!({}))).await;
    until(&kit.clock, "03:04:58").await;
    plan.delay(Operation::TakeSchedules, Duration::from_secs(3));
    plan.delay(Operation::FireSchedule, Duration::from_secs(3));
    until(&kit.clock, "03:05:01").await;
    assert_eq!(kit.engine.shutdown(Duration::from_secs(20)).await, Stopped::Clean);
    assert_eq!(slots(&kit.project).await, ["03:05:00"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stops_waits_for_no_store_that_hangs_while_it_fires() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    kit.publish("flow", scheduled("0 5 3 * * *", json!({}))).await;
    until(&kit.clock, "03:04:58").await;
    plan.delay(Operation::FireSchedule, Duration::from_secs(3_600));
    until(&kit.clock, "03:05:01").await;
    let began = tokio::time::Instant::now();
    assert_eq!(kit.engine.shutdown(Duration::from_secs(5)).await, Stopped::Unfinished);
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Panics at the next operation of each of these kinds.
#[derive(Debug)]
struct Bug(Mutex<Vec<Operation>>);

impl FaultPlan for Bug {
    fn next(&self, operation: Operation) -> Fault {
        let mut left = self.0.lock().unwrap();
        let found = left.iter().position(|kind| *kind == operation).map(|place| left.remove(place));
        drop(left);
        assert!(found.is_none(), "a bug");
        Fault::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_firing_one_schedule_ends_no_other() {
    let bug = Arc::new(Bug(Mutex::default()));
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)).with_faults(bug.clone()));
    let kit = Kit::on(store, clock);
    for slug in ["flow", "other"] {
        kit.publish(slug, scheduled("0 5 3 * * *", json!({}))).await;
    }
    for (operation, minutes) in [(Operation::FireSchedule, 5), (Operation::TakeSchedules, 6)] {
        for slug in ["flow", "other"] {
            let slug = WorkflowSlug::new(slug).unwrap();
            let next = scheduled(&format!("0 {minutes} 3 * * *"), json!({}));
            kit.project.save_draft(&slug, next, None).await.unwrap();
            kit.project.publish(&slug).await.unwrap();
        }
        until(&kit.clock, &format!("03:0{}:50", minutes - 1)).await;
        bug.0.lock().unwrap().push(operation);
        until(&kit.clock, &format!("03:0{minutes}:05")).await;
        assert!(bug.0.lock().unwrap().is_empty());
        let page = Page { limit: 10, after: None };
        let made = kit.project.runs(RunFilter { page, ..RunFilter::default() }).await.unwrap().items.len();
        if operation == Operation::FireSchedule {
            assert_eq!(made, 1, "the other one fires at once");
        }
        until(&kit.clock, &format!("03:0{minutes}:40")).await;
    }
    let runs = kit.project.runs(RunFilter::default()).await.unwrap().items;
    assert_eq!(runs.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn slots_with_large_inputs_start_their_runs_part_by_part() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    let config = json!({ "catch_up": "all", "input": "x".repeat(900_000) });
    kit.publish("flow", scheduled("*/10 * * * * *", config)).await;
    until(&kit.clock, "03:04:25").await;
    kit.engine.shutdown(Duration::from_secs(1)).await;
    let before = kit.store.transactions().of(Operation::FireSchedule);
    until(&kit.clock, "03:07:25").await;
    let started = slots(&kit.project).await.len();
    take_time(&plan);
    let next = start(&kit.store, kit.clock, None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let found = slots(&default_of(&next)).await;
    assert_eq!((found.len() - started, found.is_sorted()), (18, true), "{found:?}");
    // A run's history holds the input, and what was made of it.
    let commits = kit.store.transactions().of(Operation::FireSchedule) - before;
    assert!((4..=9).contains(&commits), "{commits}");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_whose_time_zone_is_not_known_is_shown_without_times() {
    let kit = Kit::start();
    kit.publish("flow", scheduled("0 5 3 * * *", json!({}))).await;
    // By another build, with another database of time zones.
    let slug = WorkflowSlug::new("other").unwrap();
    let project = ProjectId::default_project();
    let at = kit.clock.now();
    let create = CreateWorkflow { project: project.clone(), slug: slug.clone(), draft: "{}".into(), at };
    kit.store.create_workflow(create).await.unwrap();
    let cron = "0 5 3 * * *".to_owned();
    let schedule = PublishedSchedule { trigger: "clock".into(), cron, timezone: "Mars/Olympus".into() };
    let publish = PublishWorkflow {
        project,
        slug,
        revision: 1,
        digest: Digest::new(&"a".repeat(64)).unwrap(),
        definition: "{}".into(),
        hooks: Vec::new(),
        schedules: vec![schedule],
        at,
    };
    kit.store.publish(publish).await.unwrap();
    let listed = kit.project.schedules(Page::default()).await.unwrap().items;
    let shown: Vec<_> = listed.iter().map(|view| (view.timezone.as_str(), view.upcoming.len())).collect();
    assert_eq!(shown, [("UTC", 5), ("Mars/Olympus", 0)]);
}

#[tokio::test(start_paused = true)]
async fn missed_slots_are_skipped_or_caught_up_with() {
    for (catch_up, expected) in [
        ("skip", &["03:05:00", "03:06:00", "03:16:00"][..]),
        ("one", &["03:05:00", "03:06:00", "03:15:00", "03:16:00"]),
        (
            "all",
            &[
                "03:05:00", "03:06:00", "03:07:00", "03:08:00", "03:09:00", "03:10:00", "03:11:00",
                "03:12:00", "03:13:00", "03:14:00", "03:15:00", "03:16:00",
            ],
        ),
    ] {
        let kit = Kit::start();
        kit.publish("flow", scheduled("* * * * *", json!({ "catch_up": catch_up }))).await;
        until(&kit.clock, "03:06:30").await;
        kit.engine.shutdown(Duration::from_secs(1)).await;
        until(&kit.clock, "03:15:30").await;
        let next = start(&kit.store, kit.clock, None);
        until(&kit.clock, "03:16:30").await;
        assert_eq!(slots(&default_of(&next)).await, expected, "{catch_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_missed_slots_start_runs_in_order() {
    let plan = Arc::new(Plan::default());
    let kit = Kit::disturbed(&plan);
    take_time(&plan);
    kit.publish("flow", scheduled("*/10 * * * * *", json!({ "catch_up": "all" }))).await;
    until(&kit.clock, "03:04:25").await;
    kit.engine.shutdown(Duration::from_secs(1)).await;
    until(&kit.clock, "03:34:25").await;
    let next = start(&kit.store, kit.clock, None);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let found = slots(&default_of(&next)).await;
    assert_eq!((found.len(), found.is_sorted()), (182, true), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_schedule_starts_nothing_and_does_not_catch_up() {
    let kit = Kit::start();
    let slug = kit.publish("flow", scheduled("* * * * *", json!({ "catch_up": "all" }))).await;
    until(&kit.clock, "03:05:30").await;
    kit.project.pause_schedule(&slug, "clock").await.unwrap();
    kit.project.pause_schedule(&slug, "clock").await.unwrap();
    let paused = view(&kit.project).await;
    assert_eq!((paused.paused, paused.next_at()), (true, None));
    assert_eq!(paused.last_at, Some(at("2026-01-02T03:05:00Z")));
    until(&kit.clock, "03:07:30").await;
    // Publishing the trigger anew leaves it paused.
    kit.project.save_draft(&slug, scheduled("30 * * * * *", json!({})), None).await.unwrap();
    assert_eq!(kit.project.publish(&slug).await.unwrap().version, 2);
    until(&kit.clock, "03:09:10").await;
    assert_eq!(slots(&kit.project).await, ["03:05:00"]);
    assert!(view(&kit.project).await.paused);
    kit.project.resume_schedule(&slug, "clock").await.unwrap();
    kit.project.resume_schedule(&slug, "clock").await.unwrap();
    assert_eq!(view(&kit.project).await.next_at(), Some(at("2026-01-02T03:09:30Z")));
    until(&kit.clock, "03:10:40").await;
    assert_eq!(slots(&kit.project).await, ["03:05:00", "03:09:30", "03:10:30"]);
    for (slug, trigger) in [("flow", "other"), ("none", "clock"), ("flow", "\0")] {
        let slug = WorkflowSlug::new(slug).unwrap();
        for answer in [
            kit.project.pause_schedule(&slug, trigger).await,
            kit.project.resume_schedule(&slug, trigger).await,
        ] {
            assert!(matches!(answer, Err(EngineError::NotFound { what: "schedule" })), "{answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn publishing_other_times_changes_the_next_slot_and_catches_nothing_up() {
    let kit = Kit::start();
    let slug = kit.publish("flow", scheduled("0 * * * *", json!({}))).await;
    until(&kit.clock, "03:30:30").await;
    // Every minute since the last hour would be many.
    kit.project.save_draft(&slug, scheduled("* * * * *", json!({ "catch_up": "all" })), None).await.unwrap();
    kit.project.publish(&slug).await.unwrap();
    until(&kit.clock, "03:32:30").await;
    assert_eq!(slots(&kit.project).await, ["03:31:00", "03:32:00"]);
    kit.project.unpublish(&slug).await.unwrap();
    assert!(kit.project.schedules(Page::default()).await.unwrap().items.is_empty());
    until(&kit.clock, "03:35:30").await;
    assert!(kit.project.pause_schedule(&slug, "clock").await.is_err());
    kit.project.publish(&slug).await.unwrap();
    until(&kit.clock, "03:36:30").await;
    assert_eq!(slots(&kit.project).await, ["03:31:00", "03:32:00", "03:36:00"]);
    kit.project.delete_workflow(&slug).await.unwrap();
    until(&kit.clock, "03:40:00").await;
    assert_eq!(slots(&kit.project).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_caught_up_with_by_the_version_that_is_live_then() {
    let kit = Kit::start();
    let slug = kit.publish("flow", scheduled("* * * * *", json!({ "catch_up": "all", "input": 1 }))).await;
    until(&kit.clock, "03:05:30").await;
    kit.engine.shutdown(Duration::from_secs(1)).await;
    let mut options = EngineOptions::default();
    options.works = false;
    let intake = Kit::with(kit.store.clone(), kit.clock, options);
    until(&kit.clock, "03:07:30").await;
    let next = scheduled("* * * * *", json!({ "catch_up": "all", "input": 2 }));
    intake.project.save_draft(&slug, next, None).await.unwrap();
    intake.project.publish(&slug).await.unwrap();
    let next = start(&kit.store, kit.clock, None);
    until(&kit.clock, "03:07:40").await;
    assert_eq!(slots(&default_of(&next)).await, ["03:05:00", "03:06:00", "03:07:00"]);
    let runs = intake.project.runs(RunFilter::default()).await.unwrap().items;
    assert_eq!(runs.iter().map(|run| run.version.unwrap()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_start_a_run_leaves_the_next_slots_to_others() {
    let plan = Arc::new(Plan::default());
    let clock = VirtualClock::new();
    let store = plan.store(clock);
    // It does not know the node type, and is the first to look.
    let unable = start(&store, clock, None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let kit = Kit::on(store, clock);
    let mut definition = scheduled("*/20 * * * * *", json!({}));
    let config = json!({ "method": "POST", "url": "https://example.com/" });
    definition["nodes"] = json!([{ "id": "call", "type": "http_call", "config": config }]);
    kit.publish("flow", definition).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let page = Page { limit: 100, after: None };
    let runs = kit.project.runs(RunFilter { page, ..RunFilter::default() }).await.unwrap().items;
    assert_eq!(runs.len(), 6);
    // What it took before it had failed came late.
    let late = |created: Timestamp| created.as_micros() % 20_000_000 > 1_000_000;
    assert!(runs[..5].iter().all(|run| !late(run.created_at)), "{runs:?}");
    drop(unable);
}

/// The store's clock, which somebody sets.
#[derive(Debug, Clone)]
struct Set(VirtualClock, Arc<AtomicI64>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.now().as_micros() + self.1.load(Ordering::SeqCst) * 1_000_000)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_starts_no_slot_twice() {
    for (jump, expected) in [
        // Forward by three minutes: what lies in between was missed.
        (180, &["03:05:00", "03:09:00", "03:10:00"][..]),
        // Back by three minutes: nothing happens until the time has come again.
        (-180, &["03:05:00", "03:06:00", "03:07:00"]),
        (3, &["03:05:00", "03:06:00", "03:07:00"]),
    ] {
        let own = VirtualClock::new();
        let clock = Set(own, Arc::default());
        let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        // The worker goes by its own clock, which nobody sets, until it has learned the store's.
        let engine = start(&store, own, None);
        let project = default_of(&engine);
        project.create_workflow(&flow(), scheduled("* * * * *", json!({}))).await.unwrap();
        project.publish(&flow()).await.unwrap();
        until(&clock, "03:05:30").await;
        clock.1.store(jump, Ordering::SeqCst);
        let end = if jump > 100 { "03:10:30" } else { "03:07:30" };
        until(&clock, end).await;
        assert_eq!(slots(&project).await, expected, "{jump} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_worker_that_wakes_up_late_starts_nothing_again() {
    let clock = VirtualClock::new();
    let store = Arc::new(MemoryStore::new(Arc::new(clock)));
    for polls in 1..40 {
        let gate = Gate::new();
        let (frozen, other) = (start(&store, clock, Some(gate.clone())), start(&store, clock, None));
        let project = default_of(&other);
        let slug = WorkflowSlug::new(&format!("flow-{polls}")).unwrap();
        project.create_workflow(&slug, scheduled("*/20 * * * * *", json!({}))).await.unwrap();
        project.publish(&slug).await.unwrap();
        tokio::time::sleep(Duration::from_millis(17_000 + polls * 137)).await;
        gate.freeze();
        tokio::time::sleep(Duration::from_secs(50)).await;
        gate.thaw();
        tokio::time::sleep(Duration::from_secs(40)).await;
        project.delete_workflow(&slug).await.unwrap();
        gate.crash();
        other.shutdown(Duration::from_secs(1)).await;
        drop(frozen);
        let (page, workflow) = (Page { limit: 100, after: None }, Some(slug));
        let filter = RunFilter { page, workflow, ..RunFilter::default() };
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for run in project.runs(filter).await.unwrap().items {
            let view = project.run(run.id).await.unwrap();
            *seen.entry(view.trigger["slot"].to_string()).or_default() += 1;
        }
        assert!((5..=6).contains(&seen.len()), "{seen:?}");
        assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    }
}
