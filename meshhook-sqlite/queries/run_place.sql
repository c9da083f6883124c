-- In the writer's transaction; by runs_pk.
SELECT owner, ended, status FROM runs WHERE project = ?1 AND run_id = ?2
