-- Read transaction; by deliveries_by_project.
SELECT id, at, expires_at, workflow, verdict, facts, sealed FROM deliveries
WHERE project = ?1 AND id = ?2 AND expires_at > ?3
