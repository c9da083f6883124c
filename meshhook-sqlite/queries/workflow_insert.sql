-- In the writer's transaction; a name that is taken was looked for before.
INSERT INTO workflows (project, slug, draft, revision, created_at, updated_at) VALUES (?1, ?2, ?3, 1, ?4, ?4)
