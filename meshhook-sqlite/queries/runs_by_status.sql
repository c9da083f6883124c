-- Read transaction; down runs_by_status, which does not know runs that succeeded.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure FROM runs INDEXED BY runs_by_status
WHERE project = ?1 AND run_id <= ?2 AND run_id >= ?7 AND created_at >= ?3 AND created_at < ?4
    AND status = ?5 AND status <> 'succeeded' AND (?6 IS NULL OR workflow = ?6)
ORDER BY run_id DESC
