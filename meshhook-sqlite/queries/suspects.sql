-- In the writer's transaction; by runs_struck.
SELECT run_id FROM runs INDEXED BY runs_struck
WHERE owner = ?1 AND project = ?2 AND strikes > 0
    AND strike_seq + 1 >= (
        SELECT max(last_seq) FROM history WHERE history.project = ?2 AND history.run_id = runs.run_id)
ORDER BY run_id LIMIT ?3
