-- In the writer's transaction; by the table's key.
DELETE FROM inbox WHERE id = ?3 AND project = ?1 AND run_id = ?2
