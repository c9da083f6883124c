-- In the writer's transaction; a range of runs_due that ends at now, whatever lies in the future.
SELECT run_id, wake_at FROM runs
WHERE project = ?1 AND wake_at IS NOT NULL AND wake_at <= ?2
ORDER BY wake_at, run_id LIMIT ?3
