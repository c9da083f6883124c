-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET wake_at = ?4, seen_since = ?5, seen_until = ?6
WHERE project = ?1 AND slug = ?2 AND trigger = ?3
