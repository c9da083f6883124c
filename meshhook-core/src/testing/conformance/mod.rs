//! What every store must do, as tests.
//!
//! ```ignore
//! meshhook_core::store_conformance!(|clock| async move {
//!     Subject::new(MemoryStore::new(Arc::new(clock)))
//! });
//! ```
//!
//! makes one test of each case, with a new and empty store that judges times by the given clock. A case's name says
//! what it shows. New behaviour of stores starts here.

#![expect(clippy::unwrap_used, reason = "cases are tests, though they are compiled into the library")]

mod fixture;

#[doc(hidden)]
pub mod claims;
#[doc(hidden)]
pub mod commits;
#[doc(hidden)]
pub mod dedupe;
#[doc(hidden)]
pub mod deliveries;
#[doc(hidden)]
pub mod dropped;
#[doc(hidden)]
pub mod founding;
#[doc(hidden)]
pub mod inbox;
#[doc(hidden)]
pub mod late;
#[doc(hidden)]
pub mod orphans;
#[doc(hidden)]
pub mod projects;
#[doc(hidden)]
pub mod rates;
#[doc(hidden)]
pub mod reading;
#[doc(hidden)]
pub mod schedules;
#[doc(hidden)]
pub mod secrets;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod unreadable;
#[doc(hidden)]
pub mod workflows;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::ManualClock;
use crate::store::Store;

/// A store to examine, and what must live as long.
pub struct Subject {
    store: Arc<dyn Store>,
    guard: Box<dyn Any + Send>,
}

impl Subject {
    /// A store to examine.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self { store: Arc::new(store), guard: Box::new(()) }
    }

    /// The store.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Drops something, a directory for example, only after the store.
    #[must_use]
    pub fn keeping(mut self, guard: impl Send + 'static) -> Self {
        self.guard = Box::new(guard);
        self
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

/// A store and the clock that it goes by.
#[doc(hidden)]
#[derive(Clone)]
pub struct Kit {
    pub store: Arc<dyn Store>,
    pub clock: ManualClock,
}

/// Runs one case on a runtime of its own.
#[doc(hidden)]
pub fn check<F, C>(factory: impl FnOnce(ManualClock) -> F, case: impl FnOnce(Kit) -> C)
where
    F: Future<Output = Subject>,
    C: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a test can have a runtime").block_on(async {
        let clock = ManualClock::new();
        let Subject { store, guard } = factory(clock.clone()).await;
        case(Kit { store: store.clone(), clock }).await;
        drop(store);
        drop(guard);
    });
}

/// Makes one test of each case of the [conformance suite](crate::testing::conformance).
///
/// The argument is a closure from a [`ManualClock`] to a future of a [`Subject`].
#[macro_export]
macro_rules! store_conformance {
    ($factory:expr) => {
        $crate::store_conformance_cases! { $factory;
            commits {
                a_started_run_reads_back_as_it_was_given
                a_batch_commits_in_order
                refused_members_of_a_batch_do_not_disturb_the_others
                an_empty_batch_is_fine
                starting_a_run_again_says_that_it_exists
                a_history_that_does_not_start_at_one_is_a_misuse
                a_chunk_that_does_not_follow_its_position_is_a_misuse
                an_advance_appends_to_the_history
                an_advance_by_another_worker_is_stale
                an_advance_through_another_claim_is_stale
                an_advance_that_leaves_a_gap_or_repeats_is_stale
                an_advance_of_a_run_that_does_not_exist_is_stale
                an_advance_of_a_released_or_ended_run_is_stale
                a_run_can_end_with_its_first_commit
                an_ended_run_says_how_when_and_why
                a_run_can_be_given_back_without_events
                a_commit_says_where_the_run_stands
                one_worker_of_many_wins_each_position
            }
            late {
                a_late_release_leaves_a_run_that_was_claimed_again
                a_late_keep_leaves_a_run_that_went_on
                a_late_keep_leaves_a_run_that_was_claimed_again
                a_late_end_leaves_a_run_that_is_retried
                a_late_copy_of_events_is_stale
                giving_back_late_leaves_a_run_that_was_claimed_again
                a_commit_without_events_can_be_repeated_while_nothing_happened
            }
            dedupe {
                a_key_admits_one_run
                a_key_tells_a_repetition_from_a_collision
                a_key_counts_within_its_scope
                a_key_counts_within_its_batch
                a_key_is_free_again_after_its_window
                a_refused_run_does_not_take_its_key
                a_repeated_start_exists_rather_than_duplicates_itself
                a_taken_key_is_found
                many_keys_are_looked_for_at_once
            }
            claims {
                a_released_run_is_claimed_when_its_time_comes
                a_run_released_for_ever_is_not_claimed
                a_claimed_run_is_held
                a_claim_leaves_the_record_as_it_stands
                a_claim_answers_the_time_of_the_store
                a_run_released_to_be_due_now_is_due_by_the_clock_of_the_store
                the_claiming_worker_may_write_through_its_claim
                the_worker_that_released_a_run_claims_it_without_a_new_epoch
                a_claim_takes_no_more_than_its_limit
                a_claim_takes_no_further_run_once_the_histories_are_long_enough
                a_claim_counts_orphans_and_all_their_chunks
                a_claim_takes_the_oldest_first
                projects_take_turns
                a_claim_of_nothing_is_empty
                the_next_wake_up_is_the_earliest_of_all_projects
                forgotten_runs_are_due_at_once
                forgotten_runs_can_be_left_alone_for_a_while
                only_the_holder_can_forget
                held_runs_are_listed_for_their_worker
                a_claim_that_was_not_written_is_repeated_through_the_same_epoch
                ended_runs_are_never_claimed
            }
            orphans {
                a_lease_that_lasts_protects_its_runs
                runs_are_orphaned_when_the_lease_ends
                a_renewed_lease_protects_its_runs_again
                a_claim_renews_the_lease
                a_worker_never_claims_what_it_holds
                a_stale_owner_cannot_write_after_a_claim
                a_worker_whose_lease_ended_may_write_until_somebody_claims
                runs_of_a_worker_without_a_lease_are_orphans
                a_retired_workers_runs_are_claimable_without_a_strike
                a_retired_worker_can_come_back
                strikes_are_counted_at_the_claim
                strikes_start_again_when_the_run_advanced
                the_event_of_the_claim_is_no_progress
                claims_of_released_runs_leave_strikes_alone
                suspects_are_taken_sparingly
                orphans_and_due_runs_are_taken_by_age
            }
            inbox {
                a_message_for_a_held_run_names_the_owner
                a_message_makes_a_released_run_due
                a_message_does_not_postpone_a_run_that_is_due
                a_message_for_no_run_is_not_left
                a_message_for_an_ended_run_is_not_left
                a_retry_makes_a_failed_run_due
                a_retry_of_a_run_that_did_not_fail_is_refused
                a_failed_run_looks_failed_until_the_commit_that_retries_it
                messages_keep_their_order_and_content
                a_claim_names_the_runs_held_before_for_which_messages_wait
                messages_are_read_in_parts
                large_messages_are_read_in_parts
                an_inbox_is_bounded
                the_ends_of_what_waits_tell_what_has_taken_effect
                a_consumed_message_is_gone_for_good
                a_stale_commit_consumes_nothing
                a_commit_consumes_only_its_own_runs_messages
                a_run_released_while_a_message_waits_is_due
                messages_that_wait_go_with_a_run_that_ends_well
                messages_that_wait_stay_with_a_failed_run
                a_retry_that_waits_makes_a_run_that_fails_due
                a_message_that_cannot_be_read_back_is_a_misuse
            }
            reading {
                a_run_that_does_not_exist_is_none
                a_run_reads_with_its_whole_history
                chunks_after_a_position_are_those_that_hold_later_events
                chunks_are_limited
                runs_are_listed_newest_first
                listed_runs_have_the_ends_of_their_history
                runs_are_filtered_by_workflow_status_and_time
                filters_combine
                pages_continue_where_the_last_one_ended
                a_page_of_none_is_empty
                large_items_come_in_smaller_parts
            }
            projects {
                the_same_run_id_may_exist_in_two_projects
                runs_are_not_seen_from_other_projects
                runs_are_not_changed_from_other_projects
                keys_count_within_their_project
                workflows_belong_to_their_project
                secrets_belong_to_their_project
            }
            founding {
                the_default_project_exists_from_the_start
                a_project_reads_back_as_made
                a_project_is_made_once
                projects_are_paged_newest_first
            }
            workflows {
                a_workflow_reads_back_as_created
                a_name_is_taken_once
                saving_raises_the_revision
                saving_over_another_revision_is_refused
                saving_or_publishing_nothing_is_not_found
                publishing_numbers_versions
                publishing_makes_hooks_live
                publishing_another_draft_than_the_known_one_is_refused
                publishing_the_same_again_changes_nothing
                publishing_an_earlier_definition_again_is_a_new_version
                publishing_the_same_after_unpublishing_makes_it_live_again
                a_taken_path_leaves_everything_as_it_was
                a_path_within_one_publication_is_taken_once
                hooks_are_swapped_as_one
                a_path_is_free_after_unpublishing
                unpublishing_keeps_versions
                deleting_keeps_definitions
                a_workflow_created_again_starts_anew
                workflows_are_paged_newest_first
                versions_are_paged_newest_first
                large_drafts_come_in_smaller_parts
                hooks_are_looked_up_by_path
                a_definition_is_kept_once
            }
            schedules {
                a_published_schedule_is_due_at_once
                a_taken_schedule_is_nobody_elses_for_a_while
                what_was_seen_of_a_schedule_is_told_to_who_takes_it_next
                firing_starts_runs_and_moves_the_schedule
                a_run_that_is_due_now_is_due_by_the_clock_of_the_store
                a_schedule_fires_once_however_often_it_was_taken
                a_schedule_that_changed_does_not_fire_by_what_it_was
                a_schedule_starts_no_run_of_a_definition_that_is_not_live
                a_paused_schedule_is_due_when_it_is_resumed
                only_schedules_of_published_workflows_can_be_paused
                publishing_the_same_times_anew_keeps_what_is_done_with
                an_unpublished_schedule_goes_on_from_its_next_publication
                schedules_are_taken_in_the_order_in_which_they_came_due
                schedules_are_paged_by_workflow_and_trigger
                runs_that_a_schedule_may_not_start_are_a_misuse
            }
            secrets {
                a_secret_reads_back_as_set
                a_version_is_one_more_than_the_last
                a_removed_secret_is_gone_but_counts_on
                removing_nothing_is_false
                secrets_are_listed_by_name
                a_seal_is_replaced_without_a_new_version
                a_seal_of_another_version_is_left_alone
            }
            deliveries {
                a_delivery_reads_back_as_recorded
                every_verdict_is_kept
                recording_again_changes_nothing
                deliveries_belong_to_their_project
                deliveries_are_paged_newest_first
                deliveries_are_filtered_by_workflow_verdict_and_time
                a_delivery_is_forgotten_when_its_time_is_over
                large_deliveries_come_in_smaller_parts
            }
            rates {
                a_bucket_gives_its_burst_and_then_what_comes_back
                a_batch_is_taken_in_order
                buckets_belong_to_their_project_and_key
                a_bucket_that_was_larger_is_empty_at_most
                many_at_once_are_given_what_there_is_and_no_more
                fast_and_slow_buckets_are_exact
            }
            text {
                large_texts_are_kept_byte_for_byte
                odd_characters_are_kept_byte_for_byte
                the_ends_of_time_are_kept
                large_messages_and_drafts_are_kept
                many_runs_in_one_batch_are_kept
            }
            unreadable {
                runs_that_cannot_be_read_are_set_aside_and_shown_until_they_can
            }
            dropped {
                a_dropped_start_happened_or_did_not
                a_dropped_claim_leaves_runs_claimable
                a_dropped_post_leaves_one_message_or_none
                the_store_is_usable_after_any_call_was_dropped
            }
        }
    };
}

/// Makes tests of the listed cases.
#[doc(hidden)]
#[macro_export]
macro_rules! store_conformance_cases {
    ($factory:expr; $($module:ident { $($case:ident)* })*) => {
        $(mod $module {
            #[allow(unused_imports, reason = "what the factory needs stands beside the invocation")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::testing::conformance::check(
                        $factory,
                        $crate::testing::conformance::$module::$case,
                    );
                }
            )*
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_listed() {
        let list = include_str!("mod.rs");
        for source in [
            include_str!("claims.rs"),
            include_str!("commits.rs"),
            include_str!("dedupe.rs"),
            include_str!("deliveries.rs"),
            include_str!("dropped.rs"),
            include_str!("founding.rs"),
            include_str!("inbox.rs"),
            include_str!("late.rs"),
            include_str!("orphans.rs"),
            include_str!("projects.rs"),
            include_str!("rates.rs"),
            include_str!("reading.rs"),
            include_str!("schedules.rs"),
            include_str!("secrets.rs"),
            include_str!("text.rs"),
            include_str!("unreadable.rs"),
            include_str!("workflows.rs"),
        ] {
            for line in source.lines() {
                if let Some((name, _)) =
                    line.strip_prefix("pub async fn ").and_then(|line| line.split_once('('))
                {
                    assert!(list.lines().any(|line| line.trim() == name), "{name} is not listed");
                }
            }
        }
    }
}
