-- In the writer's transaction; a range of versions_pk.
DELETE FROM versions WHERE project = ?1 AND slug = ?2
