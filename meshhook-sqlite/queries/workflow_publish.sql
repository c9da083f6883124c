-- In the writer's transaction; by workflows_pk.
UPDATE workflows SET latest_version = ?3, published_version = ?3 WHERE project = ?1 AND slug = ?2
