-- Read transaction; down runs_by_workflow.
SELECT run_id, workflow, version, digest, created_at, test, status, finished_at, failure FROM runs INDEXED BY runs_by_workflow
WHERE project = ?1 AND run_id <= ?2 AND run_id >= ?7 AND created_at >= ?3 AND created_at < ?4
    AND (?5 IS NULL OR status = ?5) AND workflow = ?6
ORDER BY run_id DESC
