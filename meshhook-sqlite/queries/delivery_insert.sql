-- In the writer's transaction; by deliveries_by_project.
INSERT INTO deliveries (project, id, at, expires_at, workflow, verdict, facts, sealed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT DO NOTHING
