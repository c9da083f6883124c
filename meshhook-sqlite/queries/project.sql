-- Read transaction, or the writer's; by projects_pk.
SELECT id, name, created_at FROM projects WHERE id = ?1
