//! What the run is owed and when, and starting the attempts whose time has come.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::engine::attempt::{Launch, UnderWay, perform};
use crate::exec::{Attempt, StepLog, TraceContext};
use crate::failure::{Failure, code};
use crate::run::{Fact, Owed};
use crate::store::WakeUp;
use crate::time::Timestamp;

impl Runner {
    /// What the run is owed, apart from attempts that are under way.
    fn owed(&self) -> impl Iterator<Item = Owed> {
        self.run.state.outstanding(&self.run.definition).into_iter().filter(|owed| match owed {
            Owed::Attempt { step, number, .. } => {
                self.under_way.get(step).is_none_or(|known| known.number != *number)
            }
            _ => true,
        })
    }

    /// When the run needs its owner next.
    pub(super) fn next_due(&self) -> WakeUp {
        let not_before = self.not_before;
        let due = self.owed().map(|owed| match owed {
            Owed::Attempt { at, .. } => at.max(not_before),
            other => other.due_at(),
        });
        due.min().map_or(WakeUp::Never, wake_up)
    }

    pub(super) fn has_due_attempts(&self) -> bool {
        let now = self.inner.time.now();
        self.owed().any(|owed| matches!(owed, Owed::Attempt { at, .. } if at.max(self.not_before).is_none_or(|at| at <= now)))
    }

    /// The timers, deadlines and timeouts that are due now.
    pub(super) fn due_facts(&self) -> Vec<Fact> {
        let now = self.inner.time.now();
        let is_due = |owed: &Owed| owed.due_at().is_some_and(|at| at <= now);
        let mut facts: Vec<Fact> = Vec::new();
        for owed in self.owed().filter(is_due) {
            match owed {
                Owed::Timeout { .. } => return vec![Fact::TimedOut],
                Owed::Timer { step, .. } => facts.push(Fact::TimerDue { step }),
                Owed::Deadline { step, .. } => facts.push(Fact::DeadlinePassed { step }),
                Owed::Attempt { .. } => {}
            }
        }
        facts
    }

    /// Starts the attempts that are due; answers the facts of those that could not even start.
    pub(super) async fn start_attempts(&mut self) -> Vec<Fact> {
        self.under_way.retain(|step, under_way| self.run.state.awaits(step, under_way.number));
        if self.inner.stopping.drains() || !self.has_due_attempts() {
            return Vec::new();
        }
        let now = self.inner.time.now();
        self.not_before = None;
        let meta = self.run.state.meta().clone();
        let secrets = match self.inner.unsealed(&meta.project).await {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::warn!(%error, run_id = %meta.run, "could not unseal secrets, attempts wait");
                self.not_before = Some(now.after(Duration::from_secs(1)));
                return Vec::new();
            }
        };
        let mut facts = Vec::new();
        for owed in self.owed().collect::<Vec<_>>() {
            let Owed::Attempt { step, number, at } = owed else { continue };
            if at.is_some_and(|at| at > now) {
                continue;
            }
            let resolver = |name: &str| secrets.get(name).map(|value| value.expose().to_owned());
            let rendered = self.run.state.render_attempt(&self.run.definition, &step, &resolver);
            let plan = rendered.and_then(|plan| {
                let executor = self.inner.executors.get(&*plan.type_name).cloned();
                let missing = || {
                    Failure::permanent(code::INVALID_CONFIG, format!("no executor for {}", plan.type_name))
                };
                Ok((executor.ok_or_else(missing)?, plan))
            });
            let (executor, plan) = match plan {
                Ok(found) => found,
                Err(failure) => {
                    let mut failure = failure;
                    secrets.masker().mask_failure(&mut failure);
                    facts.push(Fact::AttemptFailed {
                        step,
                        attempt: number,
                        failure,
                        retry_not_before: None,
                    });
                    continue;
                }
            };
            if plan.give_up_at <= now {
                // Its deadline, or the run's timeout, is due: what it would answer comes too late.
                continue;
            }
            let cancelled = CancellationToken::new();
            let trace = TraceContext::of_trigger(&self.run.state.created().trigger);
            let attempt = Attempt {
                project: meta.project.clone(),
                workflow: meta.workflow.clone(),
                run: meta.run,
                step: step.clone(),
                number,
                trace: trace.map(|trace| trace.child(&format!("{}/{number}", plan.idempotency_key))),
                idempotency_key: plan.idempotency_key,
                config: plan.config,
                input: plan.input,
                decided_at: plan.decided_at,
                timeout: plan.give_up_at.since(now).min(plan.timeout),
                cancelled: cancelled.clone(),
                log: StepLog::default(),
                masker: secrets.masker().clone(),
            };
            let permits = self.inner.permits.clone();
            let started = Arc::new(AtomicBool::new(false));
            let launch =
                Launch { executor, attempt, permits, secrets: secrets.clone(), started: started.clone() };
            let task = self.attempts.spawn(self.inner.tasks.guard(perform(launch)));
            self.under_way.insert(step, UnderWay { number, cancelled, task, started });
        }
        facts
    }
}

/// When a run wakes up that is owed something at this time; `None` means now.
pub(in crate::engine) fn wake_up(due_at: Option<Timestamp>) -> WakeUp {
    due_at.map_or(WakeUp::Now, WakeUp::At)
}
