-- In the writer's transaction; by runs_pk.
UPDATE runs SET owner = NULL, wake_at = ?4 WHERE project = ?1 AND run_id = ?2 AND owner = ?3 AND claim = ?5
