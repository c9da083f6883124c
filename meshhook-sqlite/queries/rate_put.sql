-- In the writer's transaction; by rates_pk.
INSERT INTO rates (project, key, full_at, expires_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET full_at = ?3, expires_at = ?4
