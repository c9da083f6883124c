-- In the writer's transaction; the whole table, which is short, and one step in runs_held for each.
DELETE FROM workers
WHERE lease_until <= ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE owner = workers.worker)
