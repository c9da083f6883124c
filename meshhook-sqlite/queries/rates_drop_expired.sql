-- In the writer's transaction; by rates_by_expiry, a few at a time.
DELETE FROM rates WHERE (project, key) IN (
    SELECT project, key FROM rates WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
