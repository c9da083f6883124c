-- In the writer's transaction; by workflows_pk.
UPDATE workflows SET published_version = NULL WHERE project = ?1 AND slug = ?2
