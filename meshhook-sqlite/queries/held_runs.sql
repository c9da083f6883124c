-- Read transaction; by runs_held.
SELECT project, run_id, claim FROM runs WHERE owner = ?1 ORDER BY project, run_id
