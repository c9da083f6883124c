use std::time::Duration;

use super::Kit;
use super::fixture::*;
use crate::event::RunStatus;
use crate::id::ProjectId;
use crate::store::{
    CreateWorkflow, Dedupe, FireSchedule, Page, PublishWorkflow, PublishedSchedule, RunFilter, ScheduleKey,
    Seen, StartRun, StoreError, TakenSchedule, WakeUp,
};
use crate::time::Timestamp;

const HOLD: Duration = Duration::from_secs(15);

fn daily(trigger: &str) -> PublishedSchedule {
    PublishedSchedule { trigger: trigger.into(), cron: "0 9 * * *".into(), timezone: "Asia/Kolkata".into() }
}

fn key(workflow: &str, trigger: &str) -> ScheduleKey {
    ScheduleKey { project: acme(), workflow: slug(workflow), trigger: trigger.into() }
}

/// Moves a schedule on to a time, and starts runs.
fn fire(taken: &TakenSchedule, wake_at: Option<Timestamp>, starts: Vec<StartRun>) -> FireSchedule {
    let TakenSchedule { key, turn, done_until, digest, .. } = taken.clone();
    let done_until = wake_at.unwrap_or(done_until);
    let last_at = (!starts.is_empty()).then_some(done_until);
    FireSchedule { key, turn, digest, done_until, wake_at, last_at, starts: starts.into() }
}

/// The n-th run's start, due at once.
fn start_due(n: u32) -> StartRun {
    start_released(n, Some(created(n)))
}

impl Kit {
    async fn schedule_in(&self, project: &ProjectId, workflow: &str, schedules: Vec<PublishedSchedule>) {
        let (slug, at) = (slug(workflow), self.now());
        let create = CreateWorkflow { project: project.clone(), slug, draft: "{}".into(), at };
        self.store.create_workflow(create).await.unwrap();
        self.publish_in(project, workflow, 'a', schedules).await;
    }

    async fn publish_in(
        &self,
        project: &ProjectId,
        workflow: &str,
        of: char,
        schedules: Vec<PublishedSchedule>,
    ) {
        let publish = PublishWorkflow {
            project: project.clone(),
            slug: slug(workflow),
            revision: 1,
            digest: digest(of),
            definition: "{}".into(),
            hooks: Vec::new(),
            schedules,
            at: self.now(),
        };
        self.store.publish(publish).await.unwrap();
    }

    /// Creates and publishes a workflow with schedules.
    async fn schedule(&self, workflow: &str, triggers: &[&str]) {
        self.schedule_in(&acme(), workflow, triggers.iter().map(|trigger| daily(trigger)).collect()).await;
    }

    async fn take(&self) -> Vec<TakenSchedule> {
        self.take_since(self.now()).await
    }

    /// Takes as one who has been looking for a while.
    async fn take_since(&self, since: Timestamp) -> Vec<TakenSchedule> {
        let taken = self.store.take_schedules(100, HOLD, since).await.unwrap();
        assert_eq!(taken.now, self.now());
        taken.schedules
    }

    async fn take_one(&self) -> TakenSchedule {
        let mut taken = self.take().await;
        assert_eq!(taken.len(), 1, "one schedule is due");
        taken.remove(0)
    }

    async fn next_schedule(&self) -> Option<Timestamp> {
        self.look(&worker("looker"), 0, 0).await.next_schedule
    }

    async fn scheduled(&self) -> Vec<(String, bool, Timestamp, Option<Timestamp>)> {
        let listed = self.store.schedules(&acme(), Page::default()).await.unwrap();
        let record = listed.items.into_iter();
        record
            .map(|record| {
                let name = format!("{}/{}", record.workflow, record.schedule.trigger);
                (name, record.paused, record.done_until, record.last_at)
            })
            .collect()
    }
}

pub async fn a_published_schedule_is_due_at_once(kit: Kit) {
    assert_eq!(kit.next_schedule().await, None);
    assert_eq!(kit.take().await, []);
    let at = kit.now();
    kit.schedule("flow", &["clock"]).await;
    assert_eq!(kit.next_schedule().await, Some(at));
    kit.clock.advance(SECOND);
    let taken = kit.take_one().await;
    let expected = TakenSchedule {
        key: key("flow", "clock"),
        turn: taken.turn,
        done_until: at,
        seen: Seen::nothing(at),
        version: 1,
        digest: digest('a'),
    };
    assert_eq!(taken, expected);
}

pub async fn a_taken_schedule_is_nobody_elses_for_a_while(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    assert_eq!(kit.take().await, []);
    assert_eq!(kit.next_schedule().await, Some(kit.now().after(HOLD)));
    kit.clock.advance(HOLD);
    let again = kit.take_one().await;
    assert_eq!(TakenSchedule { seen: taken.seen, ..again }, taken);
}

pub async fn what_was_seen_of_a_schedule_is_told_to_who_takes_it_next(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let made = kit.now();
    let before = |seconds: u32| made.before(SECOND * seconds);
    let mut expected = Seen::nothing(made);
    // They looked at the same time, one after the other, the first of them again, and after a break.
    let pause = SECOND * 40;
    for since in [before(9), before(20), before(3), made.after(pause * 3 - SECOND)] {
        assert_eq!(kit.take_since(since).await.remove(0).seen, expected);
        expected = expected.noted(since, kit.now());
        kit.clock.advance(pause);
    }
    assert_eq!(expected, Seen { since: made.after(pause * 3 - SECOND), until: made.after(pause * 3) });
    // A clock that goes back takes nothing back.
    kit.clock.set(made);
    kit.publish_in(&acme(), "flow", 'b', vec![daily("clock")]).await;
    assert_eq!(kit.take_since(before(9)).await.remove(0).seen, expected);
    kit.clock.advance(HOLD);
    let seen = Seen { since: before(9), until: made.after(pause * 3) };
    assert_eq!(kit.take_one().await.seen, seen);
}

pub async fn firing_starts_runs_and_moves_the_schedule(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    let next = kit.now().after(SECOND * 60);
    let starts = vec![start_due(1), start_ended(2, RunStatus::Succeeded), start_released(3, None)];
    assert!(kit.store.fire_schedule(fire(&taken, Some(next), starts)).await.unwrap());
    assert_eq!(kit.next_schedule().await, Some(next));
    assert_eq!(kit.scheduled().await, [("flow/clock".to_owned(), false, next, Some(next))]);
    assert_eq!(kit.record(2).await.status, RunStatus::Succeeded);
    assert_eq!(kit.history(3).await, [chunk(1, 1)]);
    assert_eq!(ids(&kit.claim(&bob()).await), [run(1)]);
    assert_eq!(kit.take().await, []);
    kit.clock.set(next);
    let again = kit.take_one().await;
    assert_eq!(again.done_until, next);
    assert!(again.turn > taken.turn);
    // What was started last is remembered while nothing is started.
    assert!(kit.store.fire_schedule(fire(&again, None, Vec::new())).await.unwrap());
    assert_eq!(kit.next_schedule().await, None);
    assert_eq!(kit.scheduled().await[0].3, Some(next));
}

pub async fn a_run_that_is_due_now_is_due_by_the_clock_of_the_store(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    let hold = crate::store::Hold::Release { wake_up: WakeUp::Now, status: RunStatus::Running };
    let starts = vec![StartRun { hold, ..start(1) }];
    assert!(kit.store.fire_schedule(fire(&taken, None, starts)).await.unwrap());
    assert_eq!(kit.next_wake_up().await, Some(kit.now()));
    assert_eq!(ids(&kit.claim(&ann()).await), [run(1)]);
}

pub async fn a_schedule_fires_once_however_often_it_was_taken(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    kit.clock.advance(HOLD);
    let late = kit.take_one().await;
    assert!(kit.store.fire_schedule(fire(&late, Some(kit.now()), vec![start_due(1)])).await.unwrap());
    for stale in [taken, late] {
        let fired = kit.store.fire_schedule(fire(&stale, Some(kit.now()), vec![start_due(2)])).await;
        assert!(!fired.unwrap());
    }
    assert_eq!(kit.store.runs(&acme(), RunFilter::default()).await.unwrap().items.len(), 1);
    assert_eq!(kit.take().await.len(), 1);
}

pub async fn a_schedule_that_changed_does_not_fire_by_what_it_was(kit: Kit) {
    let changes = ["pause", "publish", "unpublish", "delete", "recreate"];
    for (n, change) in (1..).zip(changes) {
        kit.schedule(change, &["clock"]).await;
        let taken = kit.take_one().await;
        match change {
            "pause" => assert!(kit.store.pause_schedule(&taken.key).await.unwrap()),
            "publish" => kit.publish_in(&acme(), change, 'b', vec![daily("clock")]).await,
            "unpublish" => assert!(kit.store.unpublish(&acme(), &slug(change)).await.unwrap()),
            _ => assert!(kit.store.delete_workflow(&acme(), &slug(change)).await.unwrap()),
        }
        if change == "recreate" {
            kit.clock.advance(Duration::from_millis(1));
            kit.schedule(change, &["clock"]).await;
        }
        let fired = kit.store.fire_schedule(fire(&taken, Some(kit.now()), vec![start_due(n)])).await;
        assert!(!fired.unwrap(), "{change}");
        // Only what was published anew is due, at once and by its new version.
        let due: Vec<_> = kit.take().await.into_iter().map(|taken| (taken.version, taken.digest)).collect();
        let expected = match change {
            "publish" => vec![(2, digest('b'))],
            "recreate" => vec![(1, digest('a'))],
            _ => vec![],
        };
        assert_eq!(due, expected, "{change}");
    }
    assert!(kit.store.runs(&acme(), RunFilter::default()).await.unwrap().items.is_empty());
}

pub async fn a_schedule_starts_no_run_of_a_definition_that_is_not_live(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = TakenSchedule { digest: digest('b'), ..kit.take_one().await };
    assert!(!kit.store.fire_schedule(fire(&taken, None, vec![start_due(1)])).await.unwrap());
    let taken = TakenSchedule { digest: digest('a'), ..taken };
    assert!(kit.store.fire_schedule(fire(&taken, None, vec![start_due(1)])).await.unwrap());
}

pub async fn a_paused_schedule_is_due_when_it_is_resumed(kit: Kit) {
    kit.schedule("flow", &["clock", "other"]).await;
    let at = kit.now();
    for _ in 0..2 {
        assert!(kit.store.pause_schedule(&key("flow", "clock")).await.unwrap());
    }
    assert_eq!(kit.take_one().await.key.trigger, "other");
    let listed = kit.scheduled().await;
    assert_eq!(listed[0], ("flow/clock".to_owned(), true, at, None));
    assert!(!listed[1].1);
    // Publishing anew leaves it paused.
    kit.publish_in(&acme(), "flow", 'b', vec![daily("clock")]).await;
    assert_eq!(kit.take().await, []);
    kit.clock.advance(HOLD * 2);
    assert_eq!(kit.next_schedule().await, None);
    assert!(kit.store.resume_schedule(&key("flow", "clock")).await.unwrap());
    let taken = kit.take_one().await;
    assert_eq!((taken.done_until, taken.version), (kit.now(), 2));
    // Resuming it again changes nothing.
    assert!(kit.store.resume_schedule(&key("flow", "clock")).await.unwrap());
    assert_eq!(kit.take().await, []);
    assert!(kit.store.fire_schedule(fire(&taken, None, Vec::new())).await.unwrap());
}

pub async fn only_schedules_of_published_workflows_can_be_paused(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    kit.schedule("gone", &["clock"]).await;
    assert!(kit.store.unpublish(&acme(), &slug("gone")).await.unwrap());
    let elsewhere = ScheduleKey { project: project("beta"), ..key("flow", "clock") };
    for none in [key("flow", "other"), key("none", "clock"), key("gone", "clock"), elsewhere] {
        assert!(!kit.store.pause_schedule(&none).await.unwrap(), "{none:?}");
        assert!(!kit.store.resume_schedule(&none).await.unwrap(), "{none:?}");
    }
    assert_eq!(kit.scheduled().await.len(), 1);
}

pub async fn publishing_the_same_times_anew_keeps_what_is_done_with(kit: Kit) {
    kit.schedule("flow", &["clock", "gone", "other"]).await;
    let at = kit.now();
    kit.clock.advance(SECOND * 60);
    let hourly = PublishedSchedule { cron: "0 * * * *".into(), ..daily("other") };
    kit.publish_in(&acme(), "flow", 'b', vec![daily("clock"), hourly, daily("new")]).await;
    let now = kit.now();
    let expected = [("flow/clock", at), ("flow/new", now), ("flow/other", now)];
    let expected = expected.map(|(name, done_until)| (name.to_owned(), false, done_until, None));
    assert_eq!(kit.scheduled().await, expected);
    assert_eq!(kit.next_schedule().await, Some(now));
    let zone = PublishedSchedule { timezone: "UTC".into(), ..daily("clock") };
    kit.clock.advance(SECOND);
    kit.publish_in(&acme(), "flow", 'c', vec![zone]).await;
    assert_eq!(kit.scheduled().await, [("flow/clock".to_owned(), false, kit.now(), None)]);
}

pub async fn an_unpublished_schedule_goes_on_from_its_next_publication(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    let slot = kit.now().after(SECOND);
    assert!(kit.store.fire_schedule(fire(&taken, Some(slot), vec![start_due(1)])).await.unwrap());
    assert!(kit.store.pause_schedule(&taken.key).await.unwrap());
    assert!(kit.store.unpublish(&acme(), &slug("flow")).await.unwrap());
    assert_eq!(kit.scheduled().await, []);
    assert_eq!(kit.next_schedule().await, None);
    // A clock that went back takes nothing that is done with back.
    kit.clock.set(kit.now().before(SECOND * 3_600));
    kit.publish_in(&acme(), "flow", 'a', vec![daily("clock")]).await;
    assert_eq!(kit.scheduled().await, [("flow/clock".to_owned(), true, slot, Some(slot))]);
    assert!(kit.store.resume_schedule(&taken.key).await.unwrap());
    assert_eq!(kit.take_one().await.done_until, slot);
    // A workflow made again knows nothing of it.
    assert!(kit.store.delete_workflow(&acme(), &slug("flow")).await.unwrap());
    kit.schedule("flow", &["clock"]).await;
    assert_eq!(kit.scheduled().await, [("flow/clock".to_owned(), false, kit.now(), None)]);
}

pub async fn schedules_are_taken_in_the_order_in_which_they_came_due(kit: Kit) {
    kit.schedule("late", &["a", "b"]).await;
    kit.clock.advance(SECOND);
    kit.schedule("early", &["a"]).await;
    kit.schedule_in(&project("beta"), "flow", vec![daily("a")]).await;
    let name =
        |taken: &TakenSchedule| format!("{}/{}/{}", taken.key.project, taken.key.workflow, taken.key.trigger);
    let mut found = Vec::new();
    for _ in 0..3 {
        let taken = kit.store.take_schedules(2, HOLD, kit.now()).await.unwrap().schedules;
        found.push(taken.iter().map(name).collect::<Vec<_>>());
    }
    assert_eq!(found[0], ["acme/late/a", "acme/late/b"]);
    assert_eq!(found[1], ["acme/early/a", "beta/flow/a"]);
    assert!(found[2].is_empty());
}

pub async fn schedules_are_paged_by_workflow_and_trigger(kit: Kit) {
    kit.schedule("b", &["two", "one"]).await;
    kit.schedule("a", &["three"]).await;
    kit.schedule_in(&project("beta"), "a", vec![daily("x")]).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let part = kit.store.schedules(&acme(), Page { limit: 2, after }).await.unwrap();
        let places =
            part.items.iter().map(|record| (record.workflow.clone(), record.schedule.trigger.clone()));
        found.extend(places);
        after = found.last().cloned();
        if !part.more {
            break;
        }
    }
    let found: Vec<String> =
        found.iter().map(|(workflow, trigger)| format!("{workflow}/{trigger}")).collect();
    assert_eq!(found, ["a/three", "b/one", "b/two"]);
    let beta = kit.store.schedules(&project("beta"), Page::default()).await.unwrap().items;
    assert_eq!(beta.len(), 1);
    assert_eq!(beta[0].schedule, daily("x"));
}

pub async fn runs_that_a_schedule_may_not_start_are_a_misuse(kit: Kit) {
    kit.schedule("flow", &["clock"]).await;
    let taken = kit.take_one().await;
    let dedupe = Dedupe { scope: "s".into(), key: "k".into(), fingerprint: [0; 32], window: SECOND };
    let keyed = StartRun { dedupe: Some(dedupe), ..start_due(1) };
    kit.committed(start_due(9)).await;
    for start in [start(1), keyed, start_in(project("beta"), start_due(1)), start_due(9)] {
        let fired = kit.store.fire_schedule(fire(&taken, None, vec![start_due(8), start])).await;
        assert!(matches!(fired, Err(StoreError::Internal(_))), "{fired:?}");
    }
    assert_eq!(kit.store.runs(&acme(), RunFilter::default()).await.unwrap().items.len(), 1);
    assert!(kit.store.fire_schedule(fire(&taken, None, vec![start_due(1)])).await.unwrap());
}
