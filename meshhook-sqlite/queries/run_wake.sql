-- In the writer's transaction; by runs_pk.
UPDATE runs SET wake_at = min(coalesce(wake_at, ?3), ?3), ended = 0 WHERE project = ?1 AND run_id = ?2
