-- In the writer's transaction; the whole table, which is short.
SELECT worker, lease_until, retired FROM workers WHERE lease_until <= ?1 AND worker <> ?2 ORDER BY worker
