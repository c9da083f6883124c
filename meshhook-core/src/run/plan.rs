//! What an attempt is made of: the state's part of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::context::{Context, seed};
use super::state::{RunState, Stage, Work, locate};
use crate::definition::ValidDefinition;
use crate::expr::{Env, SecretResolver};
use crate::failure::{Failure, code};
use crate::id::StepKey;
use crate::node::{self, NodeKind};
use crate::time::Timestamp;

/// An attempt as the definition and the history determine it. Its config holds secrets.
#[non_exhaustive]
pub struct AttemptPlan {
    /// The node's type.
    pub type_name: Arc<str>,
    /// The config with its templates rendered.
    pub config: Value,
    /// The step's input.
    pub input: Arc<Value>,
    /// The same for every attempt of the step.
    pub idempotency_key: String,
    /// When the step was decided.
    pub decided_at: Timestamp,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// When the result comes too late: the step's deadline or the end of the run's time.
    pub give_up_at: Timestamp,
}

impl RunState {
    /// Whether the result of that attempt would be accepted.
    #[must_use]
    pub fn awaits(&self, step: &StepKey, attempt: u32) -> bool {
        self.end.is_none()
            && self.is_live(step)
            && self.steps.get(step).is_some_and(|step| {
                step.stage == Stage::Active
                    && matches!(step.work, Work::Effect { .. })
                    && step.attempts + 1 == attempt
            })
    }

    /// Renders an attempt of a step that is a side effect under way.
    ///
    /// Every attempt of a step renders the same, on any machine, except for secrets that changed.
    ///
    /// # Errors
    ///
    /// A permanent [`Failure`] when a template fails, or a secret that it needs is missing.
    pub fn render_attempt(
        &self,
        definition: &ValidDefinition,
        key: &StepKey,
        secrets: &(dyn SecretResolver + Sync),
    ) -> Result<AttemptPlan, Failure> {
        let unknown = || Failure::permanent(code::INVALID_CONFIG, "the step is not a side effect under way");
        let (_, _, node) = locate(definition, key).ok_or_else(unknown)?;
        let (NodeKind::Effect(effect), Some(step)) = (&node.kind, self.steps.get(key)) else {
            return Err(unknown());
        };
        let (Some(input), Some(idempotency_key)) = (&step.input, &step.idempotency_key) else {
            return Err(unknown());
        };
        for name in effect.secrets() {
            if secrets.resolve(name.as_str()).is_none() {
                return Err(Failure::permanent(
                    code::SECRET_NOT_FOUND,
                    format!("the vault has no secret {:?}", name.as_str()),
                ));
            }
        }
        let context = Context::new(self, definition, key, input.clone());
        let seed = seed(self, key, "step");
        let env = Env::new(step.started_at, &seed).with_secrets(secrets);
        let root = context.root();
        let config = effect.render(&node::Scope { root: &root, env: &env, input })?;
        let policy = node.policy.as_ref();
        let run_ends = self.times_out_at(definition);
        let deadline =
            policy.and_then(|policy| policy.deadline).map(|deadline| step.deadline_from.after(deadline));
        Ok(AttemptPlan {
            type_name: effect.type_name().clone(),
            config,
            input: input.clone(),
            idempotency_key: idempotency_key.clone(),
            decided_at: step.started_at,
            timeout: policy.and_then(|policy| policy.timeout).unwrap_or(Duration::MAX),
            give_up_at: deadline.map_or(run_ends, |deadline| deadline.min(run_ends)),
        })
    }
}
