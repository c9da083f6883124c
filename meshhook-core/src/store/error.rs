//! What can go wrong with any store operation.

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store operation did not give a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached or is shutting down; nothing was changed. Trying again later makes sense.
    #[error("store is unavailable")]
    Unavailable(#[source] Source),
    /// The answer was lost while committing: the operation happened or it did not.
    #[error("outcome of the operation is unknown")]
    OutcomeUnknown(#[source] Source),
    /// There is no room to write; nothing was changed.
    #[error("store is full")]
    Full(#[source] Source),
    /// What was read is not what a store of this release writes.
    #[error("stored data is not readable: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// A defect or a misuse; nothing was changed. Trying again does not help.
    #[error("store operation failed")]
    Internal(#[source] Source),
}

impl StoreError {
    /// Stored data that is not what a store of this release writes.
    #[must_use]
    pub fn corrupt(what: impl Into<String>) -> Self {
        StoreError::Corrupt { what: what.into() }
    }

    /// A misuse or a defect.
    #[must_use]
    pub fn internal(source: impl Into<Source>) -> Self {
        StoreError::Internal(source.into())
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) | StoreError::Full(_))
    }

    /// Whether the operation may have happened all the same.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, StoreError::OutcomeUnknown(_))
    }
}
