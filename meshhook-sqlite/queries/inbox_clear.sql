-- In the writer's transaction; by inbox_by_run.
DELETE FROM inbox WHERE project = ?1 AND run_id = ?2
