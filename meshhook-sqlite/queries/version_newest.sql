-- In the writer's transaction; down versions_pk.
SELECT version, digest FROM versions WHERE project = ?1 AND slug = ?2 ORDER BY version DESC LIMIT 1
