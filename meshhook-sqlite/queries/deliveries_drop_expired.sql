-- In the writer's transaction; by deliveries_by_expiry, a few at a time.
DELETE FROM deliveries WHERE rowid IN (
    SELECT rowid FROM deliveries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
