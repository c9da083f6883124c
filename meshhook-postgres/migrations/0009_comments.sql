-- 0009: what each column, index and function is for.
--
-- The reference page of the schema is made from these comments.

COMMENT ON COLUMN meshhook.live_runs.created_at IS 'When the run was made.';
COMMENT ON COLUMN meshhook.live_runs.epoch IS 'Grows by one with each change of hands.';
COMMENT ON COLUMN meshhook.live_runs.claim IS 'Grows by one with each claim, also by the same worker: a commit names the claim through which its worker holds the run, and one of an earlier claim is refused.';
COMMENT ON COLUMN meshhook.live_runs.strikes IS 'How many workers in a row died while they held the run and before it got any further.';
COMMENT ON COLUMN meshhook.live_runs.strike_seq IS 'How far the history was at the last strike.';
COMMENT ON COLUMN meshhook.live_runs.wake_at IS 'When a released run is due; null while it is held, and where it waits for a message only.';
COMMENT ON COLUMN meshhook.live_runs.finished_at IS 'When a run that is being retried had failed, until its retry is written.';
COMMENT ON COLUMN meshhook.live_runs.version IS 'The workflow''s version; null for a run of a draft.';
COMMENT ON COLUMN meshhook.live_runs.run_id IS 'UUIDv7: begins with the millisecond in which the run was made.';
COMMENT ON COLUMN meshhook.live_runs.test IS 'Whether it is a test run.';
COMMENT ON COLUMN meshhook.live_runs.project IS 'The project.';
COMMENT ON COLUMN meshhook.live_runs.workflow IS 'The workflow''s slug.';
COMMENT ON COLUMN meshhook.live_runs.status IS 'As lists show it. Loading a run goes by its history.';
COMMENT ON COLUMN meshhook.live_runs.owner IS 'The worker that holds it, for as long as its lease in workers lasts; null when released.';
COMMENT ON COLUMN meshhook.live_runs.last_holder IS 'The worker that held it last: taking a run back oneself is no change of hands.';
COMMENT ON COLUMN meshhook.live_runs.digest IS 'SHA-256 of its definition, which is in definitions.';
COMMENT ON COLUMN meshhook.live_runs.failure IS 'The failure of a run that is being retried, until its retry is written.';
COMMENT ON INDEX meshhook.live_runs_pk IS 'Finding a run; lists, newest first.';
COMMENT ON INDEX meshhook.live_runs_due IS 'Claims: what is due, project by project. Held runs are not in it.';
COMMENT ON INDEX meshhook.live_runs_wake IS 'Whether anything is due at all, and when the next will be: one look, however many projects there are.';
COMMENT ON INDEX meshhook.live_runs_failed IS 'Lists of failed runs: those that are to be retried. No other has finished_at.';
COMMENT ON INDEX meshhook.live_runs_held IS 'What a worker holds; the orphans of a dead one.';
COMMENT ON INDEX meshhook.live_runs_struck IS 'What a worker holds that was an orphan before: runs that may have killed their worker.';

COMMENT ON COLUMN meshhook.ended_runs.created_at IS 'When the run was made.';
COMMENT ON COLUMN meshhook.ended_runs.finished_at IS 'When it ended.';
COMMENT ON COLUMN meshhook.ended_runs.epoch IS 'As in live_runs; kept for failed runs only, which can be retried.';
COMMENT ON COLUMN meshhook.ended_runs.claim IS 'As in live_runs; kept for failed runs only, which can be retried.';
COMMENT ON COLUMN meshhook.ended_runs.strikes IS 'As in live_runs; kept for failed runs only.';
COMMENT ON COLUMN meshhook.ended_runs.strike_seq IS 'As in live_runs; kept for failed runs only.';
COMMENT ON COLUMN meshhook.ended_runs.version IS 'The workflow''s version; null for a run of a draft.';
COMMENT ON COLUMN meshhook.ended_runs.run_id IS 'UUIDv7: the key of the partitions.';
COMMENT ON COLUMN meshhook.ended_runs.test IS 'Whether it was a test run.';
COMMENT ON COLUMN meshhook.ended_runs.project IS 'The project.';
COMMENT ON COLUMN meshhook.ended_runs.workflow IS 'The workflow''s slug.';
COMMENT ON COLUMN meshhook.ended_runs.status IS 'succeeded, failed or cancelled.';
COMMENT ON COLUMN meshhook.ended_runs.last_holder IS 'As in live_runs; kept for failed runs only.';
COMMENT ON COLUMN meshhook.ended_runs.digest IS 'SHA-256 of its definition.';
COMMENT ON COLUMN meshhook.ended_runs.failure IS 'Why a failed run failed: a failure as JSON.';
COMMENT ON INDEX meshhook.ended_runs_pk IS 'Finding a run; lists, newest first.';
COMMENT ON INDEX meshhook.ended_runs_by_workflow IS 'Lists by workflow.';
COMMENT ON INDEX meshhook.ended_runs_by_status IS 'Dead letters, and lists by a status other than succeeded: most runs end well, so it stays small.';

COMMENT ON COLUMN meshhook.history.first_seq IS 'The position of the row''s first event.';
COMMENT ON COLUMN meshhook.history.last_seq IS 'The position of its last event.';
COMMENT ON COLUMN meshhook.history.run_id IS 'The run; the key of the partitions.';
COMMENT ON COLUMN meshhook.history.project IS 'The project.';
COMMENT ON COLUMN meshhook.history.hash IS 'SHA-256 over the hash of the row before and this row''s text.';
COMMENT ON COLUMN meshhook.history.chunk IS 'The events as a JSON array, in the bytes that were hashed.';
COMMENT ON INDEX meshhook.history_pk IS 'Reading in order; refuses a second writer of a position, whatever else went wrong.';

COMMENT ON COLUMN meshhook.dedupe.expires_at IS 'Until when the key is taken.';
COMMENT ON COLUMN meshhook.dedupe.run_id IS 'The run that has it.';
COMMENT ON COLUMN meshhook.dedupe.project IS 'The project.';
COMMENT ON COLUMN meshhook.dedupe.key IS 'SHA-256 of the key and what it is unique in (a trigger, a workflow''s starts).';
COMMENT ON COLUMN meshhook.dedupe.fingerprint IS 'SHA-256 of the content: the same key with another is refused.';
COMMENT ON INDEX meshhook.dedupe_pk IS 'One run per key.';
COMMENT ON INDEX meshhook.dedupe_by_expiry IS 'Forgetting expired keys, the oldest first.';

COMMENT ON COLUMN meshhook.inbox.id IS 'The order of arrival within a run.';
COMMENT ON COLUMN meshhook.inbox.run_id IS 'The run that it is for.';
COMMENT ON COLUMN meshhook.inbox.is_retry IS 'Whether it asks for a retry: the only message that a failed run takes.';
COMMENT ON COLUMN meshhook.inbox.project IS 'The project.';
COMMENT ON COLUMN meshhook.inbox.message IS 'A fact as JSON: an external event, the end of a child, a pause, a resumption, a cancellation, a retry.';
COMMENT ON COLUMN meshhook.inbox.owner IS 'The worker that held the run when the message was left, or took it since; null when nobody did, and while it waits with a failed run.';
COMMENT ON INDEX meshhook.inbox_by_owner IS 'What waits for a worker''s runs.';
COMMENT ON INDEX meshhook.inbox_pk IS 'A run''s messages in order.';

COMMENT ON COLUMN meshhook.workers.lease_until IS 'Until when the worker''s runs are its own.';
COMMENT ON COLUMN meshhook.workers.retired IS 'Whether it left in order: nothing is counted against its runs.';
COMMENT ON COLUMN meshhook.workers.worker IS 'The name of a process, never used twice.';
COMMENT ON COLUMN meshhook.workers.visited IS 'Where its last look that could not read all that was due left off: the project.';
COMMENT ON INDEX meshhook.workers_pk IS 'One lease per worker.';

COMMENT ON COLUMN meshhook.projects.created_at IS 'When it was made.';
COMMENT ON COLUMN meshhook.projects.project IS 'Its slug.';
COMMENT ON COLUMN meshhook.projects.name IS 'What people call it, in UTF-8.';
COMMENT ON INDEX meshhook.projects_pk IS 'One row per slug.';
COMMENT ON INDEX meshhook.projects_by_creation IS 'Lists, newest first.';

COMMENT ON COLUMN meshhook.workflows.revision IS 'Grows with each change of the draft: the ETag.';
COMMENT ON COLUMN meshhook.workflows.created_at IS 'When it was made.';
COMMENT ON COLUMN meshhook.workflows.updated_at IS 'When its draft was saved last.';
COMMENT ON COLUMN meshhook.workflows.latest_version IS 'The newest version, if there is one.';
COMMENT ON COLUMN meshhook.workflows.published_version IS 'The version whose triggers are live, if one is published.';
COMMENT ON COLUMN meshhook.workflows.project IS 'The project.';
COMMENT ON COLUMN meshhook.workflows.slug IS 'Its slug.';
COMMENT ON COLUMN meshhook.workflows.draft IS 'The draft: JSON as UTF-8.';
COMMENT ON INDEX meshhook.workflows_pk IS 'One row per slug.';
COMMENT ON INDEX meshhook.workflows_by_creation IS 'Lists, newest first.';

COMMENT ON COLUMN meshhook.versions.version IS '1, 2, 3 …';
COMMENT ON COLUMN meshhook.versions.created_at IS 'When it was published first.';
COMMENT ON COLUMN meshhook.versions.project IS 'The project.';
COMMENT ON COLUMN meshhook.versions.slug IS 'The workflow.';
COMMENT ON COLUMN meshhook.versions.digest IS 'Its definition.';
COMMENT ON INDEX meshhook.versions_pk IS 'One row per number; lists.';

COMMENT ON COLUMN meshhook.definitions.project IS 'The project.';
COMMENT ON COLUMN meshhook.definitions.digest IS 'SHA-256 of the definition without its layout.';
COMMENT ON COLUMN meshhook.definitions.definition IS 'Canonical JSON as UTF-8.';
COMMENT ON INDEX meshhook.definitions_pk IS 'Finding the definition of a run or a version.';

COMMENT ON COLUMN meshhook.hooks.project IS 'The project.';
COMMENT ON COLUMN meshhook.hooks.path IS 'The path of the hook, unique in its project.';
COMMENT ON COLUMN meshhook.hooks.slug IS 'The workflow whose published version has the trigger.';
COMMENT ON COLUMN meshhook.hooks.trigger IS 'The trigger''s id.';
COMMENT ON INDEX meshhook.hooks_pk IS 'Finding the trigger of a request; no path twice.';
COMMENT ON INDEX meshhook.hooks_by_workflow IS 'Taking a workflow''s triggers down.';

COMMENT ON COLUMN meshhook.secrets.version IS 'Grows with each value; bound into the sealed value.';
COMMENT ON COLUMN meshhook.secrets.created_at IS 'When the name was first set.';
COMMENT ON COLUMN meshhook.secrets.updated_at IS 'When its value was set last.';
COMMENT ON COLUMN meshhook.secrets.project IS 'The project.';
COMMENT ON COLUMN meshhook.secrets.name IS 'Its name, in UTF-8.';
COMMENT ON COLUMN meshhook.secrets.sealed IS 'The value, sealed (AES-256-GCM under a data key of its own); null when it was removed.';
COMMENT ON INDEX meshhook.secrets_pk IS 'One row per name.';

COMMENT ON TABLE meshhook.migrations IS 'What was done to the schema.';
COMMENT ON COLUMN meshhook.migrations.version IS 'The migration''s number.';
COMMENT ON COLUMN meshhook.migrations.name IS 'What it is about.';
COMMENT ON COLUMN meshhook.migrations.readable_from IS 'Workers that know a lower number than this cannot work with the schema any more.';
COMMENT ON COLUMN meshhook.migrations.applied_at IS 'When it was applied.';
COMMENT ON INDEX meshhook.migrations_pk IS 'Each once.';

COMMENT ON FUNCTION meshhook.scope IS 'The project that the session speaks for; * is the engine''s own work across projects.';
COMMENT ON FUNCTION meshhook.enter IS 'Enters the scope * for the function that calls it.';
COMMENT ON FUNCTION meshhook.leave IS 'Goes back to the scope that was before.';
COMMENT ON FUNCTION meshhook.now_or IS 'Microseconds since the Unix epoch: a given time, or the server''s.';
COMMENT ON FUNCTION meshhook.first_id IS 'The least run id of a time, or the nearest to it.';
COMMENT ON FUNCTION meshhook.partitions IS 'The partitions and the ids that each takes.';
COMMENT ON FUNCTION meshhook.make_partition IS 'Makes the next partition that is missing among those of this month and the months ahead.';
COMMENT ON FUNCTION meshhook.drop_partitions IS 'Drops the partitions whose time ended before a time, unless a run of theirs is live.';
COMMENT ON FUNCTION meshhook.drop_keys_v1 IS 'Forgets keys whose window is over, some at a time.';
COMMENT ON FUNCTION meshhook.collided IS 'Fails with 40001: the caller makes the whole call again.';
COMMENT ON FUNCTION meshhook.revive IS 'Moves a failed run that is to be retried back among the live ones.';
COMMENT ON FUNCTION meshhook.lock_v1 IS 'Takes the locks that a batch of commits needs, in their order.';
COMMENT ON FUNCTION meshhook.take_keys IS 'Takes the deduplication keys of a batch of starts, as far as they are free.';
COMMENT ON FUNCTION meshhook.start_v1 IS 'Commits a batch of starts.';
COMMENT ON FUNCTION meshhook.start_in_v1 IS 'Commits one start within the transaction of its caller.';
COMMENT ON FUNCTION meshhook.advance_v1 IS 'Commits a batch of advances.';
COMMENT ON FUNCTION meshhook.claim_v1 IS 'Renews a lease, takes runs that are due or orphaned, and says what else is to be known.';
COMMENT ON FUNCTION meshhook.lease_v1 IS 'Renews a lease, or ends it for good.';
COMMENT ON FUNCTION meshhook.held_v1 IS 'What a worker holds, once nothing of it is under way.';
COMMENT ON FUNCTION meshhook.forget_v1 IS 'Releases runs that a worker holds without writing anything of them.';
COMMENT ON FUNCTION meshhook.post_v1 IS 'Leaves messages for runs, and makes those due that nobody holds.';
