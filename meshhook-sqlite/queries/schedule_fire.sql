-- In the writer's transaction; by schedules_pk.
UPDATE schedules SET done_until = ?5, wake_at = ?6, last_at = coalesce(?7, last_at), turn = turn + 1
WHERE project = ?1 AND slug = ?2 AND trigger = ?3 AND turn = ?4
