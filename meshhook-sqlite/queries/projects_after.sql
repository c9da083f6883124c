-- Read transaction; down projects_by_creation.
SELECT id, name, created_at FROM projects WHERE (created_at, id) < (?2, ?3)
ORDER BY created_at DESC, id DESC LIMIT ?1
