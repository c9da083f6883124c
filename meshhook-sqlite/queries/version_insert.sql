-- In the writer's transaction.
INSERT INTO versions (project, slug, version, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
