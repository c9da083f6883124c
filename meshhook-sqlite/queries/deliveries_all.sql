-- Read transaction; down deliveries_by_project.
SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM deliveries INDEXED BY deliveries_by_project
WHERE project = ?1 AND id <= ?2 AND id >= ?8 AND expires_at > ?3 AND at >= ?4 AND at < ?5
    AND (?6 IS NULL OR workflow = ?6) AND (?7 IS NULL OR verdict = ?7)
ORDER BY id DESC
