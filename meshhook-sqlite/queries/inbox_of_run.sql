-- Read transaction; by inbox_by_run.
SELECT id, project, run_id, message FROM inbox WHERE project = ?1 AND run_id = ?2 ORDER BY id
