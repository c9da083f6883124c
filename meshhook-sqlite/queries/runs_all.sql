-- Read transaction; down runs_pk.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure FROM runs
WHERE project = ?1 AND run_id <= ?2 AND run_id >= ?7 AND created_at >= ?3 AND created_at < ?4
    AND (?5 IS NULL OR status = ?5) AND ?6 IS NULL
ORDER BY run_id DESC
