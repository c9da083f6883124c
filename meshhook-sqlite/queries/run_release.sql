-- In the writer's transaction; by runs_pk.
UPDATE runs SET owner = NULL, wake_at = ?3, status = ?4 WHERE project = ?1 AND run_id = ?2
