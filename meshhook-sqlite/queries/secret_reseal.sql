-- In the writer's transaction; by secrets_pk. The value stays the same, so neither version nor times change.
UPDATE secrets SET sealed = ?4 WHERE project = ?1 AND name = ?2 AND version = ?3 AND sealed IS NOT NULL
