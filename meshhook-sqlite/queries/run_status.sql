-- In the writer's transaction; by runs_pk. Only when a run that stays held stands elsewhere than before.
UPDATE runs SET status = ?3, finished_at = NULL, failure = NULL WHERE project = ?1 AND run_id = ?2
