-- The next project of which the worker holds runs: one step in runs_held.
SELECT project FROM runs WHERE owner = ?1 AND project > ?2 ORDER BY project LIMIT 1
