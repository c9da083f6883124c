-- In the writer's transaction; by runs_pk.
SELECT 1 FROM runs WHERE project = ?1 AND run_id = ?2
