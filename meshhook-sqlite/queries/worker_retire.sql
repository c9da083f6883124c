-- In the writer's transaction; by workers_pk.
INSERT INTO workers (worker, lease_until, retired) VALUES (?1, ?2, 1)
ON CONFLICT DO UPDATE SET lease_until = ?2, retired = 1
