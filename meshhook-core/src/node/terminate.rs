//! `terminate`: ends the run at once.

/// How `terminate` ends the run. Exhaustive: the definition format names exactly these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TerminateStatus {
    /// The run succeeds.
    #[default]
    Succeeded,
    /// The run fails with the code `terminated`.
    Failed,
}
