//! What the run is owed and when, and starting the attempts whose time has come.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Runner;
use crate::engine::attempt::{Launch, UnderWay, perform};
use crate::engine::vault::Unsealed;
use crate::exec::{Attempt, StepLog, TraceContext};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::NodeKind;
use crate::run::{Fact, Owed};
use crate::secret::SecretName;
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
        let due = self.owed().map(|owed| self.due_at(&owed));
        due.min().map_or(WakeUp::Never, wake_up)
    }

    pub(super) fn has_due_attempts(&self) -> bool {
        let now = self.inner.time.now();
        let is_due = |owed: &Owed| self.due_at(owed).is_none_or(|at| at <= now);
        self.owed().any(|owed| matches!(owed, Owed::Attempt { .. }) && is_due(&owed))
    }

    /// When something that is owed is due; `None` means at once.
    fn due_at(&self, owed: &Owed) -> Option<Timestamp> {
        match owed {
            Owed::Attempt { step, at, .. } => (*at).max(self.put_off.get(step).copied()),
            other => other.due_at(),
        }
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

    /// A secret that an attempt of a step needs and that cannot be opened.
    fn unopened(&self, step: &StepKey, secrets: &Unsealed) -> Option<&SecretName> {
        let (graph, index) = self.run.definition.node(step).filter(|_| secrets.has_unopened())?;
        let NodeKind::Effect(effect) = &graph.node(index).kind else { return None };
        effect.secrets().iter().find(|name| secrets.is_unopened(name.as_str()))
    }

    /// Starts the attempts that are due; answers the facts of those that could not even start.
    pub(super) async fn start_attempts(&mut self) -> Vec<Fact> {
        self.under_way.retain(|step, under_way| self.run.state.awaits(step, under_way.number));
        if self.inner.stopping.drains() || !self.has_due_attempts() {
            return Vec::new();
        }
        let now = self.inner.time.now();
        let meta = self.run.state.meta().clone();
        let secrets = self.inner.unsealed(&meta.project).await;
        let is_due = |owed: &Owed| self.due_at(owed).is_none_or(|at| at <= now);
        let due: Vec<Owed> = self.owed().filter(is_due).collect();
        self.put_off.retain(|_, until| *until > now);
        let secrets = match secrets {
            Ok(secrets) => secrets,
            Err(error) => {
                // The same: what is amiss with the store itself is told once.
                if error.is_transient() {
                    tracing::debug!(%error, run_id = %meta.run, "could not read secrets, attempts wait");
                } else {
                    let error = &error as &(dyn std::error::Error + 'static);
                    tracing::warn!(error, run_id = %meta.run, "could not read secrets, attempts wait");
                }
                let until = now.after(UNREACHABLE);
                self.put_off.extend(due.into_iter().filter_map(|owed| match owed {
                    Owed::Attempt { step, .. } => Some((step, until)),
                    _ => None,
                }));
                return Vec::new();
            }
        };
        let mut facts = Vec::new();
        let mut until_opened = None;
        for owed in due {
            let Owed::Attempt { step, number, .. } = owed else { continue };
            if let Some(name) = self.unopened(&step, &secrets) {
                tracing::warn!(run_id = %meta.run, %step, secret = %name, "a secret cannot be opened, an attempt waits");
                // Beyond the time for which runs are held that wait: another process may know the key.
                let until = *until_opened.get_or_insert_with(|| {
                    self.inner.stand_back.put_off(meta.run, now.after(self.inner.options.hold))
                });
                self.put_off.insert(step, until);
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
            let task = self.attempts.spawn(self.inner.tasks.guard(perform(Box::new(launch))));
            self.under_way.insert(step, UnderWay { number, cancelled, task, started });
        }
        facts
    }
}

/// How long attempts wait when the secrets could not be read.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// When a run wakes up that is owed something at this time; `None` means now.
pub(in crate::engine) fn wake_up(due_at: Option<Timestamp>) -> WakeUp {
    due_at.map_or(WakeUp::Now, WakeUp::At)
}
