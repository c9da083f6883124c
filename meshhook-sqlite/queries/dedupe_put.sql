-- In the writer's transaction; by dedupe_pk. An entry that is still there has expired.
INSERT INTO dedupe (project, scope, key, run_id, fingerprint, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO UPDATE SET run_id = ?4, fingerprint = ?5, expires_at = ?6
