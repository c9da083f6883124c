-- In the writer's transaction; by runs_held, until there are enough; the planner would walk the project instead.
-- Suspects are left out.
SELECT run_id FROM runs INDEXED BY runs_held
WHERE owner = ?1 AND project = ?2
    AND (strikes = 0 OR ?3 OR strike_seq + 1 < (
        SELECT max(last_seq) FROM history WHERE history.project = ?2 AND history.run_id = runs.run_id))
ORDER BY run_id LIMIT ?4
