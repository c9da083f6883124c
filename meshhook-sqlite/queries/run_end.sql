-- In the writer's transaction; by runs_pk. A failed run that is to be retried is due instead of ended.
UPDATE runs
SET owner = NULL, status = ?3, finished_at = ?4, failure = ?5, wake_at = ?6, ended = ?6 IS NULL
WHERE project = ?1 AND run_id = ?2
