-- In the writer's transaction; by runs_held, one step in inbox_by_run for each run that the worker holds: those are
-- few, while messages for failed runs may wait for long.
SELECT project, run_id FROM runs INDEXED BY runs_held
WHERE owner = ?1
    AND EXISTS (SELECT 1 FROM inbox WHERE inbox.project = runs.project AND inbox.run_id = runs.run_id)
ORDER BY project, run_id LIMIT ?2
