-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET wake_at = ?4 WHERE project = ?1 AND slug = ?2 AND trigger = ?3
