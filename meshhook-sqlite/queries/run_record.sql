-- Read transaction; by runs_pk.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure FROM runs WHERE project = ?1 AND run_id = ?2
