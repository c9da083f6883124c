-- Read transaction, or the writer's; by hooks_pk.
SELECT slug FROM hooks WHERE project = ?1 AND path = ?2
