-- In the writer's transaction; by workers_pk. A worker that took no lease has one that ended.
INSERT INTO workers (worker, lease_until, retired) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING
