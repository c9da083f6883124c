-- In the writer's transaction; by inbox_by_run. Null when nothing waits, else whether a retry does.
SELECT max(is_retry) FROM inbox WHERE project = ?1 AND run_id = ?2
