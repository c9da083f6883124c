-- Read transaction; down deliveries_by_verdict.
SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM deliveries INDEXED BY deliveries_by_verdict
WHERE project = ?1 AND id <= ?2 AND id >= ?8 AND expires_at > ?3 AND at >= ?4 AND at < ?5
    AND (?6 IS NULL OR workflow = ?6) AND verdict = ?7 AND verdict <> 'accepted'
ORDER BY id DESC
