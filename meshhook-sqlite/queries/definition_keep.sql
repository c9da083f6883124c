-- In the writer's transaction; by definitions_pk.
INSERT INTO definitions (project, digest, definition) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING
