//! What the engine asks of a database.
//!
//! A [`Store`] is one object that plays a few small roles. Each method is **one atomic business operation**: when
//! it returns `Ok`, all of it is durable and visible to every other caller; when it returns an error, or the
//! process dies in between, either all of it happened or nothing did. An error whose
//! [`is_outcome_unknown`](StoreError::is_outcome_unknown) is true means that the caller must read back which.
//!
//! | role | what it keeps |
//! | --- | --- |
//! | [`Ledger`] | runs: who owns them, their history, what is due |
//! | [`RunReader`] | runs as people look at them |
//! | [`Inbox`] | what others want from a run |
//! | [`WorkflowStore`] | drafts, versions, definitions, hooks |
//! | [`ScheduleStore`] | when schedules are to be looked at |
//! | [`SecretStore`] | sealed secrets |
//! | [`ProjectStore`] | which projects exist |
//! | [`DeliveryStore`] | what was sent to hooks |
//! | [`RateStore`] | how much more is let in |
//!
//! Rules that hold for every method:
//!
//! - Every call names its project, or acts for one worker; nothing of another project is read or changed.
//! - Due times and leases are judged by the **store's** clock.
//! - Futures may be dropped at any await: the operation then happened or did not, and the store stays usable.
//! - Text is returned byte for byte as it was given.

mod claim;
mod deliveries;
mod error;
mod inbox;
mod ledger;
mod listing;
pub mod memory;
mod projects;
mod rates;
mod reader;
mod schedules;
mod secrets;
mod workflows;

pub use self::claim::ClaimCandidate;
pub use self::deliveries::{DeliveryFilter, DeliveryRecord, DeliveryStore};
pub use self::error::StoreError;
pub use self::inbox::{Inbox, InboxId, InboxItem, MAX_MESSAGES_READ, Message, Post, Posted};
pub use self::ledger::{
    AdvanceRun, Claim, Claimed, ClaimedRun, Commit, CommitOutcome, Dedupe, HeldRun, Hold, KeyHolder, Ledger,
    StartRun, WakeUp,
};
pub use self::listing::{Listing, MAX_LISTING_BYTES, Page, span_of_ids};
pub use self::projects::{ProjectRecord, ProjectStore};
pub use self::rates::{Admit, Admitted, RateStore};
pub use self::reader::{RunFilter, RunReader, RunRecord, StoredRun};
pub use self::schedules::{
    FireSchedule, PublishedSchedule, ScheduleKey, ScheduleRecord, ScheduleStore, Seen, TakenSchedule,
    TakenSchedules,
};
pub use self::secrets::{Resealed, SecretRecord, SecretStore};
pub use self::workflows::{
    CreateWorkflow, Hook, HookRoute, LiveVersion, PublishOutcome, PublishWorkflow, SaveDraft, VersionRecord,
    WorkflowRecord, WorkflowStore, WorkflowStoreError,
};

/// Everything the engine asks of a database, in one object.
pub trait Store:
    Ledger
    + RunReader
    + Inbox
    + WorkflowStore
    + ScheduleStore
    + SecretStore
    + ProjectStore
    + DeliveryStore
    + RateStore
{
}

impl<T> Store for T where
    T: Ledger
        + RunReader
        + Inbox
        + WorkflowStore
        + ScheduleStore
        + SecretStore
        + ProjectStore
        + DeliveryStore
        + RateStore
{
}
