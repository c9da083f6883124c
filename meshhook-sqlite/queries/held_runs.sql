-- Read transaction; by runs_held, without touching the table.
SELECT project, run_id FROM runs WHERE owner = ?1 ORDER BY project, run_id
