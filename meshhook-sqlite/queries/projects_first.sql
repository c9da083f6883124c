-- Read transaction; down projects_by_creation, read as far as there is room.
SELECT id, name, created_at FROM projects ORDER BY created_at DESC, id DESC
