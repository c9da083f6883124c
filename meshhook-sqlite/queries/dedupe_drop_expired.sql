-- In the writer's transaction; by dedupe_by_expiry, a few at a time.
DELETE FROM dedupe WHERE (project, scope, key) IN (
    SELECT project, scope, key FROM dedupe WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
