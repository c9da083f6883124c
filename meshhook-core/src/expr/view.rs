//! What an expression is evaluated over: borrowed JSON, arranged under names without copying.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::json::compare_keys;
use crate::time::Timestamp;

/// A JSON value put together from references: either a value, or an object whose members are views.
///
/// ```
/// use meshhook_core::expr::View;
/// use serde_json::json;
///
/// let (input, output) = (json!({"n": 1}), json!("done"));
/// let root = View::object([
///     ("input", View::from(&input)),
///     ("nodes", View::object([("post", View::object([("output", View::from(&output))]))])),
/// ]);
/// # let _ = root;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct View<'a>(pub(super) ViewKind<'a>);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ViewKind<'a> {
    Value(Cow<'a, Value>),
    /// Sorted by [`compare_keys`], without duplicates.
    Object(Members<'a>),
}

pub(super) type Members<'a> = Vec<(Cow<'a, str>, View<'a>)>;

impl<'a> View<'a> {
    /// Makes an object of members; of several with the same name the last counts.
    pub fn object<K: Into<Cow<'a, str>>>(members: impl IntoIterator<Item = (K, View<'a>)>) -> Self {
        let mut members: Members<'a> = members.into_iter().map(|(key, view)| (key.into(), view)).collect();
        // Stable, so the last of equal names is the last of its group; `dedup_by` keeps the first of a group, hence
        // the swap.
        members.sort_by(|(a, _), (b, _)| compare_keys(a, b));
        members.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Self(ViewKind::Object(members))
    }

    /// The value `null`.
    pub fn null() -> View<'static> {
        View(ViewKind::Value(Cow::Owned(Value::Null)))
    }
}

impl<'a> From<&'a Value> for View<'a> {
    fn from(value: &'a Value) -> Self {
        Self(ViewKind::Value(Cow::Borrowed(value)))
    }
}

impl From<Value> for View<'_> {
    fn from(value: Value) -> Self {
        Self(ViewKind::Value(Cow::Owned(value)))
    }
}

/// Gives the values of secrets to expressions in fields that may see them.
pub trait SecretResolver {
    /// Returns the value of the secret, or `None` when there is none of that name.
    fn resolve(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> SecretResolver for F {
    fn resolve(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// What an evaluation gets besides its root: the time, the seed of `uuid()`, and secrets where they are visible.
///
/// One environment belongs to one step: `uuid()` numbers its calls in it, so that each call in the step gives
/// another id and every replay gives the same ones.
pub struct Env<'a> {
    now: Timestamp,
    seed: &'a [u8],
    secrets: Option<&'a (dyn SecretResolver + Sync + 'a)>,
    calls: AtomicU64,
}

impl<'a> Env<'a> {
    /// Makes an environment without secrets; `seed` names the run and the step.
    pub fn new(now: Timestamp, seed: &'a [u8]) -> Self {
        Self { now, seed, secrets: None, calls: AtomicU64::new(0) }
    }

    /// Lets expressions read secrets.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &'a (dyn SecretResolver + Sync + 'a)) -> Self {
        self.secrets = Some(secrets);
        self
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn seed(&self) -> &[u8] {
        self.seed
    }

    pub(super) fn secrets(&self) -> Option<&'a (dyn SecretResolver + Sync + 'a)> {
        self.secrets
    }

    /// Numbers the calls of `uuid()`, from 0.
    pub(super) fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("now", &self.now)
            .field("secrets", &self.secrets.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_and_the_last_of_a_name_counts() {
        let (a, b, c) = (json!(1), json!(2), json!(3));
        let view = View::object([("z", View::from(&a)), ("b", View::from(&b)), ("z", View::from(&c))]);
        assert_eq!(view, View::object([("b", View::from(&b)), ("z", View::from(&c))]));
    }
}
