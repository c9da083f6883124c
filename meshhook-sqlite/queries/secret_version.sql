-- Read transaction, or the writer's; by secrets_pk.
SELECT version FROM secrets WHERE project = ?1 AND name = ?2
