-- In the writer's transaction; by runs_pk.
UPDATE runs
SET owner = NULL, wake_at = ?3, status = ?4, finished_at = NULL, failure = NULL
WHERE project = ?1 AND run_id = ?2
