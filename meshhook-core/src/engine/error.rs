//! Why the engine did not do what a caller asked for.

use crate::definition::{Problem, Severity};
use crate::id::RunId;
use crate::run::ReplayError;
use crate::store::{StoreError, WorkflowStoreError};

/// Why the engine did not do what a caller asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such thing in that project.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for: `project`, `workflow`, `version`, `run`, `schedule`, `secret`, `delivery`, `hook`.
        what: &'static str,
    },
    /// There is a project of that id.
    #[error("there is a project of that name")]
    ProjectTaken,
    /// The project has a workflow of that name.
    #[error("the project has a workflow of that name")]
    SlugTaken,
    /// The draft changed since it was read.
    #[error("the draft has changed: its revision is {current}")]
    RevisionStale {
        /// Its revision.
        current: u64,
    },
    /// The definition has errors.
    #[error("the definition has errors{}", summary(problems))]
    InvalidDefinition {
        /// All that was found.
        problems: Vec<Problem>,
    },
    /// The workflow has no live version.
    #[error("the workflow is not published")]
    NotPublished,
    /// The schedule is in the workflow's draft, and in no version that is live: there is nothing that could be paused.
    #[error("the schedule is not live: publish its workflow first")]
    ScheduleNotLive,
    /// The input does not match the definition's schema.
    #[error("the input does not match the workflow's schema: {message}")]
    InputInvalid {
        /// What does not match, and where.
        message: String,
    },
    /// The key was used with other input.
    #[error("the idempotency key was used with other input")]
    KeyReused {
        /// The run that has the key.
        run: RunId,
    },
    /// The run's status does not allow it.
    #[error("the run is {status}")]
    InvalidState {
        /// The run's status.
        status: &'static str,
    },
    /// An argument is not what it must be.
    #[error("{message}")]
    InvalidArgument {
        /// What and why.
        message: String,
    },
    /// An argument is larger than its limit.
    #[error("{message}")]
    TooLarge {
        /// What, and what the limit is.
        message: String,
    },
    /// A stored history is not what the rules give; the run cannot go on without a person.
    #[error("the run's history is not readable")]
    Unreadable(#[source] ReplayError),
    /// What was to be done panicked, which is a bug.
    #[error("the engine met a bug: a panic")]
    Panicked,
    /// The engine has too much to do, or is shutting down. Trying again later makes sense.
    #[error("the engine has too much to do")]
    Overloaded,
    /// This process does not do its part now: its worker is not alive, or it is stopping.
    #[error("the engine is not ready: {why}")]
    NotReady {
        /// Why not.
        why: String,
    },
    /// What was sent with the delivery is not there, or not as a whole.
    #[error("{why}")]
    NotKept {
        /// Why not.
        why: &'static str,
    },
    /// The delivery has a run, in which its request stands.
    #[error(
        "the delivery has a run, in which its request stands: to do its work again, start a run with the same input, by \
         POST /workflows/{{slug}}/runs"
    )]
    HasRun {
        /// The run, where its row can be read.
        run: Option<RunId>,
    },
    /// The hook refuses what was to be routed again.
    #[error("the hook refuses it: {message}")]
    Refused {
        /// Why.
        message: String,
        /// The place of the item that is refused, from 0, where it is one.
        item: Option<usize>,
    },
    /// The id of an item of what was to be routed again came with other content: earlier, or in the same request.
    #[error("the id of item {item} was used with other content")]
    ItemReused {
        /// The item's place, from 0.
        item: usize,
        /// The run that has the id, unless an earlier item of the request has it.
        run: Option<RunId>,
    },
    /// Too many messages wait for the run already. Trying again later makes sense.
    #[error("too many messages wait for the run")]
    InboxFull,
    /// Secrets need a master key, and the host gave the engine none.
    #[error("this engine has no master key, so it can keep no secrets: give EngineBuilder::key_provider one")]
    NoMasterKey,
    /// The key provider failed, or does not know the key of a secret.
    #[error("the vault is not usable: {message}")]
    Vault {
        /// Why; never a secret.
        message: String,
    },
    /// A secret is needed that is there, but cannot be opened now. Trying again later makes sense.
    #[error("the secret {name:?} cannot be opened")]
    SecretUnopened {
        /// Its name.
        name: String,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            EngineError::Overloaded
            | EngineError::NotReady { .. }
            | EngineError::InboxFull
            | EngineError::SecretUnopened { .. } => true,
            EngineError::Store(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether what is stored of a run cannot be read, by this release at least.
    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, EngineError::Unreadable(_) | EngineError::Store(StoreError::Corrupt { .. }))
    }

    /// Whether something that was named does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, EngineError::NotFound { .. })
    }
}

/// How many errors there are and the first of them, for callers who only print.
fn summary(problems: &[Problem]) -> String {
    let mut errors = problems.iter().filter(|problem| problem.code.severity() == Severity::Error);
    let Some(first) = errors.next() else { return String::new() };
    let place = if first.path.is_empty() { "the document" } else { first.path.as_str() };
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!(": {} at {place}: {}{more}", first.code.as_str(), first.message)
}

impl From<WorkflowStoreError> for EngineError {
    fn from(error: WorkflowStoreError) -> Self {
        match error {
            WorkflowStoreError::SlugTaken => EngineError::SlugTaken,
            WorkflowStoreError::NotFound => EngineError::NotFound { what: "workflow" },
            WorkflowStoreError::RevisionStale { current } => EngineError::RevisionStale { current },
            WorkflowStoreError::PathTaken { .. } => {
                EngineError::InvalidDefinition { problems: vec![Problem::path_taken(None)] }
            }
            WorkflowStoreError::Store(error) => EngineError::Store(error),
        }
    }
}

/// A store error that several callers were given.
pub(super) fn shared(error: std::sync::Arc<StoreError>) -> EngineError {
    match std::sync::Arc::try_unwrap(error) {
        Ok(error) => EngineError::Store(error),
        Err(error) if error.is_outcome_unknown() => StoreError::OutcomeUnknown(Box::new(error)).into(),
        Err(error) if error.is_transient() => StoreError::Unavailable(Box::new(error)).into(),
        Err(error) => StoreError::Internal(Box::new(error)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::ProblemCode;

    #[test]
    fn a_refused_definition_says_its_first_error() {
        let problem = |code, path, message| Problem::new(code, path, message);
        let problems = vec![
            problem(ProblemCode::SecretLiteral, "nodes[0]", "looks like a secret"),
            problem(ProblemCode::MissingField, "name", "is required"),
            problem(ProblemCode::Cycle, "edges[1]", "closes a cycle"),
        ];
        let text = EngineError::InvalidDefinition { problems }.to_string();
        assert_eq!(text, "the definition has errors: missing_field at name: is required (and 1 more)");
    }
}
