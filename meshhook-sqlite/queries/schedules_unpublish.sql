-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET wake_at = NULL, turn = turn + 1 WHERE project = ?1 AND slug = ?2
