-- In the writer's transaction; by workflows_pk.
DELETE FROM workflows WHERE project = ?1 AND slug = ?2
