-- In the writer's transaction; paths that are taken were looked for before.
INSERT INTO hooks (project, path, slug, trigger) VALUES (?1, ?2, ?3, ?4)
